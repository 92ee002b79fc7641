"""An object is followed from a slice to the next one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core.metrics import iou
from napari_infosam.core.prompts import PromptSet
from napari_infosam.core.rough_mask import RoughMask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_infosam.core.masks import BoolArray
    from napari_infosam.models.predictor import Prediction, Predictor

LOWEST_SCORE = 0.5
LOWEST_OVERLAP = 0.3
LARGEST_GROWTH = 3.0


@dataclass(frozen=True, slots=True)
class Followed:
    """What became of an object in the next slice.

    Attributes
    ----------
    prompts, prediction
        The mask before as a prompt, and the answer to it.
    lost
        Why it is taken to have disappeared, as the end of a sentence; '' if it has
        not.
    """

    prompts: PromptSet
    prediction: Prediction
    lost: str


def follow(predictor: Predictor, pixels: NDArray[Any], previous: BoolArray) -> Followed:
    """Look for an object in a picture, given its mask in the one before.

    Parameters
    ----------
    predictor
        Who answers.
    pixels
        ``(Y, X)`` or ``(Y, X, C)``.
    previous
        ``(H, W)`` mask in the slice before, not empty.
    """
    prompts = PromptSet(rough=RoughMask.of(previous))
    prediction = predictor.answer(prompts, None, predictor.embed(pixels))
    return Followed(prompts, prediction, _why_lost(prediction, previous))


def _why_lost(prediction: Prediction, previous: BoolArray) -> str:
    before = int(np.count_nonzero(previous))
    now = int(np.count_nonzero(prediction.mask))
    if not now:
        return "nothing is left of it"
    if prediction.score < LOWEST_SCORE:
        return f"the model expects IoU {max(prediction.score, 0):.2f} only"
    if now * LARGEST_GROWTH < before:
        return f"it shrinks to {now / before:.0%} of its area"
    if now > before * LARGEST_GROWTH:
        return f"it grows to {now / before:.0f} times its area"
    overlap = iou(prediction.mask, previous)
    if overlap < LOWEST_OVERLAP:
        return f"it overlaps with the slice before by IoU {overlap:.2f} only"
    return ""
