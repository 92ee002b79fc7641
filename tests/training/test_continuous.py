"""When continuous mode trains, and what it says where it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_infosam.core.options import FinetuneOptions
from napari_infosam.project import Project
from napari_infosam.training.continuous import (
    LITTLE,
    Situation,
    decide,
    options_for,
    retry_after,
)

from .versions import add_version


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
        (Situation(2, 5, 0, True, "full", 2), "", "last 2 students were rejected, or"),
        (Situation(2, 5, 0, False, "full", 2), "", "on with the next accepted object"),
        (Situation(2, 6, 1, False, "full", 2), "quick", "1 new object to"),
        (Situation(2, 8, 0, True, "full", 4), "", "It goes on after 4 more objects."),
        (Situation(2, 9, 3, False, "full", 4), "", "on with the next accepted object"),
        (Situation(2, 9, 4, False, "full", 4), "quick", "4 new objects"),
        (Situation(2, 6, 1, False, "full", 0, "adapter"), "full", "1 new object to"),
        (Situation(2, 5, 0, False, "full", 0, "adapter"), "full", "Objects have chan"),
        (Situation(2, 6, 1, False, "full", 0, "lora"), "quick", "1 new object to"),
        (Situation(2, 5, 0, True, "full", 0, "adapter"), "", "with the next accepted"),
        (Situation(0, 0, 0, False, "full"), "", "Starts by itself"),
    ],
)
def test_what_comes_next(now: Situation, stage: str, says: str) -> None:
    decision = decide(now)
    assert decision.stage == stage
    assert says in decision.reason


def test_plain_decoder_tuning_has_one_stage() -> None:
    assert decide(Situation(2, 5, 0, True, "quick"), "decoder").stage == ""
    goes_on = Situation(2, 6, 1, False, "quick", 0, "decoder")
    assert decide(goes_on, "decoder").stage == "quick"


@given(
    n_images=st.integers(0, 3),
    n_objects=st.integers(0, 40),
    newest=st.sampled_from(["", "quick", "full"]),
    stale=st.integers(0, 40),
    onward=st.sampled_from(["", "decoder", "adapter", "lora"]),
)
def test_it_comes_to_rest_and_wakes_up(
    n_images: int, n_objects: int, newest: str, stale: int, onward: str
) -> None:
    if not newest:
        stale, onward = 0, ""
    learnt = Situation(n_images, n_objects, 0, bool(newest), newest, stale, onward)
    if decide(learnt).stage:  # once more on the same objects, and it is the last time
        after = Situation(n_images, n_objects, 0, True, "full", stale + 1, onward)
        assert not decide(after).stage
    enough = Situation(3, n_objects + 64, 64, False, newest, stale, onward)
    assert decide(enough).stage == ("full" if onward == "adapter" else "quick")


def test_the_options_of_the_person_are_kept() -> None:
    chosen = FinetuneOptions(method="lora", max_seconds=300, seed=7)
    quick, full = options_for("quick", chosen), options_for("full", chosen)
    assert (quick.stages, quick.max_seconds, quick.seed) == (("quick",), 50, 7)
    assert (full.stages, full.max_seconds, full.method) == (
        ("quick", "full"),
        300,
        "lora",
    )
    assert options_for("quick", FinetuneOptions(max_seconds=20)).max_seconds == 20


def test_what_fails_again_and_again_is_given_up() -> None:
    delays = [retry_after(failures) for failures in (1, 2, 3, 4)]
    assert delays == [30, 300, None, None]


def mask(column: int) -> np.ndarray:
    made = np.zeros((20, 40), bool)
    made[5:10, column : column + 3] = True
    return made


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
        add_version(project, "active", "full")
        assert Situation.of(project).onward == "adapter"
        project.activate("base")
        assert Situation.of(project).onward == ""
        add_version(project, "rejected", "full", 0.01)
        assert Situation.of(project).onward == "adapter"


def test_students_that_hardly_gain_are_a_plateau(tmp_path: Path) -> None:
    """Accepted ones too; one that gains more, or was not measured, ends it."""
    with Project.create(tmp_path / "cells") as project:
        image = project.add_image(np.zeros((20, 40), np.uint8), "first")
        for column in (0, 10):
            project.commit(image.id, mask(column))
        stale = []
        for status, gained in (
            ("accepted", 0.1),
            ("accepted", 0.008),
            ("rejected", 0.1),
            ("accepted", LITTLE + 0.001),
            ("accepted", 0.006),
            ("accepted", 0.007),
        ):
            add_version(project, status, "full", gained)
            stale.append(Situation.of(project).stale)
        assert stale == [0, 1, 2, 0, 1, 2]
        assert decide(Situation.of(project)).reason == (
            "Paused: the last 2 students were rejected, or gained less than 0.01 IoU. "
            "It goes on with the next accepted object."
        )
        project.commit(image.id, mask(20))
        assert decide(Situation.of(project)).stage == "quick"
        add_version(project, "accepted", "full")
        assert Situation.of(project).stale == 0


def test_deleting_a_weak_student_does_not_try_it_again(tmp_path: Path) -> None:
    with Project.create(tmp_path / "cells") as project:
        image = project.add_image(np.zeros((20, 40), np.uint8), "first")
        for column in (0, 10):
            project.commit(image.id, mask(column))
        add_version(project, "rejected", "quick")
        add_version(project, "rejected", "full")
        paused = decide(Situation.of(project))
        assert paused.reason.startswith("Paused: the last 2 students were rejected")
        for version in ("v002", "v001"):
            project.shelf.delete(version)
            assert decide(Situation.of(project)) == paused
