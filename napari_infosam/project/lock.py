"""One window at a time writes the annotations of a project."""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from napari_infosam.core.errors import InfosamError
from napari_infosam.project.failures import one_sentence


class WindowLock:
    """The lock of a project folder, taken at once or not at all.

    The operating system releases it when the process ends in whatever way. Who holds
    it stands in ``window.json``, which is only read while the lock is held.

    Parameters
    ----------
    folder
        The project folder.

    Raises
    ------
    InfosamError
        If another window holds the lock, or the folder can not be written to.
    """

    def __init__(self, folder: Path) -> None:
        self._owner = folder / "window.json"
        # any thread of the window may close the project
        self._lock = FileLock(folder / "window.lock", timeout=0, thread_local=False)
        with one_sentence(folder):
            try:
                self._lock.acquire()
            except Timeout:
                raise InfosamError(
                    f"The project {folder} is open in another window"
                    f"{self._describe_owner()}: close it there first."
                ) from None
        # only for the sentence above, so a full disk may lose it
        with suppress(OSError):
            self._write_owner()

    def __enter__(self) -> WindowLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Let another window have the project; releasing twice is fine."""
        if self._lock.is_locked:
            with suppress(OSError):
                self._owner.unlink()
            self._lock.release()

    def _write_owner(self) -> None:
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
        self._owner.write_text(json.dumps(owner), encoding="utf-8")

    def _describe_owner(self) -> str:
        try:
            owner = json.loads(self._owner.read_text(encoding="utf-8"))
            return f" (process {owner['pid']} on {owner['host']})"
        except (OSError, ValueError, KeyError, TypeError):
            return ""
