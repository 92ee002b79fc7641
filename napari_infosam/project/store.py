"""A project: the folder in which images, accepted objects and versions live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from napari_infosam.core.prompts import Box, PromptSet
from napari_infosam.project import history, lookups, objects
from napari_infosam.project.edits import Edits
from napari_infosam.project.encoded import encode
from napari_infosam.project.listing import Listing
from napari_infosam.project.objects import Origin
from napari_infosam.project.painting import paint_columns
from napari_infosam.project.project_images import ProjectImages
from napari_infosam.project.project_versions import ProjectVersions
from napari_infosam.project.steps import Step
from napari_infosam.project.tile_store import Tiles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_infosam.core.masks import BoolArray
    from napari_infosam.project.encoded import Encoded
    from napari_infosam.project.records import (
        Action,
        HistoryEntry,
        ObjectRecord,
        ObjectSummary,
        Overlap,
    )


class Project(ProjectImages, ProjectVersions):
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

    @contextmanager
    def one_step(self, action: Action) -> Iterator[Step]:
        """Make all that the step gets in the block one step of undo, however much.

        It is one transaction, together with what else is changed in the block: when
        that ends with an exception the project is as it was before, but for files of
        pixels that nothing refers to. Meanwhile no other process can write: store the
        pixels before it.
        """
        self._require_lock()
        with self._database.write() as connection:
            step = Step(connection, action)
            yield step
            step.record()

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
        masks: Iterable[tuple[BoolArray | Encoded, Origin]],
        *,
        overlap: Overlap = "allow",
        one_step: bool = False,
    ) -> list[ObjectRecord]:
        """Write objects that differ in class or origin in one transaction, all or none.

        Masks as in `commit`, or encoded already. Each is a step of its own in the undo
        journal, or all are one with ``one_step``: then the masks must not overlap each
        other, unless overlaps are allowed. ``overlap`` as in `commit`.
        """
        self._require_lock()
        image = self.image(image_id)
        encoded = [(encode(mask, image), origin) for mask, origin in masks]
        with self._database.write() as connection:
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
        instance_ids: Sequence[int] | None = None,
    ) -> list[ObjectRecord]:
        """Return the objects, without deleted ones, in the order of their ids.

        Parameters
        ----------
        image_id, reviewed, slice_index, instance_ids
            Only objects that are so; None takes all.
        """
        with self._database.read() as connection:
            return objects.select_objects(
                connection,
                image_id=image_id,
                reviewed=reviewed,
                slice_index=slice_index,
                instance_ids=instance_ids,
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

    def n_images_with_objects(self) -> int:
        """Return in how many images there are objects."""
        with self._database.read() as connection:
            return objects.count_images(connection)

    def delete(self, object_id: int) -> None:
        """Delete an object; `undo` brings it back."""
        self.edits.delete([object_id])

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return self.step_times()[0] is not None

    @property
    def can_redo(self) -> bool:
        """Whether there is one to do again."""
        return self.step_times()[1] is not None

    def step_times(self) -> tuple[float | None, float | None]:
        """Return when the steps were done that `undo` and `redo` would turn.

        Returns
        -------
        tuple of float or None
            Seconds since the epoch, None where there is no such step.
        """
        with self._database.read() as connection:
            return history.times(connection)

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

        Where objects overlap the one of fewer pixels is on top.
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

    def data_hash(self) -> str:
        """Return a SHA-256 over all a training run learns from.

        These are the reviewed objects with their image, preprocessing and split, in
        whatever order they were accepted.
        """
        with self._database.read() as connection:
            return objects.data_hash(connection)
