from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_infosam.project import ImageRecord, Project

if TYPE_CHECKING:
    from napari_infosam.core.masks import BoolArray

SHAPE = (24, 32)


def square(row: int, column: int, side: int = 4) -> BoolArray:
    """Return a mask of one square."""
    mask = np.zeros(SHAPE, np.bool_)
    mask[row : row + side, column : column + side] = True
    return mask


def gradient(seed: int = 0) -> np.ndarray:
    """Return an image that differs with its seed."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 255, SHAPE, np.uint8)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with Project.create(tmp_path / "cells.infosam") as project:
        yield project


@pytest.fixture
def image(project: Project) -> ImageRecord:
    return project.add_image(gradient(), "cells.png")


@pytest.fixture
def small_disk(mount_disk: Callable[[str], Path]) -> Path:
    """Return an empty disk of two mebibytes."""
    return mount_disk("2m")
