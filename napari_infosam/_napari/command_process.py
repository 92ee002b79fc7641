"""A command of ``infosam`` in a process of its own, which leaves the window alone."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

from napari_infosam.core.errors import InfosamError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_START = "from napari_infosam.cli import main; main()"
_LOOK_SECONDS = 0.1
_END_SECONDS = 20.0


def run_command(arguments: Sequence[str], look: Callable[[], None]) -> dict[str, Any]:
    """Run a command, and return the JSON object that it prints.

    Parameters
    ----------
    arguments
        What follows ``infosam``, with ``--json``.
    look
        Called again and again; what it raises ends the process, as Ctrl-C does.

    Raises
    ------
    InfosamError
        If the command fails, with its own sentence.
    """
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.DEVNULL,
        )
        try:
            while process.poll() is None:
                look()
                time.sleep(_LOOK_SECONDS)
        except BaseException:
            _end(process)
            raise
        out.seek(0)
        printed = out.read()
    if not printed:
        raise InfosamError(
            f"The process ended without a word (exit status {process.returncode}); "
            "try it once more."
        )
    answer: dict[str, Any] = json.loads(printed)
    if "error" in answer:
        raise InfosamError(str(answer["error"]))
    return answer


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process politely, so that it takes away what it has begun."""
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
