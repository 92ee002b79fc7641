"""What a student learns from its frozen teacher beside the masks.

`InfosamDistiller` is the method this project is named after; the others are the
controls of the paper's second table: VID (Ahn, CVPR 2019), PKT (Passalis, ECCV 2018)
and the teacher's logits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_infosam.models.decoder import CHANNELS
from napari_infosam.training.relation import (
    MIN_ROWS,
    RELATION_FILE,
    DotRelation,
    RelationModule,
    information_losses,
)

if TYPE_CHECKING:
    from pathlib import Path

    from napari_infosam.core.options import FinetuneOptions

INITIAL_VARIANCE = 5.0
"""What VID takes the teacher's variance for at first (its authors' choice)."""


@dataclass(frozen=True, slots=True)
class Views:
    """What teacher or student makes of a batch, one row an image.

    Attributes
    ----------
    features
        ``(B, 256, 64, 64)`` image embeddings.
    token
        ``(B, 1, 256)`` output tokens of the single mask, for the same prompts.
    logits
        ``(B, 1, 256, 256)`` of the single mask.
    """

    features: Tensor
    token: Tensor
    logits: Tensor

    @classmethod
    def of(cls, rows: list[tuple[Tensor, ...]]) -> Views:
        """Return the views of rows, given as (features, token, logits) each."""
        features, token, logits = (
            torch.cat(parts) for parts in zip(*rows, strict=True)
        )
        return cls(features, token, logits)

    def half_row(self, number: int) -> list[Tensor]:
        """Return features, token and logits of one image, without gradient."""
        parts = (self.features, self.token, self.logits)
        return [part[number : number + 1].detach().half() for part in parts]


@dataclass(frozen=True, slots=True)
class DistillLoss:
    """A scalar with gradient, and its parts before they are weighted."""

    total: Tensor
    parts: dict[str, float]


class Distiller(nn.Module):
    """Compares a student with its teacher; may have parameters of its own.

    Attributes
    ----------
    min_rows
        Rows of different images without which it has nothing to say.
    wanted_rows
        Rows it should have.
    """

    min_rows = 1
    wanted_rows = 1

    def has_rows(self, images: Sequence[str]) -> bool:
        """Return whether a batch of these images is enough to say something."""
        return len(images) >= self.min_rows

    def forget(self) -> None:
        """Drop what is remembered of earlier batches."""

    def forward(
        self, teacher: Views, student: Views, images: Sequence[str] = ()
    ) -> DistillLoss:
        """Return the loss of a batch.

        Parameters
        ----------
        teacher, student
            One row an image.
        images
            Which image each row is of; without, all are of images never seen before.
        """
        raise NotImplementedError


class RowBank:
    """The latest row of each image of earlier batches, without gradient.

    Kept in half precision: a row of features alone has a million numbers.

    Parameters
    ----------
    most
        Images that are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: dict[str, list[Tensor]] = {}

    def clear(self) -> None:
        """Drop all rows."""
        self._rows.clear()

    def count_others(self, images: Sequence[str]) -> int:
        """Return how many rows of images other than these are known."""
        return len(self._rows.keys() - set(images))

    def others(
        self, images: Sequence[str], like: Tensor
    ) -> Iterator[tuple[Views, Views]]:
        """Yield teacher's and student's rows of images other than these.

        Parameters
        ----------
        images
            Whose rows are left out.
        like
            Rows have its type and device.
        """
        for name, saved in self._rows.items():
            if name not in images:
                parts = [part.to(like) for part in saved]
                yield Views(*parts[:3]), Views(*parts[3:])

    def remember(self, images: Sequence[str], teacher: Views, student: Views) -> None:
        """Take the rows of a batch in, and let the oldest go."""
        if not self._most:
            return
        for number, name in enumerate(images):
            self._rows.pop(name, None)
            self._rows[name] = [*teacher.half_row(number), *student.half_row(number)]
        while len(self._rows) > self._most:
            del self._rows[next(iter(self._rows))]

    def state_dict(self) -> dict[str, list[Tensor]]:
        """Return all rows."""
        return self._rows

    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        """Take the rows that `state_dict` returned."""
        self._rows = dict(state)


