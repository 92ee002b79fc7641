from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from napari_infosam.core.prompts import Box, Point, PromptSet
from napari_infosam.core.tiles import (
    Tile,
    around,
    around_all,
    choose_tile,
    is_huge,
    neighbours,
    tile_of_view,
)

SIDE = 64


@st.composite
def images(draw: st.DrawFn) -> tuple[tuple[int, int], PromptSet]:
    """Draw the shape of an image, and prompts in it."""
    shape = (draw(st.integers(1, 3000)), draw(st.integers(1, 3000)))
    x, y = st.floats(0, shape[1] - 1), st.floats(0, shape[0] - 1)
    points = st.builds(Point, x, y, st.booleans())
    boxes = st.none() | st.builds(Box, x, y, x, y)
    prompts = PromptSet(tuple(draw(st.lists(points, max_size=3))), draw(boxes))
    return shape, prompts or PromptSet((draw(points),))


@given(images(), st.floats(0.1, 100))
def test_a_tile_holds_the_prompts_and_lies_in_the_image(
    image: tuple[tuple[int, int], PromptSet], seen_at: float
) -> None:
    shape, prompts = image
    tile = choose_tile(shape, prompts, seen_at=seen_at, side=SIDE)
    assert tile.holds(around(prompts), 0, shape)
    assert 0 <= tile.row < tile.row + tile.height <= shape[0]
    assert 0 <= tile.column < tile.column + tile.width <= shape[1]
    assert max(tile.shape) <= SIDE
    assert tile.stride & (tile.stride - 1) == 0
    # positions in the tile are those of a grid that begins at the image's corner
    assert tile.row % tile.stride == tile.column % tile.stride == 0
    inside = tile.prompts_inside(prompts)
    height, width = tile.shape
    for point in inside.points:
        assert -0.5 <= point.x <= width - 0.5
        assert -0.5 <= point.y <= height - 0.5


@given(
    st.builds(
        Tile,
        st.integers(0, 9999),
        st.integers(0, 9999),
        st.integers(1, 999),
        st.integers(1, 999),
        st.sampled_from([1, 2, 4, 64]),
    ),
    st.floats(-9999, 9999),
    st.floats(-9999, 9999),
)
def test_positions_go_there_and_back(tile: Tile, x: float, y: float) -> None:
    assert tile.point_outside(*tile.point_inside(x, y)) == pytest.approx((x, y))


@given(images(), st.floats(0.1, 100))
def test_an_earlier_tile_is_used_again_where_it_suits(
    image: tuple[tuple[int, int], PromptSet], seen_at: float
) -> None:
    shape, prompts = image
    tile = choose_tile(shape, prompts, seen_at=seen_at, side=SIDE)
    again = choose_tile(shape, prompts, seen_at=seen_at, recent=[tile], side=SIDE)
    assert again == tile


@given(images(), images())
def test_a_tile_shows_all_that_is_in_view(
    one: tuple[tuple[int, int], PromptSet], other: tuple[tuple[int, int], PromptSet]
) -> None:
    view = around_all([one[1], other[1]])
    shape = (max(one[0][0], other[0][0]), max(one[0][1], other[0][1]))
    tile = tile_of_view(shape, view, SIDE)
    assert tile.holds(view, -tile.stride, shape)
    assert 0 <= tile.row < tile.row + tile.height <= shape[0]
    assert 0 <= tile.column < tile.column + tile.width <= shape[1]
    assert max(tile.shape) <= SIDE
    assert tile.row % tile.stride == tile.column % tile.stride == 0
    # a finer one would not do
    assert tile.stride == 1 or max(view.x1 - view.x0, view.y1 - view.y0) > (
        SIDE * tile.stride / 2
    )


def test_a_tile_covers_the_last_pixels_of_the_image() -> None:
    shape = (1001, 803)
    prompts = PromptSet((Point(802, 1000),))
    tile = choose_tile(shape, prompts, seen_at=8, side=SIDE)
    assert tile.stride == 8
    assert (tile.box.x1, tile.box.y1) == (802, 1000)


@pytest.mark.parametrize(
    ("prompts", "seen_at", "stride"),
    [
        (PromptSet((Point(9000, 9000),)), 1, 1),
        (PromptSet((Point(9000, 9000),)), 4, 4),
        (PromptSet((Point(9000, 9000),)), 1e6, 32),  # the whole image, no coarser
        # a box says how large the object is, from however far it was drawn
        (PromptSet(box=Box(9000, 9000, 9200, 9100)), 4, 1),
        (PromptSet(box=Box(5000, 5000, 9000, 9000)), 1, 8),
        (PromptSet((Point(100, 100), Point(3000, 100))), 1, 8),
    ],
)
def test_the_stride_suits_what_is_prompted(
    prompts: PromptSet, seen_at: float, stride: int
) -> None:
    tile = choose_tile((20_000, 20_000), prompts, seen_at=seen_at)
    assert tile.stride == stride


def test_the_tile_of_a_mask_stays_until_the_mask_meets_its_border() -> None:
    shape = (20_000, 20_000)
    first = PromptSet((Point(9000, 9000),))
    tile = choose_tile(shape, first, seen_at=2)
    mask = Box(8900, 8900, 9100, 9100)
    second = first.add(Point(9050, 9000))
    # even where the person has zoomed in meanwhile
    assert choose_tile(shape, second, mask=mask, last=tile, seen_at=0.5) == tile
    cut = Box(tile.column, 8900, 9100, 9100)
    larger = choose_tile(shape, second, mask=cut, last=tile)
    assert larger != tile
    assert larger.holds(cut, 100, shape)


def test_only_large_images_are_huge() -> None:
    assert not is_huge((5000, 6000))
    assert is_huge((20_000, 20_000))


@example(((2, 112), PromptSet((Point(0, 0),))), 1.0, 0.0, 0.3671875)  # between pixels
@given(images(), st.floats(0.1, 20), st.floats(-0.7, 0.7), st.floats(-0.7, 0.7))
def test_the_next_prompt_beside_a_tile_lies_in_a_neighbour(
    image: tuple[tuple[int, int], PromptSet], seen_at: float, down: float, right: float
) -> None:
    shape, prompts = image
    point = PromptSet(prompts.points[:1] or (Point(0, 0),))
    tile = choose_tile(shape, point, seen_at=seen_at, side=SIDE)
    around_it = neighbours(tile, shape, point.points[0], side=SIDE)
    assert len(set(around_it)) == len(around_it) <= 8
    assert tile not in around_it
    # from the middle, a little less than a tile away
    y = tile.row + tile.height / 2 + down * SIDE * tile.stride
    x = tile.column + tile.width / 2 + right * SIDE * tile.stride
    if 0 <= y <= shape[0] - 1 and 0 <= x <= shape[1] - 1:
        beside = PromptSet((Point(x, y),))
        at_hand = [tile, *around_it]
        again = choose_tile(shape, beside, seen_at=seen_at, recent=at_hand, side=SIDE)
        assert again in at_hand
