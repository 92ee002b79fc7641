"""Proposals in other slices, until they are accepted together or one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_infosam._napari.object_in_work import Answer, ObjectInWork
from napari_infosam._napari.overlap import Laid
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.small_masks import small_mask
from napari_infosam.core.words import counted
from napari_infosam.project.files import content_hash
from napari_infosam.project.objects import Origin

if TYPE_CHECKING:
    from napari_infosam._napari.engine import Executor
    from napari_infosam._napari.image_source import ImageSource
    from napari_infosam._napari.session import Session
    from napari_infosam.core.prompts import PromptSet
    from napari_infosam.project import HistoryEntry, ObjectRecord, Project
    from napari_infosam.project.records import Overlap

Slice = tuple["ImageSource", ObjectInWork]

_KEPT = 50
"""Slices accepted together, with their masks, that come back when that is undone."""


@dataclass(frozen=True, slots=True)
class _Decided:
    """A proposal as it was when it was accepted with others."""

    source: ImageSource
    work: ObjectInWork
    answer: Answer
    prompts: PromptSet
    number: int | None

    @property
    def was_changed(self) -> bool:
        """Whether somebody has gone on prompting it since."""
        return bool(self.work.prompts) and self.work.prompts != self.prompts

    def origin(self, class_name: str) -> Origin:
        """Return what is kept of it beside the mask."""
        mask = self.answer.prediction.mask
        return Origin(
            class_name=class_name,
            model_version=self.answer.version,
            score=self.answer.prediction.score,
            prompts=self.prompts,
            proposal_ious=tuple(self.work.proposal_ious(mask)),
            instance_id=self.number,
        )


@dataclass(slots=True, eq=False)
class _Accept:
    """Proposals on their way to the disk.

    ``overlap`` is what becomes of pixels that earlier objects have, None until a person
    who is asked has answered.
    """

    project: Project
    class_name: str
    decided: list[_Decided]
    overlap: Overlap | None = None

    @property
    def works(self) -> list[ObjectInWork]:
        return [one.work for one in self.decided]

    def laid(self) -> Laid | None:
        """Return how they lie on earlier objects of their slices; None beside them."""
        found = {}
        for one in self.decided:
            pixels, answer = one.source.read(), one.answer.prediction
            mask = small_mask(answer.mask, answer.score)
            below = np.zeros(mask.part.shape, np.int32)
            digest, how = content_hash(pixels), one.source.preprocessing
            image = self.project.find_image(digest, preprocessing=how)
            if image is not None and mask.area:
                below = self.project.label_part(image.id, mask.box)
            found[digest] = mask, below  # slices of equal pixels are one
        masks, labels = zip(*found.values(), strict=True)
        return Laid.of(masks, labels)

    def add_images(self) -> list[int]:
        """Let the project know their slices; return the ids of these."""
        return [
            self.project.add_image(
                one.source.read(),
                one.source.name,
                source=one.source.source,
                preprocessing=one.source.preprocessing,
            ).id
            for one in self.decided
        ]

    def newest(self, image_ids: list[int]) -> dict[int, list[_Decided]]:
        """Return what nobody has accepted meanwhile; slices of equal pixels are one."""
        chosen: dict[int, list[_Decided]] = {}
        for one, image_id in zip(self.decided, image_ids, strict=True):
            if one.work.accepted_as is None:
                chosen.setdefault(image_id, []).append(one)
        return chosen


@dataclass(frozen=True, slots=True)
class _Batch:
    """What was accepted in one step, and what of it the object was followed from."""

    slices: list[Slice]
    begun: Slice | None


class WaitingSlices:
    """What was found of an object in other slices, and waits there to be decided.

    Parameters
    ----------
    executor
        Where slices are read when they are accepted.
    session
        Whose project and whose prompts it is about.

    Attributes
    ----------
    begun
        Where the object was followed from, if nobody had accepted it; it is accepted
        with the others.
    """

    changed = Signal()

    def __init__(self, executor: Executor, session: Session) -> None:
        self._executor = executor
        self._session = session
        self.begun: Slice | None = None
        self._found: list[Slice] = []
        self._accepts: list[_Accept] = []
        self._batches: dict[int, _Batch] = {}
        session.stepped.connect(self._on_stepped)

    @property
    def pending(self) -> list[Slice]:
        """The slices whose proposals are neither accepted nor rejected.

        Among them, as soon as it was found elsewhere, the one it was followed from.
        """
        found = [one for one in self._found if self.waits(one)]
        begun = self.begun
        if not found or begun is None or begun[1].target or not self.waits(begun):
            return found
        return [begun, *found]

    def waits(self, one: Slice) -> bool:
        """Return whether a proposal is there, and nobody has accepted it."""
        _, work = one
        return (
            work.answer is not None
            and work.number is not None
            and work.accepted_as is None
            and not any(_among(work, one.works) for one in self._accepts)
        )

    @property
    def is_writing(self) -> bool:
        """Whether an accept is on its way to the disk."""
        return bool(self._accepts)

    def begin(self, begun: Slice | None) -> None:
        """Be about another object; what waited before is no longer known here."""
        self.begun, self._found = begun, []

    def leave_project(self) -> None:
        """Forget everything, as another project is open now."""
        for source, work in self._found:
            self._session.drop_aside(source, work)
        self.begin(None)
        self._batches.clear()
        self.changed.emit()

    def add(self, source: ImageSource, work: ObjectInWork) -> None:
        """Let what was found wait in its slice."""
        self._found.append((source, work))
        self._session.set_aside(source, work)

    # ----------------------------------------------------------------- decide
    def discard(self) -> None:
        """Throw away all proposals that were not accepted, but for the first one."""
        for source, work in self.pending:
            if self.begun is None or work is not self.begun[1]:
                self._session.drop_aside(source, work)
        self._found = []
        self.changed.emit()

    def accept_all(self) -> None:
        """Write all proposals that wait, as they are now, in one step of undo.

        Where it is to be asked about overlaps, one question is about all of them.
        """
        session = self._session
        pending = [
            _Decided(source, work, work.answer, work.prompts, work.number)
            for source, work in self.pending
            if work.answer is not None
        ]
        if not pending:
            session.voice.say("No proposal waits in another slice.")
            return
        session.objects.save_painted()
        try:
            target = session.desk.require()
        except InfosamError as error:
            session.voice.complain(str(error))
            return

        accept = _Accept(target, session.class_name, pending)

        def ended() -> None:
            self._accepts.remove(accept)
            self.changed.emit()

        def settle(laid: Laid | None) -> None:
            said = laid.sentence_of_slices() if laid else ""
            accept.overlap = session.objects.settle_said(said)
            if accept not in self._accepts:
                return  # the window was closed during the question
            if accept.overlap is None:
                session.voice.say("Nothing was accepted: the proposals still wait.")
                ended()
            else:
                self._executor.submit(accept.add_images, done, failed)

        def done(image_ids: list[int]) -> None:
            with session.voice.guard("accepting the proposals"):
                self._commit(accept, image_ids)
            ended()

        def failed(error: Exception) -> None:
            session.voice.report(error, "accepting the proposals")
            ended()

        session.voice.say(f"Accepting in {len(pending)} slices …")
        self._accepts.append(accept)
        self.changed.emit()
        if session.objects.asks:
            self._executor.submit(accept.laid, settle, failed)
        else:
            settle(None)

    def close(self) -> None:
        """Write what is being accepted, here: the thread is not waited for.

        But not where somebody was to be asked, and has not answered.
        """
        project = self._session.desk.project
        for accept in self._accepts:
            if accept.project is not project:
                continue
            with self._session.voice.guard("accepting the proposals"):
                if accept.overlap is None and accept.laid() is not None:
                    continue
                chosen = accept.newest(accept.add_images())
                if chosen:
                    self._write(accept, chosen)
        self._accepts = []

    def _write(
        self, accept: _Accept, chosen: dict[int, list[_Decided]]
    ) -> list[ObjectRecord]:
        items = [
            (
                image_id,
                alike[-1].answer.prediction.mask,
                alike[-1].origin(accept.class_name),
            )
            for image_id, alike in chosen.items()
        ]
        overlap = accept.overlap or self._session.objects.overlap_unasked
        return accept.project.edits.commit_across(items, overlap=overlap)

    def _commit(self, accept: _Accept, image_ids: list[int]) -> None:
        session, project = self._session, accept.project
        if project is not session.desk.project:
            raise InfosamError("Another project is open now: follow the object again.")
        chosen = accept.newest(image_ids)
        if not chosen:
            return
        made = self._write(accept, chosen)
        by_image = {record.image_id: record for record in made}
        batch: list[Slice] = []
        for image_id, alike in chosen.items():
            record = by_image.get(image_id)
            for one in alike:
                if record is None:
                    self._forget([one.work])  # it stays a proposal of its slice
                elif one.was_changed:
                    self._go_on(one.work, record.instance_id)
                else:
                    one.work.accepted_as = record.id
                    batch.append((one.source, one.work))
        step = project.last_step()
        if step is not None:
            begun = next((one for one in batch if one == self.begun), None)
            self._batches[step.object_id] = _Batch(batch, begun)
            while sum(len(b.slices) for b in self._batches.values()) > _KEPT:
                if len(self._batches) == 1:
                    break
                del self._batches[next(iter(self._batches))]
        self._let_go(batch)
        session.objects.follow(step)
        session.voice.say(_accepted_sentence(made, len(chosen) - len(made)))

    def _go_on(self, work: ObjectInWork, number: int) -> None:
        """Let what was changed since it was accepted be a correction of that."""
        if work.number is not None:  # and nothing else that was begun there
            work.take_up(work.prompts, number)
        self._forget([work])

    def _forget(self, works: list[ObjectInWork]) -> None:
        self._found = [one for one in self._found if not _among(one[1], works)]
        if self.begun is not None and _among(self.begun[1], works):
            self.begun = None

    def _let_go(self, batch: list[Slice]) -> None:
        """Let what was accepted wait no longer."""
        self._forget([work for _, work in batch])
        for source, work in batch:
            self._session.drop_aside(source, work)

    def _on_stepped(self, entry: HistoryEntry, undone: bool) -> None:
        """Let proposals that were accepted together wait again after an undo."""
        batch = self._batches.get(entry.object_id)
        if batch is None or entry.action != "propagate":
            return
        if not undone:
            changed = [w for _, w in batch.slices if w.committed_as != entry.object_id]
            for work in changed:
                if work.prompts and work.number is not None:
                    self._go_on(work, work.number)
            kept = [one for one in batch.slices if not _among(one[1], changed)]
            for _, work in kept:
                work.accepted_as = entry.object_id
            self._let_go(kept)
            return
        if batch.begun is not None and self.begun is None:
            self.begun = batch.begun
        others = [one for one in batch.slices if one != self.begun]
        self._found = [*self._found, *others]
        for source, work in batch.slices:
            work.accepted_as = None
            work.committed_as = entry.object_id  # until they are changed
            self._session.set_aside(source, work)


def _among(work: ObjectInWork, works: list[ObjectInWork]) -> bool:
    return any(work is other for other in works)


def _accepted_sentence(made: list[ObjectRecord], n_covered: int) -> str:
    numbers = sorted({record.instance_id for record in made})
    name = f"object {numbers[0]}" if len(numbers) == 1 else "the object"
    sentence = f"Accepted {name} in {counted(len(made), 'slice')}; one undo takes all."
    if n_covered:
        where = "one more" if n_covered == 1 else f"{n_covered} more"
        sentence += f" In {where} earlier objects keep its pixels."
    return sentence
