"""Starts, resumes and follows trainings of the project on the desk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_infosam.core.options import FinetuneOptions

if TYPE_CHECKING:
    from napari_infosam._napari.desk import Desk
    from napari_infosam._napari.learning import Learning
    from napari_infosam._napari.voice import Voice

NOTHING_ACCEPTED = "Accept at least two objects first (C)."
_BUSY = (
    "Another training runs, in the project {}: wait until it is over, or open that "
    "project and cancel it."
)
_FEWEST = 2


class Trainer:
    """Lets the open project be trained, one training at a time on this machine.

    Every public method says what goes wrong instead of raising it.

    Parameters
    ----------
    desk, learning, voice
        What has the project, follows its training, and speaks to the person.

    Attributes
    ----------
    resumable
        Folder of a training run that was interrupted and can go on, or None.
    elsewhere
        Name of another project in which a training of this user runs on this machine;
        '' if none does. As of the last `look_around`.
    options
        How fine-tuning is done.
    """

    def __init__(self, desk: Desk, learning: Learning, voice: Voice) -> None:
        self._desk = desk
        self._learning = learning
        self._voice = voice
        self.resumable: Path | None = None
        self.elsewhere = ""
        self.options = FinetuneOptions()
        learning.ended.connect(self._on_ended)
        learning.failed.connect(voice.complain)

    def enter(self) -> None:
        """Attach to a training of the open project that outlived its window."""
        with self._voice.guard("looking for earlier training"):
            if not self._join():
                self._find_resumable()
        self.look_around()

    def leave(self) -> None:
        """Let go of the training that is followed, which goes on by itself."""
        self._learning.leave()
        self.resumable, self.elsewhere = None, ""

    def why_not_finetune(self) -> str:
        """Return why training can not start now, in one sentence; '' if it can."""
        project = self._desk.project
        if self._learning.is_running:
            return "Training is running; annotate on, or cancel it."
        if project is None or project.n_objects() < _FEWEST:
            return NOTHING_ACCEPTED
        return self.why_busy()

    def why_not_resume(self) -> str:
        """Return why no training can go on now, in one sentence; '' if one can."""
        if self.resumable is None:
            return "There is no interrupted training to resume."
        return self.why_busy()

    def why_busy(self) -> str:
        """Return that another project is being trained, in one sentence, or ''."""
        return _BUSY.format(self.elsewhere) if self.elsewhere else ""

    def look_around(self) -> None:
        """Take in which trainings others have started; cheap, for now and then.

        One of the open project, as of a terminal, is followed from now on.
        """
        from napari_infosam.training.living import running

        project = self._desk.project
        if project is None or self._learning.is_running:
            return
        here = project.path.resolve()
        found = {run_dir.parent.parent for run_dir in running()}
        others = sorted(path.stem for path in found - {here})
        before, self.elsewhere = self.elsewhere, others[0] if others else ""
        joined = False
        if here in found:
            with self._voice.guard("following the training"):
                joined = self._join()
        if joined or before != self.elsewhere:
            self._desk.changed.emit()

    def finetune(self, options: FinetuneOptions | None = None) -> None:
        """Start to train in the background, as the person has chosen or otherwise.

        Where somebody else has just started a training of the project, that is
        followed instead.
        """
        self.look_around()
        if self._learning.is_running:
            return
        reason, project = self.why_not_finetune(), self._desk.project
        if reason or project is None:
            self._voice.complain(reason)
            return
        with self._voice.guard("starting the training"):
            if not self._join():
                own = {"model": project.model, "device": self._desk.device}
                chosen = (options or self.options).model_copy(update=own)
                self._learning.start(project.path, chosen)
        self._desk.changed.emit()

    def resume(self) -> None:
        """Continue the training that was interrupted last, or follow who does it."""
        self.look_around()
        if self._learning.is_running:
            return
        if (reason := self.why_not_resume()) or self.resumable is None:
            self._voice.complain(reason)
            return
        with self._voice.guard("resuming the training"):
            if not self._join():
                self._learning.resume(self.resumable)
            self.resumable = None
        self._desk.changed.emit()

    def _join(self) -> bool:
        """Follow the training of the project that is under way, if one is."""
        from napari_infosam.training.job import find_running

        project = self._desk.project
        running = None if project is None else find_running(project.path)
        if running is None or not self._learning.attach(running):
            return False
        self.resumable = None
        return True

    def _find_resumable(self) -> None:
        from napari_infosam.training.job import find_resumable

        project = self._desk.project
        self.resumable = find_resumable(project.path) if project else None

    def _on_ended(self) -> None:
        with self._voice.guard("looking at the training that ended"):
            self._find_resumable()
        self._desk.changed.emit()
