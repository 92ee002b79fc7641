"""InfoSAM's relation module and its two information losses.

Source: InfoSAM (ICML 2025, arXiv 2505.21920), section 4 and the authors' published
code, whose values and gradients `tests/training/test_relation.py` compares with.
All entropies are matrix-based Renyi entropies of order 2, in bits: for a
trace-normalised Gram matrix ``A`` of one row per image, S(A) = -log2 ||A||_F^2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from napari_infosam.core.errors import InfosamError
from napari_infosam.models.student import write_tensors

MIN_ROWS = 2
"""With a single row every Gram matrix is [1]: both losses and gradients are zero."""

RELATION_FILE = "relation.safetensors"
"""Where a version keeps its relation module, for other projects to start from."""


class RelationModule(nn.Module):
    """Attention between the mask token and the image features (equation 9).

    One module is shared by teacher and student. With ``u`` and ``v`` the
    layer-normalised mask token and image features, the relation is
    ``Q(u) K(v)^T / sqrt(D) + u v^T``, flattened and scaled to unit length.

    Parameters
    ----------
    dim
        Channels D of features and token; 256 in Segment Anything.
    """

    def __init__(self, dim: int = 256) -> None:
        super().__init__()
        self.dim = dim
        self.query_proj = nn.Linear(dim, dim)
        self.key_proj = nn.Linear(dim, dim)
        self.layer_norm_feat = nn.LayerNorm(dim)
        self.layer_norm_mask = nn.LayerNorm(dim)

    def forward(self, image_features: Tensor, mask_token: Tensor) -> Tensor:
        """Return the relation maps.

        Parameters
        ----------
        image_features
            ``(B, HW, D)`` image embedding after the neck.
        mask_token
            ``(B, 1, D)`` output token of the single mask (index 1 of the decoder's
            output tokens; index 0 is the IoU token).

        Returns
        -------
        Tensor
            ``(B, HW)``, each row of unit length.
        """
        token = self.layer_norm_mask(mask_token)
        features = self.layer_norm_feat(image_features)
        # there is one query an image: W_K goes to it, not to all features
        query = self.query_proj(token) / math.sqrt(self.dim)
        weights = query @ self.key_proj.weight + token
        scores = (
            weights @ features.transpose(1, 2) + query @ self.key_proj.bias[:, None]
        )
        return F.normalize(scores.flatten(1), dim=1)

    def save(self, path: Path) -> None:
        """Write the weights to a safetensors file.

        Raises
        ------
        InfosamError
            If the disk is full or read-only.
        """
        weights = self.state_dict().items()
        write_tensors(path, {key: value.cpu().contiguous() for key, value in weights})

    def load(self, path: str | Path) -> None:
        """Take the weights that `save` has written.

        Parameters
        ----------
        path
            The file, or a project, whose newest relation module is taken.

        Raises
        ------
        InfosamError
            If the file is missing or holds no relation module.
        """
        path = Path(path)
        if path.is_dir():
            path = max(path.glob(f"models/*/{RELATION_FILE}"), default=path)
        try:
            self.load_state_dict(load_file(path))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise InfosamError(
                f"{path} is missing or holds no relation module: name a project that "
                f"was trained with InfoSAM, or the {RELATION_FILE} of a version."
            ) from error


class DotRelation(nn.Module):
    """The fixed relation of the paper's ablation: mask token times image features."""

    def forward(self, image_features: Tensor, mask_token: Tensor) -> Tensor:
        """Return ``(B, HW)`` maps of unit length; see `RelationModule.forward`."""
        scores = mask_token @ image_features.transpose(1, 2)
        return F.normalize(scores.flatten(1), dim=1)


@dataclass(frozen=True, slots=True)
class InformationLosses:
    """The two losses of one batch; scalars with gradient.

    Attributes
    ----------
    relation
        L_r = -I(z_i, z_m; r^T) up to a constant: compresses the teacher's relation.
    distill
        L_d = -I(r^T; r^S): keeps the student's relation informative of the teacher's.
    """

    relation: Tensor
    distill: Tensor

    def weighted(self, lambda_r: float = 1.0, lambda_d: float = 0.5) -> Tensor:
        """Return ``lambda_r * L_r + lambda_d * L_d`` (the paper's 1 and 0.5)."""
        return lambda_r * self.relation + lambda_d * self.distill


def information_losses(
    module: RelationModule | DotRelation,
    teacher_features: Tensor,
    teacher_token: Tensor,
    student_features: Tensor,
    student_token: Tensor,
) -> InformationLosses:
    """Return L_r and L_d of one batch of images.

    Parameters
    ----------
    module
        The shared relation module.
    teacher_features, student_features
        ``(B, HW, D)`` image embeddings of the same B images.
    teacher_token, student_token
        ``(B, 1, D)`` single-mask output tokens for the same prompts.

    Raises
    ------
    ValueError
        If there are fewer than two rows: the losses would silently be zero.
    """
    rows = teacher_features.shape[0]
    if rows < MIN_ROWS:
        raise ValueError(f"the information losses need at least 2 rows, not {rows}")
    relation_teacher = module(teacher_features.detach(), teacher_token.detach())
    relation_student = module(student_features, student_token)
    gram_image = _gram(F.normalize(teacher_features.detach().flatten(1), dim=1))
    gram_token = _gram(F.normalize(teacher_token.detach().flatten(1), dim=1))
    gram_teacher = _gram(relation_teacher)
    gram_student = _gram(relation_student)
    joint = _entropy(gram_image * gram_token * gram_teacher)
    entropy_teacher = _entropy(gram_teacher)
    return InformationLosses(
        relation=entropy_teacher - joint,
        distill=_entropy(gram_teacher * gram_student)
        - entropy_teacher
        - _entropy(gram_student),
    )


def _gram(rows: Tensor) -> Tensor:
    return rows @ rows.T


def _entropy(gram: Tensor) -> Tensor:
    """Return S_2 in bits of a Gram matrix, which is first scaled to trace one."""
    return -torch.log2((gram / gram.trace()).square().sum())
