"""Prompts for training: what a person would place, in the decoder's low resolution.

Points, jittered boxes, and corrective clicks with the previous answer fed back, so
that a student sees what it will be asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from napari_infosam.core.clicks import next_click
from napari_infosam.core.geometry import MODEL_SIDE
from napari_infosam.core.masks import BoolArray, mask_box
from napari_infosam.core.prompts import Point
from napari_infosam.models.decoder import (
    LOW_RES,
    Decoder,
    DecoderOutput,
    PromptTensors,
)

_STEP = MODEL_SIDE // LOW_RES

BOX_PROBABILITY = 0.4
"""How often the first prompt is a box; otherwise it is a point."""

CORRECTIONS = (0.4, 0.15, 0.1, 0.09, 0.08, 0.06, 0.06, 0.06)
"""Probabilities of 0 to 7 corrective clicks after the first prompt.

With three at most, students needed more clicks to 0.85 IoU than the base where objects
take many; ``docs/benchmarks.md`` has the measurement.
"""

BOX_JITTER = 0.05
"""Standard deviation of a box side, over the length of the box."""


@dataclass
class PromptPlan:
    """What a group of objects is prompted with; equal for all of them."""

    box: bool
    corrections: int

    @property
    def ambiguous(self) -> bool:
        """Whether it is a single click."""
        return not self.box and self.corrections == 0


def draw_plan(rng: np.random.Generator) -> PromptPlan:
    """Draw a first prompt and a number of corrections."""
    return PromptPlan(
        box=bool(rng.random() < BOX_PROBABILITY),
        corrections=int(rng.choice(len(CORRECTIONS), p=CORRECTIONS)),
    )


def draw_prompts(
    plan: PromptPlan,
    targets: Tensor,
    decoder: Decoder,
    embedding: Tensor,
    rng: np.random.Generator,
) -> PromptTensors:
    """Return the prompts whose answer is trained.

    The clicks before it are answered by the decoder as it is, without gradient.

    Parameters
    ----------
    plan
        First prompt and number of corrections.
    targets
        ``(B, 1, h, w)`` soft masks in the decoder's resolution.
    decoder
        The student's decoder.
    embedding
        ``(1, 256, 64, 64)`` of the image that holds all B objects.
    rng
        Source of chance.
    """
    wanted = (targets[:, 0] > 0.5).cpu().numpy()
    device = embedding.device
    points: list[list[Point]] = [[] for _ in wanted]
    boxes = None
    if plan.box:
        drawn = np.stack([_jittered_box(mask, rng) for mask in wanted])
        boxes = torch.from_numpy(drawn).to(device)
    else:
        for clicks, mask in zip(points, wanted, strict=True):
            clicks.append(_first_click(mask, rng))
    prompts = _tensors(points, boxes, None, device)
    for _ in range(plan.corrections):
        with torch.no_grad():
            logits = decoder(embedding.detach(), prompts).logits[:, :1]
        height, width = targets.shape[-2:]
        given = (logits[:, 0, :height, :width] > 0).cpu().numpy()
        for clicks, mask, prediction in zip(points, wanted, given, strict=True):
            click = next_click(mask, prediction, tuple(clicks))
            clicks.append(click or _first_click(mask, rng))
        prompts = _tensors(points, boxes, logits.float(), device)
    return prompts


def cropped(output: DecoderOutput, targets: Tensor) -> Tensor:
    """Return the logits over the image, without the padding of the square."""
    height, width = targets.shape[-2:]
    return output.logits[..., :height, :width]


def _tensors(
    points: list[list[Point]],
    boxes: Tensor | None,
    mask_input: Tensor | None,
    device: torch.device,
) -> PromptTensors:
    coords = labels = None
    if points[0]:
        xy = np.array([[(p.x, p.y) for p in clicks] for clicks in points], np.float32)
        signs = np.array([[int(p.positive) for p in clicks] for clicks in points])
        coords = torch.from_numpy(_to_model(xy)).to(device)
        labels = torch.from_numpy(signs).to(device)
    return PromptTensors(coords, labels, boxes, mask_input)


def _to_model(xy: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the centre, in the model's input, of a low-res pixel."""
    centres: NDArray[np.float32] = (xy + 0.5) * _STEP - 0.5
    return centres


def _first_click(mask: BoolArray, rng: np.random.Generator) -> Point:
    """Draw a click on the object: mostly well inside, sometimes anywhere."""
    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    least = rng.choice([0.0, 0.6, 0.9], p=[0.25, 0.35, 0.4]) * depth.max()
    rows, columns = np.nonzero((depth > 0) & (depth >= least))
    chosen = int(rng.integers(len(rows)))
    return Point(float(columns[chosen]), float(rows[chosen]))


def _jittered_box(mask: BoolArray, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a box a person might draw, ``(4,)`` XYXY in the model's input."""
    box = mask_box(mask)
    size = np.array([box.x1 - box.x0 + 1, box.y1 - box.y0 + 1] * 2)
    outer = np.array([box.x0 - 0.5, box.y0 - 0.5, box.x1 + 0.5, box.y1 + 0.5])
    moved = outer + np.clip(rng.normal(0, BOX_JITTER, 4), -0.1, 0.1) * size
    height, width = mask.shape
    limit = np.array([width, height] * 2) - 0.5
    return _to_model(np.clip(moved, -0.5, limit).astype(np.float32))
