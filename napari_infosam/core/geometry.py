"""The only place where (row, column) and (x, y), pixels and world units meet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.prompts import Box, Point

MODEL_SIDE = 1024
"""Side in pixels of the square picture that SAM's encoder takes."""


def row_column_to_xy(points: ArrayLike) -> NDArray[np.float64]:
    """Return ``(N, 2)`` points in (x, y) order from ``(N, D)`` ending in (row, column).

    The leading D - 2 coordinates of points in a stack are left out.
    """
    array = np.asarray(points, np.float64)
    array = array.reshape(-1, array.shape[-1] or 2)
    return array[:, :-3:-1].copy()


def point_from_row_column(
    position: Sequence[float], positive: bool, shape: tuple[int, int]
) -> Point:
    """Return the point prompt at a (row, column) position of an image.

    Raises
    ------
    InfosamError
        If the position lies outside an image of this (height, width).
    """
    row, column = float(position[-2]), float(position[-1])
    if not (-0.5 <= row < shape[0] - 0.5 and -0.5 <= column < shape[1] - 0.5):
        raise InfosamError("Click inside the image.")
    return Point(column, row, positive)


def point_to_row_column(point: Point) -> tuple[float, float]:
    """Return the (row, column) position of a point prompt."""
    return point.y, point.x


def box_from_corners(corners: ArrayLike, shape: tuple[int, int]) -> Box:
    """Return the box around ``(N, D)`` corners ending in (row, column), clipped.

    Raises
    ------
    InfosamError
        If the box lies outside an image of this (height, width).
    """
    xy = row_column_to_xy(corners)
    limit = np.array([shape[1] - 1, shape[0] - 1], np.float64)
    low, high = xy.min(axis=0), xy.max(axis=0)
    if (high < 0).any() or (low > limit).any():
        raise InfosamError("Draw the box inside the image.")
    x0, y0 = np.clip(low, 0, limit)
    x1, y1 = np.clip(high, 0, limit)
    return Box(float(x0), float(y0), float(x1), float(y1))


def box_around(corners: ArrayLike) -> Box:
    """Return the box around ``(N, D)`` corners ending in (row, column), not clipped."""
    xy = row_column_to_xy(corners)
    (x0, y0), (x1, y1) = xy.min(axis=0), xy.max(axis=0)
    return Box(float(x0), float(y0), float(x1), float(y1))


def box_to_corners(box: Box) -> NDArray[np.float64]:
    """Return the four (row, column) corners of a box, ``(4, 2)``, clockwise."""
    return np.array(
        [(box.y0, box.x0), (box.y0, box.x1), (box.y1, box.x1), (box.y1, box.x0)]
    )


def model_shape(shape: tuple[int, int], side: int = MODEL_SIDE) -> tuple[int, int]:
    """Return (height, width) after the longest side of an image is made ``side``."""
    scale = side / max(shape)
    return max(1, int(shape[0] * scale + 0.5)), max(1, int(shape[1] * scale + 0.5))


def to_model_xy(
    xy: NDArray[np.float32], shape: tuple[int, int], side: int = MODEL_SIDE
) -> NDArray[np.float32]:
    """Scale ``(..., 2)`` (x, y) pixel coordinates to the model's input picture.

    The factor is the ratio of the sides, as in Segment Anything's
    ``ResizeLongestSide``, whose decoder was trained that way.
    """
    height, width = model_shape(shape, side)
    factor = np.array([width / shape[1], height / shape[0]], np.float32)
    return (xy * factor).astype(np.float32)
