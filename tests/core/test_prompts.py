from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.prompts import Box, Point, PromptSet

numbers = st.floats(-1e5, 1e5)
points = st.builds(Point, numbers, numbers, st.booleans())
boxes = st.builds(Box, numbers, numbers, numbers, numbers)


@given(numbers, numbers, numbers, numbers)
def test_corners_of_a_box_come_in_any_order(x0, y0, x1, y1):
    box = Box(x0, y0, x1, y1)
    assert box == Box(x1, y1, x0, y0) == Box(x0, y1, x1, y0)
    assert box.x0 <= box.x1
    assert box.y0 <= box.y1
    expected = np.array([min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)])
    np.testing.assert_array_equal(box.as_array(), expected.astype(np.float32))
    assert box.as_array().dtype == np.float32


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_coordinates_must_be_finite(bad):
    for position in range(2):
        with pytest.raises(InfosamError, match=r"finite coordinates, not \("):
            Point(*(bad if i == position else 1.0 for i in range(2)))
    for position in range(4):
        with pytest.raises(InfosamError, match=r"finite coordinates, not \("):
            Box(*(bad if i == position else 1.0 for i in range(4)))


@given(st.lists(points | boxes, max_size=8))
def test_a_set_keeps_points_in_order_and_the_last_box(prompts):
    collected = PromptSet()
    for prompt in prompts:
        before = collected
        collected = collected.add(prompt)
        assert before is not collected
    wanted = [p for p in prompts if isinstance(p, Point)]
    placed = [p for p in prompts if isinstance(p, Box)]
    assert collected.points == tuple(wanted)
    assert collected.box == (placed[-1] if placed else None)
    assert len(collected) == len(wanted) + bool(placed)
    assert bool(collected) == bool(prompts)
    expected = np.array([(p.x, p.y) for p in wanted], np.float32).reshape(-1, 2)
    np.testing.assert_array_equal(collected.coordinates(), expected)
    assert collected.labels().tolist() == [int(p.positive) for p in wanted]


def test_an_empty_set_has_arrays_of_the_right_shape():
    empty = PromptSet()
    assert not empty
    assert empty.coordinates().shape == (0, 2)
    assert empty.coordinates().dtype == np.float32
    assert empty.labels().shape == (0,)
    assert empty.labels().dtype == np.int64


@given(st.builds(PromptSet, st.tuples(points, points), st.none() | boxes))
def test_a_set_can_be_hashed_and_sent_to_another_process(prompts):
    copy = pickle.loads(pickle.dumps(prompts))
    assert copy == prompts
    assert hash(copy) == hash(prompts)


def test_prompts_can_not_be_changed():
    with pytest.raises(AttributeError):
        Point(1, 2).x = 3  # type: ignore[misc]


@given(st.builds(PromptSet, st.lists(points, max_size=4).map(tuple), st.none() | boxes))
def test_a_set_grows_step_by_step_the_box_first(prompts):
    steps = list(prompts.steps())
    assert [len(step) for step in steps] == list(range(1, len(prompts) + 1))
    assert all(step.box == prompts.box for step in steps)
    assert steps[-1:] == ([prompts] if prompts else [])
