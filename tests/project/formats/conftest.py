from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_infosam.project import Project

from .helpers import make_project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with make_project(tmp_path / "cells") as made:
        yield made


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Project]:
    with Project.create(tmp_path / "other") as made:
        yield made
