"""Prompts as arrays, as a caller gives them; checked with one sentence each."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.prompts import Box, Point, PromptSet


def check_prompts(prompts: PromptSet, shape: tuple[int, int]) -> None:
    """Raise a sentence for no prompts, and for some that do not touch the image."""
    if not prompts:
        raise InfosamError("Give at least one point or a box.")
    height, width = shape
    for point in prompts.points:
        if not (-0.5 <= point.x <= width - 0.5 and -0.5 <= point.y <= height - 0.5):
            raise InfosamError(
                f"The point ({point.x:g}, {point.y:g}) lies outside the image of "
                f"{width} x {height} pixels; points are (x, y)."
            )
    box = prompts.box
    if box and (box.x1 < -0.5 or box.y1 < -0.5 or box.x0 > width or box.y0 > height):
        raise InfosamError(
            f"The box {box.as_array().tolist()} lies outside the image of {width} x "
            f"{height} pixels; boxes are XYXY."
        )


def numbers(values: ArrayLike, what: str) -> NDArray[np.float64]:
    """Return an array of numbers, or raise a sentence that says what should be one."""
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InfosamError(f"{what} must be an array of numbers.") from error


def prompt_set(
    points: ArrayLike | None, labels: ArrayLike | None, box: ArrayLike | None
) -> PromptSet:
    """Return the prompts of one object from arrays, or raise a sentence.

    Parameters
    ----------
    points
        ``(N, 2)`` in (x, y) order, or None.
    labels
        ``(N,)`` of 0 and 1, or None for all positive.
    box
        ``(4,)`` XYXY, or None.
    """
    xy = numbers([] if points is None else points, "Points")
    if xy.size and (xy.ndim > 2 or xy.shape[-1] != 2):
        raise InfosamError(f"Points need the shape (N, 2), not {xy.shape}.")
    xy = xy.reshape(-1, 2)
    signs = np.ones(len(xy)) if labels is None else np.asarray(labels).ravel()
    if len(signs) != len(xy) or not np.isin(signs, (0, 1)).all():
        raise InfosamError(
            f"Give one label, 0 or 1, for each of the {len(xy)} points, "
            f"not {signs.tolist()}."
        )
    corners = None
    if box is not None:
        values = numbers(box, "A box").ravel()
        if values.size != 4:
            raise InfosamError(f"A box needs four numbers XYXY, not {values.size}.")
        corners = Box(*map(float, values))
    return PromptSet(
        tuple(
            Point(float(x), float(y), bool(sign))
            for (x, y), sign in zip(xy, signs, strict=True)
        ),
        corners,
    )
