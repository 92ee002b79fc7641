from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_infosam.core.overview import pyramid, read_overview


@pytest.mark.parametrize("shape", [(5003, 2001), (2, 3001, 1200), (4001, 1300, 3)])
def test_levels_are_pixels_of_the_image(shape: tuple[int, ...]) -> None:
    full = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    rgb = shape[-1] == 3
    axes = slice(-3, -1) if rgb else slice(-2, None)
    levels = pyramid(full, rgb=rgb)
    assert levels[0] is full
    assert max(levels[-1].shape[axes]) <= 512 < max(levels[-2].shape[axes])
    for number, level in enumerate(levels):
        plane = [slice(None, None, 2**number)] * 2
        lead = [slice(None)] * (len(shape) - 2 - rgb)
        expected = full[(*lead, *plane)]
        assert level.shape == expected.shape
        np.testing.assert_array_equal(np.asarray(level), expected)


@given(st.data())
def test_parts_of_a_level_are_parts_of_its_pixels(data: st.DataObject) -> None:
    full = np.arange(1100 * 700, dtype=np.int32).reshape(1100, 700)
    made = full[::2, ::2]
    for level in (pyramid(full)[-1], pyramid(full, made=made, made_stride=2)[-1]):
        whole = np.asarray(level)
        key = tuple(
            data.draw(st.slices(size).filter(lambda s: (s.step or 1) > 0))
            for size in level.shape
        )
        np.testing.assert_array_equal(level[key], whole[key])
        np.testing.assert_array_equal(level[3], whole[3])
        np.testing.assert_array_equal(level[-1, 5:9], whole[-1, 5:9])


def test_an_overview_is_read_in_bands_and_can_be_stopped() -> None:
    full = np.random.default_rng(0).integers(0, 255, (9000, 6000), np.uint8)
    seen: list[float] = []
    overview = read_overview(full, seen.append)
    assert overview is not None
    made, stride = overview
    assert stride == 8
    np.testing.assert_array_equal(made, full[::8, ::8])
    assert len(seen) > 2
    assert seen[-1] == 1
    assert read_overview(full, cancelled=lambda: len(seen) > 2) is None
