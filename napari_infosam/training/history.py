"""What became of the processes that have worked on a run so far, from its events."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
from pydantic import ValidationError

from napari_infosam.core import events
from napari_infosam.core.events import TrainingEvent, parse_event
from napari_infosam.training.living import PROCESS_FILE, read_note
from napari_infosam.training.reporter import CANCEL_FILE, EVENTS_FILE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_STAGES = ("quick", "full")


def parse_lines(data: bytes) -> list[TrainingEvent]:
    """Return the events of JSON lines; what is none is passed over."""
    found = []
    for line in data.splitlines():
        with suppress(ValidationError):
            found.append(parse_event(line))
    return found


def read_events(run_dir: Path) -> list[TrainingEvent]:
    """Return all events of a run."""
    try:
        return parse_lines((run_dir / EVENTS_FILE).read_bytes())
    except OSError:
        return []


def failed_in_vain(run_dir: Path) -> bool:
    """Return whether going on with a run was of no use the last time.

    That is so if its last process failed, or vanished, before it had trained farther
    than those before it. The first one of a run never is in vain.
    """
    try:
        position = int(read_note(run_dir / PROCESS_FILE).get("position", 0))
        data = (run_dir / EVENTS_FILE).read_bytes()
    except (OSError, ValueError, TypeError, AttributeError):
        return False
    earlier, last = parse_lines(data[:position]), parse_lines(data[position:])
    was_stopped = any(isinstance(event, events.Finished) for event in last)
    if not earlier or was_stopped or (run_dir / CANCEL_FILE).exists():
        return False
    return _reached(last) <= _reached(earlier)


def _reached(found: Sequence[TrainingEvent]) -> tuple[int, int]:
    """Return how far training came: the number of the stage, and the step."""
    steps = (
        (_STAGES.index(event.stage), event.step)
        for event in found
        if isinstance(event, events.Step) and event.stage in _STAGES
    )
    return max(steps, default=(-1, 0))


def count_deaths(runs: Iterable[Path]) -> int:
    """Return how many processes have vanished while they trained since one did well.

    One that was killed says nothing; most often it is the system that does it, when
    memory runs out. Those before the machine was started do not count: it may have
    been switched off.

    Parameters
    ----------
    runs
        Of one project, the newest first; the process that asks has not said yet that it
        has started.
    """
    booted = psutil.boot_time()
    number = 0
    for run_dir in runs:
        parts = _parts(read_events(run_dir))
        was_cancelled = (run_dir / CANCEL_FILE).exists()  # and then killed, by us
        for said in reversed(parts):
            if any(isinstance(event, events.Gate) for event in said):
                return number
            last = said[-1]
            is_closed = isinstance(last, events.Finished | events.Failed)
            if not is_closed and not was_cancelled and last.time > booted:
                number += 1
            was_cancelled = False
    return number


def close_cancelled(run_dir: Path) -> None:
    """Let a cancelled process whose last word is missing be no riddle later."""
    parts = _parts(read_events(run_dir))
    if parts and not isinstance(parts[-1][-1], events.Finished | events.Failed):
        end = events.Finished(
            version_id=None, accepted=False, seconds=0.0, cancelled=True
        )
        with suppress(OSError), (run_dir / EVENTS_FILE).open("ab") as file:
            # the line before may be torn
            file.write(b"\n" + end.model_dump_json().encode() + b"\n")


def _parts(found: Sequence[TrainingEvent]) -> list[list[TrainingEvent]]:
    """Return what each process that has started said, until its last word."""
    parts: list[list[TrainingEvent]] = []
    is_open = False
    for event in found:
        if isinstance(event, events.Started):
            parts.append([])
            is_open = True
        if is_open and not isinstance(event, events.Heartbeat):
            parts[-1].append(event)
            is_open = not isinstance(event, events.Finished | events.Failed)
    return parts
