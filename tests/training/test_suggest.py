from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_infosam.models import Predictor, load_model
from napari_infosam.models.student import StudentSpec, build_student, load_student
from napari_infosam.models.student import save_student as save
from napari_infosam.training.disagreement import disagreement, grid
from napari_infosam.training.suggest import RANDOM_IMAGES, suggest

NAMES = {number: f"image {number}" for number in range(6)}


def test_nothing_is_suggested_when_all_is_done() -> None:
    assert suggest({}, 3, {}) is None


def test_the_first_ten_are_drawn_and_the_draw_stays() -> None:
    first = suggest(NAMES, 1, {5: 0.9}, "v001")
    assert first is not None
    assert "at random" in first.reason
    assert "1 has objects" in first.reason
    for gone in NAMES.keys() - {first.image}:
        left = {key: name for key, name in NAMES.items() if key != gone}
        assert suggest(left, 2, {}) is not None
        assert suggest(left, 2, {}).image == first.image


def test_then_the_image_that_base_and_student_disagree_on_most() -> None:
    found = suggest(NAMES, RANDOM_IMAGES, {1: 0.2, 4: 0.5, 99: 0.9}, "v003")
    assert found is not None
    assert found.image == 4
    assert "v003 and the base disagree most" in found.reason
    assert "50%" in found.reason
    assert "mean of 2 images: 35%" in found.reason


@pytest.mark.parametrize(
    ("version", "found", "says"),
    [
        ("base", {}, "no version answers"),
        ("v002", {}, "v002 has not been compared with the base on a new image yet"),
        ("v002", {1: None}, "has not been compared"),
        ("v002", dict.fromkeys(NAMES), "v002 can not be compared with the base on the"),
    ],
)
def test_without_a_comparison_it_is_drawn_and_the_reason_is_true(
    version: str, found: dict[int, float | None], says: str
) -> None:
    drawn = suggest(NAMES, 30, found, version)
    assert drawn is not None
    assert drawn.reason.startswith("drawn at random")
    assert says in drawn.reason


def test_what_can_not_be_compared_is_passed_over() -> None:
    found = suggest(NAMES, RANDOM_IMAGES, {1: None, 4: 0.5, 5: 0.0}, "v003")
    assert found is not None
    assert found.image == 4
    assert "mean of 2 images" in found.reason


@given(st.sets(st.text(max_size=5), min_size=1), st.integers(0, 20))
def test_what_is_suggested_is_a_candidate(names: set[str], n_reviewed: int) -> None:
    found = suggest({name: name for name in names}, n_reviewed, {})
    assert found is not None
    assert found.image in names


# -------------------------------------------------------------- disagreement
def test_the_grid_lies_in_the_middle_of_equal_fields() -> None:
    assert grid((2, 4), 2).tolist() == [[0.5, 0], [2.5, 0], [0.5, 1], [2.5, 1]]


@pytest.fixture(scope="module")
def base() -> Predictor:
    return Predictor(load_model("vit_t", "cpu"))


def discs() -> np.ndarray:
    rows, columns = np.mgrid[:96, :96]
    image = np.random.default_rng(0).integers(20, 40, (96, 96))
    image[np.hypot(rows - 48, columns - 48) < 20] = 220
    return image.astype(np.uint8)


def test_a_model_agrees_with_itself_and_not_with_a_spoilt_one(
    base: Predictor, tmp_path: Path
) -> None:
    assert disagreement(base, base, discs()) == 0
    spec = StudentSpec.of(base.model, "decoder")
    student, weights = build_student(base.model.sam, spec)
    for number, values in enumerate(weights):
        noise = np.random.default_rng(number).normal(0, 0.02, tuple(values.shape))
        values.data += values.new_tensor(noise)
    save(student, tmp_path / "student.safetensors", spec)
    spoilt = load_student(base.model, tmp_path / "student.safetensors", "v001")
    found = disagreement(base, Predictor(spoilt), discs())
    assert found is not None
    assert 0.05 < found <= 1


def test_it_gives_way(base: Predictor) -> None:
    calls = iter([False, False, True])
    assert disagreement(base, base, discs(), paused=lambda: next(calls)) is None
