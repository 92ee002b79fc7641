"""One training step of each stage: quick (decoder) and full (InfoSAM)."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from napari_infosam.core.cores import half_of_the_cores
from napari_infosam.models.decoder import Decoder, DecoderOutput, PromptTensors
from napari_infosam.models.encoder_parts import late_embedding
from napari_infosam.models.sam_model import SamModel
from napari_infosam.models.student import StudentSpec, build_student
from napari_infosam.models.threads import Workers
from napari_infosam.training.losses import mask_iou, structure_loss
from napari_infosam.training.prompting import cropped, draw_plan, draw_prompts
from napari_infosam.training.relation import (
    MIN_ROWS,
    InformationLosses,
    RelationModule,
    information_losses,
)

if TYPE_CHECKING:
    from napari_infosam.core.options import FinetuneOptions
    from napari_infosam.training.batches import Group
    from napari_infosam.training.features import FrozenFeatures

FIRST_BLOCK = 2
"""First attention block with adapters; the paper leaves out the first two."""

WINDOW = 7
"""Side of the edge window at 256 pixels: the published 31 at 1024, made odd."""

MULTIMASK_WEIGHT = 0.25
IOU_WEIGHT = 1.0


@dataclass(frozen=True, slots=True)
class StepLoss:
    """The loss of a step and its parts."""

    total: float
    parts: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Row:
    """One image of a batch on its way through the student, with its graph."""

    group: Group
    embedding: Tensor
    prompts: PromptTensors
    token: Tensor
    loss: Tensor
    parts: dict[str, float]


class Stage:
    """A student in training.

    Parameters
    ----------
    features
        Cached features of the frozen base.
    spec
        What the student may change.
    options
        Weights of the losses, seed.
    """

    def __init__(
        self, features: FrozenFeatures, spec: StudentSpec, options: FinetuneOptions
    ) -> None:
        base = features.base
        torch.manual_seed(options.seed)
        self.features = features
        self.spec = spec
        self.options = options
        self.device = base.device
        self.sam, self.trained = build_student(base.sam, spec)
        self.decoder = Decoder(self.sam)
        self._workers = Workers(options.threads or half_of_the_cores(), self.device)
        self.relation: RelationModule | None = None
        if spec.method == "adapter" and options.distill == "infosam":
            self.relation = RelationModule().to(self.device)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Everything that is optimised, the relation module included."""
        extra = list(self.relation.parameters()) if self.relation else []
        return [*self.trained, *extra]

    def model(self) -> SamModel:
        """Return the student as a model that answers; it shares the weights."""
        base = self.features.base
        return SamModel(
            self.sam,
            base.name,
            self.device,
            version="student",
            first_click=self.spec.first_click,
        )

    def step(self, batch: list[Group], rng: np.random.Generator) -> StepLoss:
        """Add the gradients of a batch of groups of different images.

        Images go through the student side by side, each on one thread, so that no
        thread waits for another within an operation; only the information losses
        look at all of them.
        """
        share = 1 / len(batch)
        rows = list(self._workers.map(self._forward, batch, rng.spawn(len(batch))))
        total = float(np.mean([row.loss.item() for row in rows]))
        parts = {
            name: float(np.mean([row.parts[name] for row in rows]))
            for name in rows[0].parts
        }
        seeds: list[tuple[Tensor, ...]] = [()] * len(rows)
        if self.relation is not None and len(rows) >= MIN_ROWS:
            losses, seeds = self._information(self.relation, rows)
            total += losses.weighted(*self._lambdas).item()
            parts["relation"] = losses.relation.item()
            parts["distill"] = losses.distill.item()

        def backward(row: _Row, seed: tuple[Tensor, ...]) -> tuple[Tensor | None, ...]:
            outputs = (row.loss, row.embedding, row.token)[: 1 + len(seed)]
            ends = (torch.full_like(row.loss, share), *seed)
            return torch.autograd.grad(outputs, self.trained, ends, allow_unused=True)

        for gradients in self._workers.map(backward, rows, seeds):
            for parameter, gradient in zip(self.trained, gradients, strict=True):
                if gradient is None:
                    continue
                if parameter.grad is None:
                    parameter.grad = gradient
                else:
                    parameter.grad += gradient
        return StepLoss(total, parts)

    def _forward(self, group: Group, rng: np.random.Generator) -> _Row:
        targets = group.targets(self.device)
        plan = draw_plan(rng)
        embedding = self._embedding(group)
        with self._autocast():
            prompts = draw_prompts(plan, targets, self.decoder, embedding, rng)
            output = self.decoder(embedding, prompts)
        loss, parts = _mask_loss(output, targets, ambiguous=plan.ambiguous)
        token = output.mask_token[:1].float()
        return _Row(group, embedding, prompts, token, loss, parts)

    def _autocast(self) -> AbstractContextManager[object]:
        if self.device.type == "cuda" or self.features.base.dtype is torch.bfloat16:
            # the cache of casts is shared by all threads
            return torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False)
        return nullcontext()

    def _embedding(self, group: Group) -> Tensor:
        """Return the ``(1, 256, 64, 64)`` embedding of an image, with gradient."""
        first_block = self.features.first_block
        if self.spec.method == "decoder" or first_block is None:
            return self.features.embedding(group.sample)
        early = self.features.early(group.sample)
        with self._autocast():
            embedding = late_embedding(self.sam.image_encoder, early, first_block)
        return embedding.float()

    @property
    def _lambdas(self) -> tuple[float, float]:
        return self.options.lambda_r, self.options.lambda_d

    def _information(
        self, module: RelationModule, rows: list[_Row]
    ) -> tuple[InformationLosses, list[tuple[Tensor, ...]]]:
        """Return the information losses, and their gradients by image.

        The gradients of the relation module are added to it; those of each row's
        embedding and token are returned, for the way back through the student.
        """
        answers = self._workers.map(self._teacher, rows)
        features, tokens = zip(*answers, strict=True)
        embeddings = [row.embedding.detach().requires_grad_() for row in rows]
        own_tokens = [row.token.detach().requires_grad_() for row in rows]
        losses = information_losses(
            module,
            _flat(features),
            torch.cat(tokens),
            _flat(embeddings),
            torch.cat(own_tokens),
        )
        losses.weighted(*self._lambdas).backward()
        leaves = zip(embeddings, own_tokens, strict=True)
        return losses, [tuple(_gradient(leaf) for leaf in pair) for pair in leaves]

    def _teacher(self, row: _Row) -> tuple[Tensor, Tensor]:
        """Return the teacher's embedding and mask token for the same prompts."""
        features = self.features.embedding(row.group.sample)
        with torch.no_grad(), self._autocast():
            answer = self.features.base.decoder(features, row.prompts)
        return features, answer.mask_token[:1].float()


def _gradient(leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


def _flat(embeddings: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    """Return ``(B, HW, C)`` from B embeddings ``(1, C, H, W)``."""
    return torch.cat(embeddings).flatten(2).transpose(1, 2)


def _mask_loss(
    output: DecoderOutput, targets: Tensor, *, ambiguous: bool
) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of one group: masks, ambiguity masks and predicted IoU."""
    logits = cropped(output, targets).float()
    structure = structure_loss(logits[:, :1], targets, WINDOW).mean()
    iou = (output.iou.float() - mask_iou(logits, targets)).square().mean()
    loss = structure + IOU_WEIGHT * iou
    if ambiguous:
        each = torch.stack(
            [structure_loss(logits[:, i : i + 1], targets, WINDOW) for i in (1, 2, 3)]
        )
        loss = loss + MULTIMASK_WEIGHT * each.amin(0).mean()
    return loss, {"structure": structure.item(), "iou": iou.item()}
