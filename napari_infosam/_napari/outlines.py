"""The edge of a mask: as a picture, or as dashes that lie on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_infosam.core.placed import place_of

if TYPE_CHECKING:
    from napari_infosam.core.masks import BoolArray

_MOST_DASHES = 1500
"""Of a ragged mask the dashes are longer, so that they are drawn quickly."""
_DASH_WIDTHS = 4
"""Dashes of `dash_outlined` are so many times as long as the edge is wide."""
_LOOKED_AT = 1024
"""Of a larger mask only so many rows and columns are looked at."""


def outlined(mask: BoolArray) -> NDArray[np.uint8]:
    """Return a picture of a mask: 1 inside, 2 along its edge, 0 outside.

    Parameters
    ----------
    mask
        ``(H, W)`` bool.
    """
    return mask.astype(np.uint8) * 2 - _inner(mask, edge_width(mask.shape))


def edge_width(shape: tuple[int, ...]) -> int:
    """Return how many pixels wide an edge is drawn in a picture ``(H, W)``."""
    return max(1, round(max(shape) / 600))


def dash_outlined(part: BoolArray, width: int) -> NDArray[np.uint8]:
    """Return a picture of a mask whose edge is dashed in two colours.

    Parameters
    ----------
    part
        ``(h, w)`` bool, the part of a picture that the mask lies in.
    width
        Of the edge, in pixels.

    Returns
    -------
    numpy.ndarray
        ``(h, w)`` uint8: 1 inside, 2 and 3 in turn along the edge, 0 outside.
    """
    padded = np.pad(part, width)
    inner = _inner(padded, width)[width:-width, width:-width]
    picture = part.astype(np.uint8)
    rows, columns = np.nonzero(part & ~inner)
    height, breadth = part.shape
    # around the middle of an ellipse dashes are about equally long
    angle = np.arctan2((2 * rows + 1) / height - 1, (2 * columns + 1) / breadth - 1)
    turn = angle / (2 * np.pi) + 0.5
    around = np.pi / 2 * (height + breadth)
    n_dashes = 2 * max(2, round(around / (2 * _DASH_WIDTHS * width)))
    picture[rows, columns] = 2 + (turn * n_dashes).astype(np.uint8) % 2
    return picture


def _inner(mask: BoolArray, width: int) -> BoolArray:
    """Return what of a mask ``(H, W)`` is further than its edge from the outside."""
    inner = mask.copy()
    inner[width:] &= mask[:-width]
    inner[:-width] &= mask[width:]
    inner[:, width:] &= mask[:, :-width]
    inner[:, :-width] &= mask[:, width:]
    return inner


def dashes(mask: BoolArray, length: float) -> NDArray[np.float32]:
    """Return dashes along the edge of a mask, with no gap between them.

    Parameters
    ----------
    mask
        ``(H, W)`` bool, or a `PlacedMask` of a huge image.
    length
        Of a dash, in pixels of the image.

    Returns
    -------
    numpy.ndarray
        ``(N, 2, 2)`` float32: where each begins, and where it leads from there, both
        in (row, column) order. N is even along every edge, so that two colours can
        take turns.
    """
    from skimage.measure import find_contours

    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return np.zeros((0, 2, 2), np.float32)
    first = np.array([rows[0], columns[0]])
    crop = np.asarray(mask)[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    step = -(-max(crop.shape) // _LOOKED_AT)
    edges = find_contours(np.pad(crop[::step, ::step], 1).astype(np.float32), 0.5)
    place = place_of(mask)
    if place is not None:
        first += (place.row, place.column)
    edges = [(edge - 1) * step + first for edge in edges]
    whole = sum(float(_steps(edge).sum()) for edge in edges)
    length = max(length, whole / _MOST_DASHES)
    return np.concatenate([_along(edge, length) for edge in edges], dtype=np.float32)


def _steps(edge: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lengths of the pieces of a line through ``(N, 2)`` places."""
    lengths: NDArray[np.float64] = np.hypot(*np.diff(edge, axis=0).T)
    return lengths


def _along(edge: NDArray[np.float64], length: float) -> NDArray[np.float64]:
    """Return dashes ``(N, 2, 2)`` of about this length along one closed line."""
    walked = np.concatenate([[0.0], np.cumsum(_steps(edge))])
    number = 2 * max(2, round(float(walked[-1]) / (2 * length)))
    at = np.linspace(0, walked[-1], number + 1)
    places = np.stack([np.interp(at, walked, axis) for axis in edge.T], axis=1)
    return np.stack([places[:-1], np.diff(places, axis=0)], axis=1)
