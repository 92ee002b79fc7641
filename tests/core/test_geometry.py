from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.geometry import (
    MODEL_SIDE,
    box_from_corners,
    box_to_corners,
    model_shape,
    point_from_row_column,
    point_to_row_column,
    row_column_to_xy,
    to_model_xy,
)

side = st.integers(1, 5000)
shapes = st.tuples(side, side)
pixels = st.floats(-1e6, 1e6)


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(0, 9), st.just(2)), elements=pixels)
)
def test_order_is_swapped_and_swapped_back(points):
    xy = row_column_to_xy(points)
    assert xy.shape == points.shape
    np.testing.assert_array_equal(xy[:, 0], points[:, 1])
    np.testing.assert_array_equal(row_column_to_xy(xy), points)


def test_result_is_a_copy():
    points = np.zeros((1, 2))
    row_column_to_xy(points)[:] = 7
    assert not points.any()


def test_points_of_a_stack_lose_their_leading_axes():
    stack = np.array([(9, 1, 2), (9, 3, 4), (9, 5, 6), (9, 7, 8)])
    np.testing.assert_array_equal(
        row_column_to_xy(stack), [(2, 1), (4, 3), (6, 5), (8, 7)]
    )


@pytest.mark.parametrize("empty", [[], np.zeros((0, 2)), np.zeros((0, 3))])
def test_no_points_stay_no_points(empty):
    assert row_column_to_xy(empty).shape == (0, 2)


@given(shapes, st.data(), st.booleans())
def test_every_point_on_a_pixel_is_taken(shape, data, positive):
    row = data.draw(st.floats(-0.5, shape[0] - 0.5, exclude_max=True))
    column = data.draw(st.floats(-0.5, shape[1] - 0.5, exclude_max=True))
    point = point_from_row_column((3, row, column), positive, shape)
    assert (point.x, point.y, point.positive) == (column, row, positive)
    assert point_to_row_column(point) == (row, column)
    assert 0 <= round(point.y) < shape[0] or shape[0] - point.y < 0.5 + 1e-9


@pytest.mark.parametrize(
    "position",
    [(-0.51, 0), (0, -0.51), (3.5, 0), (0, 4.5), (np.nan, 0), (0, np.inf)],
)
def test_a_point_beside_the_image_is_refused(position):
    with pytest.raises(InfosamError, match="inside the image"):
        point_from_row_column(position, True, (4, 5))


@given(shapes, hnp.arrays(np.float64, (4, 2), elements=st.floats(-6000, 6000)))
def test_a_box_lies_in_the_image_or_is_refused(shape, corners):
    try:
        box = box_from_corners(corners, shape)
    except InfosamError:
        last = np.array(shape) - 1
        beside = (corners.max(axis=0) < 0) | (corners.min(axis=0) > last)
        assert beside.any()
        return
    assert 0 <= box.x0 <= box.x1 <= shape[1] - 1
    assert 0 <= box.y0 <= box.y1 <= shape[0] - 1
    if (corners >= 0).all() and (corners <= np.array(shape) - 1).all():
        assert (box.y0, box.x0) == tuple(corners.min(axis=0))
        assert (box.y1, box.x1) == tuple(corners.max(axis=0))


@given(shapes, st.data())
def test_corners_of_a_box_give_the_box_back(shape, data):
    rows = st.floats(0, shape[0] - 1)
    columns = st.floats(0, shape[1] - 1)
    corners = [(data.draw(rows), data.draw(columns)) for _ in range(2)]
    box = box_from_corners(corners, shape)
    assert box_from_corners(box_to_corners(box), shape) == box


def test_corners_run_clockwise_from_the_upper_left():
    box = box_from_corners([(4, 6), (1, 2)], (10, 10))
    np.testing.assert_array_equal(box_to_corners(box), [(1, 2), (1, 6), (4, 6), (4, 2)])


def test_a_box_without_finite_corners_is_refused():
    with pytest.raises(InfosamError, match="finite"):
        box_from_corners([(0, 0), (np.nan, 3)], (8, 8))


@given(shapes)
def test_the_longest_side_becomes_the_model_side(shape):
    height, width = model_shape(shape)
    assert max(height, width) == MODEL_SIDE
    assert min(height, width) >= 1
    exact = np.array(shape) * MODEL_SIDE / max(shape)
    assert np.abs(np.array([height, width]) - exact).max() <= 1


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((303, 384), (808, 1024)),
        ((1024, 1024), (1024, 1024)),
        ((1, 4096), (1, 1024)),
        ((512, 383), (1024, 766)),
    ],
)
def test_the_model_shape_of_known_images(shape, expected):
    assert model_shape(shape) == expected


@given(shapes, hnp.arrays(np.float32, (3, 2), elements=st.floats(0, 1, width=32)))
def test_scaled_points_stay_at_their_place_in_the_picture(shape, fractions):
    assume(min(shape) > 1)
    size = np.array([shape[1], shape[0]], np.float32)
    scaled = to_model_xy(fractions * size, shape)
    assert scaled.dtype == np.float32
    height, width = model_shape(shape)
    expected = fractions * np.array([width, height], np.float32)
    np.testing.assert_allclose(scaled, expected, rtol=1e-5, atol=1e-3)