class InfosamDistiller(Distiller):
    """The information losses L_r and L_d between relation maps.

    Parameters
    ----------
    lambda_r, lambda_d
        Weights of both losses (paper: 1 and 0.5).
    relation
        The relation, learned or fixed.
    bank
        Images of earlier batches whose latest rows are compared with too, at most; 0
        for none. Batches hold different images, and so do the rows that are compared.
    """

    min_rows = MIN_ROWS
    wanted_rows = 4

    def __init__(
        self,
        lambda_r: float = 1.0,
        lambda_d: float = 0.5,
        *,
        relation: RelationModule | DotRelation | None = None,
        bank: int = 0,
    ) -> None:
        super().__init__()
        self.relation = relation or RelationModule()
        self._lambdas = lambda_r, lambda_d
        self._bank = RowBank(bank)

    def has_rows(self, images: Sequence[str]) -> bool:
        """Return whether there are two different images, the bank's counted."""
        return len(images) + self._bank.count_others(images) >= self.min_rows

    def forget(self) -> None:
        """Drop the rows of earlier batches."""
        self._bank.clear()

    def forward(
        self, teacher: Views, student: Views, images: Sequence[str] = ()
    ) -> DistillLoss:
        """Return ``lambda_r L_r + lambda_d L_d``."""
        known = list(self._bank.others(images, teacher.features))
        teachers = [teacher, *(old for old, _ in known)]
        students = [student, *(old for _, old in known)]
        losses = information_losses(
            self.relation,
            torch.cat([_flat(views) for views in teachers]),
            torch.cat([views.token for views in teachers]),
            torch.cat([_flat(views) for views in students]),
            torch.cat([views.token for views in students]),
        )
        self._bank.remember(images, teacher, student)
        parts = {"relation": losses.relation.item(), "distill": losses.distill.item()}
        return DistillLoss(losses.weighted(*self._lambdas), parts)

    def save_relation(self, folder: Path) -> None:
        """Keep a learned relation module in the folder of a version."""
        if isinstance(self.relation, RelationModule):
            self.relation.save(folder / RELATION_FILE)

    def get_extra_state(self) -> dict[str, list[Tensor]]:
        """Return the bank, for checkpoints."""
        return self._bank.state_dict()

    def set_extra_state(self, state: dict[str, list[Tensor]]) -> None:
        """Take the bank of a checkpoint."""
        self._bank.load_state_dict(state)


class VidDistiller(Distiller):
    """Variational information distillation: how well the student foretells the teacher.

    A normal distribution around a projection of the student's features, with a learned
    variance for each channel, stands for those of the teacher.
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self._weight = weight
        self.project = nn.Sequential(
            nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False),
        )
        self.log_scale = nn.Parameter(
            torch.full((1, CHANNELS, 1, 1), math.log(math.expm1(INITIAL_VARIANCE)))
        )

    def forward(
        self, teacher: Views, student: Views, images: Sequence[str] = ()
    ) -> DistillLoss:
        """Return the mean negative log-likelihood of the teacher's features."""
        variance = F.softplus(self.log_scale) + 1e-5
        foretold = self.project(student.features)
        error = (foretold - teacher.features.detach()).square()
        loss = (error / variance + variance.log()).mean() / 2
        return DistillLoss(self._weight * loss, {"distill": loss.item()})


class PktDistiller(Distiller):
    """Probabilistic knowledge transfer: who resembles whom within the batch."""

    min_rows = 3  # with two rows, the only other one has all the probability
    wanted_rows = 4

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self._weight = weight

    def forward(
        self, teacher: Views, student: Views, images: Sequence[str] = ()
    ) -> DistillLoss:
        """Return the divergence of both similarity distributions."""
        pairs = ((teacher.features, student.features), (teacher.token, student.token))
        loss = torch.stack([_divergence(t.detach(), s) for t, s in pairs]).mean()
        return DistillLoss(self._weight * loss, {"distill": loss.item()})


class LogitDistiller(Distiller):
    """The teacher's own mask as a soft target."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self._weight = weight

    def forward(
        self, teacher: Views, student: Views, images: Sequence[str] = ()
    ) -> DistillLoss:
        """Return the cross-entropy against the teacher's probabilities."""
        loss = F.binary_cross_entropy_with_logits(
            student.logits, teacher.logits.detach().sigmoid()
        )
        return DistillLoss(self._weight * loss, {"distill": loss.item()})


def build_distiller(options: FinetuneOptions) -> Distiller | None:
    """Return the distiller that options ask for; None where they ask for none."""
    weight = options.distill_weight
    match options.distill:
        case "infosam":
            return InfosamDistiller(
                options.lambda_r,
                options.lambda_d,
                relation=_relation(options),
                bank=options.relation_bank,
            )
        case "vid":
            return VidDistiller(weight)
        case "pkt":
            return PktDistiller(weight)
        case "logit":
            return LogitDistiller(weight)
    return None


def _relation(options: FinetuneOptions) -> RelationModule | DotRelation:
    if options.relation == "dot":
        return DotRelation()
    module = RelationModule()
    if options.relation_from is not None:
        module.load(options.relation_from)
    return module.requires_grad_(not options.freeze_relation)


def _flat(views: Views) -> Tensor:
    """Return ``(B, HW, 256)`` features."""
    return views.features.flatten(2).transpose(1, 2)


def _divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of both similarity distributions."""
    wanted, given = _similarities(teacher), _similarities(student)
    return (wanted * (wanted / given).log()).sum(1).mean()


def _similarities(rows: Tensor) -> Tensor:
    """Return each row's distribution over the other ones, ``(B, B - 1)``."""
    unit = F.normalize(rows.flatten(1), dim=1)
    cosine = (unit @ unit.T + 1) / 2
    others = ~torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    weights = cosine[others].reshape(len(rows), -1).clamp(min=1e-7)
    return weights / weights.sum(1, keepdim=True)
