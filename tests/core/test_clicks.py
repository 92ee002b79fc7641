from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_infosam.core.clicks import jittered_click, next_click
from napari_infosam.core.prompts import Point

shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)


@st.composite
def situations(draw):
    shape = draw(shapes)
    target = draw(hnp.arrays(np.bool_, shape, fill=st.nothing()))
    prediction = draw(hnp.arrays(np.bool_, shape, fill=st.nothing()))
    pixel = st.tuples(st.integers(0, shape[0] - 1), st.integers(0, shape[1] - 1))
    clicked = tuple(
        Point(float(column), float(row), draw(st.booleans()))
        for row, column in draw(st.lists(pixel, max_size=6))
    )
    return target, prediction, clicked


def squared_depths(error, clicked):
    """Squared distance of every error pixel to the nearest other pixel, by hand."""
    padded = np.pad(error, 1)
    outside = np.argwhere(~padded)
    skip = {(round(point.y), round(point.x)) for point in clicked}
    return {
        (row, column): min(
            (row + 1 - r) ** 2 + (column + 1 - c) ** 2 for r, c in outside
        )
        for row, column in map(tuple, np.argwhere(error))
        if (row, column) not in skip
    }


@given(situations())
def test_against_brute_force(situation):
    target, prediction, clicked = situation
    missed = squared_depths(target & ~prediction, clicked)
    taken = squared_depths(prediction & ~target, clicked)
    click = next_click(target, prediction, clicked)
    if not missed and not taken:
        assert click is None
        return
    assert click is not None
    deepest_missed = max(missed.values(), default=0)
    deepest_taken = max(taken.values(), default=0)
    assert click.positive == (deepest_missed > deepest_taken)
    depths = missed if click.positive else taken
    pixel = (int(click.y), int(click.x))
    assert (click.y, click.x) == pixel
    assert depths[pixel] == max(deepest_missed, deepest_taken)


def disk(shape, row, column, radius):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def test_the_first_click_goes_to_the_middle_of_the_object():
    target = disk((41, 61), 20, 30, 9)
    assert next_click(target, np.zeros_like(target)) == Point(30.0, 20.0, True)


def test_the_larger_error_decides_the_sign():
    target = disk((60, 60), 15, 15, 5)
    prediction = disk((60, 60), 44, 40, 9)
    assert next_click(target, prediction) == Point(40.0, 44.0, False)


def test_the_border_of_the_image_counts_as_background():
    target = np.zeros((9, 9), np.bool_)
    target[:5, :5] = True
    assert next_click(target, np.zeros_like(target)) == Point(2.0, 2.0, True)


def test_a_click_between_pixels_takes_its_pixel_out():
    target = np.zeros((5, 5), np.bool_)
    target[2, 2] = True
    empty = np.zeros_like(target)
    assert next_click(target, empty) == Point(2.0, 2.0, True)
    for dx, dy in itertools.product((-0.4, 0.0, 0.4), repeat=2):
        assert next_click(target, empty, (Point(2 + dx, 2 + dy),)) is None


@pytest.mark.parametrize("value", [False, True])
def test_nothing_to_correct(value):
    mask = np.full((6, 7), value)
    assert next_click(mask, mask) is None


def test_clicking_never_repeats_and_ends():
    target = disk((12, 12), 6, 5, 3)
    empty = np.zeros_like(target)
    clicked: list[Point] = []
    while click := next_click(target, empty, tuple(clicked)):
        assert click not in clicked
        clicked.append(click)
    assert len(clicked) == np.count_nonzero(target)


@given(situations(), st.floats(0, 9), st.integers(0, 9))
def test_a_jittered_click_is_near_and_says_nothing_wrong(situation, pixels, seed):
    target, prediction, clicked = situation
    click, again = (
        jittered_click(
            target, prediction, clicked, pixels=pixels, rng=np.random.default_rng(seed)
        )
        for _ in range(2)
    )
    centre = next_click(target, prediction, clicked)
    assert click == again
    if centre is None:
        assert click is None
        return
    assert np.hypot(click.x - centre.x, click.y - centre.y) <= pixels
    assert click.positive == centre.positive
    pixel = int(click.y), int(click.x)
    assert target[pixel] == click.positive
    assert prediction[pixel] != click.positive
    assert pixel not in {(round(point.y), round(point.x)) for point in clicked}


def test_jittered_clicks_spread():
    target = disk((41, 61), 20, 30, 9)
    rng = np.random.default_rng(0)
    empty = np.zeros_like(target)
    places = {jittered_click(target, empty, pixels=4, rng=rng) for _ in range(50)}
    assert len(places) > 15
