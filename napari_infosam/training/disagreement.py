"""How much a student and its teacher, the base, differ on an image nobody annotated."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_infosam.core.metrics import iou
from napari_infosam.core.prompts import Point, PromptSet

if TYPE_CHECKING:
    from napari_infosam.core.preprocess import Preprocessing
    from napari_infosam.models.predictor import Predictor

SIDE = 5
"""Points along each axis of the grid that is asked."""

SURE = 0.7
"""Predicted IoU from which a proposal is taken for an object."""


def grid(shape: tuple[int, int], side: int = SIDE) -> NDArray[np.float64]:
    """Return the centres of ``side * side`` equal fields of an image.

    Parameters
    ----------
    shape
        (height, width) in pixels.
    side
        Fields along each axis.

    Returns
    -------
    array
        ``(side * side, 2)`` in (x, y) order, pixel centres at integers.
    """
    height, width = shape
    steps = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(steps * width - 0.5, steps * height - 0.5)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def disagreement(
    base: Predictor,
    now: Predictor,
    image: NDArray[Any],
    preprocessing: Preprocessing | None = None,
    *,
    paused: Callable[[], bool] = lambda: False,
) -> float | None:
    """Return how much two models' proposals on an image differ: 1 less their mean IoU.

    Both are asked a grid of single points. Only points count where one of them
    proposes an object: most masks of the background are as good as any other, and none
    is asked for.

    Parameters
    ----------
    base, now
        The teacher and the student.
    image
        ``(Y, X)`` or ``(Y, X, C)`` of any dtype.
    preprocessing
        How the models see it.
    paused
        Asked before each point.

    Returns
    -------
    float or None
        From 0 to 1; 0 where neither proposes anything. None if it was `paused`.
    """
    if paused():
        return None
    embeddings = base.embed(image, preprocessing), now.embed(image, preprocessing)
    found = []
    for x, y in grid(embeddings[0].shape):
        if paused():
            return None
        prompts = PromptSet(points=(Point(float(x), float(y)),))
        ours = base.answer(prompts, None, embeddings[0])
        theirs = now.answer(prompts, None, embeddings[1])
        if max(ours.score, theirs.score) >= SURE:
            found.append(iou(ours.mask, theirs.mask))
    return 1 - float(np.mean(found)) if found else 0.0
