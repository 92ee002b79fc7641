"""One segmentation model: Segment Anything, base or student, ready to answer."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from segment_anything.modeling.common import LayerNorm2d
from timm.layers.norm import LayerNorm2d as FusedLayerNorm2d
from torch import Tensor, nn

from napari_infosam.core.geometry import MODEL_SIDE, model_shape
from napari_infosam.models.decoder import Decoder
from napari_infosam.models.devices import inference_dtype
from napari_infosam.models.encoder_parts import early_features, late_embedding
from napari_infosam.models.peft.hq import fusion_block, with_early

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

    from napari_infosam.core.preprocess import RGBImage

FirstClick = Literal["single", "multimask"]


class SamModel:
    """A Segment Anything model on a device.

    Parameters
    ----------
    sam
        The network, in eval mode; it is moved to the device.
    name
        Name of the base model, for example ``vit_t``, or the path it came from.
    device
        Where it runs.
    version
        ``base``, or the version of the student it is.
    first_click
        How a single positive click is answered: with the ambiguity mask of the
        highest predicted IoU (``multimask``, what Segment Anything recommends) or
        with the single mask (``single``, what students are trained for).
    published_input
        Whether pictures reach the encoder as in the published code of InfoSAM: blue
        before red, and padded before they are normalised.
    """

    def __init__(
        self,
        sam: Sam,
        name: str,
        device: torch.device,
        *,
        version: str = "base",
        first_click: FirstClick = "multimask",
        published_input: bool = False,
    ) -> None:
        self.name = name
        self.version = version
        self.device = device
        self.first_click: FirstClick = first_click
        self.published_input = published_input
        _fuse_norms(sam)
        self.sam = sam.to(device).eval()
        self.sam.image_encoder.to(memory_format=torch.channels_last)
        self.dtype = inference_dtype(device)
        self.decoder = Decoder(self.sam)

    @cached_property
    def _encoder_digest(self) -> str:
        return _digest(self.sam.image_encoder)

    @cached_property
    def _decoder_digest(self) -> str:
        return _digest(self.sam.prompt_encoder, self.sam.mask_decoder)

    @property
    def weights_hash(self) -> str:
        """Hash of all weights; ties a student to its exact base."""
        return f"{self._encoder_digest}-{self._decoder_digest}"

    @property
    def encoder_hash(self) -> str:
        """Hash of everything an embedding depends on beside the picture."""
        head = "-hq" if self.has_hq_head else ""
        quirk = "-published" if self.published_input else ""
        return f"{self._encoder_digest}{head}{quirk}-{self.dtype or torch.float32}"

    def has_encoder_of(self, other: SamModel) -> None:
        """Note that another model has the same encoder, so that it is hashed once."""
        self._encoder_digest = other._encoder_digest

    @property
    def has_hq_head(self) -> bool:
        """Whether its embeddings carry early features for the head of HQ-SAM."""
        return hasattr(self.sam.mask_decoder, "hq")

    def as_published(self) -> SamModel:
        """Return the same network, fed as in the published code of InfoSAM."""
        return SamModel(
            self.sam,
            self.name,
            self.device,
            version=self.version,
            first_click=self.first_click,
            published_input=True,
        )

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which the encoder runs on this device."""
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def encoder_input(self, picture: RGBImage) -> Tensor:
        """Return ``(1, 3, 1024, 1024)``: resized, normalised, then padded with 0.

        Parameters
        ----------
        picture
            ``(H, W, 3)`` uint8 RGB.
        """
        resized = torch.tensor(resize_longest_side(picture), device=self.device)
        x = self.normalised(resized.float())
        return x.contiguous(memory_format=torch.channels_last)

    def normalised(self, resized: Tensor) -> Tensor:
        """Return ``(1, 3, 1024, 1024)``: normalised, then padded with 0.

        Parameters
        ----------
        resized
            ``(H, W, 3)`` RGB of 0 to 255, its longest side 1024.
        """
        x = resized.permute(2, 0, 1).unsqueeze(0)
        height, width = x.shape[2:]
        padding = (0, MODEL_SIDE - width, 0, MODEL_SIDE - height)
        if self.published_input:
            x = F.pad(x.flip(1), padding)
            x = (x - self.sam.pixel_mean) / self.sam.pixel_std
        else:
            x = F.pad((x - self.sam.pixel_mean) / self.sam.pixel_std, padding)
        return x

    def embed(self, x: Tensor) -> Tensor:
        """Return what the encoder makes of an `encoder_input`.

        ``(1, 256, 64, 64)``; with the head of HQ-SAM more channels follow, the early
        features.
        """
        encoder = self.sam.image_encoder
        if not self.has_hq_head:
            embedding: Tensor = encoder(x)
            return embedding
        block = fusion_block(encoder)
        early = early_features(encoder, x, block)
        return with_early(late_embedding(encoder, early, block), early)

    @torch.inference_mode()
    def encode(self, picture: RGBImage) -> Tensor:
        """Return the ``(1, 256, 64, 64)`` float16 embedding of an RGB uint8 picture.

        float16 is also what the cache keeps: an embedding from the cache is equal
        to a fresh one, bit by bit. With the head of HQ-SAM more channels follow, see
        `embed`.
        """
        with self.autocast():
            return self.embed(self.encoder_input(picture)).half()


def resize_longest_side(picture: RGBImage) -> RGBImage:
    """Return an ``(H, W, 3)`` picture resized so that its longest side is 1024.

    As `ResizeLongestSide` of Segment Anything, but never to a side of 0 pixels.
    """
    height, width = model_shape((picture.shape[0], picture.shape[1]))
    resized = Image.fromarray(picture).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    return np.asarray(resized)


def _fuse_norms(module: nn.Module) -> None:
    """Let torch's layer norm do what Segment Anything's own does in six steps."""
    for name, child in module.named_children():
        if isinstance(child, LayerNorm2d):
            fused = FusedLayerNorm2d(len(child.weight), eps=child.eps)
            fused.weight, fused.bias = child.weight, child.bias
            setattr(module, name, fused)
        else:
            _fuse_norms(child)


def upscale_logits(logits: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return low-res logits at the size of the original image.

    As in Segment Anything: to the model's square, without the padding, to the image.

    Parameters
    ----------
    logits
        ``(B, M, 256, 256)``.
    shape
        (height, width) of the original image.

    Returns
    -------
    Tensor
        ``(B, M, height, width)``.
    """
    square = F.interpolate(
        logits, (MODEL_SIDE, MODEL_SIDE), mode="bilinear", align_corners=False
    )
    height, width = model_shape(shape)
    return F.interpolate(
        square[..., :height, :width], shape, mode="bilinear", align_corners=False
    )


def _digest(*modules: nn.Module) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for module in modules:
        for key, value in sorted(module.state_dict().items()):
            digest.update(f"{key} {tuple(value.shape)} {value.dtype}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
