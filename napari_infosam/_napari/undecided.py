"""Objects that are proposed and not decided about: boxes, and what is offered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_infosam._napari.huge_picture import reader_of_crops
from napari_infosam._napari.offers import Offer, Offers, Pending, likeness
from napari_infosam._napari.proposal_history import Decision, ProposalHistory
from napari_infosam.core.prompts import Box, PromptSet
from napari_infosam.core.words import counted
from napari_infosam.project.objects import Origin

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_infosam._napari.huge_picture import Read
    from napari_infosam._napari.image_source import ImageSource
    from napari_infosam._napari.session import Session
    from napari_infosam.project import HistoryEntry, Project

_FIRST_SCORE = 0.88
"""What the threshold is set to at first, as in Segment Anything."""

_KEPT = 50
"""Accepts whose proposals come back when they are undone."""


@dataclass(frozen=True, slots=True)
class _Accepted:
    """What was accepted in one step."""

    project: Project
    source: ImageSource
    offers: dict[int, Offer]


class Undecided:
    """Boxes and offers of the picture in view, and what is decided about them.

    What is undecided waits for the return of its picture. Every decision can be taken
    back.

    Parameters
    ----------
    session
        Whose picture, model and objects these are.

    Attributes
    ----------
    boxes
        The boxes that were drawn, each for an object.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self._offers = Offers(_FIRST_SCORE)
        self._source = session.source
        self._history = ProposalHistory()
        self._accepted: dict[int, _Accepted] = {}
        self._aside: dict[Hashable, Pending] = {}
        self.boxes: tuple[Box, ...] = ()

    def _ask_boxes(self) -> None:
        """See to it that boxes without an offer get one."""
        raise NotImplementedError

    def _on_image(self) -> None:
        """Let what is undecided wait for the return of its picture."""
        old, source = self._source, self._session.source
        if source is old:
            return
        if old is not None and not self.is_empty:
            self._aside[old.key] = Pending(old, self.boxes, self._offers.all())
        self._source = source
        self._let_go()
        self._history.clear()
        if source is not None:
            waiting = self._aside.pop(source.key, Pending(source, (), {}))
            self.boxes = waiting.boxes
            # with other channels the model would see other objects
            if old is None or old.key != source.key:
                self._offers.put_back(waiting.offers)
        self.changed.emit()

    # -------------------------------------------------------------------- keep
    def all(self) -> list[Pending]:
        """Return what is undecided, in the picture in view and in those that wait."""
        here = [] if self._source is None else [self._pending(self._source)]
        return [*here, *self._aside.values()]

    def put(
        self, source: ImageSource, found: Sequence[Offer | Box]
    ) -> list[Offer | Box]:
        """Take up what was undecided in a picture before, in view or not.

        Returns
        -------
        list of Offer or Box
            The same, but that which was here already in the place of its like.
        """
        there = self._pending(source)
        known = {likeness(one): one for one in there.each()}
        own = [known.setdefault(likeness(one), one) for one in found]
        earlier = set(there.offers.values())
        offers = [one for one in own if isinstance(one, Offer) and one not in earlier]
        boxes = (one if isinstance(one, Box) else one.box for one in own)
        there = Pending(
            source,
            tuple(dict.fromkeys((*there.boxes, *filter(None, boxes)))),
            {**there.offers, **self._offers.numbered(dict.fromkeys(offers))},
        )
        if self._have(there):
            self.changed.emit()
            self._ask_boxes()
        return own

    def _pending(self, source: ImageSource) -> Pending:
        if self._source is not None and self._source.key == source.key:
            return Pending(source, self.boxes, self._offers.all())
        return self._aside.get(source.key, Pending(source, (), {}))

    def _have(self, pending: Pending) -> bool:
        """Let this, and nothing else, be undecided; return whether it is in view."""
        if self._source is None or self._source.key != pending.source.key:
            self._aside[pending.source.key] = pending
            return False
        self._let_go()
        self.boxes = pending.boxes
        self._offers.put_back(pending.offers)
        return True

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
            if self._offers:
                self._session.voice.say(self._offered_sentence())

    @property
    def offered(self) -> dict[int, Offer]:
        """What can be accepted, by number."""
        return self._offers.shown()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to accept or to clear."""
        return not self._offers and not self.boxes

    def picture(self) -> NDArray[np.uint8] | Read | None:
        """Return ``(H, W)`` dashed masks of what is offered; None without any.

        Values as of `napari_infosam._napari.outlines.dash_outlined`. Of a huge picture
        it is what reads parts of it.
        """
        source = self._source
        if source is None or not self.offered:
            return None
        if source.is_huge:
            return reader_of_crops(self._offers.crops())
        return self._offers.picture(source.shape)

    def number_at(self, row: float, column: float) -> int:
        """Return the number of what is offered at a pixel, or 0."""
        return self._offers.number_at(row, column)

    # ------------------------------------------------------------------ boxes
    def add_box(self, box: Box) -> None:
        """Draw one more box, for an object of its own."""
        self.set_boxes((*self.boxes, box))

    def set_boxes(self, boxes: Sequence[Box]) -> None:
        """Have these boxes and no others; new ones are decoded in one batch."""
        if self._source is None:
            self._session.voice.say("Open an image first.")
            return
        wanted = tuple(dict.fromkeys(boxes))
        if wanted == self.boxes:
            return
        drawn = tuple(box for box in wanted if box not in self.boxes)
        taken = tuple(box for box in self.boxes if box not in wanted)
        self._note(drawn, taken)
        self._have_boxes(wanted)

    def _have_boxes(self, boxes: tuple[Box, ...]) -> None:
        self.boxes = boxes
        self._offers.keep(lambda one: one.box is None or one.box in boxes)
        self.changed.emit()
        self._ask_boxes()

    def _version(self) -> str:
        """Return which model version answers."""
        model = self._session.engine.model
        return "base" if model is None else model.version

    def _add(self, offers: Iterable[Offer]) -> None:
        self._offers.add(offers)
        self.changed.emit()

    def _offered_sentence(self) -> str:
        """Say how much is proposed, and what to do with it."""
        shown, hidden = len(self.offered), len(self._offers) - len(self.offered)
        if not shown and not hidden:
            return "Nothing more was found here: click on what is missing."
        if not shown:
            return f"{counted(hidden, 'proposal')} below the score: lower it."
        more = f" ({hidden} more below the score)" if hidden else ""
        return (
            f"{shown} proposed{more}. Click on one to accept it, right-click to reject "
            "it, or accept all."
        )

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
            if n_accepted is None:
                return
            self._history.forget_undone()
            self._remember({n: offered[n] for n in chosen if n in offered})
            self._forget(chosen)
            hidden = len(self._offers) - len(self.offered)
            waits = f" {hidden} more below the score." if hidden else ""
            self._session.voice.say(f"Accepted {counted(n_accepted)}.{waits}")

    def _remember(self, offers: dict[int, Offer]) -> None:
        """Keep what was just accepted, for when that is undone."""
        project, source = self._session.desk.project, self._source
        step = None if project is None else project.last_step()
        if project is None or step is None or source is None:
            return
        self._accepted[step.object_id] = _Accepted(project, source, offers)
        while len(self._accepted) > _KEPT:
            del self._accepted[next(iter(self._accepted))]

    def _on_stepped(self, entry: HistoryEntry, undone: bool) -> None:
        """Propose again what an undo took back, and no longer after a redo."""
        accepted = self._accepted.get(entry.object_id)
        if (
            entry.action != "commit"
            or accepted is None
            or accepted.project is not self._session.desk.project
        ):
            return
        own = _boxes_of(accepted.offers)
        source, boxes, offers = self._pending(accepted.source)
        if undone:
            boxes = tuple(dict.fromkeys((*boxes, *own)))
            offers = {**offers, **accepted.offers}
        else:
            boxes = tuple(box for box in boxes if box not in own)
            offers = {
                number: offer
                for number, offer in offers.items()
                if number not in accepted.offers and offer.box not in own
            }
        self._have(Pending(source, boxes, offers))
        self.changed.emit()

    def _origin(self, offer: Offer) -> Origin:
        # the point of a grid is nobody's click: it is no prompt of the person
        return Origin(
            class_name=self._session.class_name,
            model_version=offer.version,
            score=offer.small.score,
            prompts=PromptSet(box=offer.box),
        )

    def reject(self, numbers: Sequence[int]) -> None:
        """Offer these no longer; undo brings them back."""
        offers = self._offers.all()
        there = {number: offers[number] for number in numbers if number in offers}
        if not there:
            return
        self._note(taken=_boxes_of(there), rejected=there)
        self._forget(there)

    def _note(
        self,
        drawn: tuple[Box, ...] = (),
        taken: tuple[Box, ...] = (),
        rejected: Mapping[int, Offer] | None = None,
    ) -> None:
        """Remember a decision, for undo."""
        self._session.undoing.go_another_way()
        decision = Decision(self._last_step(), drawn, taken, rejected or {})
        self._history.note(decision)

    def _forget(self, numbers: Iterable[int]) -> None:
        boxes = {offer.box for offer in self._offers.pop(numbers)}
        self.boxes = tuple(box for box in self.boxes if box not in boxes)
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
        """Reject everything; undo brings it back."""
        boxes, offers = self.boxes, self._offers.all()
        self._let_go()
        if boxes or offers:
            self._note(taken=boxes, rejected=offers)
            n = len(offers) + len({*boxes} - {*_boxes_of(offers)})
            it = "it" if n == 1 else "them"
            self._session.voice.say(f"Rejected {counted(n)}; undo brings {it} back.")
        self.changed.emit()

    def _let_go(self) -> None:
        """Have no boxes and no offers any more."""
        self._offers.keep(lambda _: False)
        self.boxes = ()

    # -------------------------------------------------------------- take back
    @property
    def can_undo(self) -> bool:
        """Whether a box or a rejection can be taken back before anything accepted."""
        return self.undo_at is not None

    @property
    def can_redo(self) -> bool:
        """Whether a box or a rejection can be done again."""
        return self.redo_at is not None

    @property
    def undo_at(self) -> float | None:
        """When what `undo` takes back was decided; None where it can not."""
        return self._time_of(self._history.last)

    @property
    def redo_at(self) -> float | None:
        """When what `redo` does again was decided; None where it can not."""
        return self._time_of(self._history.undone)

    def undo(self) -> None:
        """Take the last box or rejection back; only where `can_undo`."""
        last = self._history.undo()
        stay = tuple(box for box in self.boxes if box not in last.drawn)
        self._offers.put_back(last.rejected)
        if last.rejected:
            self._session.voice.say(f"Proposed again: {counted(len(last.rejected))}.")
        self._have_boxes((*stay, *last.taken))

    def redo(self) -> None:
        """Do again what `undo` took back last; only where `can_redo`."""
        last = self._history.redo()
        stay = tuple(box for box in self.boxes if box not in last.taken)
        self._offers.pop(last.rejected)
        self._have_boxes((*stay, *last.drawn))

    def _time_of(self, decision: Decision | None) -> float | None:
        """Return when a decision was made, if the project has not changed since."""
        is_latest = decision is not None and decision.step == self._last_step()
        return decision.at if decision is not None and is_latest else None

    def _last_step(self) -> float | None:
        project = self._session.desk.project
        return None if project is None else project.step_times()[0]


def _boxes_of(offers: Mapping[int, Offer]) -> tuple[Box, ...]:
    return tuple(offer.box for offer in offers.values() if offer.box is not None)
