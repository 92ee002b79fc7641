"""Metrics of salient-object detection, as the tables of InfoSAM report them.

Sources: S-measure (Fan, ICCV 2017), E-measure (Fan, IJCAI 2018), weighted F-measure
(Margolin, CVPR 2014). The published code of InfoSAM feeds them logits clipped to
[0, 1], takes the adaptive E-measure and ``beta2 = 0.3``; see `docs/metrics.md`
for which number is which. Own code, because pysodmetrics holds numpy back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve, distance_transform_edt

from napari_infosam.core.metrics import dice, iou

if TYPE_CHECKING:
    from napari_infosam.core.masks import BoolArray

Floats = NDArray[np.floating[Any]]

LOGIT_THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Where the published code cuts raw logits; not probabilities."""

_EPS = float(np.spacing(1))


def s_measure(prediction: Floats, target: BoolArray) -> float:
    """Return the structure measure, half of objects and half of regions.

    Parameters
    ----------
    prediction
        ``(H, W)`` in [0, 1].
    target
        ``(H, W)``.
    """
    share = float(target.mean())
    mean = float(prediction.mean())
    if share in (0, 1):
        return mean if share else 1 - mean
    objects = share * _object(prediction[target])
    objects += (1 - share) * _object(1 - prediction[~target])
    return max(0.0, 0.5 * objects + 0.5 * _regions(prediction, target))


def e_measure(prediction: Floats, target: BoolArray) -> float:
    """Return the enhanced-alignment measure at the adaptive threshold.

    The threshold is twice the mean of the prediction, 1 at most. Parameters as for
    `s_measure`.
    """
    given = prediction >= min(2 * float(prediction.mean()), 1.0)
    if not target.any() or target.all():
        agreement = float(np.count_nonzero(given == target))
    else:
        a, b = given - given.mean(), target - target.mean()
        alignment = 2 * a * b / (a**2 + b**2 + _EPS)
        agreement = float(((alignment + 1) ** 2 / 4).sum())
    return agreement / (target.size - 1 + _EPS)


def weighted_f_measure(
    prediction: Floats, target: BoolArray, beta2: float = 1.0
) -> float:
    """Return the weighted F-measure; 0 for an empty target.

    Parameters
    ----------
    prediction, target
        As for `s_measure`.
    beta2
        Weight of precision. The usual value is 1; the published code has 0.3.
    """
    if not target.any():
        return 0.0
    distance, (rows, columns) = distance_transform_edt(~target, return_indices=True)
    error = np.abs(prediction - target)
    nearest = np.where(target, error, error[rows, columns])
    smoothed = convolve(nearest, _gaussian(7, 5.0), mode="constant")
    least = np.where(target & (smoothed < error), smoothed, error)
    importance = np.where(target, 1.0, 2 - np.exp(np.log(0.5) / 5 * distance))
    weighted = least * importance
    hits = target.sum() - weighted[target].sum()
    recall = 1 - weighted[target].mean()
    precision = hits / (hits + weighted[~target].sum() + _EPS)
    both = (1 + beta2) * recall * precision
    return float(both / (recall + beta2 * precision + _EPS))


def iou_dice_over_logits(logits: Floats, target: BoolArray) -> tuple[float, float]:
    """Return IoU and Dice coefficient, each the mean over `LOGIT_THRESHOLDS`.

    Parameters
    ----------
    logits
        ``(H, W)``; raw, as the published code takes them.
    target
        ``(H, W)``.
    """
    masks = [logits > threshold for threshold in LOGIT_THRESHOLDS]
    return (
        float(np.mean([iou(mask, target) for mask in masks])),
        float(np.mean([dice(mask, target) for mask in masks])),
    )


def _object(values: Floats) -> float:
    """Return how alike and how close to 1 values are."""
    mean = float(values.mean())
    spread = float(values.std(ddof=1)) if values.size > 1 else 0.0
    return 2 * mean / (mean**2 + 1 + spread + _EPS)


def _regions(prediction: Floats, target: BoolArray) -> float:
    """Return the similarity of the four parts around the target's centroid."""
    row, column = (int(c) + 1 for c in np.argwhere(target).mean(0).round())
    total = 0.0
    for rows in (slice(None, row), slice(row, None)):
        for columns in (slice(None, column), slice(column, None)):
            part = target[rows, columns]
            if part.size:
                weight = part.size / target.size
                total += weight * _similarity(prediction[rows, columns], part)
    return total


def _similarity(prediction: Floats, target: BoolArray) -> float:
    """Return the structural similarity of one part."""
    x, y = float(prediction.mean()), float(target.mean())
    degrees = max(prediction.size - 1, 1)
    a, b = prediction - x, target - y
    products = 4 * x * y * float((a * b).sum()) / degrees
    squares = (x**2 + y**2) * float((a**2).sum() + (b**2).sum()) / degrees
    if products != 0:
        return products / (squares + _EPS)
    return 1.0 if squares == 0 else 0.0


def _gaussian(side: int, sigma: float) -> Floats:
    steps = np.arange(side) - side // 2
    kernel: Floats = np.exp(-(steps[:, None] ** 2 + steps**2) / (2 * sigma**2))
    return kernel / float(kernel.sum())
