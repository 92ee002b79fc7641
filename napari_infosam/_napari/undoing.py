"""Undo and redo of prompts and of the journal, in the order of what was done."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from napari_infosam._napari.object_text import step_sentence

if TYPE_CHECKING:
    from napari_infosam._napari.image_source import ImageSource
    from napari_infosam._napari.object_in_work import ObjectInWork
    from napari_infosam._napari.session import Session
    from napari_infosam._napari.waiting_works import Waiting
    from napari_infosam.project import HistoryEntry
    from napari_infosam.project.records import Action

_ACCEPTS: tuple[Action, ...] = ("commit", "replace")
"""Steps whose prompts come back. What was accepted in several slices waits there."""

_KEPT = 50
"""So many accepts can be undone to their prompts; earlier ones lose the object only."""


class Undoing:
    """Takes back what was done last, and does it again.

    What was done last goes first, in whatever picture it was: a prompt, or a step of
    the project's journal. Redo goes the same way back, and no longer when something
    else was done since.

    Parameters
    ----------
    session
        Whose prompts and project it is about.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._accepted: dict[int, Waiting] = {}
        self._entered = (0.0, 0.0)
        self._left: float | None = None

    def enter_project(self) -> None:
        """Be about the journal of the project that is open now."""
        self._accepted.clear()
        self._left = None
        # a clock that was ahead is not to let old steps be newer than all prompts
        self._entered = time.time(), self._journal()[0] or 0.0

    def note_accept(
        self, object_id: int, source: ImageSource, work: ObjectInWork
    ) -> None:
        """Remember the prompts of an accept, for when it is taken back."""
        work.accepted_as = object_id
        self._accepted[object_id] = source, work
        while len(self._accepted) > _KEPT:  # each holds the masks of its answers
            del self._accepted[next(iter(self._accepted))]

    def go_another_way(self) -> None:
        """Do no step that is undone in the journal again: something else is done."""
        project = self._session.desk.project
        if project is not None:
            self._left = project.step_times()[1]

    # ------------------------------------------------------------------ order
    @property
    def undo_at(self) -> float | None:
        """When that was done which `undo` takes back; None if there is nothing."""
        return max(self._done(), default=None)

    @property
    def redo_at(self) -> float | None:
        """When that was done which `redo` does again; None if there is nothing."""
        times = [work.redo_at for _, work in self._works()]
        again = [at for at in (*times, self._journal()[1]) if at is not None]
        first = min(again, default=None)
        # after something else was done there is no way back to it
        if first is None or first < max(self._done(), default=first):
            return None
        return first

    def _done(self) -> list[float]:
        times = [work.undo_at for _, work in self._works()]
        return [at for at in (*times, self._journal()[0]) if at is not None]

    def _works(self) -> list[Waiting]:
        """Return the object in work, if there is a picture, and those that wait."""
        session = self._session
        here = [] if session.source is None else [(session.source, session.work)]
        return [*here, *session.aside.all()]

    def _journal(self) -> tuple[float | None, float | None]:
        project = self._session.desk.project
        if project is None:
            return None, None
        entered, last = self._entered
        done, undone = project.step_times()
        back, again = (
            min(at, entered) if at is not None and at <= last else at
            for at in (done, None if undone == self._left else undone)
        )
        return back, again

    # ------------------------------------------------------------------- turn
    def undo(self) -> None:
        """Take back what was done last."""
        session = self._session
        with session.voice.guard("undoing"):
            session.objects.save_painted()
            at = self.undo_at
            for source, work in self._works():
                if at is not None and work.undo_at == at:
                    work.undo()
                    self._after_prompt(source, "Took back the last prompt{}.")
                    return
            entry = session.desk.project.undo() if session.desk.project else None
            if entry is None:
                session.voice.say("There is nothing to undo.")
                return
            self._take_up_again(entry)
            self._after_step(entry, undone=True)

    def redo(self) -> None:
        """Do again what was taken back last."""
        session = self._session
        with session.voice.guard("redoing"):
            session.objects.save_painted()
            at = self.redo_at
            for source, work in self._works():
                if at is not None and work.redo_at == at:
                    work.redo()
                    self._after_prompt(source, "Placed the last prompt{} again.")
                    return
            project = session.desk.project
            entry = project.redo() if project and at is not None else None
            if entry is None:
                session.voice.say("There is nothing to redo.")
                return
            self._let_go_again(entry)
            self._after_step(entry, undone=False)

    def _take_up_again(self, entry: HistoryEntry) -> None:
        """Let the prompts of an accept that was undone be worked on again."""
        accepted = self._accepted.get(entry.object_id)
        if accepted is None or entry.action not in _ACCEPTS:
            return
        source, work = self._accepted.pop(entry.object_id)
        work.accepted_as, work.committed_as = None, entry.object_id
        work.after = None
        for where, begun in self._works():
            if where.key == source.key and begun.can_redo:
                work.after = begun
        self._session.set_aside(source, work)

    def _let_go_again(self, entry: HistoryEntry) -> None:
        """Work no longer on the prompts of an accept that was done again."""
        if entry.action not in _ACCEPTS:
            return
        for source, work in self._works():
            if work.committed_as == entry.object_id:
                self.note_accept(entry.object_id, source, work)
                self._session.drop_aside(source, work)
                if work.after is not None:
                    self._session.set_aside(source, work.after)

    def _after_prompt(self, source: ImageSource, sentence: str) -> None:
        session = self._session
        session.prompts_moved()
        if session.source is None or source.key != session.source.key:
            session.voice.say(sentence.format(f" in {source.name}"))

    def _after_step(self, entry: HistoryEntry, *, undone: bool) -> None:
        session, elsewhere = self._session, ""
        session.objects.follow(entry, undone=undone)
        session.stepped.emit(entry, undone)
        session.prompts_moved()
        project = session.desk.project
        is_there = entry.box is not None and entry.image_id != session.objects.image_id
        if project is not None and is_there:
            elsewhere = project.image(entry.image_id).name
        session.voice.say(step_sentence(entry, elsewhere, undone=undone))
