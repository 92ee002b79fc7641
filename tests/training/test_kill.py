"""A training that is killed, or whose disk is full, leaves a project that goes on."""

from __future__ import annotations

import random
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from napari_infosam.core import events
from napari_infosam.core.masks import iter_objects
from napari_infosam.core.options import FinetuneOptions
from napari_infosam.models import load_version
from napari_infosam.project import Project
from napari_infosam.training.job import TrainingJob, find_resumable, finetune

PATIENCE = 200.0
"""Seconds until a process that should do something counts as stuck."""

OPTIONS = FinetuneOptions(max_seconds=1000, max_epochs=1, max_steps=2)

EVENTS_OF_A_RUN = 16
FILES = (
    "runs/*/checkpoint.pt.tmp",
    "runs/*/checkpoint.pt",
    "models/v*/student.tmp",
    "models/v*/student.safetensors",
    "models/v*/.card.json-*",
    "models/v*/card.json",
)
"""Signs of what a run is about to do."""


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)


def moments(rng: random.Random, path: Path) -> list[Callable[[list], bool]]:
    """Return twenty conditions on the events of a run and the files of its project."""

    def after(number: int) -> Callable[[list], bool]:
        return lambda said: len(said) >= number

    def at(pattern: str) -> Callable[[list], bool]:
        there = set(path.glob(pattern))
        return lambda _said: bool(set(path.glob(pattern)) - there)

    made = [after(rng.randrange(EVENTS_OF_A_RUN)) for _ in range(20 - 2 * len(FILES))]
    made += [at(pattern) for pattern in 2 * FILES]
    rng.shuffle(made)
    return made


def check(path: Path, base, good: str) -> str:
    """Open a project as a window would, and return the version that answers."""
    with closing(sqlite3.connect(path / "project.sqlite")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with Project.open(path) as project:
        assert project.n_objects() == 2
        versions = {record.id: record for record in project.versions()}
        assert all(
            (project.version_dir(name) / "card.json").is_file() for name in versions
        )
        # the last good one, or one that the gate accepted just before
        active = project.active_version
        assert active == good or active == max(versions)
        assert load_version(project, active, base=base).version == active
        return active


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_killed_at_twenty_moments(project_of, base):
    rng = random.Random(0)
    with project_of([1, 1]) as project:
        path = project.path
        good = finetune(project, OPTIONS).id
        project.activate(good)
    stopped = 0
    for is_due in moments(rng, path):
        resumable = find_resumable(path)
        again = resumable is not None and rng.random() < 0.5
        job = (
            TrainingJob.resume(resumable) if again else TrainingJob.start(path, OPTIONS)
        )
        said: list[events.TrainingEvent] = []

        def is_time(job=job, said=said, is_due=is_due) -> bool:
            said.extend(job.poll())
            return is_due(said) or not job.running

        wait_until(is_time)
        time.sleep(rng.uniform(0, 0.1))
        job.kill()
        wait_until(lambda job=job: not job.running)
        said.extend(job.poll())
        stopped += isinstance(said[-1], events.Failed)
        good = check(path, base, good)
    assert stopped > 10  # and the others had ended before
    with Project.open(path) as project:
        record = finetune(project, OPTIONS)
    assert check(path, base, good) in (good, record.id)


@pytest.mark.slow
def test_a_disk_that_fills_while_it_trains(mount_disk, cells, base):
    place = mount_disk("160m")
    with Project.create(place / "cells") as project:
        for cell in cells[:2]:
            image = project.add_image(cell.image, cell.name)
            project.commit(image.id, next(m for _, m in iter_objects(cell.labels)))
    job = TrainingJob.start(project.path, OPTIONS)
    said: list[events.TrainingEvent] = []

    def hears(kind: type) -> bool:
        said.extend(job.poll())
        return any(isinstance(event, kind) for event in said)

    wait_until(lambda: hears(events.Started))
    ballast = place / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(place).free))
    wait_until(lambda: hears(events.Failed))
    sentence = next(e.message for e in said if isinstance(e, events.Failed))
    assert "full" in sentence or "No space left" in sentence
    assert "\n" not in sentence
    wait_until(lambda: not job.running)

    ballast.unlink()
    assert check(project.path, base, "base") == "base"
    with Project.open(project.path) as project:
        assert finetune(project, OPTIONS).id in [v.id for v in project.versions()]
