from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from pycocotools import mask as coco
from skimage.draw import polygon2mask

from napari_infosam.core.masks import decode_rle
from napari_infosam.project.formats import polygons
from napari_infosam.project.formats.polygons import one_ring, pieces_without_holes

from .helpers import SCENE, corners, masks, one_pixel, ring, trace


def fill(geometry: Any, shape: tuple[int, int]) -> np.ndarray:
    return decode_rle(polygons.fill(geometry, shape), shape)


def fill_ring(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return decode_rle(polygons.fill_ring(points, shape), shape)


@given(masks())
def test_outlines_give_the_same_pixels(mask: np.ndarray) -> None:
    shape = trace(mask)
    assert shape.is_valid
    assert shape.area == mask.sum()
    np.testing.assert_array_equal(fill(shape, mask.shape), mask)


@given(masks())
def test_pieces_are_the_shape_to_cocos_own_code(mask: np.ndarray) -> None:
    pieces = pieces_without_holes(trace(mask))
    shapes = shapely.polygons([shapely.linearrings(piece) for piece in pieces])
    assert shapely.is_valid(shapes).all()
    assert shapely.area(shapes).sum() == mask.sum()
    flat = [piece.ravel().tolist() for piece in pieces]
    drawn = coco.decode(coco.merge(coco.frPyObjects(flat, *mask.shape)))
    np.testing.assert_array_equal(drawn, mask)


@given(masks())
def test_one_ring_gives_the_same_pixels(mask: np.ndarray) -> None:
    ring = one_ring(trace(mask))
    np.testing.assert_array_equal(fill_ring(ring, mask.shape), mask)
    # scikit-image has pixel centres at whole numbers, and rows first
    drawn = polygon2mask(mask.shape, ring[:, ::-1] - 0.5)
    np.testing.assert_array_equal(drawn, mask)


def test_what_an_outline_looks_like() -> None:
    assert list(trace(one_pixel()).bounds) == [11, 7, 12, 8]
    shape = trace(ring())
    outer, island = sorted(shape.geoms, key=lambda part: -part.area)
    assert len(outer.interiors) == 1
    assert len(island.exterior.coords) == 5
    # parts that meet in a point are polygons of their own
    assert len(trace(corners()).geoms) == 5


@pytest.mark.parametrize("mask", SCENE)
def test_pieces_have_no_holes(mask: np.ndarray) -> None:
    for piece in pieces_without_holes(trace(mask)):
        assert len(piece) >= 4
        assert len(np.unique(piece, axis=0)) == len(piece)


def test_shapes_outside_of_the_image_are_cut() -> None:
    square = shapely.box(-5, -5, 3, 2)
    expected = np.zeros((4, 6), bool)
    expected[:2, :3] = True
    np.testing.assert_array_equal(fill(square, (4, 6)), expected)
    assert not fill(shapely.box(10, 10, 12, 12), (4, 6)).any()
    assert not fill(shapely.box(-9, 1, -2, 2), (4, 6)).any()
    assert fill(shapely.box(-1e9, -1e9, 1e9, 1e9), (4, 6)).all()


def test_a_pixel_counts_by_its_centre() -> None:
    assert fill(shapely.box(0.4, 0.4, 0.6, 0.6), (1, 2)).tolist() == [[True, False]]
    assert not fill(shapely.box(0.6, 0.6, 1.4, 1), (1, 2)).any()


def test_lines_that_cross_surround_by_parity() -> None:
    star = np.array([(5, 0), (8, 10), (0, 4), (10, 4), (2, 10)], float)
    filled = fill_ring(star, (10, 10))
    assert filled[2, 4]
    assert not filled[5, 5]


def test_large_shapes_are_filled_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.random.default_rng(0).random((37, 23)) < 0.5
    shape = trace(mask)
    monkeypatch.setattr("napari_infosam.project.formats.polygons._POINTS_AT_ONCE", 64)
    np.testing.assert_array_equal(fill(shape, mask.shape), mask)
