"""Progress on stderr: bars with the time left on a terminal, lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from napari_infosam.core.events import Metrics, TrainingEvent

OnProgress = Callable[[float, float], None]


def console(*, stderr: bool = True) -> Console:
    """Return the console on stderr, or on stdout for what a command answers."""
    from rich.console import Console

    return Console(file=sys.stderr if stderr else sys.stdout, highlight=False)


def say(sentence: str) -> None:
    """Print one line on stderr."""
    print(sentence, file=sys.stderr)


@contextlib.contextmanager
def bars() -> Iterator[Progress]:
    """Show progress bars while the block runs."""
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(), transient=True) as progress:
        yield progress


@contextlib.contextmanager
def bar(description: str) -> Iterator[OnProgress]:
    """Show one progress bar; the block gets a function ``(done, total)`` to call."""
    with bars() as progress:
        task = progress.add_task(description, total=None)

        def show(done: float, total: float) -> None:
            progress.update(task, completed=done, total=total)

        yield show


class TrainingBars:
    """Shows the events of a training run: a bar for each stage, a line for news."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._began = 0.0

    def __call__(self, event: TrainingEvent) -> None:
        """Show one event."""
        match event.kind:
            case "started":
                self._say(
                    f"Learning from {event.n_train_objects} objects in "
                    f"{event.n_train_images} images on {event.device}, validating on "
                    f"{event.n_validation_objects} in {event.n_validation_images}"
                )
                if event.begun_with != "base":
                    self._say(f"Going on from {event.begun_with}")
            case "stage":
                self._begin(event.message)
            case "step" if self._task is not None:
                elapsed = time.monotonic() - self._began
                done, total = float(event.step), float(event.steps)
                if event.seconds_left is not None:
                    # a stage may end by its time as well as by its steps
                    done, total = elapsed, elapsed + event.seconds_left
                self._progress.update(self._task, completed=done, total=total or None)
            case "validation":
                self._say(
                    f"Held-out IoU after 1 click {event.iou_1:.3f}, "
                    f"with a box {event.iou_box:.3f}"
                )
            case "notice":
                self._say(event.message)
            case "gate":
                self._say(gate_line("base", event.base))
                self._say(gate_line(event.version_id, event.candidate))
            case _:
                pass

    def _begin(self, message: str) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(message, total=None)
        self._began = time.monotonic()
        self._say(message)

    def _say(self, sentence: str) -> None:
        self._progress.console.print(sentence, markup=False, soft_wrap=True)


def gate_line(name: str, metrics: Metrics | None) -> str:
    """Return how a version did on the held-out images, in one line."""
    if metrics is None:
        return f"{name}: not measured"
    return (
        f"{name}: IoU {metrics.iou_1:.3f} after 1 click, {metrics.iou_3:.3f} after 3, "
        f"{metrics.iou_box:.3f} with a box, {metrics.noc85:.1f} clicks to 0.85"
    )
