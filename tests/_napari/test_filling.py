"""What layers are filled with, and how much of them is drawn anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.layers import Labels, Points

from napari_infosam._napari.filling import changed_box, drawn_once, fill


def test_the_box_of_what_changed_is_tight() -> None:
    old = np.zeros((20, 30), np.uint16)
    new = old.copy()
    assert changed_box(old, new) is None
    new[3, 7] = new[9, 12] = 5
    assert changed_box(old, new) == (slice(3, 10), slice(7, 13))
    assert changed_box(new, old) == (slice(3, 10), slice(7, 13))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_a_layer_gets_all_that_is_wanted_and_draws_what_changed(dtype: Any) -> None:
    layer = Labels(np.zeros((20, 30), dtype))
    drawn: list[tuple[int, ...]] = []
    whole: list[None] = []
    layer.events.labels_update.connect(lambda event: drawn.append(event.data.shape))
    layer.events.data.connect(lambda _: whole.append(None))
    wanted = np.zeros((20, 30), dtype)
    wanted[4:6, 8:11] = 3
    fill(layer, wanted)
    np.testing.assert_array_equal(layer.data, wanted)
    assert layer.data is not wanted
    assert not whole
    assert drawn == ([] if dtype == np.int32 else [(2, 3)])
    fill(layer, wanted)
    assert len(drawn) < 2
    other = np.ones((5, 5), np.uint16)
    fill(layer, other)
    np.testing.assert_array_equal(layer.data, other)
    assert layer.data is not other
    assert whole


def test_several_changes_of_points_are_drawn_once() -> None:
    points = Points(np.zeros((2, 2)))
    drawn: list[None] = []
    for event in (points.events.set_data, points.events.symbol):
        event.connect(lambda _: drawn.append(None))
    grown: list[None] = []
    points.events.extent.connect(lambda _: grown.append(None))
    with drawn_once(points):
        points.data = np.ones((3, 2))
        points.symbol = ["disc", "x", "disc"]
        points.size = 4
    assert (len(drawn), len(grown)) == (1, 0)
    assert len(points.data) == 3
