"""A window that is killed at any moment has lost nothing that it said it has."""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from napari_infosam.project import Project

from .conftest import gradient
from .killing import kill_amid

WINDOW = """
import numpy as np
from napari_infosam.core.prompts import Point, PromptSet
from napari_infosam.project import Project

project = Project.open(folder)
shape = project.image(1).shape
seed = 1000 * len(project.images())
image = project.add_image(np.full(shape, seed, np.uint16), str(seed))
while True:
    seed += 1
    mask = np.random.default_rng(seed).random(shape) < 0.5
    prompts = PromptSet((Point(seed, 0),) * (seed % 4))
    record = project.commit(1 if seed % 2 else image.id, mask, prompts=prompts)
    if seed % 5 == 0:
        project.delete(record.id)
        project.undo()
    mouth.send((record.id, seed))
"""


def kill_a_window(folder: Path, rng: random.Random) -> dict[int, int]:
    """Return ids and seeds of the objects that a window wrote until it was killed."""
    words, seconds = rng.randrange(1, 40), rng.uniform(0, 0.02)
    return dict(kill_amid(WINDOW, words, seconds, folder=folder))


@pytest.mark.parametrize(
    ("times", "rng_seed"), [(10, 0), pytest.param(60, 1, marks=pytest.mark.slow)]
)
def test_every_accepted_object_survives_kill_9(
    tmp_path: Path, times: int, rng_seed: int
) -> None:
    rng = random.Random(rng_seed)
    with Project.create(tmp_path / "cells") as project:
        image = project.add_image(gradient(), "a")
    promised: dict[int, int] = {}
    for _ in range(times):
        promised |= kill_a_window(project.path, rng)
        with Project.open(project.path) as project:
            found = {record.id: record for record in project.objects()}
            for object_id, seed in promised.items():
                record = found[object_id]
                mask = np.random.default_rng(seed).random(image.shape) < 0.5
                np.testing.assert_array_equal(record.mask(), mask)
                assert len(record.prompts) == seed % 4
            for stored in project.images():
                assert project.read_image(stored.id).shape == stored.shape
            # at most the one object that was on its way
            assert len(found) - len(promised) <= times
        with closing(sqlite3.connect(project.path / "project.sqlite")) as connection:
            check = connection.execute("PRAGMA integrity_check").fetchall()
            assert check == [("ok",)]
    assert len(promised) >= times
    leftovers = {p.name for p in project.path.iterdir()}
    assert leftovers <= {"images", "project.sqlite", "window.lock", "window.json"}


@pytest.mark.skipif(os.name != "posix", reason="opens files by descriptor")
def test_a_reader_keeps_its_view_when_the_window_is_killed(tmp_path: Path) -> None:
    with Project.create(tmp_path / "cells") as project:
        project.add_image(gradient(), "a")
    with Project.open(project.path, lock=False) as reader:
        promised = kill_a_window(project.path, random.Random(2))
        assert {o.id for o in reader.objects()} >= set(promised)
