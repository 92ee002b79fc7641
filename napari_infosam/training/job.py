"""The training process as its owner sees it; needs neither torch nor Qt.

The run folder is the only link: events are read from a file, so a window that was
closed, or killed, finds its run again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from napari_infosam.core import events
from napari_infosam.core.errors import InfosamError
from napari_infosam.project import Project, VersionRecord
from napari_infosam.training.history import close_cancelled, parse_lines
from napari_infosam.training.living import (
    PROCESS_FILE,
    is_alive,
    noted_process,
    read_note,
    write_process,
)
from napari_infosam.training.reporter import (
    CANCEL_FILE,
    CHECKPOINT_FILE,
    EVENTS_FILE,
    LOG_FILE,
    events_size,
)

if TYPE_CHECKING:
    from napari_infosam.core.events import TrainingEvent
    from napari_infosam.core.options import FinetuneOptions

CANCEL_SECONDS = 1.5
"""A cancelled process that still runs after this long is killed."""

POLL_SECONDS = 0.1
LEAST_SPACE = 2**16
"""A disk with fewer free bytes counts as full."""

EXIT_SECONDS = 5.0
"""What a process that has said its last word may take to go."""

_FRUGAL = {"OMP_WAIT_POLICY": "PASSIVE"}
"""OpenMP threads that wait give their core to others, such as the window."""


class TrainingJob:
    """A run of the training process, alive or over; see `start`, `resume`, `attach`.

    Attributes
    ----------
    run_dir
        Folder of the run.
    """

    def __init__(self, run_dir: Path, process: psutil.Process | None) -> None:
        self.run_dir = run_dir
        self._process = process
        self._position = 0
        self._closed = False
        self._cancelled = False

    @classmethod
    def start(cls, project_path: Path, options: FinetuneOptions) -> TrainingJob:
        """Start a run of a project and return at once.

        Raises
        ------
        InfosamError
            If nothing has been accepted yet, if a run is under way, or if the disk is
            full.
        """
        with Project.open(project_path, lock=False) as project:
            if not project.objects(reviewed=True):
                raise InfosamError(
                    "Nothing has been accepted yet: accept at least two objects, then "
                    "fine-tune."
                )
            _require_alone(project.runs())
            return cls._spawn(project.new_run(options))

    @classmethod
    def resume(cls, run_dir: Path) -> TrainingJob:
        """Go on with a run that was cancelled or killed.

        Raises
        ------
        InfosamError
            If the run is still alive, or another one of its project is.
        """
        if _is_under_way(run_dir):
            raise InfosamError("This run is still under way.")
        _require_alone(run_dir.parent.glob("r*"))
        if (run_dir / CANCEL_FILE).exists():
            close_cancelled(run_dir)
            (run_dir / CANCEL_FILE).unlink(missing_ok=True)
        return cls._spawn(run_dir)

    @classmethod
    def attach(cls, run_dir: Path) -> TrainingJob:
        """Follow a run that another window has started; replays its events."""
        return cls(run_dir, noted_process(run_dir / PROCESS_FILE))

    @classmethod
    def _spawn(cls, run_dir: Path) -> TrainingJob:
        position = events_size(run_dir)
        try:
            with (run_dir / LOG_FILE).open("ab") as log:
                child = subprocess.Popen(
                    [sys.executable, "-m", "napari_infosam.training", str(run_dir)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**_FRUGAL, **os.environ},
                    # a Ctrl-C in the terminal is the owner's to handle
                    start_new_session=True,
                )
        except OSError as error:
            raise InfosamError(
                f"The training process could not be started: {error.strerror}."
            ) from error
        process = psutil.Process(child.pid)
        # reaped whoever follows the run by then: no zombie, and no wait at the end
        threading.Thread(target=child.wait, name="reap training", daemon=True).start()
        with suppress(OSError, psutil.Error):
            # not left to the process alone: it takes a while to get there
            write_process(run_dir, process, position)
        job = cls(run_dir, process)
        job._position = position
        return job

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return is_alive(self._process)

    @property
    def has_checkpoint(self) -> bool:
        """Whether the run has learnt something that `resume` would go on from."""
        return (self.run_dir / CHECKPOINT_FILE).is_file()

    def poll(self) -> list[TrainingEvent]:
        """Return the events since the last call; cheap, and never waits."""
        # before reading: what a process writes as it ends must not be missed
        alive = self.running
        found = self._read()
        for event in found:
            if isinstance(event, events.Started):
                self._closed = False  # an end before this one was resumed from
            elif isinstance(event, events.Finished | events.Failed):
                self._closed = True
        if not alive and not self._closed:
            self._closed = True
            found.append(self._obituary())
        return found

    def hold(self) -> bool:
        """Let the process stand still until `go_on`; return whether it does.

        If the owner is killed meanwhile, whoever looks for trainings next wakes it, see
        `noted_process`.
        """
        try:
            if self._process is not None:
                self._process.suspend()
                return True
        except psutil.Error:
            pass
        return False

    def go_on(self) -> None:
        """Let a process work again that was held."""
        if self._process is not None:
            with suppress(psutil.Error):
                self._process.resume()

    def cancel(self) -> None:
        """End the run; returns at once, and the process is gone within 2 s.

        What has been learnt stays in a checkpoint for `resume`.
        """
        self._cancelled = True
        with suppress(OSError):  # a process that can not be asked is killed
            (self.run_dir / CANCEL_FILE).touch()
        timer = threading.Timer(CANCEL_SECONDS, self.kill)
        timer.daemon = True
        timer.start()

    def kill(self) -> None:
        """End the process without asking it."""
        if self._process is not None and self.running:
            try:
                self._process.kill()
            except psutil.NoSuchProcess:
                return

    def _read(self) -> list[TrainingEvent]:
        try:
            with (self.run_dir / EVENTS_FILE).open("rb") as file:
                file.seek(self._position)
                data = file.read()
        except FileNotFoundError:
            return []
        # a line may be half written
        complete = data[: data.rfind(b"\n") + 1]
        self._position += len(complete)
        return parse_lines(complete)

    def _obituary(self) -> TrainingEvent:
        if self._cancelled or (self.run_dir / CANCEL_FILE).exists():
            return events.Finished(
                version_id=None, accepted=False, seconds=0.0, cancelled=True
            )
        if not self.run_dir.is_dir():
            return events.Failed(message=f"The folder {self.run_dir} was deleted.")
        with suppress(OSError):
            # the process could not say so: what it says is written to this disk
            if shutil.disk_usage(self.run_dir).free < LEAST_SPACE:
                return events.Failed(message=_full_sentence(self.run_dir))
        way = "Resume it" if self.has_checkpoint else "Train again"
        return events.Failed(
            message="The training process ended unexpectedly, perhaps because memory "
            f"ran out; nothing you accepted is lost. {way}, or look into "
            f"{self.run_dir / LOG_FILE}."
        )


def find_resumable(project_path: Path) -> Path | None:
    """Return the newest run if it stopped with a checkpoint before it was over."""
    with Project.open(project_path, lock=False) as project:
        runs = project.runs()
    if not runs or not (runs[-1] / CHECKPOINT_FILE).is_file():
        return None
    if _is_under_way(runs[-1]):
        return None
    over = [
        event
        for event in TrainingJob.attach(runs[-1]).poll()
        if isinstance(event, events.Finished) and not event.cancelled
    ]
    return None if over else runs[-1]


def find_running(project_path: Path) -> Path | None:
    """Return the run of a project that is under way, or None."""
    with Project.open(project_path, lock=False) as project:
        runs = project.runs()
    return next((r for r in reversed(runs) if _is_under_way(r)), None)


def finetune(
    project: Project,
    options: FinetuneOptions,
    on_event: Callable[[TrainingEvent], None] | None = None,
    *,
    resume: Path | None = None,
) -> VersionRecord:
    """Fine-tune and wait for the student.

    Parameters
    ----------
    project
        The project; the training process opens it by its path.
    options
        Of the run.
    on_event
        Called with every event.
    resume
        Folder of a run to go on with; `options` are then those it was started with.

    Returns
    -------
    VersionRecord
        The student, whether or not the gate accepted it.

    Raises
    ------
    InfosamError
        If the run failed; the sentence says why.
    KeyboardInterrupt
        On Ctrl-C, after the run was cancelled with a checkpoint.
    """
    if resume is None:
        job = TrainingJob.start(project.path, options)
    else:
        job = TrainingJob.resume(resume)
    try:
        while True:
            for event in job.poll():
                if on_event is not None:
                    on_event(event)
                if isinstance(event, events.Failed):
                    raise InfosamError(event.message)
                if isinstance(event, events.Finished):
                    if event.version_id is None:
                        raise InfosamError("The run was cancelled.")
                    _wait(job, EXIT_SECONDS)
                    return project.version(event.version_id)
            time.sleep(POLL_SECONDS)
    except BaseException:
        if job.running:
            job.cancel()
            _wait(job, CANCEL_SECONDS + 1)
        raise


def _full_sentence(run_dir: Path) -> str:
    return (
        f"The training ended because the disk that holds {run_dir} is full: nothing "
        "you accepted is lost; free some space, then resume it or train again."
    )


def _wait(job: TrainingJob, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while job.running and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _is_under_way(run_dir: Path) -> bool:
    """Return whether a process works on a run, and has not said its last word."""
    job = TrainingJob(run_dir, noted_process(run_dir / PROCESS_FILE))
    if not job.running:
        return False
    job._position = read_note(run_dir / PROCESS_FILE).get("position", 0)
    job.poll()
    return not job._closed


def _require_alone(runs: Iterable[Path]) -> None:
    """Raise a sentence if one of the runs of a project is under way."""
    if any(_is_under_way(run_dir) for run_dir in runs):
        raise InfosamError(
            "This project is being fine-tuned already: wait, or cancel that run."
        )
