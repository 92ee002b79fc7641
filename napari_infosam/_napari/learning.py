"""A training run as the window sees it: where it is, how it does, how it ended."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_infosam.core import events
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.words import counted

if TYPE_CHECKING:
    from pathlib import Path

    from napari_infosam.core.options import FinetuneOptions
    from napari_infosam.training.job import TrainingJob

logger = logging.getLogger(__name__)

STAGES = {
    "prepare": "Preparing",
    "quick": "Quick stage",
    "full": "Full stage",
    "gate": "Comparing on held-out objects",
}


CANCELLED = "Training was cancelled; what it has learned so far is kept."
CANCELLED_EARLY = "Training was cancelled before it had learned anything."
LOST = "The training process is gone; nothing you accepted is lost. Train again."


class Learning:
    """Follows one training process at a time; knows neither Qt nor torch.

    `poll` must be called now and then while `is_running`.

    Attributes
    ----------
    stage, step, steps, seconds_left
        Where the run is; ``steps`` is 0 while it is not known.
    message
        What the run is doing, in words.
    losses
        (seconds since the start, training loss) of every step that had one.
    ious
        (seconds, IoU after one click, IoU of a box) of every validation.
    notices
        Sentences of the run that the person should read.
    outcome
        How the last run ended, in one sentence.
    has_failed
        Whether that was because something went wrong.
    was_cancelled
        Whether that was because somebody cancelled it.
    is_held
        Whether the process stands still for a moment, see `hold`.
    """

    changed = Signal()
    learned = Signal(str)
    """A version was accepted, and is the active one unless one is pinned; its id."""
    ended = Signal()
    failed = Signal(str)

    def __init__(self) -> None:
        self._job: TrainingJob | None = None
        self.outcome = ""
        self.has_failed = self.was_cancelled = False
        self._reset()

    def _reset(self) -> None:
        self._began: float | None = None
        self._closing: events.Finished | events.Failed | None = None
        self.stage = ""
        self.step = self.steps = 0
        self.seconds_left: float | None = None
        self.message = ""
        self.is_cancelling = self.is_held = False
        self.losses: list[tuple[float, float]] = []
        self.ious: list[tuple[float, float, float]] = []
        self.notices: list[str] = []

    @property
    def is_running(self) -> bool:
        """Whether a training process is being followed."""
        return self._job is not None

    @property
    def run_dir(self) -> Path | None:
        """Folder of the run that is being followed."""
        return self._job.run_dir if self._job else None

    # ------------------------------------------------------------------ begin
    def start(self, project: Path, options: FinetuneOptions) -> None:
        """Start a new run; returns at once.

        Raises
        ------
        InfosamError
            If one is running already, or the run can not be made.
        """
        from napari_infosam.training.job import TrainingJob

        self._require_idle()
        self._follow(TrainingJob.start(project, options), "Starting …")

    def resume(self, run_dir: Path) -> None:
        """Continue a run that was cancelled or killed."""
        from napari_infosam.training.job import TrainingJob

        self._require_idle()
        self._follow(TrainingJob.resume(run_dir), "Resuming …")

    def attach(self, run_dir: Path) -> bool:
        """Follow a run whose process outlived its window; False if it is over."""
        from napari_infosam.training.job import TrainingJob

        self._require_idle()
        job = TrainingJob.attach(run_dir)
        if not job.running:
            return False
        self._follow(job, "Training goes on …")
        return True

    def _require_idle(self) -> None:
        if self.is_running:
            raise InfosamError("Training is running already: cancel it first.")

    def _follow(self, job: TrainingJob, message: str) -> None:
        self._reset()
        self._job = job
        self.outcome, self.has_failed, self.was_cancelled = "", False, False
        self.message = message
        self.changed.emit()

    def cancel(self) -> None:
        """Ask the run to stop; it ends within two seconds and can be resumed."""
        if self._job is None or self.is_cancelling:
            return
        self.go_on()
        self.is_cancelling = True
        self.message = "Cancelling …"
        self._job.cancel()
        self.changed.emit()

    def leave(self) -> None:
        """Stop following; the process goes on by itself."""
        self.go_on()
        self._job = None
        self._reset()

    def hold(self) -> None:
        """Let the process stand still, for the moment in which a click is answered.

        It gives its core and the memory's bandwidth to the window; where the system
        does not allow that, it works on.
        """
        if self._job is not None and not self.is_cancelling:
            self.is_held = self._job.hold()

    def go_on(self) -> None:
        """Let the process work again."""
        if self._job is not None and self.is_held:
            self._job.go_on()
        self.is_held = False

    # ----------------------------------------------------------------- follow
    def poll(self) -> None:
        """Take in what the run has said since the last time."""
        if self._job is None:
            return
        alive = self._job.running
        news = self._job.poll()
        for event in news:
            self.handle(event)
        if not alive and not news:
            self._closing = events.Failed(message=LOST)
        if self._closing is not None:
            self._end(self._closing)
        elif news:
            self.changed.emit()

    def handle(self, event: events.TrainingEvent) -> None:
        """Take in one event of the run."""
        if self._began is None:
            self._began = event.time
        seconds = event.time - self._began
        match event:
            case events.Started():
                self._closing = None  # an end before this one was resumed from
                self._say(_started_sentence(event))
            case events.StageStarted():
                self.stage, self.step, self.steps = event.stage, 0, event.steps
                self.seconds_left = None
                self._say(event.message)
            case events.Step():
                self.stage, self.step, self.steps = event.stage, event.step, event.steps
                self.seconds_left = event.seconds_left
                if event.loss is not None:
                    self.losses.append((seconds, event.loss))
            case events.Validation():
                self.ious.append((seconds, event.iou_1, event.iou_box))
            case events.Notice():
                self.notices.append(event.message)
            case events.Gate():
                self.outcome = _gate_sentence(event)
                if event.accepted:
                    self.learned.emit(event.version_id)
            case events.Finished() | events.Failed():
                self._closing = event

    def _say(self, message: str) -> None:
        if not self.is_cancelling:
            self.message = message

    def _end(self, closing: events.Finished | events.Failed) -> None:
        """Come to rest, with every button alive again."""
        is_kept = self._job is not None and self._job.has_checkpoint
        self._job = self._closing = None
        self.is_cancelling = self.is_held = False
        self.message, self.seconds_left = "", None
        if isinstance(closing, events.Failed):
            self.has_failed = True
            if closing.details:
                logger.error("Training failed: %s", closing.details)
            self.outcome = closing.message
        elif closing.cancelled:
            self.was_cancelled = True
            self.outcome = CANCELLED if is_kept else CANCELLED_EARLY
        self.ended.emit()
        self.changed.emit()
        if isinstance(closing, events.Failed):
            self.failed.emit(closing.message)


def duration(seconds: float) -> str:
    """Return a time as people say it: ``45 s``, ``5 min``, ``2 min 5 s``."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def _started_sentence(event: events.Started) -> str:
    onward = "" if event.begun_with == "base" else f", going on from {event.begun_with}"
    return (
        f"Learning from {counted(event.n_train_objects, 'object')} in "
        f"{counted(event.n_train_images, 'image')}, judged on "
        f"{counted(event.n_validation_objects, 'held-out object')}{onward}"
    )


def _gate_sentence(event: events.Gate) -> str:
    verdict = "accepted" if event.accepted else "rejected"
    return f"{event.version_id} was {verdict}: {event.reason}"
