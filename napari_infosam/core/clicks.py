"""The simulated annotator: where a person would click next.

The protocol is the usual one of interactive segmentation (RITM, SAM): the next
click goes to the pixel deepest inside the largest error, positive where object
was missed and negative where background was taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from napari_infosam.core.prompts import Point

if TYPE_CHECKING:
    from napari_infosam.core.masks import BoolArray


def next_click(
    target: BoolArray,
    prediction: BoolArray,
    clicked: tuple[Point, ...] = (),
) -> Point | None:
    """Return the next simulated click, or None when nothing is left to correct.

    Parameters
    ----------
    target, prediction
        ``(H, W)`` masks. The prediction is empty before the first click.
    clicked
        Earlier clicks; their pixels are never clicked again.
    """
    missed, depth_missed = _deepest(target & ~prediction, clicked)
    taken, depth_taken = _deepest(prediction & ~target, clicked)
    if max(depth_missed, depth_taken) <= 0:
        return None
    positive = depth_missed > depth_taken
    row, column = missed if positive else taken
    return Point(float(column), float(row), positive)


def jittered_click(
    target: BoolArray,
    prediction: BoolArray,
    clicked: tuple[Point, ...] = (),
    *,
    pixels: float,
    rng: np.random.Generator,
) -> Point | None:
    """Return a click near that of `next_click`, as a hand would place it.

    Parameters
    ----------
    target, prediction, clicked
        See `next_click`.
    pixels
        Farthest from the deepest pixel. The click is drawn evenly from the error
        within, so that it never says something wrong.
    rng
        Draws.
    """
    centre = next_click(target, prediction, clicked)
    if centre is None:
        return None
    error = target & ~prediction if centre.positive else prediction & ~target
    for point in clicked:
        error[round(point.y), round(point.x)] = False
    rows, columns = np.nonzero(error)
    near = np.flatnonzero(np.hypot(rows - centre.y, columns - centre.x) <= pixels)
    chosen = rng.choice(near)
    return Point(float(columns[chosen]), float(rows[chosen]), centre.positive)


def _deepest(
    error: BoolArray, clicked: tuple[Point, ...]
) -> tuple[tuple[int, int], float]:
    """Return the (row, column) and depth in pixels of the deepest error pixel."""
    if not error.any():
        return (0, 0), 0.0
    depth: NDArray[np.float64] = distance_transform_edt(np.pad(error, 1))[1:-1, 1:-1]
    for point in clicked:
        depth[round(point.y), round(point.x)] = 0
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return (int(row), int(column)), float(depth[row, column])
