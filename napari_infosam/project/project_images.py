"""The images of a project and the classes of their objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core.huge_image import HugeImage
from napari_infosam.core.preprocess import Preprocessing
from napari_infosam.project import classes, images
from napari_infosam.project.images import StoredPixels
from napari_infosam.project.opened import OpenFolder
from napari_infosam.project.steps import Step

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_infosam.project.records import ClassRecord, ImageRecord


class ProjectImages(OpenFolder):
    """An open project folder with its images and classes."""

    def add_image(
        self,
        image: NDArray[Any] | HugeImage | StoredPixels,
        name: str,
        *,
        source: str | None = None,
        preprocessing: Preprocessing | None = None,
    ) -> ImageRecord:
        """Keep a copy of an image; the same pixels come back as the same record.

        Parameters
        ----------
        image
            ``(Y, X)`` or ``(Y, X, C)``, bool, integer or float, or what `store_pixels`
            returned. Of a huge one no copy is kept, but only what is given to
            ``tiles``.
        name
            Shown to people.
        source
            Where it came from, as text.
        preprocessing
            How the model sees it. The same pixels may be in a project once for each.
        """
        self._require_lock()
        preprocessing = preprocessing or Preprocessing()
        if not isinstance(image, StoredPixels):
            image = self.store_pixels(image, preprocessing)
        images.check_pixels(image, preprocessing)
        with self._database.write() as connection:
            return images.insert_image(connection, image, name, source, preprocessing)

    def store_pixels(
        self,
        image: NDArray[Any] | HugeImage,
        preprocessing: Preprocessing | None = None,
    ) -> StoredPixels:
        """Keep a copy of the pixels of an image that is added later, as in `add_image`.

        It takes long, and needs no transaction.
        """
        self._require_lock()
        if not isinstance(image, HugeImage):
            image = np.asarray(image)
        images.check_pixels(image, preprocessing or Preprocessing())
        return images.store_pixels(self.path, image)

    def images(self) -> list[ImageRecord]:
        """Return all images in the order in which they were added."""
        with self._database.read() as connection:
            return images.select_images(connection)

    def image(self, image_id: int) -> ImageRecord:
        """Return one image."""
        with self._database.read() as connection:
            return images.select_image(connection, image_id)

    def find_image(
        self,
        digest: str,
        path: str | None = None,
        preprocessing: Preprocessing | None = None,
    ) -> ImageRecord | None:
        """Return the record of an image that may be in the project, or None.

        Parameters
        ----------
        digest
            Its content hash, see `napari_infosam.project.files.content_hash`.
        path
            Where a huge image lies: it is known again after its file was moved.
        preprocessing
            How the model sees it.
        """
        how = preprocessing or Preprocessing()
        with self._database.read() as connection:
            return images.find_image(connection, digest, how, path)

    def read_image(self, image_id: int) -> NDArray[Any]:
        """Return the pixels of an image as a read-only memory map."""
        return images.load_pixels(self.path, self.image(image_id))

    def set_preprocessing(
        self, image_id: int, preprocessing: Preprocessing
    ) -> ImageRecord:
        """Change how the model sees an image."""
        self._require_lock()
        record = self.image(image_id)
        pixels = (
            np.broadcast_to(np.zeros((), record.dtype), record.shape)
            if record.is_huge
            else self.read_image(image_id)
        )
        images.check_pixels(pixels, preprocessing)
        with self._database.write() as connection:
            images.update_preprocessing(connection, image_id, preprocessing)
            return images.select_image(connection, image_id)

    def classes(self) -> list[ClassRecord]:
        """Return all classes; a new project has one, ``object``."""
        with self._database.read() as connection:
            return classes.select_classes(connection)

    def last_class(self) -> str | None:
        """Return the class of the newest object, None while there is none."""
        with self._database.read() as connection:
            return classes.select_last_class(connection)

    def add_class(self, name: str, color: str | None = None) -> ClassRecord:
        """Add a class, one step of undo, or return the one that has this name already.

        Parameters
        ----------
        name
            Shown to people.
        color
            ``#rrggbb``; by default the next one of a fixed palette.
        """
        self._require_lock()
        with self._database.write() as connection:
            step = Step(connection, "add_class")
            added = step.add_class(name, color)
            step.record()
            return added

    def rename_class(self, name: str, new: str) -> None:
        """Give a class, and with it its objects, another name; one step of undo.

        Raises
        ------
        InfosamError
            If there is no such class, or one of the new name already.
        """
        self._require_lock()
        with self._database.write() as connection:
            step = Step(connection, "rename_class")
            step.rename_class(name, new)
            step.record()

    def set_class_color(self, name: str, color: str) -> None:
        """Change the colour, ``#rrggbb``, that the objects of a class are shown in.

        It is one step of undo.
        """
        self._require_lock()
        with self._database.write() as connection:
            step = Step(connection, "recolor_class")
            step.recolor_class(name, color)
            step.record()
