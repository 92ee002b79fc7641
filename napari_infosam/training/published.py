"""The recipe of InfoSAM as it was published, quirks included.

For comparison with the tables of the paper only: `docs/method.md` lists what the
default recipe does differently, and why. Source: the authors' code (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_infosam.core.geometry import MODEL_SIDE, model_shape, to_model_xy
from napari_infosam.core.masks import BoolArray, mask_box
from napari_infosam.models.decoder import PromptTensors
from napari_infosam.models.peft.adapter import Bottleneck
from napari_infosam.models.peft.balance import noisy_gating
from napari_infosam.training.batches import Group
from napari_infosam.training.losses import structure_loss
from napari_infosam.training.stages import Row, Stage, StepLoss

if TYPE_CHECKING:
    from napari_infosam.core.options import FinetuneOptions
    from napari_infosam.models.student import StudentSpec
    from napari_infosam.training.dataset import Sample
    from napari_infosam.training.features import FrozenFeatures

IMAGES_PER_BATCH = 4
BOX_PROBABILITY = 0.5
BOX_SHIFT = 5
"""A box is moved by up to this many pixels of the image in x and in y, as a whole."""

WINDOW = 31


class PublishedStage(Stage):
    """A student in training by the published recipe.

    One mask an image, all of its objects together; for each batch either one random
    point or one shifted box; structure loss with plain cross-entropy at 1024 x 1024,
    padding included; nothing trains the IoU head; adapters start at random.
    """

    def __init__(
        self, features: FrozenFeatures, spec: StudentSpec, options: FinetuneOptions
    ) -> None:
        super().__init__(features, spec, options)
        self._box = False
        for module in self.sam.image_encoder.modules():
            if isinstance(module, Bottleneck) and _is_new(module):
                module.D_fc2.reset_parameters()

    def step(self, batch: list[Group], rng: np.random.Generator) -> StepLoss:
        """Add the gradients of a batch; see `Stage.step`."""
        self._box = bool(rng.random() < BOX_PROBABILITY)
        return super().step(batch, rng)

    def _forward(self, group: Group, rng: np.random.Generator) -> Row:
        mask = foreground(group.sample)
        prompts = self._prompts(mask, rng)
        with noisy_gating(rng.spawn(1)[0]) as balance:
            embedding = self._embedding(group)
        with self._autocast():
            output = self.decoder(embedding, prompts)
        logits = output.logits[:, :1].float()
        large = F.interpolate(logits, (MODEL_SIDE, MODEL_SIDE), mode="bilinear")
        target = _padded(mask).to(self.device)
        structure = structure_loss(large, target, WINDOW, weigh_cross_entropy=False)
        loss = structure.mean() + sum(balance)
        return Row(
            group,
            embedding,
            prompts,
            output.mask_token.float(),
            logits,
            loss,
            {"structure": structure.mean().item()},
        )

    def _prompts(self, mask: BoolArray, rng: np.random.Generator) -> PromptTensors:
        shape = mask.shape[0], mask.shape[1]
        if self._box:
            corners = shifted_box(mask, rng).reshape(1, 2, 2)
            boxes = torch.from_numpy(to_model_xy(corners, shape).reshape(1, 4))
            return PromptTensors(boxes=boxes.to(self.device))
        xy, labels = random_points(mask, rng)
        return PromptTensors(
            torch.from_numpy(to_model_xy(xy, shape))[None].to(self.device),
            torch.from_numpy(labels)[None].to(self.device),
        )


def _is_new(adapter: Bottleneck) -> bool:
    """Return whether an adapter is to be trained and came with no checkpoint."""
    weight = adapter.D_fc2.weight
    return weight.requires_grad and not bool(weight.any())


def published_epoch(
    samples: Sequence[Sample], rng: np.random.Generator
) -> Iterator[list[Group]]:
    """Yield full batches of shuffled images; the rest is dropped."""
    order = rng.permutation(len(samples))
    for start in range(
        0, batches_per_epoch(samples) * IMAGES_PER_BATCH, IMAGES_PER_BATCH
    ):
        chosen = order[start : start + IMAGES_PER_BATCH]
        yield [
            Group(samples[i], tuple(range(len(samples[i].rles))))
            for i in chosen.tolist()
        ]


def batches_per_epoch(samples: Sequence[Sample]) -> int:
    """Return the number of batches of `published_epoch`."""
    return len(samples) // IMAGES_PER_BATCH


def foreground(sample: Sample) -> BoolArray:
    """Return all objects of an image as one ``(H, W)`` mask."""
    together = sample.mask(0)
    for index in range(1, len(sample.rles)):
        together |= sample.mask(index)
    return together


def random_points(
    mask: BoolArray, rng: np.random.Generator, positive: int = 1, negative: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return ``(N, 2)`` points in (x, y) order and their labels.

    Parameters
    ----------
    mask
        ``(H, W)``, not empty.
    rng
        Source of chance.
    positive, negative
        Points on the mask and beside it; fewer where there is no such pixel.
    """
    places = [_drawn(mask, positive, rng), _drawn(~mask, negative, rng)]
    labels = np.repeat([1, 0], [len(p) for p in places])
    return np.concatenate(places), labels


def shifted_box(mask: BoolArray, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the box around a mask, ``(4,)`` XYXY, moved by up to five pixels.

    Parameters
    ----------
    mask
        ``(H, W)``, not empty.
    rng
        Source of chance.
    """
    box = mask_box(mask).as_array().reshape(2, 2)
    # less than half of a thin object; the published code stops at one of a pixel
    limit = np.clip((box[1] - box[0]) // 2, 1, BOX_SHIFT).astype(int)
    moved: NDArray[np.float32] = (box + rng.integers(-limit, limit)).astype(np.float32)
    return moved.reshape(4)


def _drawn(
    mask: BoolArray, count: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return random pixels of a mask as ``(N, 2)`` in (x, y) order."""
    pixels = np.flatnonzero(mask)
    drawn = rng.choice(pixels, size=min(count, len(pixels)), replace=False)
    rows, columns = np.divmod(drawn, mask.shape[1])
    return np.stack([columns, rows], axis=1).astype(np.float32)


def _padded(mask: BoolArray) -> Tensor:
    """Return a mask in the model's square, ``(1, 1, 1024, 1024)``, padded with 0."""
    height, width = model_shape((mask.shape[0], mask.shape[1]))
    square = F.interpolate(
        torch.from_numpy(mask)[None, None].float(), (height, width), mode="nearest"
    )
    return F.pad(square, (0, MODEL_SIDE - width, 0, MODEL_SIDE - height))
