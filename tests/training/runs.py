"""Runs in this process, where every place can be reached."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from napari_infosam.core import events
from napari_infosam.core.options import FinetuneOptions
from napari_infosam.training.reporter import CANCEL_FILE, CancelledError, Reporter
from napari_infosam.training.run import Run

ONE_EPOCH = {"max_epochs": 1, "max_seconds": 100.0}
STARTED = events.Started(
    pid=1,
    device="cpu",
    model="vit_t",
    parent="base",
    n_train_images=1,
    n_train_objects=1,
    n_validation_images=1,
    n_validation_objects=1,
)
STOPPED = events.Finished(version_id=None, accepted=False, seconds=1, cancelled=True)


class Listener(Reporter):
    """Keeps the events, and can cancel at one of them."""

    def __init__(self, run_dir: Path, cancel_at=lambda _event: False) -> None:
        super().__init__(run_dir)
        self.events: list[events.TrainingEvent] = []
        self.cancel_at: Callable[[events.TrainingEvent], bool] = cancel_at

    def emit(self, event: events.TrainingEvent) -> None:
        super().emit(event)
        if not isinstance(event, events.Heartbeat):
            self.events.append(event)
        if self.cancel_at(event):
            (self.run_dir / CANCEL_FILE).touch()


def execute(
    project,
    run_dir=None,
    cancel_at=lambda _event: False,
    seconds_before=0.0,
    **options,
):
    """Return the events and the outcome of a run in this process, begun long before."""
    if run_dir is None:
        run_dir = project.new_run(FinetuneOptions(**{**ONE_EPOCH, **options}))
    (run_dir / CANCEL_FILE).unlink(missing_ok=True)
    listener = Listener(run_dir, cancel_at)
    try:
        outcome = Run(run_dir, listener, time.monotonic() - seconds_before).execute()
    except CancelledError:
        outcome = None
    finally:
        listener.close()
    return listener.events, outcome, run_dir


def kinds(found) -> list[str]:
    """Return the kinds of events, equal neighbours as one."""
    names = [f"{e.kind} {e.stage}" if hasattr(e, "stage") else e.kind for e in found]
    return [n for i, n in enumerate(names) if i == 0 or names[i - 1] != n]
