from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_infosam.core.saliency import (
    e_measure,
    iou_dice_over_logits,
    s_measure,
    weighted_f_measure,
)

REFERENCE = Path(__file__).parents[1] / "training" / "data" / "metrics.npz"
MEASURES = (s_measure, e_measure, weighted_f_measure)
SHAPE = (9, 7)
maps = arrays(np.float32, SHAPE, elements=st.floats(0, 1, width=32))
masks = arrays(bool, SHAPE)


@pytest.fixture(scope="module")
def reference():
    """Return values computed with the method authors' code."""
    with np.load(REFERENCE) as file:
        return {key: file[key] for key in file.files}


@pytest.mark.parametrize("number", range(3))
def test_the_values_of_the_published_code(reference, number):
    logits = reference["logits"][number, 0].astype(float)
    target = reference["target"][number, 0] > 0.5
    prediction = logits.clip(0, 1)
    found = [
        s_measure(prediction, target),
        e_measure(prediction, target),
        weighted_f_measure(prediction, target, 0.3),
    ]
    assert found == pytest.approx(reference["sod"][number], abs=1e-5)
    assert iou_dice_over_logits(logits, target) == pytest.approx(
        reference["iou_dice_over_logit_thresholds"][number], abs=1e-5
    )


@given(maps, masks)
def test_measures_lie_between_zero_and_one(prediction, target):
    for measure in MEASURES:
        value = measure(prediction, target)
        # by definition the E-measure divides by one pixel less
        assert 0 <= value <= 1 + 1 / (target.size - 1) + 1e-6
    for value in iou_dice_over_logits(prediction, target):
        assert 0 <= value <= 1


@given(masks)
def test_a_perfect_prediction(target):
    prediction = target.astype(float)
    if 1 < target.sum() < target.size - 1:
        assert s_measure(prediction, target) == pytest.approx(1, abs=1e-6)
    if target.any():
        assert weighted_f_measure(prediction, target) == pytest.approx(1, abs=1e-6)
    if 0 < target.mean() <= 0.5:  # else the threshold, twice the mean, is cut at 1
        assert e_measure(prediction, target) == pytest.approx(
            target.size / (target.size - 1)
        )
    assert iou_dice_over_logits(prediction, target) == (1, 1)


def test_nothing_and_everything():
    empty, full = np.zeros(SHAPE, bool), np.ones(SHAPE, bool)
    half = np.full(SHAPE, 0.25)
    assert s_measure(half, empty) == pytest.approx(0.75)
    assert s_measure(half, full) == pytest.approx(0.25)
    assert weighted_f_measure(half, empty) == 0
    assert e_measure(half, empty) == pytest.approx(SHAPE[0] * SHAPE[1] / 62)
    assert e_measure(half, full) == 0


def test_errors_far_from_the_object_weigh_more():
    target = np.zeros((40, 40), bool)
    target[5:15, 5:15] = True
    near, far = target.astype(float), target.astype(float)
    near[5:15, 15:17] = 1
    far[5:15, 30:32] = 1
    assert weighted_f_measure(far, target) < weighted_f_measure(near, target) < 1
