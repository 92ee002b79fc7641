"""How well one mask matches another, and how many clicks a model needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_infosam.core.masks import BoolArray

MAX_CLICKS = 20
"""Clicks counted for an object that never reaches the wanted IoU."""


def iou(prediction: BoolArray, target: BoolArray) -> float:
    """Return intersection over union; 1.0 when both masks are empty."""
    union = int(np.count_nonzero(prediction | target))
    return int(np.count_nonzero(prediction & target)) / union if union else 1.0


def dice(prediction: BoolArray, target: BoolArray) -> float:
    """Return the Dice coefficient; 1.0 when both masks are empty."""
    total = int(np.count_nonzero(prediction)) + int(np.count_nonzero(target))
    return 2 * int(np.count_nonzero(prediction & target)) / total if total else 1.0


def clicks_to_reach(
    ious: Sequence[float], threshold: float, max_clicks: int = MAX_CLICKS
) -> int:
    """Return after how many clicks the IoU first reached the threshold (NoC).

    Parameters
    ----------
    ious
        IoU after click 1, 2, ... The list may end at the click that reached it.
    threshold
        The wanted IoU, for example 0.85.
    max_clicks
        Counted when the threshold was never reached.
    """
    for number, value in enumerate(ious[:max_clicks], start=1):
        if value >= threshold:
            return number
    return max_clicks
