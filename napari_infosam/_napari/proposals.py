"""Objects that are proposed many at a time: for boxes, or for all that is in view."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

from napari_infosam._napari.offers import Offer
from napari_infosam._napari.undecided import Undecided
from napari_infosam.core.cores import FreeCores
from napari_infosam.core.small_masks import apart

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_infosam._napari.engine import Executor
    from napari_infosam._napari.session import Session
    from napari_infosam.core.prompts import Box
    from napari_infosam.core.small_masks import SmallMask

LEAST_SCORE = 0.7
"""Proposals for all that is in view which the model trusts less are not made."""

WIDEST = 8192
"""Pixels along a side of what is in view of a huge picture: masks are whole there."""

_STABILITY = 0.9


class Proposals(Undecided):
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
    points_per_side
        Points of the grid along the longer side of what is in view.
    """

    def __init__(self, session: Session, executor: Executor) -> None:
        super().__init__(session)
        self._executor = executor
        self._cancel = Event()
        self._free_cores = FreeCores()
        self.progress: tuple[int, int] | None = None
        self.points_per_side = 32
        session.image_changed.connect(self._on_image)
        session.stepped.connect(self._on_stepped)
        session.engine.changed.connect(self._ask_boxes)

    def close(self) -> None:
        """Stop listening and working."""
        self._cancel.set()
        self._executor.close()
        self._session.image_changed.disconnect(self._on_image)
        self._session.stepped.disconnect(self._on_stepped)
        self._session.engine.changed.disconnect(self._ask_boxes)

    # ---------------------------------------------------------------- propose
    def why_not(self) -> str:
        """Return why nothing can be proposed now, in one sentence; '' if it can."""
        if self._source is None:
            return "Open an image first."
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
        if source.is_huge and (view is None or _extent(view) > WIDEST):
            self._session.voice.say(
                "Zoom in first: in a huge image, everything is proposed in at most "
                f"{WIDEST} x {WIDEST} pixels."
            )
            return
        predictor, embedding = now
        version, taken = self._version(), self._session.objects.taken()
        n_side = self.points_per_side
        cancel, on_progress = self._begin()
        self._session.voice.say(
            "The model looks for everything in view: go on in this picture, or press "
            "Cancel."
        )

        def work() -> list[Offer]:
            from napari_infosam.models import TiledEmbedding
            from napari_infosam.models.automatic import (
                AutomaticOptions,
                point_grid,
                propose,
            )

            self._take_cores()
            options = AutomaticOptions(min_score=LEAST_SCORE, min_stability=_STABILITY)
            tile = None
            if isinstance(embedding, TiledEmbedding) and view is not None:
                tile = embedding.tile_of_view(view)
            points = point_grid(source.shape, view, n_side, tile)
            found = propose(
                predictor,
                points,
                options,
                embedding=embedding,
                tile=tile,
                cancelled=cancel.is_set,
                on_progress=on_progress,
            )
            left = apart([one.small for one in found], taken, min_share=0.5)
            return [_offer(one, None, version) for one in left if one is not None]

        def done(offers: list[Offer]) -> None:
            if self._end(cancel):
                # what nobody asked for by itself makes room for the new
                self._offers.keep(lambda offer: offer.box is not None)
                self._history.clear()
                self._add(offers)
                self._session.voice.say(self._offered_sentence())

        self._submit(work, done, cancel, "proposing objects")

    def _ask_boxes(self) -> None:
        """Decode all boxes that have no answer, if nothing else goes on."""
        now = self._session.engine.now()
        known = self._offers.boxes()
        boxes = [box for box in self.boxes if box not in known]
        if self.progress is not None or now is None or not boxes:
            return
        predictor, embedding = now
        version = self._version()
        cancel, on_progress = self._begin()

        def work() -> list[Offer]:
            self._take_cores()
            masks = predictor.predict_boxes(
                [box.as_array() for box in boxes],
                embedding=embedding,
                cancelled=cancel.is_set,
                on_progress=on_progress,
            )
            pairs = zip(masks, boxes, strict=True)
            return [_offer(mask, box, version) for mask, box in pairs]

        def done(offers: list[Offer]) -> None:
            if self._end(cancel):
                self._add(offer for offer in offers if offer.box in self.boxes)
                self._ask_boxes()  # of those drawn meanwhile

        self._submit(work, done, cancel, "answering the boxes")

    # ------------------------------------------------------------------- work
    def _take_cores(self) -> None:
        """Choose the number of threads; runs on the worker, and holds there."""
        from napari_infosam.models.threads import set_threads

        training = self._session.learning.is_running
        set_threads(self._free_cores.to_use(training=training))

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
        work: Callable[[], list[Offer]],
        done: Callable[[list[Offer]], None],
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

    def _on_image(self) -> None:
        was_busy, old = self.progress is not None, self._source
        super()._on_image()
        now = self._source
        if was_busy and old is not None and now is not None and old.key != now.key:
            sentence = (
                "Another picture is in view: nothing more is proposed for the one "
                "before."
            )
            # later, when the new picture has its prompts
            self._executor.submit(
                lambda: None,
                lambda _: self._session.voice.say(sentence),
                lambda _: None,
            )

    def _let_go(self) -> None:
        self._cancel.set()
        self._cancel = Event()
        self.progress = None
        super()._let_go()


def _offer(small: SmallMask, box: Box | None, version: str) -> Offer:
    """Return an offer that is drawn already; runs on the worker."""
    offer = Offer(small, box, version)
    offer.draw()
    return offer


def _extent(box: Box) -> float:
    """Return the longer side of a box."""
    return max(box.x1 - box.x0, box.y1 - box.y0)
