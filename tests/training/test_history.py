"""What the events of a run tell about the processes that worked on it."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from napari_infosam.core import events
from napari_infosam.training import history
from napari_infosam.training.history import (
    close_cancelled,
    count_deaths,
    failed_in_vain,
    read_events,
)
from napari_infosam.training.living import PROCESS_FILE
from napari_infosam.training.reporter import CANCEL_FILE, EVENTS_FILE

from .runs import STARTED, STOPPED

FAILED = events.Failed(message="no")
JUDGED = events.Gate(
    version_id="v001",
    accepted=False,
    reason="",
    base=None,
    active=None,
    candidate=None,
)
DONE = events.Finished(version_id="v001", accepted=False, seconds=1)
BEAT = events.Heartbeat()


def step(number: int, stage: events.StageName = "quick") -> events.Step:
    return events.Step(stage=stage, step=number, steps=9)


def say(run_dir: Path, *said: events.TrainingEvent) -> int:
    """Add events, and return how many bytes there are then."""
    with (run_dir / EVENTS_FILE).open("a", encoding="utf-8") as file:
        file.writelines(event.model_dump_json() + "\n" for event in said)
        return file.tell()


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Return three runs, the newest first."""
    made = [tmp_path / name for name in ("r003", "r002", "r001")]
    for run_dir in made:
        run_dir.mkdir()
    return made


@pytest.mark.parametrize(
    ("earlier", "last", "in_vain"),
    [
        ((), (STARTED, step(1), FAILED), False),  # the first try
        ((STARTED, step(3)), (STARTED, step(3), FAILED), True),
        ((STARTED, step(3)), (STARTED, step(4), FAILED), False),
        ((STARTED, step(3)), (), True),  # killed before a word
        ((STARTED, step(3)), (STARTED, step(3)), True),
        ((STARTED, step(3)), (STARTED, step(1, "full"), FAILED), False),
        ((STARTED, step(1, "full")), (STARTED, step(9), FAILED), True),
        ((STARTED, step(1, "full")), (STARTED, step(9, "gate"), FAILED), True),
        ((STARTED, step(3)), (STARTED, STOPPED), False),
        ((STARTED, step(3), STOPPED), (FAILED,), True),
    ],
)
def test_whether_going_on_was_in_vain(runs, earlier, last, in_vain) -> None:
    run_dir = runs[0]
    position = say(run_dir, *earlier)
    say(run_dir, *last)
    (run_dir / PROCESS_FILE).write_text(json.dumps({"position": position}))
    assert failed_in_vain(run_dir) is in_vain
    (run_dir / CANCEL_FILE).touch()
    assert not failed_in_vain(run_dir)


def test_what_is_not_known_is_not_in_vain(runs) -> None:
    assert not failed_in_vain(runs[0])
    for note in ("", "[]", "{}", '{"position": null}'):
        (runs[0] / PROCESS_FILE).write_text(note)
        assert not failed_in_vain(runs[0])


@pytest.mark.parametrize(
    ("said", "deaths"),
    [
        ((), 0),
        ((BEAT,), 0),
        ((STARTED, step(1)), 1),
        ((STARTED, step(1), BEAT, BEAT), 1),
        ((STARTED, STARTED), 2),
        ((STARTED, FAILED), 0),
        ((STARTED, STOPPED), 0),
        ((STARTED, STARTED, FAILED), 1),
        ((STARTED, JUDGED, DONE), 0),
        ((STARTED, JUDGED), 0),
        ((STARTED, JUDGED, DONE, STARTED), 1),
        ((FAILED,), 0),
    ],
)
def test_what_ended_without_a_word_is_counted(runs, said, deaths) -> None:
    say(runs[0], *said)
    assert count_deaths(runs) == deaths


def test_deaths_add_up_until_a_run_has_done_well(runs) -> None:
    newest, middle, oldest = runs
    say(oldest, STARTED)
    say(middle, STARTED)
    assert count_deaths(runs) == 2
    say(newest, STARTED, STARTED)
    assert count_deaths(runs) == 4
    say(middle, STARTED, JUDGED, DONE)
    assert count_deaths(runs) == 2


def test_what_we_killed_or_a_switch_turned_off_is_none(runs, monkeypatch) -> None:
    say(runs[0], STARTED, step(1))
    (runs[0] / CANCEL_FILE).touch()
    assert count_deaths(runs) == 0
    close_cancelled(runs[0])
    (runs[0] / CANCEL_FILE).unlink()
    assert count_deaths(runs) == 0
    assert read_events(runs[0])[-1].cancelled
    close_cancelled(runs[0])
    assert len(read_events(runs[0])) == 3
    say(runs[0], STARTED)
    assert count_deaths(runs) == 1
    monkeypatch.setattr(history.psutil, "boot_time", lambda: STARTED.time + 1)
    assert count_deaths(runs) == 0


def test_the_machine_was_started_before_its_processes() -> None:
    assert psutil.boot_time() < STARTED.time
