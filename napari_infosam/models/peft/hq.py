"""HQ-SAM: a high-quality output token and the fusion of early and late features.

Source: Ke, NeurIPS 2023, and its published code, whose names of parameters are kept.
The mask decoder stays frozen; what is trained is this head and the IoU head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.mask_decoder import MLP
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn

if TYPE_CHECKING:
    from napari_infosam.models.encoder_parts import Encoder

MASK_CHANNELS = 32
"""Channels of the decoder's upscaled features."""


def fusion_block(encoder: Encoder) -> int:
    """Return the block whose input is the early features.

    In ViT those are the output of the first block with global attention; in TinyViT
    the 64 x 64 map of 160 channels, as in the light HQ-SAM.
    """
    if not isinstance(encoder, ImageEncoderViT):
        return 2
    windows = [block.window_size for block in encoder.blocks]
    return windows.index(0) + 1


def early_channels(encoder: Encoder) -> int:
    """Return the number of channels of the early features."""
    if not isinstance(encoder, ImageEncoderViT):
        return 160
    width: int = encoder.patch_embed.proj.out_channels
    return width


def with_early(embedding: Tensor, early: Tensor) -> Tensor:
    """Return image embedding and early features as one ``(1, 256 + C, 64, 64)``.

    Parameters
    ----------
    embedding
        ``(1, 256, 64, 64)``.
    early
        Input of the `fusion_block`: ``(1, C, 64, 64)``, or ``(1, 64, 64, C)`` of ViT.
    """
    if early.shape[-2:] != embedding.shape[-2:]:
        early = early.permute(0, 3, 1, 2)
    return torch.cat([embedding, early.to(embedding.dtype)], dim=1)


class HqHead(nn.Module):
    """What HQ-SAM adds to the mask decoder; its mask is zero at first.

    Parameters
    ----------
    early_width
        Channels of the early features.
    width
        Channels of the image embedding and of the decoder's tokens.
    """

    def __init__(self, early_width: int, width: int = 256) -> None:
        super().__init__()
        self.hf_token = nn.Embedding(1, width)
        self.hf_mlp = MLP(width, width, MASK_CHANNELS, 3)
        self.compress_vit_feat = nn.Sequential(
            nn.ConvTranspose2d(early_width, width, 2, stride=2),
            LayerNorm2d(width),
            nn.GELU(),
            nn.ConvTranspose2d(width, MASK_CHANNELS, 2, stride=2),
        )
        self.embedding_encoder = nn.Sequential(
            nn.ConvTranspose2d(width, width // 4, 2, stride=2),
            LayerNorm2d(width // 4),
            nn.GELU(),
            nn.ConvTranspose2d(width // 4, MASK_CHANNELS, 2, stride=2),
        )
        self.embedding_maskfeature = nn.Sequential(
            nn.Conv2d(MASK_CHANNELS, MASK_CHANNELS * 2, 3, padding=1),
            LayerNorm2d(MASK_CHANNELS * 2),
            nn.GELU(),
            nn.Conv2d(MASK_CHANNELS * 2, MASK_CHANNELS, 3, padding=1),
        )
        nn.init.zeros_(self.hf_mlp.layers[-1].weight)
        nn.init.zeros_(self.hf_mlp.layers[-1].bias)

    def forward(
        self, token: Tensor, pixels: Tensor, embedding: Tensor, early: Tensor
    ) -> Tensor:
        """Return ``(B, 1, 256, 256)`` logits to be added to those of the decoder.

        Parameters
        ----------
        token
            ``(B, 256)`` output of the high-quality token.
        pixels
            ``(B, 32, 256, 256)`` upscaled features of the decoder.
        embedding
            ``(1, 256, 64, 64)`` image embedding.
        early
            ``(1, C, 64, 64)`` early features.
        """
        fused = self.embedding_encoder(embedding) + self.compress_vit_feat(early)
        features = self.embedding_maskfeature(pixels) + fused
        weights = self.hf_mlp(token)
        return torch.einsum("bc,bchw->bhw", weights, features).unsqueeze(1)
