"""How well one mask matches another, and how many clicks a model needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_cdt

from napari_infosam.core.placed import PlacedMask, overlap

if TYPE_CHECKING:
    from napari_infosam.core.masks import BoolArray

EDGE_SHARE = 0.02
"""Width of an object's edge over the diagonal of the image, for `boundary_iou`."""

MAX_CLICKS = 20
"""Clicks counted for an object that never reaches the wanted IoU."""


def iou(prediction: BoolArray, target: BoolArray) -> float:
    """Return intersection over union; 1.0 when both masks are empty.

    Of two crops that have a place, what counts is where they lie.
    """
    if isinstance(prediction, PlacedMask) and isinstance(target, PlacedMask):
        shared = overlap(prediction, target)
        total = int(np.count_nonzero(prediction)) + int(np.count_nonzero(target))
        return shared / (total - shared) if total else 1.0
    union = int(np.count_nonzero(prediction | target))
    return int(np.count_nonzero(prediction & target)) / union if union else 1.0


def dice(prediction: BoolArray, target: BoolArray) -> float:
    """Return the Dice coefficient; 1.0 when both masks are empty."""
    total = int(np.count_nonzero(prediction)) + int(np.count_nonzero(target))
    return 2 * int(np.count_nonzero(prediction & target)) / total if total else 1.0


def boundary_iou(prediction: BoolArray, target: BoolArray) -> float:
    """Return the IoU of the inner edges of two masks (Cheng, CVPR 2021).

    An edge is as wide as 2 % of the image's diagonal; 1.0 when both are empty.
    """
    width = max(1, round(EDGE_SHARE * float(np.hypot(*target.shape))))
    return iou(_edge(prediction, width), _edge(target, width))


def _edge(mask: BoolArray, width: int) -> BoolArray:
    """Return the pixels of a mask that are at most this far from what is outside."""
    if not mask.any():
        return mask
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    # beyond the border of the image lies the outside, too
    depth = distance_transform_cdt(np.pad(mask[part], 1))[1:-1, 1:-1]
    edge = np.zeros_like(mask)
    edge[part] = mask[part] & (depth <= width)
    return edge


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
