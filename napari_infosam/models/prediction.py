"""What a predictor keeps of an image, and what it answers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from napari_infosam.core.errors import InfosamError
from napari_infosam.models.decoder import LOW_RES, DecoderOutput
from napari_infosam.models.prompt_arrays import numbers
from napari_infosam.models.sam_model import upscale_logits

if TYPE_CHECKING:
    from napari_infosam.core.masks import BoolArray


@dataclass(frozen=True, slots=True)
class ImageEmbedding:
    """What the encoder made of one image; valid for one encoder.

    Attributes
    ----------
    features
        ``(1, 256, 64, 64)`` float16 on the CPU.
    shape
        (height, width) of the image.
    key
        Hash of the picture and of the exact encoder.
    encoder_hash
        Hash of the encoder alone.
    """

    features: Tensor
    shape: tuple[int, int]
    key: str
    encoder_hash: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """One mask.

    Attributes
    ----------
    mask
        ``(height, width)`` bool, at the size of the image; of a huge image it is a
        crop with a place, see `napari_infosam.core.placed.PlacedMask`.
    score
        Predicted IoU.
    low_res_logits
        ``(256, 256)`` float32, to be fed back as `mask_input`.
    choices
        Of the answer to a single click: the predicted IoUs of a part, the object and
        the whole.
    choice
        Which of them this is; None where it is none of them.
    """

    mask: BoolArray
    score: float
    low_res_logits: NDArray[np.float32]
    choices: tuple[float, ...] = ()
    choice: int | None = None


def embedding_key(picture: NDArray[np.uint8], encoder_hash: str) -> str:
    """Return the cache key of an RGB uint8 picture under an encoder."""
    digest = hashlib.blake2b(f"{encoder_hash} {picture.shape}".encode(), digest_size=20)
    digest.update(np.ascontiguousarray(picture).data)
    return digest.hexdigest()


def prediction_of(
    output: DecoderOutput, index: int, shape: tuple[int, int]
) -> Prediction:
    """Return one of the masks that were decoded, at the size of the image."""
    logits = output.logits[:1, index : index + 1]
    mask = upscale_logits(logits, shape)[0, 0] > 0
    return Prediction(
        mask=mask.cpu().numpy(),
        score=float(output.iou[0, index]),
        low_res_logits=logits[0, 0].float().cpu().numpy(),
    )


def mask_tensor(logits: ArrayLike) -> Tensor:
    """Return ``(1, 1, 256, 256)`` float32 from low-res logits."""
    values = numbers(logits, "mask_input")
    if values.shape not in ((LOW_RES, LOW_RES), (1, LOW_RES, LOW_RES)):
        raise InfosamError(
            f"mask_input needs the shape ({LOW_RES}, {LOW_RES}), not {values.shape}: "
            "give the low_res_logits of an earlier prediction."
        )
    if not np.isfinite(values).all():
        raise InfosamError("mask_input needs finite numbers.")
    tensor = torch.tensor(values, dtype=torch.float32)
    return tensor.reshape(1, 1, LOW_RES, LOW_RES)
