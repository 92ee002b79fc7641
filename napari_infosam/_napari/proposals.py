"""Objects that are proposed many at a time: for boxes, or for all that is in view."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_infosam._napari.offers import Offer, Offers
from napari_infosam.core.cores import all_cores, half_of_the_cores
from napari_infosam.core.prompts import PromptSet
from napari_infosam.core.small_masks import apart
from napari_infosam.project.objects import Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from napari_infosam._napari.engine import Executor
    from napari_infosam._napari.session import Session
    from napari_infosam.core.prompts import Box
    from napari_infosam.core.small_masks import SmallMask

LEAST_SCORE = 0.7
"""Proposals for all that is in view which the model trusts less are not made."""

_FIRST_SCORE = 0.88
"""What the threshold is set to at first, as in Segment Anything."""

_STABILITY = 0.9


class Proposals:
    """Proposes objects of the picture in view, to be accepted or rejected.

    Knows no Qt and no viewer. It works on a thread of its own, so that clicks are
    answered meanwhile. Every public method says what goes wrong instead of raising it.

    Parameters
    ----------
    session
        Whose picture, model and objects these are.
    executor
        Where proposals are made.

    Attributes
    ----------
    progress
        (done, all) prompts of the work that goes on, or None.
    boxes
        The boxes that were drawn, each for an object.
    points_per_side
        Points of the grid along the longer side of what is in view.
    """

    changed = Signal()

    def __init__(self, session: Session, executor: Executor) -> None:
        self._session = session
        self._executor = executor
        self._offers = Offers(_FIRST_SCORE)
        self._cancel = Event()
        self._source = session.source
        self._undone: list[Box] = []
        self.progress: tuple[int, int] | None = None
        self.boxes: tuple[Box, ...] = ()
        self.points_per_side = 32
        session.image_changed.connect(self._on_image)
        session.engine.changed.connect(self._ask_boxes)

    def close(self) -> None:
        """Stop listening and working."""
        self._cancel.set()
        self._executor.close()
        self._session.image_changed.disconnect(self._on_image)
        self._session.engine.changed.disconnect(self._ask_boxes)

    def _on_image(self) -> None:
        if self._session.source is not self._source:
            self._source = self._session.source
            self.clear()

    # -------------------------------------------------------------------- see
    @property
    def min_score(self) -> float:
        """Least predicted IoU of what is offered; objects of boxes always are."""
        return self._offers.min_score

    @min_score.setter
    def min_score(self, value: float) -> None:
        if value != self._offers.min_score:
            self._offers.min_score = value
            self.changed.emit()

    @property
    def offered(self) -> dict[int, Offer]:
        """What can be accepted, by number."""
        return self._offers.shown()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to accept or to clear."""
        return not self._offers and not self.boxes

    def picture(self) -> NDArray[np.uint8] | None:
        """Return ``(H, W)`` dashed masks of what is offered; None without any.

        Values as of `napari_infosam._napari.outlines.dash_outlined`.
        """
        source = self._source
        return None if source is None else self._offers.picture(source.shape)

    def number_at(self, row: float, column: float) -> int:
        """Return the number of what is offered at a pixel, or 0."""
        return self._offers.number_at(row, column)

    # ---------------------------------------------------------------- propose
    def why_not(self) -> str:
        """Return why nothing can be proposed now, in one sentence; '' if it can."""
        if self._source is None:
            return "Open an image first."
        if self._source.is_huge:
            return "Huge images are segmented one object at a time: click on one."
        if self.progress is not None:
            return "Proposals are being made: wait for them, or cancel."
        if self._session.engine.now() is None:
            return "The image is still being looked at: try again in a moment."
        return ""

    def propose(self, view: Box | None = None) -> None:
        """Propose everything in view that was not accepted yet.

        Parameters
        ----------
        view
            What is in view, in pixels of the picture; by default all of it.
        """
        now, source = self._session.engine.now(), self._source
        reason = self.why_not()
        if reason or now is None or source is None:
            self._session.voice.say(reason)
            return
        predictor, embedding = now
        labels = self._session.labels
        taken = np.zeros(source.shape, np.bool_) if labels is None else labels > 0
        n_side = self.points_per_side
        cancel, on_progress = self._begin()
        self._session.voice.say(
            "The model looks for everything in view: go on meanwhile, or press Cancel."
        )

        def work() -> list[SmallMask]:
            from napari_infosam.models.automatic import (
                AutomaticOptions,
                point_grid,
                propose,
            )

            self._take_cores()
            options = AutomaticOptions(min_score=LEAST_SCORE, min_stability=_STABILITY)
            points = point_grid(source.shape, view, n_side)
            found = propose(
                predictor,
                points,
                options,
                embedding=embedding,
                cancelled=cancel.is_set,
                on_progress=on_progress,
            )
            left = apart([one.small for one in found], taken, min_share=0.5)
            return [one for one in left if one is not None]

        def done(masks: list[SmallMask]) -> None:
            if self._end(cancel):
                # what nobody asked for by itself makes room for the new
                self._offers.keep(lambda offer: offer.box is not None)
                self._add((mask, None) for mask in masks)
                self._session.voice.say(self._found_sentence())

        self._submit(work, done, cancel, "proposing objects")

    def _found_sentence(self) -> str:
        shown, hidden = len(self.offered), len(self._offers) - len(self.offered)
        if not shown and not hidden:
            return "Nothing more was found here: click on what is missing."
        more = f" ({hidden} more below the score)" if hidden else ""
        return (
            f"{shown} proposed{more}. Click on one to accept it, right-click to reject "
            "it, or accept all."
        )

    # ------------------------------------------------------------------ boxes
    def add_box(self, box: Box) -> None:
        """Draw one more box, for an object of its own."""
        self.set_boxes((*self.boxes, box))

    def set_boxes(self, boxes: Sequence[Box]) -> None:
        """Have these boxes and no others; new ones are decoded in one batch."""
        if self._source is None:
            self._session.voice.say("Open an image first.")
            return
        self.boxes = tuple(dict.fromkeys(boxes))
        self._undone.clear()
        self._boxes_moved()

    def undo_box(self) -> bool:
        """Take the last box back; False if there is none."""
        if not self.boxes:
            return False
        self._undone.append(self.boxes[-1])
        self.boxes = self.boxes[:-1]
        self._boxes_moved()
        return True

    def redo_box(self) -> bool:
        """Draw the box again that was taken back last; False if there is none."""
        if not self._undone:
            return False
        self.boxes = (*self.boxes, self._undone.pop())
        self._boxes_moved()
        return True

    def _boxes_moved(self) -> None:
        self._offers.keep(lambda one: one.box is None or one.box in self.boxes)
        self.changed.emit()
        self._ask_boxes()

    def _ask_boxes(self) -> None:
        """Decode all boxes that have no answer, if nothing else goes on."""
        now = self._session.engine.now()
        known = self._offers.boxes()
        boxes = [box for box in self.boxes if box not in known]
        if self.progress is not None or now is None or not boxes:
            return
        predictor, embedding = now
        cancel, on_progress = self._begin()

        def work() -> list[SmallMask]:
            self._take_cores()
            return predictor.predict_boxes(
                [box.as_array() for box in boxes],
                embedding=embedding,
                cancelled=cancel.is_set,
                on_progress=on_progress,
            )

        def done(masks: list[SmallMask]) -> None:
            if self._end(cancel):
                pairs = zip(masks, boxes, strict=True)
                self._add((mask, box) for mask, box in pairs if box in self.boxes)
                self._ask_boxes()  # of those drawn meanwhile

        self._submit(work, done, cancel, "answering the boxes")

    # ------------------------------------------------------------------- work
    def _take_cores(self) -> None:
        """Choose the number of threads; runs on the worker, and holds there."""
        from napari_infosam.models.threads import set_threads

        busy = self._session.learning.is_running
        set_threads(half_of_the_cores() if busy else all_cores())

    def _begin(self) -> tuple[Event, Callable[[int, int], None]]:
        cancel = self._cancel = Event()
        self.progress = (0, 1)

        def show(done: int, total: int) -> None:
            if cancel is self._cancel and self.progress is not None:
                self.progress = (done, total)
                self.changed.emit()

        self.changed.emit()
        return cancel, lambda done, total: self._executor.post(
            lambda: show(done, total)
        )

    def _end(self, cancel: Event) -> bool:
        """Note that work is over; False if nobody waits for it any more."""
        if cancel is not self._cancel:
            return False
        self.progress = None
        return not cancel.is_set()

    def _submit(
        self,
        work: Callable[[], list[SmallMask]],
        done: Callable[[list[SmallMask]], None],
        cancel: Event,
        doing: str,
    ) -> None:
        def failed(error: Exception) -> None:
            if self._end(cancel):
                # asked again, the same boxes would fail again
                answered = self._offers.boxes()
                self.boxes = tuple(box for box in self.boxes if box in answered)
                self._session.voice.report(error, doing)
            self.changed.emit()

        self._executor.submit(work, done, failed)

    def cancel(self) -> None:
        """Stop the work that goes on; what was proposed before stays."""
        if self.progress is not None:
            self._cancel.set()
            self._cancel = Event()
            self.progress = None
            answered = self._offers.boxes()
            self.boxes = tuple(box for box in self.boxes if box in answered)
            self._session.voice.say("Stopped; nothing was proposed.")
            self.changed.emit()

    def _add(self, masks: Iterable[tuple[SmallMask, Box | None]]) -> None:
        model = self._session.engine.model
        version = "base" if model is None else model.version
        self._offers.add(Offer(small, box, version) for small, box in masks)
        self.changed.emit()

    # ----------------------------------------------------------------- decide
    def accept(self, numbers: Sequence[int] | None = None) -> None:
        """Accept what is offered, or some of it; one step for undo.

        Parameters
        ----------
        numbers
            Which; by default all.
        """
        offered = self.offered
        chosen = list(offered) if numbers is None else list(numbers)
        masks = [
            (offered[number].small, self._origin(offered[number]))
            for number in chosen
            if number in offered and offered[number].small.area
        ]
        if not masks:
            self._session.voice.say(
                "There is nothing to accept: propose objects first."
            )
            return
        with self._session.voice.guard("accepting the objects"):
            n_accepted = self._session.objects.commit_each(masks)
            self._forget(chosen)
            objects = "object" if n_accepted == 1 else "objects"
            self._session.voice.say(f"Accepted {n_accepted} {objects}.")

    def _origin(self, offer: Offer) -> Origin:
        # the point of a grid is nobody's click: it is no prompt of the person
        return Origin(
            class_name=self._session.class_name,
            model_version=offer.version,
            score=offer.small.score,
            prompts=PromptSet(box=offer.box),
        )

    def reject(self, numbers: Sequence[int]) -> None:
        """Offer these no longer."""
        self._forget(numbers)

    def _forget(self, numbers: Iterable[int]) -> None:
        boxes = {offer.box for offer in self._offers.pop(numbers)}
        self.boxes = tuple(box for box in self.boxes if box not in boxes)
        self._undone.clear()
        self.changed.emit()

    def accept_at(self, row: float, column: float) -> None:
        """Accept what is offered at a pixel."""
        if number := self._number_at(row, column):
            self.accept([number])

    def reject_at(self, row: float, column: float) -> None:
        """Reject what is offered at a pixel."""
        if number := self._number_at(row, column):
            self.reject([number])

    def _number_at(self, row: float, column: float) -> int:
        number = self.number_at(row, column)
        if not number:
            self._session.voice.say("Nothing is proposed under the pointer.")
        return number

    def clear(self) -> None:
        """Reject everything, and stop what goes on."""
        self._cancel.set()
        self._cancel = Event()
        self.progress = None
        self._offers.keep(lambda _: False)
        self._undone.clear()
        self.boxes = ()
        self.changed.emit()
