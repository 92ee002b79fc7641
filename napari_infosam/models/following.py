"""An object is followed from a slice to the next one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation

from napari_infosam.core.geometry import model_shape
from napari_infosam.core.metrics import iou
from napari_infosam.core.prompts import PromptSet
from napari_infosam.core.rough_mask import RoughMask
from napari_infosam.models.decoder import CHANNELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_infosam.core.masks import BoolArray
    from napari_infosam.core.preprocess import Preprocessing
    from napari_infosam.models.prediction import ImageEmbedding, Prediction
    from napari_infosam.models.predictor import Predictor

LOWEST_SCORE = 0.5
LOWEST_OVERLAP = 0.3
LARGEST_GROWTH = 3.0
_RING, _COVERED = 3, 0.05
"""Cells of the embedding around an object that count as its surroundings."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What became of an object in the next slice.

    Attributes
    ----------
    prompts, prediction
        The mask before as a prompt, and the answer to it.
    embedding
        Of the slice.
    lost
        Why it is taken to have disappeared, as the end of a sentence; '' if it has
        not.
    """

    prompts: PromptSet
    prediction: Prediction
    embedding: ImageEmbedding
    lost: str


def follow(
    predictor: Predictor,
    pixels: NDArray[Any],
    previous: BoolArray,
    previous_embedding: ImageEmbedding,
    preprocessing: Preprocessing | None = None,
) -> Followed:
    """Look for an object in a picture, given its mask in the one before.

    Parameters
    ----------
    predictor
        Who answers.
    pixels
        ``(Y, X)`` or ``(Y, X, C)``.
    previous
        ``(H, W)`` mask in the slice before, not empty.
    previous_embedding
        Of the slice before.
    preprocessing
        How the pixels become RGB uint8.
    """
    prompts = PromptSet(rough=RoughMask.of(previous))
    embedding = predictor.embed(pixels, preprocessing)
    prediction = predictor.answer(prompts, None, embedding)
    lost = _why_lost(prediction, previous)
    if not lost and not _looks_alike(
        previous, previous_embedding, prediction.mask, embedding
    ):
        lost = "what is there looks like what was around it before"
    return Followed(prompts, prediction, embedding, lost)


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


def _looks_alike(
    before: BoolArray,
    embedding_before: ImageEmbedding,
    now: BoolArray,
    embedding_now: ImageEmbedding,
) -> bool:
    """Return whether a mask holds what the object was, and not what was around it.

    With a mask and a box as prompts the model finds something even in noise. What the
    encoder makes of the place tells.
    """
    inside, around = _features(before, embedding_before)
    here, _ = _features(now, embedding_now)
    return around is None or _cosine(inside, here) >= _cosine(around, here)


def _features(
    mask: BoolArray, embedding: ImageEmbedding
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Return the mean features in a mask and around it, ``(256,)`` each."""
    features = embedding.features[0, :CHANNELS].float().numpy()
    height, width = model_shape(embedding.shape, features.shape[-1])
    features = features[:, :height, :width]
    picture = Image.fromarray(mask.astype(np.float32))
    resized = picture.resize((width, height), Image.Resampling.BILINEAR)
    weights = np.asarray(resized)
    inside = (features * weights).sum(axis=(1, 2))
    covered = weights > _COVERED
    ring = binary_dilation(covered, iterations=_RING) & ~binary_dilation(covered)
    return inside, features[:, ring].mean(axis=1) if ring.any() else None


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))
