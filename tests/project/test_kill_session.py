"""Whatever a session was doing when it was killed, what it acknowledged is there."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from napari_infosam.project import Project

from . import killed_session
from .conftest import gradient
from .killing import kill_amid

SESSION = """
import runpy
from napari_infosam.project import Project

changes = runpy.run_path(module)["changes"]
with Project.open(folder) as project:
    for number, _ in enumerate(changes(project, seed), 1):
        mouth.send(number)
"""


def kill_a_session(folder: Path, seed: int, rng: random.Random) -> int:
    """Return how many changes a session acknowledged before it was killed."""
    words, seconds = rng.randrange(1, 30), rng.uniform(0, 0.01)
    module = killed_session.__file__
    said = kill_amid(SESSION, words, seconds, module=module, folder=folder, seed=seed)
    return max(said)


def state(project: Project) -> list[tuple[object, ...]]:
    objects = [
        (o.id, o.instance_id, o.class_name, o.rle, o.prompts, o.model_version)
        for o in project.objects()
    ]
    notes = [
        (project.listing.left(row.id).unfinished, project.listing.undecided(row.id))
        for row in project.listing.rows()
    ]
    return [*objects, *notes, *((c.name, c.color) for c in project.classes())]


@pytest.mark.parametrize(
    ("times", "rng_seed"),
    [
        (4, 0),
        pytest.param(200, 1, marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
    ],
)
def test_what_was_acknowledged_survives_kill_9(
    tmp_path: Path, times: int, rng_seed: int
) -> None:
    rng = random.Random(rng_seed)
    folder, twin = tmp_path / "cells.infosam", tmp_path / "twin.infosam"
    with Project.create(folder, classes=["cell"]) as project:
        project.add_image(gradient(), "a")
    n_acknowledged = 0
    for seed in range(times):
        shutil.rmtree(twin, ignore_errors=True)
        shutil.copytree(folder, twin)
        acknowledged = kill_a_session(folder, seed, rng)
        n_acknowledged += acknowledged
        with closing(sqlite3.connect(folder / "project.sqlite")) as connection:
            check = connection.execute("PRAGMA integrity_check").fetchall()
            assert check == [("ok",)]
        with Project.open(folder) as project, Project.open(twin) as undisturbed:
            steps = killed_session.changes(undisturbed, seed)
            for _ in range(acknowledged):
                next(steps)
            found = state(project)
            if found != state(undisturbed):
                next(steps)  # the one that was on its way, and reached the disk
                assert found == state(undisturbed)
            shown = set(np.unique(project.label_image(1)).tolist()) - {0}
            assert shown <= {record.instance_id for record in project.objects()}
    assert n_acknowledged >= times
