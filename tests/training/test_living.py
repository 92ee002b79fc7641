"""Which trainings are alive, wherever they were started."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import psutil
import pytest

from napari_infosam.training import living
from napari_infosam.training.living import (
    PROCESS_FILE,
    noted_process,
    notes_folder,
    running,
    write_process,
)


@pytest.fixture(autouse=True)
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(living.FOLDER_VARIABLE, str(tmp_path / "notes"))
    return notes_folder()


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    made = tmp_path / "cells.infosam" / "runs" / "r001"
    made.mkdir(parents=True)
    return made


def test_the_note_of_a_process(run_dir: Path, notes: Path) -> None:
    me = psutil.Process()
    write_process(run_dir, me, 12)
    note = json.loads((run_dir / PROCESS_FILE).read_text("utf-8"))
    assert note == {
        "pid": os.getpid(),
        "created": me.create_time(),
        "position": 12,
        "run": str(run_dir),
    }
    assert [p.name for p in run_dir.iterdir()] == [PROCESS_FILE]
    assert [p.name for p in notes.iterdir()] == [f"{os.getpid()}.json"]


def test_a_training_is_known_until_its_process_is_gone(
    run_dir: Path, notes: Path
) -> None:
    assert running() == []
    with psutil.Popen([sys.executable, "-c", "input()"], stdin=-1) as process:
        write_process(run_dir, process, 0)
        assert running() == [run_dir]
        process.kill()
        process.wait(20)
    assert running() == []
    assert list(notes.iterdir()) == []
    assert noted_process(run_dir / PROCESS_FILE) is None


def test_another_process_of_the_same_number_is_none(run_dir: Path, notes: Path) -> None:
    write_process(run_dir, psutil.Process(), 0)
    (path,) = notes.iterdir()
    path.write_text(json.dumps({**json.loads(path.read_text()), "created": 1.0}))
    (notes / "damaged.json").write_text("{")
    assert running() == []


def test_without_a_place_for_it_the_note_is_in_the_run_only(
    run_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes").write_text("no folder")
    write_process(run_dir, psutil.Process(), 0)
    assert noted_process(run_dir / PROCESS_FILE) == psutil.Process()
    assert running() == []
