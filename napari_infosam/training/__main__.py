"""``python -m napari_infosam.training RUN_DIR``: the training process."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from napari_infosam.core import events
from napari_infosam.core.errors import InfosamError
from napari_infosam.training.failures import failure_sentence
from napari_infosam.training.living import write_process
from napari_infosam.training.reporter import (
    CANCEL_FILE,
    CancelledError,
    Reporter,
    events_size,
)

if TYPE_CHECKING:
    from types import FrameType

NICENESS = 10


def main(run_dir: Path) -> int:
    """Run one fine-tuning and tell about it; return the exit code."""
    started = time.monotonic()
    logging.basicConfig(level=logging.INFO)
    with suppress(OSError):  # whoever started it has noted the same
        write_process(run_dir, psutil.Process(), events_size(run_dir))
    _yield_to_the_window()

    def cancel(_number: int, _frame: FrameType | None) -> None:
        with suppress(OSError):
            (run_dir / CANCEL_FILE).touch()

    signal.signal(signal.SIGTERM, cancel)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    reporter = Reporter(run_dir)
    try:
        outcome = _run(run_dir, reporter, started)
        reporter.emit(outcome)
    finally:
        reporter.close()
    return 1 if isinstance(outcome, events.Failed) else 0


def _run(
    run_dir: Path, reporter: Reporter, started: float
) -> events.Finished | events.Failed:
    try:
        # torch takes seconds to import: events and cancel work before
        from napari_infosam.training.run import Run

        return Run(run_dir, reporter, started).execute()
    except CancelledError:
        return events.Finished(
            version_id=None,
            accepted=False,
            seconds=time.monotonic() - started,
            cancelled=True,
        )
    except InfosamError as error:
        return events.Failed(message=str(error))
    except Exception as error:
        sentence = failure_sentence(error)
        if sentence is not None:
            return events.Failed(message=sentence)
        details = traceback.format_exc()
        logging.getLogger(__name__).error("%s", details)
        return events.Failed(
            message=f"Fine-tuning failed ({type(error).__name__}: {error}). The log "
            f"is in {run_dir}.",
            details=details,
        )


def _yield_to_the_window() -> None:
    try:
        me = psutil.Process()
        if os.name == "nt":
            me.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        else:
            me.nice(NICENESS)
            _yield_as_a_session()
    except (psutil.Error, OSError):
        logging.getLogger(__name__).info("The priority could not be lowered.")


def _yield_as_a_session() -> None:
    """Lower the priority of the process's session beside other sessions.

    Linux with autogroups compares the niceness of processes within a session only, and
    a training has one of its own, so that it outlives the window.
    """
    share = Path("/proc/self/autogroup")
    if share.exists():
        share.write_text(str(NICENESS))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
