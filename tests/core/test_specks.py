from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from napari_infosam.core.specks import LARGEST, SHARE, without_specks

CORNERS = np.ones((3, 3))


def logits(side: int = 64) -> np.ndarray:
    """Return those of a disc of 1257 pixels."""
    y, x = np.mgrid[:side, :side]
    return (20 - np.hypot(y - 30, x - 30)).astype(np.float32)


def test_a_speck_and_a_pinhole_are_left_out() -> None:
    clean = logits()
    drawn = clean.copy()
    drawn[2:5, 60:63] = 4
    drawn[30, 30] = -4
    tidy = without_specks(drawn)
    np.testing.assert_array_equal(tidy > 0, clean > 0)
    others = drawn == clean
    np.testing.assert_array_equal(tidy[others], clean[others])


def test_what_was_clicked_on_is_meant() -> None:
    drawn = logits()
    drawn[2:5, 60:63] = 4
    drawn[30, 30] = -4
    tidy = without_specks(drawn, on=[(3, 61)], off=[(30, 30)])
    np.testing.assert_array_equal(tidy, drawn)


def test_pieces_of_one_size_are_no_specks() -> None:
    dots = np.full((64, 64), -1, np.float32)
    dots[::4, ::4] = 1
    np.testing.assert_array_equal(without_specks(dots), dots)


@pytest.mark.parametrize("value", [-1, 1])
def test_nothing_and_everything_stay(value: int) -> None:
    same = np.full((8, 8), value, np.float32)
    np.testing.assert_array_equal(without_specks(same), same)


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 40), st.integers(1, 40)),
        elements=st.sampled_from([-2.0, -1.0, 1.0, 2.0]),
    ),
    st.booleans(),
)
def test_only_small_pieces_and_holes_change(drawn: np.ndarray, is_big: bool) -> None:
    if is_big:  # beside something large the small is a speck
        drawn = np.pad(drawn, ((0, 60), (0, 60)), constant_values=-1)
        drawn[-50:, -50:] = 1
    tidy = without_specks(drawn)
    pieces, number = ndimage.label(drawn > 0, CORNERS)
    largest = max(np.bincount(pieces.ravel(), minlength=number + 1)[1:], default=0)
    changed = tidy != drawn
    np.testing.assert_array_equal((tidy > 0) != (drawn > 0), changed)
    holes, _ = ndimage.label(drawn <= 0)
    for labels in (pieces, holes):
        for label in np.unique(labels[labels > 0]):
            piece = labels == label
            is_small = piece.sum() <= LARGEST and piece.sum() < SHARE * largest
            assert changed[piece].all() == changed[piece].any() == is_small
