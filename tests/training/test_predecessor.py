"""Which version a training goes on from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_infosam.project import Project
from napari_infosam.training.gate import TOLERANCE
from napari_infosam.training.predecessor import gain, predecessor

from .versions import add_version


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with Project.create(tmp_path / "cells") as made:
        yield made


def found(project: Project) -> str:
    """Return the id of the version that a training goes on from."""
    version = predecessor(project)
    return "base" if version is None else version.id


def test_it_is_the_active_version(project: Project) -> None:
    assert found(project) == "base"
    add_version(project, "active", gained=0.1)
    assert found(project) == "v001"
    project.activate("base")  # what a person has put aside stays there
    assert found(project) == "base"


@pytest.mark.parametrize("parent", ["base", "v001"])
def test_a_student_that_gained_too_little_is_gone_on_from(
    project: Project, parent: str
) -> None:
    if parent != "base":
        add_version(project, "active", gained=0.1)
    newest = add_version(project, "rejected", gained=0.004, parent=parent)
    assert found(project) == newest
    newest = add_version(project, "rejected", gained=0.01, parent=parent)
    assert found(project) == newest
    add_version(project, "rejected", gained=-0.001, parent=parent)
    assert found(project) == parent  # its way led nowhere


@pytest.mark.parametrize(
    ("gained", "box"),
    [
        (None, 0.0),  # not measured
        (0.0, 0.0),
        (-0.01, 0.02),  # on the mean it lost
        (0.02, -0.025 - TOLERANCE),  # boxes are forgotten
    ],
)
def test_one_that_lost_is_not(
    project: Project, gained: float | None, box: float
) -> None:
    add_version(project, "rejected", gained=gained, box=box)
    assert found(project) == "base"


def test_one_that_met_another_version_is_not(project: Project) -> None:
    add_version(project, "rejected", gained=0.01)
    assert found(project) == "v001"
    add_version(project, "active", gained=0.1)
    assert found(project) == "v002"
    add_version(project, "rejected", gained=0.01, parent="v002")
    assert found(project) == "v003"
    project.activate("base")
    assert found(project) == "base"
    project.activate("v002")
    assert found(project) == "v003"
    project.shelf.delete("v003")
    assert found(project) == "v002"


def test_a_gain_is_the_mean_over_prompts(project: Project) -> None:
    add_version(project, "rejected", gained=0.1, box=0.04)
    assert gain(project.version("v001")) == pytest.approx(0.11)
    add_version(project, "rejected")
    assert gain(project.version("v002")) is None
