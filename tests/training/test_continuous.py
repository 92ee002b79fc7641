"""When continuous mode trains, and what it says where it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_infosam.core.options import FinetuneOptions
from napari_infosam.project import Project, VersionRecord
from napari_infosam.project.versions import KNOWN_NUMBERS, known_numbers
from napari_infosam.training.continuous import Situation, decide, options_for


@pytest.mark.parametrize(
    ("now", "stage", "says"),
    [
        (Situation(0, 0), "", "once 2 images have objects, or one has 10"),
        (Situation(1, 1, 1), "", "once 2 images"),
        (Situation(1, 7, 7), "", "in another image, or after 3 more objects"),
        (Situation(1, 9, 9), "", "after 1 more object."),
        (Situation(1, 10, 10), "quick", "10 new objects"),
        (Situation(2, 2, 2), "quick", "2 new objects"),
        (Situation(2, 5, 0, True, "quick"), "full", "now the full one"),
        (Situation(2, 5, 0, True, "quick", 1), "full", "now the full one"),
        (Situation(2, 5, 0, True, "full"), "", "with the next accepted object"),
        (Situation(2, 6, 1, False, "full"), "quick", "1 new object to"),
        (Situation(2, 5, 0, False, "full"), "quick", "Objects have changed"),
        (Situation(2, 6, 1, False, "full", 2), "", "after 1 more object."),
        (Situation(2, 7, 2, False, "full", 2), "quick", "2 new objects"),
        (Situation(2, 9, 3, False, "full", 4), "", "last 4 students were no better"),
        (Situation(0, 0, 0, False, "full"), "", "Starts by itself"),
    ],
)
def test_what_comes_next(now: Situation, stage: str, says: str) -> None:
    decision = decide(now)
    assert decision.stage == stage
    assert says in decision.reason


def test_plain_decoder_tuning_has_one_stage() -> None:
    assert decide(Situation(2, 5, 0, True, "quick"), has_full=False).stage == ""


@given(
    n_images=st.integers(0, 3),
    n_objects=st.integers(0, 40),
    newest=st.sampled_from(["", "quick", "full"]),
    rejected=st.integers(0, 40),
)
def test_it_comes_to_rest_and_wakes_up(
    n_images: int, n_objects: int, newest: str, rejected: int
) -> None:
    rejected = rejected if newest else 0
    learnt = Situation(n_images, n_objects, 0, bool(newest), newest, rejected)
    if decide(learnt).stage:  # once more on the same objects, and it is the last time
        after = Situation(n_images, n_objects, 0, True, "full", rejected + 1)
        assert not decide(after).stage
    enough = Situation(3, n_objects + 64, 64, False, newest, rejected)
    assert decide(enough).stage == "quick"


def test_the_options_of_the_person_are_kept() -> None:
    chosen = FinetuneOptions(method="lora", max_seconds=300, seed=7)
    quick, full = options_for("quick", chosen), options_for("full", chosen)
    assert (quick.stages, quick.max_seconds, quick.seed) == (("quick",), 60, 7)
    assert (full.stages, full.max_seconds, full.method) == (
        ("quick", "full"),
        300,
        "lora",
    )
    assert options_for("quick", FinetuneOptions(max_seconds=20)).max_seconds == 20


def mask(column: int) -> np.ndarray:
    made = np.zeros((20, 40), bool)
    made[5:10, column : column + 3] = True
    return made


def add_version(project: Project, status: str, stage: str = "quick") -> None:
    options = FinetuneOptions(stage=stage)
    known = known_numbers(project.objects(reviewed=True))
    project.add_version(
        VersionRecord(
            id=project.reserve_version(),
            parent="base",
            method=options.method,
            stage=stage,
            options=options.model_dump(mode="json"),
            data_hash=project.data_hash(),
            metrics={KNOWN_NUMBERS: known},
            status=status,
        )
    )


def test_the_situation_is_read_from_the_project(tmp_path: Path) -> None:
    with Project.create(tmp_path / "cells") as project:
        assert Situation.of(project) == Situation(0, 0)
        image = project.add_image(np.zeros((20, 40), np.uint8), "first")
        project.commit(image.id, mask(0))
        project.commit(image.id, mask(10))
        project.commit(image.id, mask(20), reviewed=False)
        assert Situation.of(project) == Situation(1, 2, 2)
        add_version(project, "accepted")
        assert Situation.of(project) == Situation(1, 2, 0, True, "quick", 0)
        add_version(project, "rejected", "full")
        assert Situation.of(project) == Situation(1, 2, 0, True, "full", 1)
        other = project.add_image(np.ones((20, 40), np.uint8), "second")
        project.commit(other.id, mask(5))
        assert Situation.of(project) == Situation(2, 3, 1, False, "full", 1)
        project.undo()
        assert Situation.of(project) == Situation(1, 2, 0, True, "full", 1)
