"""What is done to the accepted objects of the picture in view."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_infosam._napari.huge_picture import blank, keep_tile, parts_of_object
from napari_infosam._napari.object_text import (
    accepted_sentence,
    named,
    painted_sentence,
)
from napari_infosam._napari.overlap import MUCH, Laid
from napari_infosam._napari.picture_objects import PictureObjects
from napari_infosam.core.channels import PLAIN
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.small_masks import TakenParts, apart, small_mask
from napari_infosam.project.objects import Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from napari_infosam._napari.image_source import ImageSource
    from napari_infosam._napari.object_in_work import Answer, ObjectInWork
    from napari_infosam._napari.overlap import OverlapPolicy, Settle
    from napari_infosam.core.masks import BoolArray
    from napari_infosam.core.placed import PlacedMask
    from napari_infosam.core.prompts import Point
    from napari_infosam.core.small_masks import SmallMask
    from napari_infosam.project import ObjectRecord, Project
    from napari_infosam.project.records import Overlap


class Accepted(PictureObjects):
    """Changes what was accepted in one picture, each change a step for undo.

    What goes wrong is said through the voice; nothing is lost then, painted strokes
    included.

    """

    overlap_changed = Signal()
    """Another way to settle overlaps."""

    _overlap: OverlapPolicy = "allow"
    ask: Settle | None = None
    """Who is asked where overlaps are to be settled each time; without it both objects
    have the pixels."""

    @property
    def overlap(self) -> OverlapPolicy:
        """What becomes of pixels that earlier objects have."""
        return self._overlap

    @overlap.setter
    def overlap(self, value: OverlapPolicy) -> None:
        if value != self._overlap:
            self._overlap = value
            self.overlap_changed.emit()

    @property
    def overlap_unasked(self) -> Overlap:
        """The same where nobody is asked."""
        return "allow" if self._overlap == "ask" else self._overlap

    @property
    def asks(self) -> bool:
        """Whether somebody is asked where new objects lie on earlier ones."""
        return self._overlap == "ask" and self.ask is not None

    def settle_said(self, said: str) -> Overlap | None:
        """Return what becomes of pixels that earlier objects have.

        None if the person would rather not accept, or is in another project when they
        answer. ``said`` is how new objects lie on earlier ones; '' asks nobody.
        """
        if not said or self.ask is None:
            return self.overlap_unasked
        project = self._desk.project
        overlap = self.ask(said)
        return overlap if self._desk.project is project else None

    def settle(
        self, masks: Sequence[SmallMask], target: int | None = None
    ) -> Overlap | None:
        """Return what becomes of pixels that earlier objects have, asking if so set.

        None as of `settle_said`, or if another picture is in view when they answer.
        Parameters as of `laid`, which is looked up only if somebody is to be asked.
        """
        laid = self.laid(masks, target) if self.asks else None
        source = self._source
        overlap = self.settle_said(laid.sentence("the new object") if laid else "")
        return overlap if self._source == source else None

    def laid(
        self, masks: Sequence[SmallMask], target: int | None = None
    ) -> Laid | None:
        """Return how new masks lie on the objects of the picture; None beside them.

        Parameters
        ----------
        masks
            The new ones.
        target
            Number of the object that the mask becomes, which is no other one.
        """

        def below(mask: SmallMask) -> NDArray[np.int32]:
            if self.labels is not None and target is None:
                return self.labels[mask.place]
            rows, columns = (range(place.start, place.stop) for place in mask.place)
            return self.window(rows, columns, without=target)

        return Laid.of(masks, map(below, masks))

    def taken(self, *, earlier: bool = True) -> BoolArray | TakenParts:
        """Return the pixels that objects have, for `apart`; or none, to begin with."""
        if self.labels is None:
            return TakenParts(self.window if earlier else blank)
        return self.labels > 0 if earlier else np.zeros(self.labels.shape, np.bool_)

    def show(self, source: ImageSource | None) -> None:
        """Be about another picture; its objects are looked up when it is read."""
        self.save_painted()
        super().show(source)

    def toggle_chosen(self, number: int) -> None:
        """Choose an object besides others, or no longer."""
        if number in self.chosen:
            self.choose(n for n in self.chosen if n != number)
        else:
            self.choose((*self.chosen, number))
        if self.chosen:
            self._voice.say(f"Chosen: {named(self.chosen)}.")
        else:
            self._voice.say("No object is chosen any more.")

    # ----------------------------------------------------------------- change
    def commit(
        self, work: ObjectInWork, answer: Answer
    ) -> tuple[ObjectRecord, str] | None:
        """Write an answered proposal.

        Returns
        -------
        tuple of ObjectRecord and str, or None
            What was written, and the sentence about it; None if `settle` says so.

        Raises
        ------
        InfosamError
            If nothing was marked, or it can not be written.
        """
        mask = answer.prediction.mask
        if self._source is None or self._engine.pixels is None or not mask.any():
            raise InfosamError(
                "The proposal is empty: add a point on the object, or draw a box."
            )
        small = [small_mask(mask, answer.prediction.score)]
        overlap = self.settle(small, work.target)
        if overlap is None:
            return None
        twice = self.laid(small, work.target) if overlap == "allow" else None
        self.save_painted()
        project, image_id = self._require_image()
        keep_tile(project, image_id, self._engine.pixels, mask)
        again = None if work.target is None else self.find(work.target)
        came_about: dict[str, Any] = {
            "prompts": work.prompts,
            "model_version": answer.version,
            "score": answer.prediction.score,
            "proposal_ious": tuple(work.proposal_ious(mask)),
        }
        if again is None and work.number is not None:
            origin = Origin(self.class_name, **came_about, instance_id=work.number)
            (record,) = project.edits.commit_across(
                [(image_id, mask, origin)], overlap=overlap, action="commit"
            )
        elif again is None:
            record = project.commit(
                image_id,
                mask,
                class_name=self.class_name,
                overlap=overlap,
                **came_about,
            )
        else:
            record = project.edits.replace(
                again.id, mask, overlap=overlap, **came_about
            )
        if again is None and self.labels is not None and not self.labels[mask].any():
            # alone where it is: there is nothing to look up
            self.labels[mask] = record.instance_id
            self._unsaved.lay_on(self.labels)
            self.follow(None)
        else:
            self.follow(project.last_step())
        lost = int(np.count_nonzero(mask)) - record.area
        is_again = record.instance_id == work.target
        said = accepted_sentence(record, again=is_again, lost=lost)
        if twice is not None and twice.share >= MUCH:
            said = f"{said.removesuffix('.')}; {twice.sentence()}."
        return record, said

    def commit_each(self, masks: Sequence[tuple[SmallMask, Origin]]) -> int | None:
        """Write several objects in one step for undo.

        Whose pixels are whose is settled among them first: where the overlap policy
        lets one object have a pixel, the earlier of them has it.

        Returns
        -------
        int or None
            How many there are; None if `settle` says so.

        Raises
        ------
        InfosamError
            If nothing is left of them, or they can not be written.
        """
        overlap = self.settle([mask for mask, _ in masks])
        if overlap is None:
            return None
        self.save_painted()
        project, image_id = self._require_image()
        small: list[SmallMask | None] = [mask for mask, _ in masks]
        if overlap != "allow":
            keeps = overlap == "keep"
            small = apart([mask for mask, _ in masks], self.taken(earlier=keeps))
        kept = [
            (left, replace(origin, proposal_ious=_ious(left, mask, origin)))
            for left, (mask, origin) in zip(small, masks, strict=True)
            if left is not None and left.area
        ]
        if not kept:
            raise InfosamError(
                "Nothing is left of what was proposed: earlier objects keep their "
                "pixels."
            )
        for mask in {mask.tile: mask for mask, _ in kept}.values():
            keep_tile(project, image_id, self._engine.pixels, mask.mask())
        written = project.commit_each(
            image_id,
            ((mask.mask(), origin) for mask, origin in kept),
            overlap=overlap,
            one_step=True,
        )
        self.follow(project.last_step())
        return len(written)

    def delete(self, numbers: Sequence[int]) -> None:
        """Delete objects; undo brings them back."""
        with self._voice.guard("deleting objects"):
            project, ids = self._named(numbers)
            project.edits.delete(ids)
            self.follow(project.last_step())
            it = "it" if len(ids) == 1 else "them"
            self._voice.say(f"Deleted {named(numbers)}; undo brings {it} back.")

    def relabel(self, numbers: Sequence[int]) -> None:
        """Give objects the class that is chosen for the next one."""
        with self._voice.guard("changing the class"):
            project, ids = self._named(numbers)
            if not project.edits.relabel(ids, self.class_name):
                self._voice.say(
                    f"{named(numbers, start=True)}: the class is "
                    f"{self.class_name} already."
                )
                return
            self.follow(project.last_step())
            self._voice.say(
                f"{named(numbers, start=True)}: the class is {self.class_name} now."
            )

    def merge(self, numbers: Sequence[int]) -> None:
        """Make one object of several; it keeps the first number."""
        if len(numbers) < 2:
            self._voice.say(
                "Choose two objects or more first: in the list, or with A over each."
            )
            return
        with self._voice.guard("merging objects"):
            project, ids = self._named(numbers)
            record = project.edits.merge(ids)
            self.follow(project.last_step())
            self.choose((record.instance_id,))
            self._voice.say(
                f"Merged {named(numbers)} into object {record.instance_id}."
            )

    def split(
        self, number: int, points: Sequence[Point], then: Callable[[], None]
    ) -> None:
        """Make objects of the parts of one, which are found in the background.

        Parameters
        ----------
        number
            The object.
        points
            Where two or more lie on it, each stands for a part.
        then
            Called when it is done, and not where the object stays whole.
        """
        record = None
        with self._voice.guard("splitting the object"):
            self._named([number])
            record = self.find(number)
        if record is None:
            return
        whole = record

        def done(parts: list[PlacedMask]) -> None:
            project = self._desk.project
            if project is None or len(parts) < 2:
                self._voice.say(
                    f"Object {number} is in one piece: click once on each of its "
                    "parts, then split it."
                )
                return
            with self._voice.guard("splitting the object"):
                made = project.edits.split(whole.id, parts)
                self.follow(project.last_step())
                then()
                self._voice.say(
                    f"Split object {number}: {named([r.instance_id for r in made])}."
                )

        def failed(error: Exception) -> None:
            self._voice.report(error, "splitting the object")

        self._executor.submit(lambda: parts_of_object(whole, points), done, failed)

    # ------------------------------------------------------------------ paint
    def paint(self, pixels: NDArray[np.int64], values: NDArray[np.int64]) -> None:
        """Take over a stroke that was painted on the label image.

        Parameters
        ----------
        pixels
            ``(N, 2)`` (row, column) of the pixels that were changed.
        values
            ``(N,)``: their numbers now; 0 where an object was erased.
        """
        if len(pixels):
            self._unsaved.add(pixels, values)
            self._unsaved.lay_on(self.labels)
            self.save_painted()

    def save_painted(self) -> None:
        """Write strokes that could not be written yet; they stay until they can."""
        if not self._unsaved:
            return
        with self._voice.guard("saving what was painted"):
            pixels, values = self._unsaved.all()
            project, image_id = self._require_image()
            numbers = [int(value) for value in np.unique(values) if value]
            new = [number for number in numbers if self.find(number) is None]
            known = project.last_step()
            changed = project.edits.paint(
                image_id, pixels, values, class_name=self.class_name
            )
            self._unsaved.clear()
            step = project.last_step()
            if step != known:
                self.follow(step)
                made = [record.instance_id for record in changed]
                self._voice.say(painted_sentence(made, new, self.class_name))

    def _require_image(self) -> tuple[Project, int]:
        """Return the project, and the picture in it; they are made if need be."""
        source, pixels = self._source, self._engine.pixels
        if source is None or pixels is None:
            raise InfosamError("The image is not read yet: try again in a moment.")
        project = self._desk.require()
        if self._image_id is None:
            image = project.add_image(
                pixels,
                source.name,
                source=source.source,
                preprocessing=source.preprocessing,
            )
            self._image_id = image.id
            if source.source is not None and source.choice != PLAIN:
                project.channels.put(source.source, source.choice)
        return project, self._image_id

    def _named(self, numbers: Sequence[int]) -> tuple[Project, list[int]]:
        """Return the project and the ids of objects."""
        self.save_painted()
        project = self._desk.project
        if project is None or not numbers:
            raise InfosamError("There is no accepted object: choose one first.")
        ids = self.ids(numbers)
        for number in numbers:
            if number not in ids:
                raise InfosamError(f"There is no object {number} in this picture.")
        return project, [ids[number] for number in numbers]


def _ious(left: SmallMask, whole: SmallMask, origin: Origin) -> tuple[float, ...]:
    """Return the IoU of what was proposed with what is accepted, once a prompt."""
    return (left.area / whole.area,) if len(origin.prompts) else ()
