"""The run folder as the training process sees it: events out, cancel in."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.events import Heartbeat, TrainingEvent

EVENTS_FILE = "events.jsonl"
CANCEL_FILE = "cancel"
CONFIG_FILE = "config.json"
CHECKPOINT_FILE = "checkpoint.pt"
LOG_FILE = "log.txt"

HEARTBEAT_SECONDS = 5.0


class CancelledError(Exception):
    """The person has cancelled the run."""


class Reporter:
    """Appends events to the run folder and watches for the cancel file.

    Parameters
    ----------
    run_dir
        Folder of the run.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self._lock = threading.Lock()
        self._file = (run_dir / EVENTS_FILE).open("a", encoding="utf-8")
        if _ends_torn(run_dir / EVENTS_FILE):
            self._file.write("\n")
        self._closed = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)
        self._heart.start()

    def emit(self, event: TrainingEvent) -> None:
        """Write one event; a full disk costs the event, not the run."""
        with self._lock:
            try:
                self._file.write(event.model_dump_json() + "\n")
                self._file.flush()
            except OSError:
                return

    def check(self) -> None:
        """Raise `CancelledError` if the run has been cancelled.

        Raises
        ------
        InfosamError
            If the project was deleted: nothing is left to work for.
        """
        if (self.run_dir / CANCEL_FILE).exists():
            raise CancelledError
        if not self.run_dir.is_dir():
            raise InfosamError(f"The folder {self.run_dir} was deleted.")

    def close(self) -> None:
        """Stop the heartbeat and close the file."""
        self._closed.set()
        self._heart.join()
        with suppress(OSError):  # on a full disk, what it still holds is lost
            self._file.close()

    def _beat(self) -> None:
        while not self._closed.wait(HEARTBEAT_SECONDS):
            self.emit(Heartbeat(time=time.time()))


def events_size(run_dir: Path) -> int:
    """Return the size in bytes of the events file of a run."""
    path = run_dir / EVENTS_FILE
    return path.stat().st_size if path.exists() else 0


def _ends_torn(path: Path) -> bool:
    """Return whether a killed process has left half a line."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return file.read() not in (b"", b"\n")
