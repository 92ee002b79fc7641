from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.masks import decode_rle, encode_rle, mask_box
from napari_infosam.core.metrics import iou
from napari_infosam.core.placed import (
    Place,
    PlacedMask,
    in_common,
    is_on,
    place_of,
    placed_box,
    placed_rle,
)

FRAME = (9, 11)


@st.composite
def placed_masks(draw: st.DrawFn) -> tuple[PlacedMask, np.ndarray]:
    """Draw a crop with a place, and the full mask that it stands for."""
    size = (draw(st.integers(1, FRAME[0])), draw(st.integers(1, FRAME[1])))
    crop = draw(arrays(np.bool_, size))
    row = draw(st.integers(0, FRAME[0] - size[0]))
    column = draw(st.integers(0, FRAME[1] - size[1]))
    full = np.zeros(FRAME, np.bool_)
    full[row : row + size[0], column : column + size[1]] = crop
    return PlacedMask(crop, Place(row, column, FRAME)), full


@given(placed_masks())
def test_a_crop_is_encoded_as_the_full_mask(
    drawn: tuple[PlacedMask, np.ndarray],
) -> None:
    mask, full = drawn
    if not full.any():
        assert placed_box(mask) is None
        return
    assert placed_rle(mask) == encode_rle(full)
    np.testing.assert_array_equal(decode_rle(placed_rle(mask), FRAME), full)
    assert placed_box(mask) == mask_box(full)
    assert np.count_nonzero(mask) == np.count_nonzero(full)


@given(placed_masks(), placed_masks())
def test_crops_are_compared_where_they_lie(
    one: tuple[PlacedMask, np.ndarray], other: tuple[PlacedMask, np.ndarray]
) -> None:
    assert iou(one[0], other[0]) == iou(one[1], other[1])


@given(placed_masks(), st.integers(-1, FRAME[0]), st.integers(-1, FRAME[1]))
def test_a_pixel_is_looked_up_in_the_image(
    drawn: tuple[PlacedMask, np.ndarray], row: int, column: int
) -> None:
    mask, full = drawn
    inside = 0 <= row < FRAME[0] and 0 <= column < FRAME[1]
    assert is_on(mask, row, column) == (inside and full[row, column])
    assert is_on(full, row, column) == (inside and full[row, column])


def test_a_crop_of_pixels_outside_is_refused() -> None:
    with pytest.raises(InfosamError, match="does not lie in an image of 9 x 11"):
        PlacedMask(np.ones((3, 3), np.bool_), Place(7, 0, FRAME))


def test_a_part_of_a_crop_has_no_place() -> None:
    mask = PlacedMask(np.ones((3, 3), np.bool_), Place(1, 1, FRAME))
    assert place_of(mask) is not None
    assert place_of(mask[1:]) is None
    with pytest.raises(InfosamError, match="no place"):
        placed_rle(mask[1:])


def test_the_mask_of_a_huge_image_takes_no_frame() -> None:
    frame = (60_000, 60_000)
    mask = PlacedMask(np.ones((5, 4), np.bool_), Place(59_995, 59_990, frame))
    rle = placed_rle(mask)
    assert len(rle) < 60
    box = placed_box(mask)
    assert box is not None
    assert (box.x0, box.y1) == (59_990, 59_999)


@given(st.lists(placed_masks(), min_size=1, max_size=3))
def test_crops_are_laid_on_each_other(
    drawn: list[tuple[PlacedMask, np.ndarray]],
) -> None:
    parts, (row, column) = in_common(*(mask for mask, _ in drawn))
    assert len({part.shape for part in parts}) == 1
    for part, (_, full) in zip(parts, drawn, strict=True):
        whole = np.zeros(FRAME, np.bool_)
        whole[row : row + part.shape[0], column : column + part.shape[1]] = part
        np.testing.assert_array_equal(whole, full)


def test_whole_masks_and_empty_crops_are_in_common_as_they_are() -> None:
    one = np.ones(FRAME, np.bool_)
    parts, corner = in_common(one, one)
    assert parts[0] is one
    assert corner == (0, 0)
    empty = PlacedMask(np.zeros((0, 0), np.bool_), Place(3, 4, FRAME))
    assert in_common(empty)[0][0].shape == (0, 0)
    mask = PlacedMask(np.ones((2, 3), np.bool_), Place(5, 6, FRAME))
    (none, same), corner = in_common(empty, mask)
    assert corner == (5, 6)
    assert not none.any()
    assert same.all()
