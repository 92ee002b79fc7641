"""An object goes through the slices of a stack, as proposals to be accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal

from napari_infosam._napari.object_in_work import Answer, ObjectInWork
from napari_infosam._napari.waiting_slices import Slice, WaitingSlices
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.huge_image import HugeImage
from napari_infosam.project.files import content_hash

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    from napari_infosam._napari.engine import Executor
    from napari_infosam._napari.image_source import ImageSource
    from napari_infosam._napari.session import Session
    from napari_infosam.core.masks import BoolArray
    from napari_infosam.models.following import Followed
    from napari_infosam.models.prediction import ImageEmbedding
    from napari_infosam.project import Project


class Propagation:
    """Follows one object from slice to slice, until it is lost.

    Knows no Qt. Every slice is a task of its own, so that a click waits for one slice
    at most. What is found waits in its slice as a proposal, with the mask before as
    its prompt: it is accepted, corrected or rejected there as any other, or accepted
    with all others in one step of undo (`WaitingSlices`).

    Parameters
    ----------
    executor
        Where slices are looked at.
    session
        Whose object it is, and who gets the proposals.

    Attributes
    ----------
    is_running
        Whether it is going on.
    waiting
        What was found, and is not decided about.
    n_done, n_slices
        How many slices were looked at, and how many there are in this direction.
    """

    changed = Signal()

    def __init__(self, executor: Executor, session: Session) -> None:
        self._executor = executor
        self._session = session
        self.waiting = WaitingSlices(executor, session)
        self._members: list[ObjectInWork] = []
        self._run: object = None
        self._number = 1
        self.n_done = self.n_slices = 0
        session.prompts_changed.connect(self.changed.emit)
        self.waiting.changed.connect(self.changed.emit)
        self._project = session.desk.project
        session.desk.entered.connect(self._on_entered)

    @property
    def is_running(self) -> bool:
        """Whether slices are being looked at."""
        return self._run is not None

    # ----------------------------------------------------------------- follow
    def why_not(self) -> str:
        """Return why nothing can be followed now, in one sentence; '' if it can."""
        source = self._session.source
        if source is not None and source.is_huge:
            return (
                "Objects of huge images can not be followed: click on the object in "
                "each slice."
            )
        if self.is_running:
            return "An object is being followed already: wait, or cancel that."
        return ""

    def start(self, sources: Sequence[ImageSource], number: int = 0) -> None:
        """Follow the proposal in sight, or an accepted object, through slices.

        Parameters
        ----------
        sources
            The slices in the order in which they are to be looked at.
        number
            Of the accepted object; it counts where there is no proposal.
        """
        session, voice = self._session, self._session.voice
        if reason := self.why_not():
            voice.say(reason)
            return
        if not sources:
            voice.say("There is no further slice in this direction.")
            return
        if self.waiting.is_writing:
            voice.say("Proposals are being accepted: try again in a moment.")
            return
        pending = self.waiting.pending
        goes_on = bool(pending) and self._goes_on(sources[0], number)
        if pending and not goes_on:
            voice.say(
                f"Proposals of the last object still wait ({len(pending)}): accept or "
                "discard them first."
            )
            return
        object_ = self._take_object(number)
        if object_ is None:
            voice.say(
                "Click on an object, choose an accepted one, or point at it: then it "
                "can be followed."
            )
            return
        mask, own_number, begun = object_
        if not goes_on:
            self.waiting.begin(begun)
            self._members, self._number = [], own_number
            if begun is not None:
                begun[1].number = own_number
        self.n_done, self.n_slices = 0, len(sources)
        run = self._run = object()
        self._next(run, mask, None, list(sources))
        session.prompts_changed.emit()

    def _goes_on(self, first: ImageSource, number: int) -> bool:
        """Return whether this is the same object, in the other direction."""
        if any(source.key == first.key for source, _ in self.waiting.pending):
            return False
        if self._session.work.answer is None:
            return number == self._number
        begun = self.waiting.begun
        return begun is not None and begun[1] is self._session.work

    def _take_object(self, number: int) -> tuple[BoolArray, int, Slice | None] | None:
        """Return the mask to begin with, its number, and the proposal that it is."""
        session = self._session
        answer, source = session.work.answer, session.source
        if answer is not None and source is not None and answer.prediction.mask.any():
            free = session.objects.highest_number() + 1
            begun = (source, session.work)
            return answer.prediction.mask, session.work.target or free, begun
        record = session.objects.find(number) if number else None
        if record is None:
            return None
        return record.mask(), record.instance_id, None

    def _next(
        self,
        run: object,
        mask: BoolArray,
        embedding: ImageEmbedding | None,
        sources: list[ImageSource],
    ) -> None:
        """Look for the object in the next slice; the embedding is of the one before."""
        predictor, project = self._session.engine.predictor, self._session.desk.project
        seen = self._session.engine.pixels
        if predictor is None or (embedding is None and seen is None):
            self._end("The model is not loaded yet: try again in a moment.")
            return
        source, *others = sources

        def work() -> tuple[Followed, int]:
            from napari_infosam.models.following import follow

            pixels = source.read()
            if isinstance(pixels, HugeImage) or isinstance(seen, HugeImage):
                raise InfosamError("Objects of huge images can not be followed.")
            highest = 0 if project is None else _highest_number(project, pixels)
            before = embedding
            if before is None and seen is not None:
                before = predictor.embed(seen, source.preprocessing)
            if before is None or predictor.model.encoder_hash != before.encoder_hash:
                raise InfosamError("Another model answers now: follow the object anew.")
            found = follow(predictor, pixels, mask, before, source.preprocessing)
            return found, highest

        def done(found: tuple[Followed, int]) -> None:
            if run is not self._run:
                return
            followed, highest = found
            self.n_done += 1
            if followed.lost:
                self._end(f"Lost in {source.name}: {followed.lost}.")
                return
            answer = Answer(followed.prediction, predictor.model.version)
            self._keep(source, followed, answer, highest)
            if others:
                mask_here = followed.prediction.mask
                self._next(run, mask_here, followed.embedding, others)
                self.changed.emit()
            else:
                self._end("Followed to the last slice.")

        def failed(error: Exception) -> None:
            if run is self._run:
                self._run = None
                self._session.voice.report(error, f"following {source.name}")
                self.changed.emit()

        self._executor.submit(work, done, failed)

    def _keep(
        self, source: ImageSource, followed: Followed, answer: Answer, highest: int
    ) -> None:
        """Let what was found wait in its slice."""
        work = ObjectInWork(followed.prompts)
        work.remember(followed.prompts, answer)
        begun = self.waiting.begun
        if begun is not None and self.waiting.waits(begun) and not begun[1].target:
            # not accepted yet: a number that is free in all of the slices
            self._number = max(self._number, highest + 1)
            for member in (begun[1], *self._members):
                if member.number is not None:  # or else it is another object by now
                    member.number = self._number
        work.number = self._number
        self._members.append(work)
        self.waiting.add(source, work)

    def _on_entered(self) -> None:
        """Leave what was found for another project, whose model may be another."""
        before, self._project = self._project, self._session.desk.project
        if before is not None and before is not self._project:
            self.cancel()
            self.waiting.leave_project()

    def cancel(self) -> None:
        """Stop here; what was found so far stays."""
        if self.is_running:
            self._end("Stopped.")

    def _end(self, why: str) -> None:
        self._run = None
        n = len(self.waiting.pending)
        if n:
            why += f" {_counted(n)}: look through the slices, or accept all."
        self._session.voice.say(why)
        self.changed.emit()


def _counted(n: int) -> str:
    return "1 proposal waits" if n == 1 else f"{n} proposals wait"


def _highest_number(project: Project, pixels: NDArray[Any]) -> int:
    """Return the highest number that an object of a picture has, or 0."""
    digest = content_hash(pixels)
    return max(
        (
            summary.instance_id
            for image in project.images()
            if image.content_hash == digest
            for summary in project.summaries(image.id)
        ),
        default=0,
    )
