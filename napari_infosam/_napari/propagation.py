"""An object goes through the slices of a stack, as proposals to be accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal

from napari_infosam._napari.object_in_work import Answer, ObjectInWork
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.huge_image import HugeImage
from napari_infosam.project.files import content_hash
from napari_infosam.project.objects import Origin

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
    from napari_infosam.project import HistoryEntry, Project

Slice = tuple["ImageSource", ObjectInWork]


class Propagation:
    """Follows one object from slice to slice, until it is lost.

    Knows no Qt. Every slice is a task of its own, so that a click waits for one slice
    at most. What is found waits in its slice as a proposal, with the mask before as
    its prompt: it is accepted, corrected or rejected there as any other, or accepted
    with all others in one step of undo.

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
    n_done, n_slices
        How many slices were looked at, and how many there are in this direction.
    """

    changed = Signal()

    def __init__(self, executor: Executor, session: Session) -> None:
        self._executor = executor
        self._session = session
        self._found: list[Slice] = []
        self._accepted: list[ObjectInWork] = []
        self._run: object = None
        self._origin: ObjectInWork | None = None
        self._number = 1
        self.n_done = self.n_slices = 0
        session.prompts_changed.connect(self.changed.emit)
        session.stepped.connect(self._on_stepped)

    @property
    def is_running(self) -> bool:
        """Whether slices are being looked at."""
        return self._run is not None

    @property
    def pending(self) -> list[Slice]:
        """The slices whose proposals are neither accepted nor rejected."""
        return [
            (source, work)
            for source, work in self._found
            if work.answer is not None
            and not self._session.is_accepted(work)
            and not any(work is done for done in self._accepted)
        ]

    # ----------------------------------------------------------------- follow
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
        if self.is_running:
            voice.say("An object is being followed already: wait, or cancel that.")
            return
        if self.pending:
            voice.say(
                f"{len(self.pending)} proposals of the last object still wait: accept "
                "or discard them first."
            )
            return
        if not sources:
            voice.say("There is no further slice in this direction.")
            return
        mask = self._take_object(number)
        if mask is None:
            voice.say(
                "Click on an object, choose an accepted one, or point at it: then it "
                "can be followed."
            )
            return
        self._found, self._accepted = [], []
        self.n_done, self.n_slices = 0, len(sources)
        run = self._run = object()
        self._next(run, mask, None, list(sources))
        session.prompts_changed.emit()

    def _take_object(self, number: int) -> BoolArray | None:
        """Return the mask to begin with, and note which number all of it gets."""
        session = self._session
        answer, self._origin = session.work.answer, None
        if answer is not None and answer.prediction.mask.any():
            self._origin = session.work
            self._number = session.work.target or session.objects.highest_number() + 1
            return answer.prediction.mask
        record = session.objects.find(number) if number else None
        if record is None:
            return None
        self._number = record.instance_id
        return record.mask()

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
        work = ObjectInWork()
        work.set(followed.prompts)
        work.remember(followed.prompts, answer)
        if self._origin is not None and self._origin.target is None:
            # not accepted yet: a number that is free in all of the slices
            self._number = max(self._number, highest + 1)
            self._origin.number = self._number
        self._found.append((source, work))
        for _, found in self._found:
            found.number = self._number
        self._session.set_aside(source, work)

    def cancel(self) -> None:
        """Stop here; what was found so far stays."""
        if self.is_running:
            self._end("Stopped.")

    def _end(self, why: str) -> None:
        self._run = None
        n = len(self.pending)
        what = "1 proposal waits" if n == 1 else f"{n} proposals wait"
        help_ = ": look through the slices, or accept all." if n else "."
        self._session.voice.say(f"{why} {what}{help_}")
        self.changed.emit()

    # ----------------------------------------------------------------- decide
    def discard(self) -> None:
        """Throw away all proposals that were not accepted."""
        for source, work in self.pending:
            self._session.drop_aside(source, work)
        self._found = []
        self.changed.emit()

    def accept_all(self) -> None:
        """Write all proposals that wait, in one step of undo."""
        pending, session = self.pending, self._session
        if not pending:
            session.voice.say("No proposal waits in another slice.")
            return
        session.objects.save_painted()
        try:
            target = session.desk.require()
        except InfosamError as error:
            session.voice.complain(str(error))
            return

        def work() -> list[int]:
            return [
                target.add_image(
                    source.read(),
                    source.name,
                    source=source.source,
                    preprocessing=source.preprocessing,
                ).id
                for source, _ in pending
            ]

        def done(image_ids: list[int]) -> None:
            with session.voice.guard("accepting the proposals"):
                self._commit(target, pending, image_ids)

        def failed(error: Exception) -> None:
            session.voice.report(error, "accepting the proposals")

        self._executor.submit(work, done, failed)

    def _commit(
        self, project: Project, pending: list[Slice], image_ids: list[int]
    ) -> None:
        session = self._session
        if project is not session.desk.project:
            raise InfosamError("Another project is open now: follow the object again.")
        items = {}
        for (_, work), image_id in zip(pending, image_ids, strict=True):
            answer = work.answer
            if answer is None:
                continue
            mask = answer.prediction.mask
            origin = Origin(
                class_name=session.class_name,
                model_version=answer.version,
                score=answer.prediction.score,
                prompts=work.prompts,
                proposal_ious=tuple(work.proposal_ious(mask)),
                instance_id=work.number,
            )
            # slices of the same pixels are one picture
            items[image_id] = (image_id, mask, origin)
        made = project.edits.commit_across(
            list(items.values()), overlap=session.objects.overlap
        )
        self._accepted = [work for _, work in pending]
        for source, work in pending:
            session.drop_aside(source, work)
        session.objects.follow(project.last_step())
        numbers = sorted({record.instance_id for record in made})
        name = f"object {numbers[0]}" if len(numbers) == 1 else "the object"
        session.voice.say(f"Accepted {name} in {len(made)} slices; one undo takes all.")
        self.changed.emit()

    def _on_stepped(self, entry: HistoryEntry, undone: bool) -> None:
        """Let proposals that were accepted together wait again after an undo."""
        if entry.action != "propagate":
            return
        if undone:
            back, self._accepted = self._accepted, []
            for source, work in self._found:
                if any(work is accepted for accepted in back):
                    work.committed_as = entry.object_id  # until they are changed
                    self._session.set_aside(source, work)
        else:
            accepted = self.pending
            self._accepted = [work for _, work in accepted]
            for source, work in accepted:
                self._session.drop_aside(source, work)
        self.changed.emit()


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
