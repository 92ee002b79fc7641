from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.huge_image import HugeImage
from napari_infosam.core.masks import decode_rle
from napari_infosam.core.metrics import iou
from napari_infosam.core.placed import (
    Place,
    PlacedMask,
    placed_box,
    placed_rle,
)
from napari_infosam.core.prompts import Box, Point, PromptSet
from napari_infosam.core.tiles import Tile
from napari_infosam.models import Predictor, SamModel, TiledEmbedding
from napari_infosam.models.automatic import point_grid, propose
from napari_infosam.models.batch import Cancelled
from napari_infosam.models.drawing import full_resolution
from napari_infosam.models.prediction import Prediction
from napari_infosam.models.sam_model import upscale_logits
from napari_infosam.models.tiles import moved_logits

SIDE = 6000
CENTER = (3010, 2990)
RADIUS = 60


@pytest.fixture
def predictor(base: SamModel) -> Predictor:
    return Predictor(base)


def disc(radius: int = RADIUS) -> PlacedMask:
    row, column = CENTER
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    place = Place(row - radius, column - radius, (SIDE, SIDE))
    return PlacedMask(np.hypot(rows, columns) < radius, place)


@pytest.fixture(scope="module")
def image() -> HugeImage:
    """Return a huge image with one disc."""
    pixels = np.full((SIDE, SIDE), 40, np.uint8)
    row, column = CENTER
    here = np.s_[row - RADIUS : row + RADIUS + 1, column - RADIUS : column + RADIUS + 1]
    pixels[here][np.asarray(disc())] = 200
    return HugeImage([pixels]).prepare()


@pytest.mark.parametrize("seen_at", [1, 4])
def test_a_mask_lies_in_the_image_at_full_resolution(
    predictor: Predictor, image: HugeImage, seen_at: float
) -> None:
    image.seen_at = lambda: seen_at
    embedding = predictor.embed(image)
    assert isinstance(embedding, TiledEmbedding)
    click = PromptSet((Point(CENTER[1], CENTER[0]),))
    found = predictor.answer(click, None, embedding)
    assert isinstance(found.mask, PlacedMask)
    assert found.mask.place is not None
    assert found.mask.place.tile is not None
    assert found.mask.place.tile.stride == seen_at
    assert found.mask.size < 200**2
    assert iou(found.mask, disc()) > 0.9


def test_a_correction_stays_in_its_tile(predictor: Predictor, image: HugeImage) -> None:
    image.seen_at = lambda: 1.0
    embedding = predictor.embed(image)
    click = PromptSet((Point(CENTER[1], CENTER[0]),))
    first = predictor.answer(click, None, embedding)
    image.seen_at = lambda: 4.0
    more = click.add(Point(CENTER[1] + 20, CENTER[0]))
    second = predictor.answer(more, first, embedding)
    assert isinstance(first.mask, PlacedMask)
    assert isinstance(second.mask, PlacedMask)
    assert first.mask.place is not None
    assert second.mask.place is not None
    assert second.mask.place.tile == first.mask.place.tile
    # a point far away needs a coarser one, and the first mask goes along
    far = more.add(Point(CENTER[1] + 1500, CENTER[0], positive=False))
    third = predictor.answer(far, second, embedding)
    assert isinstance(third.mask, PlacedMask)
    assert iou(third.mask, disc()) > 0.8


def test_a_box_is_answered_however_far_it_was_drawn(
    predictor: Predictor, image: HugeImage
) -> None:
    image.seen_at = lambda: 4.0
    row, column = CENTER
    box = Box(column - 62, row - 62, column + 62, row + 62)
    found = predictor.predict(box=box.as_array(), embedding=predictor.embed(image))
    assert isinstance(found.mask, PlacedMask)
    assert found.mask.place is not None
    assert found.mask.place.tile is not None
    assert found.mask.place.tile.stride == 1
    assert iou(found.mask, disc()) > 0.9


def test_ambiguity_masks_lie_in_the_image(
    predictor: Predictor, image: HugeImage
) -> None:
    predictor.set_image(image)
    found = predictor.predict([[CENTER[1], CENTER[0]]], multimask=True)
    assert [isinstance(one.mask, PlacedMask) for one in found] == [True] * 3
    with pytest.raises(InfosamError, match="outside the image"):
        predictor.predict([[SIDE + 1, 0]])
    with pytest.raises(InfosamError, match="one tile"):
        predictor.predict([[9, 9]], mask_input=found[0].low_res_logits)


def bump(center: tuple[float, float], tile: Tile, radius: float) -> np.ndarray:
    """Return low-res logits of a disc that is given in the image."""
    grid = (np.arange(256) + 0.5) * 4 * tile.stride - 0.5
    rows, columns = grid[:, None] + tile.row, grid[None] + tile.column
    distance = np.hypot(rows - center[0], columns - center[1])
    return np.clip((radius - distance) / (4 * tile.stride), -8, 8).astype(np.float32)


