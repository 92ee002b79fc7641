"""Photographs with masks of the base model: what a student should not forget."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from skimage import data

from napari_infosam.core.masks import encode_rle
from napari_infosam.core.metrics import iou
from napari_infosam.core.preprocess import to_rgb_uint8
from napari_infosam.core.prompts import Point, PromptSet
from napari_infosam.training.dataset import Sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_infosam.core.masks import BoolArray
    from napari_infosam.core.preprocess import RGBImage
    from napari_infosam.models.predictor import Predictor

REPLAYED = ("camera", "coins", "immunohistochemistry", "retina")
MEASURED = ("astronaut", "chelsea", "coffee", "rocket")
"""To learn from and to measure on; all come with scikit-image, without a network."""

_GRID = 6
"""Clicks on each axis of a photograph."""

_LEAST_SCORE = 0.9
_AREA = (0.005, 0.4)
"""Share of the photograph that an object may cover."""

_SAME = 0.7
"""Masks with more IoU than this are one object."""

_OBJECTS = 4
"""Of each photograph, at most."""


def photographs(base: Predictor, names: Sequence[str]) -> list[Sample]:
    """Return photographs with the objects the base model is sure of.

    A student that is measured there is compared with what the base answered: the
    figures tell how much of the base is left, not how well either does.

    Parameters
    ----------
    base
        The model whose masks are taken for true.
    names
        Functions of `skimage.data`.
    """
    samples = []
    for name in names:
        picture = to_rgb_uint8(getattr(data, name)())
        masks = _sure_objects(base, picture)
        if masks:
            samples.append(Sample(name, picture, tuple(map(encode_rle, masks))))
    return samples


def _sure_objects(base: Predictor, picture: RGBImage) -> list[BoolArray]:
    height, width = picture.shape[:2]
    embedding = base.embed(picture)
    answers = []
    for row in np.linspace(0, height, _GRID, endpoint=False) + height / _GRID / 2:
        for column in np.linspace(0, width, _GRID, endpoint=False) + width / _GRID / 2:
            click = PromptSet(points=(Point(float(column), float(row)),))
            answer = base.answer(click, None, embedding)
            if answer.score >= _LEAST_SCORE and (
                _AREA[0] <= answer.mask.mean() <= _AREA[1]
            ):
                answers.append(answer)
    chosen: list[BoolArray] = []
    for answer in sorted(answers, key=lambda a: -a.score):
        if len(chosen) == _OBJECTS:
            break
        if all(iou(answer.mask, mask) <= _SAME for mask in chosen):
            chosen.append(answer.mask)
    return chosen
