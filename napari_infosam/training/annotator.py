"""The simulated annotator at work: who clicks, looks, and clicks again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from napari_infosam.core.clicks import next_click
from napari_infosam.core.metrics import iou
from napari_infosam.core.prompts import Point, PromptSet

if TYPE_CHECKING:
    from napari_infosam.core.masks import BoolArray
    from napari_infosam.models.prediction import ImageEmbedding, Prediction
    from napari_infosam.models.predictor import Predictor

ACCEPTABLE = 0.85
"""IoU at which the simulated annotator accepts a proposal."""

GOOD_ENOUGH = 0.9
"""IoU at which it stops clicking where it measures a model."""

Click: TypeAlias = Callable[["BoolArray", "BoolArray", tuple[Point, ...]], Point | None]
"""Where to click next, given truth, proposal and earlier clicks; see `next_click`."""


@dataclass(frozen=True, slots=True)
class Step:
    """One click and what came of it.

    Attributes
    ----------
    prompts
        All clicks so far.
    answer
        The proposal.
    iou
        Its IoU with the truth.
    """

    prompts: PromptSet
    answer: Prediction
    iou: float


def clicking(
    predictor: Predictor,
    embedding: ImageEmbedding,
    mask: BoolArray,
    click: Click = next_click,
) -> Iterator[Step]:
    """Click on one object for as long as anybody listens, or there is an error left.

    Parameters
    ----------
    predictor, embedding
        Who answers, and about which image; see `Predictor.answer`.
    mask
        ``(H, W)``, the true one.
    click
        Chooses the clicks.
    """
    prompts, answer = PromptSet(), None
    seen = np.zeros_like(mask)
    while (point := click(mask, seen, prompts.points)) is not None:
        prompts = prompts.add(point)
        answer = predictor.answer(prompts, answer, embedding)
        seen = answer.mask
        yield Step(prompts, answer, iou(seen, mask))


def annotate_object(
    predictor: Predictor,
    embedding: ImageEmbedding,
    mask: BoolArray,
    *,
    patience: int,
    click: Click = next_click,
) -> list[Step]:
    """Click until a proposal is acceptable, or patience is over.

    Parameters
    ----------
    predictor, embedding, mask, click
        See `clicking`.
    patience
        Clicks after which a person would correct the mask by hand.

    Returns
    -------
    list of Step
        Of all clicks, at least one where the mask is not empty.
    """
    steps = []
    for step in clicking(predictor, embedding, mask, click):
        steps.append(step)
        if step.iou >= ACCEPTABLE or len(steps) == patience:
            break
    return steps