@pytest.mark.parametrize("stride", [1, 2, 8])
def test_a_coarse_mask_is_smooth_at_full_resolution(stride: int) -> None:
    tile = Tile(512 * stride, 256 * stride, 1024 * stride, 1024 * stride, stride)
    frame = (4096 * stride, 4096 * stride)
    center = (tile.row + 300.0 * stride, tile.column + 1000.0 * stride)
    radius = 100 * stride
    logits = bump(center, tile, radius)
    mask = upscale_logits(torch.from_numpy(logits)[None, None], tile.shape)[0, 0] > 0
    inside = Prediction(mask.numpy(), 1.0, logits)
    crop, row, column = full_resolution(inside, tile)
    found = PlacedMask(crop, Place(row, column, frame))
    rows, columns = np.ogrid[: crop.shape[0], : crop.shape[1]]
    distance = np.hypot(rows + row - center[0], columns + column - center[1])
    true = PlacedMask(distance < radius, Place(row, column, frame))
    assert iou(found, true) > 0.98
    # cut at the tile's right border, not beyond it
    assert column + crop.shape[1] <= tile.column + tile.width
    if stride == 1:
        whole = decode_rle(placed_rle(found), frame)
        np.testing.assert_array_equal(
            whole[row : row + crop.shape[0], column : column + crop.shape[1]], crop
        )


@pytest.mark.parametrize(
    "new",
    [
        Tile(0, 0, 1024, 1024, 1),
        Tile(128, 256, 1024, 1024, 1),
        Tile(0, 0, 2048, 2048, 2),
    ],
)
def test_logits_are_moved_with_their_object(new: Tile) -> None:
    old, center = Tile(0, 0, 1024, 1024, 1), (500.0, 600.0)
    moved = moved_logits(bump(center, old, 100), old, new)
    expected = bump(center, new, 100)
    both = ((moved > 0) & (expected > 0)).sum(), ((moved > 0) | (expected > 0)).sum()
    assert both[0] / both[1] > 0.95


def test_no_mask_is_an_empty_crop() -> None:
    empty = Prediction(np.zeros((64, 64), bool), 0.1, np.zeros((256, 256), np.float32))
    crop, row, column = full_resolution(empty, Tile(64, 128, 64, 64, 1))
    assert (crop.size, row, column) == (0, 64, 128)


@pytest.fixture(scope="module")
def many() -> tuple[HugeImage, list[PlacedMask]]:
    """Return a huge image with discs: four side by side, and one far away."""
    pixels = np.full((SIDE, SIDE), 40, np.uint8)
    discs = []
    for row, column, radius in (
        (1000, 1000, 60),
        (1000, 1180, 50),
        (1170, 1010, 40),
        (1200, 1200, 60),
        (5000, 4600, 400),
    ):
        rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
        place = Place(row - radius, column - radius, (SIDE, SIDE))
        discs.append(PlacedMask(np.hypot(rows, columns) < radius, place))
        here = np.s_[row - radius : row + radius + 1, column - radius :]
        pixels[here][:, : 2 * radius + 1][np.asarray(discs[-1])] = 200
    return HugeImage([pixels]).prepare(), discs


def test_many_boxes_are_answered_in_their_tiles(
    predictor: Predictor, many: tuple[HugeImage, list[PlacedMask]]
) -> None:
    image, discs = many
    embedding = predictor.embed(image)
    assert isinstance(embedding, TiledEmbedding)
    boxes = [placed_box(disc) for disc in discs]
    corners = [box.as_array() for box in boxes if box is not None]
    told: list[tuple[int, int]] = []
    found = predictor.predict_boxes(
        corners, embedding=embedding, on_progress=lambda *now: told.append(now)
    )
    assert told[-1] == (5, 5)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    tiles = {small.tile for small in found}
    assert {tile.stride for tile in tiles if tile is not None} == {1, 2}
    for small, disc, box in zip(found, discs, boxes, strict=True):
        mask = small.mask()
        assert isinstance(mask, PlacedMask)
        assert iou(mask, disc) > 0.9
        alone = predictor.answer(PromptSet(box=box), None, embedding)
        assert iou(mask, alone.mask) > 0.99

    assert predictor.predict_boxes([], embedding=embedding) == []
    with pytest.raises(Cancelled):
        predictor.predict_boxes(corners, embedding=embedding, cancelled=lambda: True)
    with pytest.raises(InfosamError, match="outside"):
        predictor.predict_boxes([[-90, -90, -30, -30]], embedding=embedding)


@pytest.mark.parametrize("extent", [600, 1100])
def test_everything_in_view_is_proposed_in_one_tile(
    predictor: Predictor, many: tuple[HugeImage, list[PlacedMask]], extent: int
) -> None:
    image, discs = many
    embedding = predictor.embed(image)
    assert isinstance(embedding, TiledEmbedding)
    view = Box(*[1100 - extent / 2] * 2, *[1100 + extent / 2] * 2)
    tile = embedding.tile_of_view(view)
    assert tile.stride == (1 if extent < 1024 else 2)
    n_side = extent // 70
    points = point_grid(image.plane, view, n_side, tile)
    assert len(points) == n_side**2
    found = propose(predictor, points, embedding=embedding, tile=tile)
    for disc in discs[:4]:
        assert max(iou(one.small.mask(), disc) for one in found) > 0.9
    for one in found:
        assert one.small.tile == tile
        assert one.small.mask().shape != image.plane
        x, y = tile.point_inside(one.point.x, one.point.y)
        assert max(x, y) < 1024
