"""A project: the folder in which images, accepted objects and versions live."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_infosam.core.huge_image import HugeImage
from napari_infosam.core.preprocess import Preprocessing
from napari_infosam.core.prompts import Box, PromptSet
from napari_infosam.project import history, images, lookups, objects, settings, versions
from napari_infosam.project.edits import Edits
from napari_infosam.project.listing import Listing
from napari_infosam.project.objects import Origin
from napari_infosam.project.opened import OpenFolder
from napari_infosam.project.painting import paint_columns
from napari_infosam.project.steps import Step
from napari_infosam.project.tile_store import Tiles

if TYPE_CHECKING:
    from napari_infosam.core.masks import BoolArray
    from napari_infosam.core.options import FinetuneOptions
    from napari_infosam.project.records import (
        ClassRecord,
        HistoryEntry,
        ImageRecord,
        ObjectRecord,
        ObjectSummary,
        Overlap,
        VersionRecord,
    )


class Project(OpenFolder):
    """An open project folder; make one with `create` or `open`.

    Everything a method changes is on disk when it returns. Every method may be called
    from any thread, and the training process may have the project open as well.
    Failures of the disk, and wrong input, raise `InfosamError` and change nothing.

    Attributes
    ----------
    edits
        What changes accepted objects: class, mask, merge, split, paint.
    listing
        The list of the images, and how far each one is.
    tiles
        What is kept of huge images.
    """

    def __init__(self, path: Path, *, lock: bool = True) -> None:
        super().__init__(path, lock=lock)
        self.edits = Edits(self._database, self._require_lock)
        self.listing = Listing(self._database, self._require_lock)
        self.tiles = Tiles(self.path, self._database, self._require_lock)

    def add_image(
        self,
        image: NDArray[Any] | HugeImage,
        name: str,
        *,
        source: str | None = None,
        preprocessing: Preprocessing | None = None,
    ) -> ImageRecord:
        """Keep a copy of an image; the same pixels come back as the same record.

        Parameters
        ----------
        image
            ``(Y, X)`` or ``(Y, X, C)``, bool, integer or float. Of a huge one no
            copy is kept, but only what is given to ``tiles``.
        name
            Shown to people.
        source
            Where it came from, as text.
        preprocessing
            How the model sees it. The same pixels may be in a project once for each.
        """
        self._require_lock()
        if not isinstance(image, HugeImage):
            image = np.asarray(image)
        preprocessing = preprocessing or Preprocessing()
        images.check_pixels(image, preprocessing)
        digest = images.store_pixels(self.path, image)
        with self._database.write() as connection:
            return images.insert_image(
                connection, digest, image, name, source, preprocessing
            )

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
            return images.select_classes(connection)

    def last_class(self) -> str | None:
        """Return the class of the newest object, None while there is none."""
        with self._database.read() as connection:
            return images.select_last_class(connection)

    def add_class(self, name: str, color: str | None = None) -> ClassRecord:
        """Add a class, or return the one that has this name already.

        Parameters
        ----------
        name
            Shown to people.
        color
            ``#rrggbb``; by default the next one of a fixed palette.
        """
        self._require_lock()
        with self._database.write() as connection:
            return images.insert_class(connection, name, color)

    def set_class_color(self, name: str, color: str) -> None:
        """Change the colour, ``#rrggbb``, that the objects of a class are shown in."""
        self._require_lock()
        with self._database.write() as connection:
            images.update_class_color(connection, name, color)

    def commit(
        self,
        image_id: int,
        mask: BoolArray,
        *,
        prompts: PromptSet | None = None,
        class_name: str = "object",
        slice_index: tuple[int, ...] = (),
        model_version: str = "base",
        score: float | None = None,
        proposal_ious: Sequence[float] = (),
        reviewed: bool = True,
        overlap: Overlap = "allow",
    ) -> ObjectRecord:
        """Write one accepted object; it is on disk when this returns.

        Parameters
        ----------
        image_id
            The image it lies in. With its first reviewed object an image is assigned
            to training or validation for good.
        mask
            ``(H, W)`` bool, as high and wide as the image, not empty.
        prompts, proposal_ious
            What the author placed, and the IoU of the proposal with ``mask`` after
            each prompt; the box counts before the points.
        class_name
            One of `classes`.
        slice_index
            Position on the leading axes, for a slice of a stack.
        model_version
            Which version answered.
        score
            IoU the model predicted for its proposal.
        reviewed
            Whether a person accepted it; only reviewed objects train.
        overlap
            What becomes of pixels that earlier objects have: both have them
            (``allow``), the earlier ones keep them (``keep``), or this one takes them
            (``replace``). Every way is one step for undo.
        """
        origin = Origin(
            class_name=class_name,
            slice_index=slice_index,
            model_version=model_version,
            score=score,
            reviewed=reviewed,
            prompts=prompts or PromptSet(),
            proposal_ious=tuple(map(float, proposal_ious)),
        )
        return self.commit_each(image_id, [(mask, origin)], overlap=overlap)[0]

    def commit_many(
        self,
        image_id: int,
        masks: Iterable[BoolArray],
        *,
        class_name: str = "object",
        slice_index: tuple[int, ...] = (),
        model_version: str = "import",
        reviewed: bool = True,
    ) -> list[ObjectRecord]:
        """Write several objects of one image in one transaction, all or none.

        Each is a step of its own in the undo journal. Parameters as in `commit`.
        """
        origin = Origin(
            class_name=class_name,
            slice_index=slice_index,
            model_version=model_version,
            score=None,
            reviewed=reviewed,
        )
        return self.commit_each(image_id, ((mask, origin) for mask in masks))

    def commit_each(
        self,
        image_id: int,
        masks: Iterable[tuple[BoolArray, Origin]],
        classes: Mapping[str, str | None] | None = None,
        *,
        overlap: Overlap = "allow",
        one_step: bool = False,
    ) -> list[ObjectRecord]:
        """Write objects that differ in class or origin in one transaction, all or none.

        Each is a step of its own in the undo journal, or all are one with ``one_step``:
        then the masks must not overlap each other, unless overlaps are allowed.
        ``classes`` are made with them where missing: names, and ``#rrggbb`` or None.
        ``overlap`` as in `commit`.
        """
        self._require_lock()
        image = self.image(image_id)
        encoded = [(objects.encode(mask, image), origin) for mask, origin in masks]
        with self._database.write() as connection:
            for name, color in (classes or {}).items():
                images.insert_class(connection, name, color)
            written = []
            for part in [encoded] if one_step else [[one] for one in encoded]:
                step = Step(connection, "commit")
                places = [
                    step.place(image, mask, origin, overlap) for mask, origin in part
                ]
                done = step.finish()
                written += [done[place] for place in places]
            return written

    def objects(
        self,
        image_id: int | None = None,
        *,
        reviewed: bool | None = None,
        slice_index: tuple[int, ...] | None = None,
        instance_id: int | None = None,
    ) -> list[ObjectRecord]:
        """Return the objects, without deleted ones, in the order of their ids.

        Parameters
        ----------
        image_id, reviewed, slice_index, instance_id
            Only objects that are so; None takes all.
        """
        with self._database.read() as connection:
            return objects.select_objects(
                connection,
                image_id=image_id,
                reviewed=reviewed,
                slice_index=slice_index,
                instance_id=instance_id,
            )

    def summaries(
        self, image_id: int, slice_index: tuple[int, ...] = ()
    ) -> list[ObjectSummary]:
        """Return the objects of a picture as a list shows them, in order of number."""
        with self._database.read() as connection:
            return lookups.select_summaries(connection, image_id, slice_index)

    def ids(self, image_id: int, slice_index: tuple[int, ...] = ()) -> dict[int, int]:
        """Return the ids of the objects of a picture by their instance ids."""
        with self._database.read() as connection:
            return lookups.select_ids(connection, image_id, slice_index)

    def n_objects(self, image_id: int | None = None) -> int:
        """Return how many objects there are, of one image or of all of them."""
        with self._database.read() as connection:
            return objects.count_objects(connection, image_id)

    def delete(self, object_id: int) -> None:
        """Delete an object; `undo` brings it back."""
        self.edits.delete([object_id])

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        with self._database.read() as connection:
            return history.has_steps(connection, undone=False)

    @property
    def can_redo(self) -> bool:
        """Whether there is one to do again."""
        with self._database.read() as connection:
            return history.has_steps(connection, undone=True)

    def last_step(self) -> HistoryEntry | None:
        """Return the step that `undo` would take back, or None if there is none."""
        with self._database.read() as connection:
            return history.last(connection)

    def undo(self) -> HistoryEntry | None:
        """Take the last step back; return it, or None if there is none."""
        self._require_lock()
        with self._database.write() as connection:
            return history.undo(connection)

    def redo(self) -> HistoryEntry | None:
        """Do again what was undone last; return it, or None if there is nothing."""
        self._require_lock()
        with self._database.write() as connection:
            return history.redo(connection)

    def label_image(
        self, image_id: int, slice_index: tuple[int, ...] = ()
    ) -> NDArray[np.int32]:
        """Return the ``(H, W)`` label image of an image: 0, or an instance id.

        Where objects overlap the one of the higher number is on top.
        """
        height, width = self.image(image_id).shape[:2]
        return self.label_part(image_id, Box(0, 0, width - 1, height - 1), slice_index)

    def label_part(
        self, image_id: int, box: Box, slice_index: tuple[int, ...] = ()
    ) -> NDArray[np.int32]:
        """Return what `label_image` has within a box, which is quicker.

        Parameters
        ----------
        box
            Corners at pixel centres, both included, within the image.
        """
        height, width = self.image(image_id).shape[:2]
        with self._database.read() as connection:
            found = lookups.select_masks(connection, image_id, slice_index, box)
        start, stop = int(box.x0), int(box.x1) + 1
        columns = paint_columns(found, (height, width), start, stop)
        return columns[int(box.y0) : int(box.y1) + 1]

    @property
    def active_version(self) -> str:
        """The version that answers clicks: ``base`` or ``vNNN``."""
        with self._database.read() as connection:
            return settings.get(connection, "active_version")

    def versions(self, *, with_deleted: bool = False) -> list[VersionRecord]:
        """Return all trained versions, oldest first."""
        with self._database.read() as connection:
            return versions.select_versions(connection, with_deleted=with_deleted)

    def version(self, version_id: str) -> VersionRecord:
        """Return one trained version."""
        with self._database.read() as connection:
            return versions.select_version(connection, version_id)

    def reserve_version(self) -> str:
        """Make the directory of the next version and return its id, ``vNNN``.

        No id is given out twice, whichever process asks.
        """
        with self._database.write() as connection:
            return versions.reserve(connection, self.path)

    def add_version(self, record: VersionRecord) -> None:
        """Add the row of a reserved version.

        Status ``active`` also activates it, in the same transaction, unless the version
        that answers is pinned.
        """
        with self._database.write() as connection:
            versions.insert(connection, self.path, record)

    def activate(self, version_id: str) -> None:
        """Let a version, or ``base``, answer from now on.

        Raises
        ------
        InfosamError
            If there is no such version or its weights are missing.
        """
        with self._database.write() as connection:
            versions.activate(connection, self.path, version_id)

    @property
    def is_continuous(self) -> bool:
        """Whether trainings start by themselves while this project is open."""
        with self._database.read() as connection:
            return settings.get(connection, "continuous", "off") == "on"

    def set_continuous(self, on: bool) -> None:
        """Remember whether trainings start by themselves."""
        with self._database.write() as connection:
            settings.put(connection, "continuous", "on" if on else "off")

    def version_dir(self, version_id: str) -> Path:
        """Return where ``student.safetensors`` and ``card.json`` of a version lie."""
        return versions.directory(self.path, version_id)

    def new_run(self, options: FinetuneOptions) -> Path:
        """Make ``runs/rNNN`` with its ``config.json``: schema, project, options."""
        with self._database.write() as connection:
            return versions.new_run(connection, self.path, options)

    def runs(self) -> list[Path]:
        """Return the folders of all runs, oldest first."""
        with self._database.read() as connection:
            return versions.select_runs(connection, self.path)

    def data_hash(self) -> str:
        """Return a SHA-256 over all a training run learns from.

        These are the reviewed objects with their image, preprocessing and split, in
        whatever order they were accepted.
        """
        with self._database.read() as connection:
            return objects.data_hash(connection)
