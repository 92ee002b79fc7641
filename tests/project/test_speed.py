from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from napari_infosam.core.prompts import Box, Point, PromptSet
from napari_infosam.project import Project
from napari_infosam.project.formats.export import export_project

N_OBJECTS = 5000
SIDE = 512


def disk(rng: np.random.Generator) -> np.ndarray:
    y, x = np.ogrid[:SIDE, :SIDE]
    row, column = rng.integers(40, SIDE - 40, 2)
    mask: np.ndarray = (y - row) ** 2 + (x - column) ** 2 <= rng.integers(5, 35) ** 2
    return mask


@pytest.mark.slow
def test_thousands_of_objects(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    prompts = PromptSet((Point(1, 2), Point(3, 4, False)), Box(1, 2, 3, 4))
    seconds = []
    with Project.create(tmp_path / "cells") as project:
        images = [
            project.add_image(np.full((SIDE, SIDE), i, np.uint8), f"{i}").id
            for i in range(20)
        ]
        for number in range(N_OBJECTS):
            mask = disk(rng)
            start = time.perf_counter()
            project.commit(images[number % 20], mask, prompts=prompts)
            seconds.append(time.perf_counter() - start)

        start = time.perf_counter()
        assert len(project.objects()) == N_OBJECTS
        reading = time.perf_counter() - start
        start = time.perf_counter()
        project.label_image(images[0])
        painting = time.perf_counter() - start
        start = time.process_time()
        assert len(project.summaries(images[0])) == N_OBJECTS // 20
        export_project(project, "coco", tmp_path / "coco")
        exporting = time.process_time() - start
    start = time.perf_counter()
    Project.open(tmp_path / "cells").close()
    opening = time.perf_counter() - start

    first, last = np.median(seconds[:500]), np.median(seconds[-500:])
    print(
        f"commit {first * 1e3:.2f} ms, after {N_OBJECTS} {last * 1e3:.2f} ms; "
        f"objects() {reading:.3f} s; label image of {N_OBJECTS // 20} objects "
        f"{painting:.3f} s; COCO {exporting:.3f} s of processor time; "
        f"open and close {opening:.3f} s"
    )
    # the machine may be busy with something else for one of the two
    assert last < 3 * first
    assert reading < 2
    assert painting < 2
    assert opening < 2
    assert exporting < 2
