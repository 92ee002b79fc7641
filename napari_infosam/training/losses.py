"""What a mask should look like: the structure loss and the loss of the IoU head."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

EDGE_WEIGHT = 5.0
"""How much more a pixel at the edge of the object counts (PraNet's structure loss)."""


def structure_loss(
    logits: Tensor,
    target: Tensor,
    window: int,
    *,
    weigh_cross_entropy: bool = True,
) -> Tensor:
    """Return weighted cross-entropy plus weighted IoU loss, one value an answer.

    Both terms weigh pixels by ``1 + 5 |avgpool(target) - target|``. The published
    code meant the same but averaged the cross-entropy without the weights; see
    ``docs/method.md``.

    Parameters
    ----------
    logits
        ``(B, M, H, W)``, M answers to the same target.
    target
        ``(B, 1, H, W)``, in [0, 1], maybe soft.
    window
        Odd side in pixels of the averaging window (31 at 1024 pixels).
    weigh_cross_entropy
        False gives the loss as it was published.

    Returns
    -------
    Tensor
        ``(B, M)``.
    """
    mean = F.avg_pool2d(
        target, window, stride=1, padding=window // 2, count_include_pad=True
    )
    weight = 1 + EDGE_WEIGHT * (mean - target).abs()
    cross_entropy = F.binary_cross_entropy_with_logits(
        logits, target.expand_as(logits), reduction="none"
    )
    probability = logits.sigmoid()
    area = (2, 3)
    if weigh_cross_entropy:
        bce = (weight * cross_entropy).sum(area) / weight.sum(area)
    else:
        bce = cross_entropy.mean(area)
    overlap = (weight * probability * target).sum(area)
    total = (weight * (probability + target)).sum(area)
    weighted_iou = 1 - (overlap + 1) / (total - overlap + 1)
    return bce + weighted_iou


def mask_iou(logits: Tensor, target: Tensor) -> Tensor:
    """Return the true IoU of thresholded masks, without gradient.

    Parameters
    ----------
    logits
        ``(B, M, H, W)``; a pixel belongs to the mask where the logit is positive.
    target
        ``(B, 1, H, W)`` in [0, 1]; object where it is above one half.

    Returns
    -------
    Tensor
        ``(B, M)``; 1.0 where both are empty.
    """
    with torch.no_grad():
        predicted, wanted = logits > 0, target > 0.5
        overlap = (predicted & wanted).sum((2, 3)).float()
        union = (predicted | wanted).sum((2, 3)).float()
        return torch.where(union > 0, overlap / union.clamp(min=1), 1.0)
