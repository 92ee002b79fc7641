from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_infosam.core.metrics import (
    MAX_CLICKS,
    boundary_iou,
    clicks_to_reach,
    dice,
    iou,
)

shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)
pairs = shapes.flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.bool_, shape, fill=st.nothing()),
        hnp.arrays(np.bool_, shape, fill=st.nothing()),
    )
)


@given(pairs)
def test_against_sets_of_pixels(pair):
    a, b = ({*map(tuple, np.argwhere(mask))} for mask in pair)
    expected_iou = len(a & b) / len(a | b) if a | b else 1.0
    expected_dice = 2 * len(a & b) / (len(a) + len(b)) if a or b else 1.0
    assert iou(*pair) == expected_iou
    assert dice(*pair) == expected_dice


@given(pairs)
def test_symmetric_and_bound_to_each_other(pair):
    a, b = pair
    assert iou(a, b) == iou(b, a)
    assert 0 <= iou(a, b) <= dice(a, b) <= 1
    assert dice(a, b) == pytest.approx(2 * iou(a, b) / (1 + iou(a, b)))


@given(st.lists(st.floats(0, 1), max_size=30), st.floats(0, 1), st.integers(1, 25))
def test_clicks_are_counted_to_the_first_success(ious, threshold, most):
    clicks = clicks_to_reach(ious, threshold, most)
    assert 1 <= clicks <= most
    assert all(value < threshold for value in ious[: clicks - 1])
    if clicks < most:
        assert ious[clicks - 1] >= threshold


def test_an_object_that_is_never_reached_counts_all_clicks():
    assert clicks_to_reach([0.5] * MAX_CLICKS, 0.85) == MAX_CLICKS == 20
    assert clicks_to_reach([], 0.85) == MAX_CLICKS
    assert clicks_to_reach([float("nan"), 0.9], 0.85) == 2


def square(side: int, at: int = 20) -> np.ndarray:
    mask = np.zeros((100, 100), bool)
    mask[at : at + side, at : at + side] = True
    return mask


def test_boundary_iou_looks_at_the_edge_only():
    # the edge is 3 pixels wide: 2 % of the diagonal
    assert boundary_iou(square(50), square(50)) == 1
    assert boundary_iou(square(0), square(0)) == 1
    assert boundary_iou(square(0), square(50)) == 0
    # all of the object but its edge: a good mask, and none of the edge
    assert boundary_iou(square(44, 23), square(50)) == 0
    moved = boundary_iou(square(50, 21), square(50))
    assert 0.4 < moved < iou(square(50, 21), square(50))


def test_the_border_of_the_image_is_an_edge():
    whole = np.ones((100, 100), bool)
    hole = whole.copy()
    hole[3:-3, 3:-3] = False
    assert boundary_iou(whole, hole) == 1
