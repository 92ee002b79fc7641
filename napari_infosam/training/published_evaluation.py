"""The figures of the paper's tables, by its own protocol.

One mask an image and one prompt, a shifted box, or for roads five random points. The
answer is the single mask at the size of the image. Never mix these figures with those
of `napari_infosam.training.evaluate`, the click protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from napari_infosam.core.saliency import (
    e_measure,
    iou_dice_over_logits,
    s_measure,
    weighted_f_measure,
)
from napari_infosam.models.sam_model import upscale_logits
from napari_infosam.training.published import (
    foreground,
    random_points,
    shifted_box,
)

if TYPE_CHECKING:
    from napari_infosam.models.prediction import ImageEmbedding
    from napari_infosam.models.predictor import Predictor
    from napari_infosam.training.dataset import Sample

BETA2 = 0.3
POINTS = (2, 3)
"""Points on and beside the object, where no box is given (the paper's roads)."""

Prompt = Literal["box", "points"]


@dataclass(frozen=True, slots=True)
class PublishedFigures:
    """Means over images, as the published code computes them.

    Attributes
    ----------
    s_measure, e_measure, weighted_f
        Of the logits clipped to [0, 1]; E-measure at the adaptive threshold,
        weighted F with beta^2 = 0.3.
    iou, dice
        Means over thresholds 0.1, 0.3, 0.5, 0.7 and 0.9 of the raw logits.
    """

    s_measure: float
    e_measure: float
    weighted_f: float
    iou: float
    dice: float


def evaluate_as_published(
    predictor: Predictor,
    samples: Sequence[Sample],
    *,
    prompt: Prompt = "box",
    seed: int = 42,
    embed: Callable[[Sample], ImageEmbedding] | None = None,
) -> PublishedFigures:
    """Return the figures of a model.

    Parameters
    ----------
    predictor
        Who answers.
    samples
        Images with known masks; those without an object are passed over.
    prompt
        What is asked with.
    seed
        Of boxes' shifts and points.
    embed
        Embeds an image; by default the predictor does.
    """
    rng = np.random.default_rng(seed)
    values = []
    for sample in samples:
        if not sample.rles:
            continue
        target = foreground(sample)
        embedding = embed(sample) if embed else predictor.embed(sample.picture)
        if prompt == "box":
            box = shifted_box(target, rng)
            answer = predictor.predict(box=box, embedding=embedding)
        else:
            points, labels = random_points(target, rng, *POINTS)
            answer = predictor.predict(points, labels, embedding=embedding)
        low_res = torch.from_numpy(answer.low_res_logits)[None, None]
        logits = upscale_logits(low_res, sample.shape)[0, 0].numpy()
        clipped = logits.clip(0, 1)
        values.append(
            (
                s_measure(clipped, target),
                e_measure(clipped, target),
                weighted_f_measure(clipped, target, BETA2),
                *iou_dice_over_logits(logits, target),
            )
        )
    return PublishedFigures(*np.mean(values, axis=0).tolist())
