"""Which training processes are alive: of a run, and of this user on this machine."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs
import psutil

FOLDER_VARIABLE = "INFOSAM_TRAININGS"
PROCESS_FILE = "process.json"


def write_process(run_dir: Path, process: psutil.Process, position: int) -> None:
    """Note which process does a run; its owner and the process itself both do.

    The note lies in the folder of the run, and once more where all windows of the user
    look, see `running`; what does not get there only is not seen by them.

    Parameters
    ----------
    run_dir
        Folder of the run.
    process
        The training process.
    position
        Size in bytes of the events file when the process began.
    """
    note = {
        "pid": process.pid,
        "created": process.create_time(),
        "position": position,
        "run": str(run_dir.resolve()),
    }
    _write(run_dir / PROCESS_FILE, note)
    with suppress(OSError):
        folder = notes_folder()
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / f"{process.pid}.json", note)


def read_note(path: Path) -> dict[str, Any]:
    """Return the note of a process; raises what a damaged or missing file makes."""
    note: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return note


def noted_process(path: Path) -> psutil.Process | None:
    """Return the process of a note if it is alive; pids are reused: compare times.

    One that stands still works again: a window held it, and was killed meanwhile.
    """
    try:
        known = read_note(path)
        process = psutil.Process(known["pid"])
        same = abs(process.create_time() - known["created"]) < 1
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None
    if not same or not is_alive(process):
        return None
    with suppress(psutil.Error):
        if process.status() == psutil.STATUS_STOPPED:
            process.resume()
    return process


def is_alive(process: psutil.Process | None) -> bool:
    """Return whether there is a process, and it has not ended."""
    if process is None:
        return False
    try:
        status: str = process.status()
        return status != psutil.STATUS_ZOMBIE and bool(process.is_running())
    except psutil.NoSuchProcess:
        return False


def running() -> list[Path]:
    """Return the folders of the runs that processes of this user do on this machine.

    Notes of processes that are gone are removed: a killed one can not do it.
    """
    found = []
    for path in sorted(notes_folder().glob("*.json")):
        if noted_process(path) is None:
            with suppress(OSError):
                path.unlink()
            continue
        with suppress(OSError, ValueError, KeyError):  # as of one that ends right now
            found.append(Path(read_note(path)["run"]))
    return found


def notes_folder() -> Path:
    """Return where all are noted: ``$INFOSAM_TRAININGS`` or in the user's cache.

    Several machines may share a home folder, and each has processes of its own.
    """
    chosen = os.environ.get(FOLDER_VARIABLE)
    cache = platformdirs.user_cache_path("napari-infosam", appauthor=False)
    folder = Path(chosen).expanduser() if chosen else cache / "trainings"
    return folder / socket.gethostname()


def _write(path: Path, note: dict[str, Any]) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(note), "utf-8")
    temporary.replace(path)
