"""One training step of a student, whatever of it is tuned and distilled."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from napari_infosam.core.cores import half_of_the_cores
from napari_infosam.models.decoder import (
    CHANNELS,
    Decoder,
    DecoderOutput,
    PromptTensors,
)
from napari_infosam.models.devices import training_dtype
from napari_infosam.models.encoder_parts import late_embedding
from napari_infosam.models.peft.balance import noisy_gating
from napari_infosam.models.peft.hq import with_early
from napari_infosam.models.sam_model import SamModel
from napari_infosam.models.student import StudentSpec, build_student
from napari_infosam.models.threads import Workers
from napari_infosam.training.distill import (
    Distiller,
    DistillLoss,
    Views,
    build_distiller,
)
from napari_infosam.training.losses import mask_iou, structure_loss
from napari_infosam.training.prompting import cropped, draw_plan, draw_prompts

if TYPE_CHECKING:
    from napari_infosam.core.options import FinetuneOptions
    from napari_infosam.training.batches import Group
    from napari_infosam.training.features import FrozenFeatures

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
class Row:
    """One image of a batch on its way through the student, with its graph.

    Attributes
    ----------
    group
        The image and its objects.
    embedding, token, logits
        What is compared with the teacher; see `Views`.
    prompts
        What both are asked with.
    loss, parts
        Of the masks; a scalar with gradient, and what it is made of.
    """

    group: Group
    embedding: Tensor
    prompts: PromptTensors
    token: Tensor
    logits: Tensor
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

    Attributes
    ----------
    trained
        Parameters of the student that are tuned.
    start
        Their values in the base.
    distiller
        What compares the student with its teacher, or None.
    workers
        What takes the images of a batch side by side.
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
        self._dtype = training_dtype(base.device)
        self.sam, self.trained = build_student(base.sam, spec)
        self.decoder = Decoder(self.sam)
        self.workers = Workers(options.threads or half_of_the_cores(), self.device)
        self.start = [p.detach().clone() for p in self.trained]
        self.distiller: Distiller | None = None
        if spec.method != "decoder":
            distiller = build_distiller(options)
            self.distiller = distiller and distiller.to(self.device)

    @property
    def distiller_parameters(self) -> list[nn.Parameter]:
        """What the distiller optimises of its own."""
        own = self.distiller.parameters() if self.distiller else ()
        return [p for p in own if p.requires_grad]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Everything that is optimised, the distiller's own included."""
        return [*self.trained, *self.distiller_parameters]

    @property
    def encoder_parameters(self) -> list[nn.Parameter]:
        """What is tuned in the image encoder."""
        known = set(map(id, self.sam.image_encoder.parameters()))
        return [p for p in self.trained if id(p) in known]

    def model(self) -> SamModel:
        """Return the student as a model that answers; it shares the weights."""
        base = self.features.base
        return SamModel(
            self.sam,
            base.name,
            self.device,
            version="student",
            first_click=self.spec.first_click,
            published_input=self.spec.published_input,
        )

    def step(self, batch: list[Group], rng: np.random.Generator) -> StepLoss:
        """Add the gradients of a batch of groups of different images.

        Images go through the student side by side, each on one thread, so that no
        thread waits for another within an operation; only the information losses
        look at all of them.
        """
        share = 1 / len(batch)
        rows = list(self.workers.map(self._forward, batch, rng.spawn(len(batch))))
        total = float(np.mean([row.loss.item() for row in rows]))
        parts = {
            name: float(np.mean([row.parts[name] for row in rows]))
            for name in rows[0].parts
        }
        seeds: list[tuple[Tensor, ...]] = [()] * len(rows)
        images = [group.sample.key for group in batch]
        if self.distiller is not None and self.distiller.has_rows(images):
            loss, seeds = self._distill(self.distiller, rows)
            total += loss.total.item()
            parts |= loss.parts

        def backward(row: Row, seed: tuple[Tensor, ...]) -> tuple[Tensor | None, ...]:
            outputs = [row.loss]
            if seed:  # a frozen encoder's embedding has no way back
                views = (row.embedding, row.token, row.logits)
                known = [v.requires_grad for v in views]
                outputs += [v for v, wanted in zip(views, known, strict=True) if wanted]
                seed = tuple(s for s, wanted in zip(seed, known, strict=True) if wanted)
            ends = (torch.full_like(row.loss, share), *seed)
            return torch.autograd.grad(outputs, self.trained, ends, allow_unused=True)

        for gradients in self.workers.map(backward, rows, seeds):
            for parameter, gradient in zip(self.trained, gradients, strict=True):
                if gradient is None:
                    continue
                if parameter.grad is None:
                    parameter.grad = gradient
                else:
                    parameter.grad += gradient
        return StepLoss(total, parts)

    def _forward(self, group: Group, rng: np.random.Generator) -> Row:
        targets = group.targets(self.device)
        plan = draw_plan(rng)
        with noisy_gating(rng.spawn(1)[0]) as balance:
            embedding = self._embedding(group)
        with self._autocast():
            prompts = draw_prompts(plan, targets, self.decoder, embedding, rng)
            output = self.decoder(embedding, prompts)
        loss, parts = _mask_loss(output, targets, ambiguous=plan.ambiguous)
        loss = loss + sum(balance)
        token, logits = output.mask_token[:1].float(), output.logits[:1, :1].float()
        return Row(group, embedding, prompts, token, logits, loss, parts)

    def _autocast(self) -> AbstractContextManager[object]:
        if self._dtype is None:
            return nullcontext()
        # the cache of casts is shared by all threads
        return torch.autocast(self.device.type, self._dtype, cache_enabled=False)

    def _embedding(self, group: Group) -> Tensor:
        """Return the embedding of an image as the student's decoder wants it.

        ``(1, 256, 64, 64)``, for HQ-SAM followed by the early features; with gradient
        where the encoder is tuned.
        """
        if self.spec.method == "decoder":
            return self.features.embedding(group.sample)
        early = self.features.early(group.sample)
        if self.spec.method == "hq-sam":
            return with_early(self.features.embedding(group.sample), early)
        with self._autocast():
            embedding = late_embedding(
                self.sam.image_encoder, early, self.spec.first_block
            )
        return embedding.float()

    def _distill(
        self, distiller: Distiller, rows: list[Row]
    ) -> tuple[DistillLoss, list[tuple[Tensor, ...]]]:
        """Return the distiller's loss, and its gradients by image.

        The gradients of its own parameters are added to them; those of each row's
        embedding, token and logits are returned, for the way back through the student.
        """
        teacher = Views.of(list(self.workers.map(self._teacher, rows)))
        leaves = [
            tuple(
                view.detach().requires_grad_()
                for view in (row.embedding, row.token, row.logits)
            )
            for row in rows
        ]
        student = Views.of(
            [(features[:, :CHANNELS], *rest) for features, *rest in leaves]
        )
        images = [row.group.sample.key for row in rows]
        loss = distiller(teacher, student, images)
        loss.total.backward()
        return loss, [tuple(_gradient(leaf) for leaf in row) for row in leaves]

    def _teacher(self, row: Row) -> tuple[Tensor, ...]:
        """Return the teacher's features, mask token and logits for the same prompts."""
        features = self.features.embedding(row.group.sample)
        with torch.no_grad(), self._autocast():
            answer = self.features.base.decoder(features, row.prompts)
        return (
            features,
            answer.mask_token[:1].float(),
            answer.logits[:1, :1].float(),
        )


def _gradient(leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


def _mask_loss(
    output: DecoderOutput, targets: Tensor, *, ambiguous: bool
) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of one group: masks, ambiguity masks and predicted IoU."""
    logits = cropped(output, targets).float()
    masks = structure_loss(logits if ambiguous else logits[:, :1], targets, WINDOW)
    structure = masks[:, 0].mean()
    iou = (output.iou.float() - mask_iou(logits, targets)).square().mean()
    loss = structure + IOU_WEIGHT * iou
    if ambiguous:
        loss = loss + MULTIMASK_WEIGHT * masks[:, 1:].amin(1).mean()
    return loss, {"structure": structure.item(), "iou": iou.item()}
