from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.masks import decode_rle, encode_rle, iter_objects, mask_box

shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)
masks = hnp.arrays(np.bool_, shapes)


@given(masks)
def test_encoding_loses_nothing(mask):
    decoded = decode_rle(encode_rle(mask), mask.shape)
    assert decoded.dtype == np.bool_
    assert decoded.flags.c_contiguous
    np.testing.assert_array_equal(decoded, mask)


@given(masks)
def test_encoding_reads_any_memory_layout(mask):
    wide = np.repeat(mask, 2, axis=1)
    assert encode_rle(wide[:, ::2]) == encode_rle(mask)
    assert encode_rle(np.asfortranarray(mask)) == encode_rle(mask)


def test_a_known_encoding():
    mask = np.zeros((3, 4), np.bool_)
    mask[1, 1:3] = True
    # column by column: 4 background, 1 object, 2 background, 1 object, 4 background;
    # from the fourth run on the difference to the one two before is written
    assert encode_rle(mask) == b"41202"
    np.testing.assert_array_equal(decode_rle(b"41202", (3, 4)), mask)


@given(masks.filter(np.any))
def test_the_box_is_tight(mask):
    box = mask_box(mask)
    x0, y0, x1, y1 = box.as_array().astype(int)
    inside = mask[y0 : y1 + 1, x0 : x1 + 1]
    assert np.count_nonzero(inside) == np.count_nonzero(mask)
    for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
        assert edge.any()


def test_an_empty_mask_has_no_box():
    with pytest.raises(InfosamError, match="empty mask"):
        mask_box(np.zeros((3, 3), np.bool_))


@given(hnp.arrays(np.int64, shapes, elements=st.integers(-2, 4)))
def test_objects_of_a_label_image_put_together_give_it_back(labels):
    back = np.zeros_like(labels)
    seen = []
    for value, mask in iter_objects(labels):
        assert not back[mask].any()
        back[mask] = value
        seen.append(value)
    assert 0 not in seen
    assert seen == sorted(set(seen))
    np.testing.assert_array_equal(back, labels)


def test_the_largest_label_keeps_its_value():
    labels = np.array([[0, np.iinfo(np.uint64).max]], np.uint64)
    ((value, mask),) = iter_objects(labels)
    assert value == np.iinfo(np.uint64).max
    np.testing.assert_array_equal(mask, [[False, True]])
