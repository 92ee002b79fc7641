from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_infosam.core.masks import mask_box
from napari_infosam.core.small_masks import SmallMask, TakenParts, apart, trimmed

SHAPE = (12, 15)


def block(corner: tuple[int, int], size: tuple[int, int]) -> SmallMask:
    return SmallMask(np.ones(size, bool), corner, (20, 20), 0.5)


@given(arrays(np.bool_, SHAPE), st.integers(0, 8), st.integers(0, 5))
def test_a_small_mask_is_the_mask(mask: np.ndarray, top: int, left: int) -> None:
    mask[:top] = mask[:, :left] = False
    small = trimmed(mask[top:, left:], (top, left), SHAPE, 0.5)
    np.testing.assert_array_equal(small.mask(), mask)
    assert small.area == mask.sum()
    if small.area:
        assert small.box == mask_box(mask)
    else:
        assert small.part.shape == (0, 0)


def test_the_earlier_one_keeps_shared_pixels() -> None:
    first = block((2, 2), (6, 6))
    cut = block((2, 6), (6, 6))  # a third of it is the first one's
    covered = block((3, 3), (4, 3))
    below = block((13, 0), (6, 3))  # all but a sixth is taken
    taken = np.zeros((20, 20), bool)
    taken[14:] = True

    kept = apart([first, cut, covered, below], taken, 0.5)

    assert kept[0] is not None
    assert kept[1] is not None
    assert kept[2:] == [None, None]
    assert kept[0].area == 36
    assert (kept[1].corner, kept[1].area) == ((2, 8), 24)
    assert not (kept[0].mask() & kept[1].mask()).any()
    assert taken.sum() == 6 * 20  # what was given is not changed
    assert [one is None for one in apart([first, cut, below], taken)] == [False] * 3


@given(
    arrays(np.bool_, (20, 20)),
    st.lists(
        st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(1, 8)] * 2), max_size=6
    ),
)
def test_parts_are_taken_as_pixels_of_a_whole(
    before: np.ndarray, blocks: list[tuple[int, int, int, int]]
) -> None:
    masks = [block(one[:2], one[2:]) for one in blocks]
    labels = before.astype(np.int32) * 3
    parts = TakenParts(lambda rows, columns: labels[np.ix_(rows, columns)])
    for _ in range(2):  # what was given is not changed
        for one, other in zip(apart(masks, before), apart(masks, parts), strict=True):
            assert (one is None) == (other is None)
            if one is not None and other is not None:
                np.testing.assert_array_equal(one.mask(), other.mask())
