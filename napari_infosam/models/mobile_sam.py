"""MobileSAM (``vit_t``): timm's TinyViT as the image encoder of Segment Anything.

The convolutions carry their batch norms folded in: the weights in the box are
stored that way, and `convert_original_keys` folds those of ``mobile_sam.pt``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from segment_anything.modeling import (
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from timm.layers.norm import LayerNorm2d
from timm.models.tiny_vit import Attention, ConvNorm, TinyVit
from torch import Tensor, nn

from napari_infosam.core.geometry import MODEL_SIDE
from napari_infosam.models.conv_gelu import ConvGelu

EMBEDDING_CHANNELS = 256
EMBEDDING_SIDE = MODEL_SIDE // 16
FIRST_STAGES = (1, 2, 3)
"""Stages whose blocks may be the first to be trained."""

_PIXEL_MEAN = (123.675, 116.28, 103.53)
_PIXEL_STD = (58.395, 57.12, 57.375)
_BATCH_NORM_EPS = 1e-5
_ENCODER = "image_encoder."
# prefixes of parameters in the published checkpoint, and ours
_ORIGINAL_AND_OURS = (
    ("patch_embed.seq.0.", "patch_embed.conv1."),
    ("patch_embed.seq.2.", "patch_embed.conv2."),
    ("layers.0.downsample.", "stages.1.downsample."),
    ("layers.1.downsample.", "stages.2.downsample."),
    ("layers.2.downsample.", "stages.3.downsample."),
    ("layers.", "stages."),
)
_CONVOLUTION = re.compile(r"^image_encoder\.(patch_embed|stages)\..*\.weight$")
_CLASSES = 1000
_ACTIVATED = (("conv1", "act"), ("conv1", "act1"), ("conv2", "act2"))
"""Convolutions of timm's modules, and the activations that follow them at once."""
# the ImageNet classifier that the published checkpoint carries along
_UNUSED = re.compile(r"^image_encoder\.(norm_head|head)\.|\.attention_bias_idxs$")


class MobileSamEncoder(nn.Module):
    """TinyViT and SAM's neck: picture in, image embedding out.

    The encoder can be cut at a stage, so that training computes what lies below
    the first adapted block only once: ``forward(x)`` equals
    ``from_early_features(early_features(x, s), s)`` for every ``s`` in
    `FIRST_STAGES`.

    Attributes
    ----------
    stages
        Four stages; ``stages[1:]`` have ``downsample`` and ``blocks``, whose
        blocks take and return ``(B, Y, X, C)``.
    img_size
        Side in pixels of the input, the name that `segment_anything` asks for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.img_size = MODEL_SIDE
        body = TinyVit(
            num_classes=0,
            embed_dims=(64, 128, 160, 320),
            depths=(2, 2, 6, 2),
            num_heads=(2, 4, 5, 10),
            window_sizes=(7, 7, 14, 7),
            drop_path_rate=0.0,
        )
        # MobileSAM keeps the 64 x 64 grid of stage 2, as SAM's decoder expects
        last: Any = body.stages[3]
        last.downsample.conv2.conv.stride = (1, 1)
        _prepare(body)
        self.patch_embed: nn.Module = body.patch_embed
        self.stages: nn.Sequential = body.stages
        self.neck = nn.Sequential(
            nn.Conv2d(320, EMBEDDING_CHANNELS, 1, bias=False),
            LayerNorm2d(EMBEDDING_CHANNELS),
            nn.Conv2d(EMBEDDING_CHANNELS, EMBEDDING_CHANNELS, 3, padding=1, bias=False),
            LayerNorm2d(EMBEDDING_CHANNELS),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the embedding ``(B, 256, 64, 64)`` of ``(B, 3, 1024, 1024)``.

        The input is RGB, normalised with SAM's mean and deviation and padded
        with zeros at the bottom and the right.
        """
        embedding: Tensor = self.neck(self.stages(self.patch_embed(x)))
        return embedding

    def early_features(self, x: Tensor, first_stage: int) -> Tensor:
        """Return what the blocks of stage ``first_stage`` take.

        Parameters
        ----------
        x
            ``(B, 3, 1024, 1024)``, as for `forward`.
        first_stage
            1, 2 or 3. Everything below its blocks is computed, its downsampling
            included.

        Returns
        -------
        torch.Tensor
            ``(B, 128, 128, 128)``, ``(B, 160, 64, 64)`` or ``(B, 320, 64, 64)``.
        """
        _check_stage(first_stage)
        stage: Any = self.stages[first_stage]
        below: Tensor = self.stages[:first_stage](self.patch_embed(x))
        features: Tensor = stage.downsample(below)
        return features

    def from_early_features(self, features: Tensor, first_stage: int) -> Tensor:
        """Return the embedding ``(B, 256, 64, 64)`` of `early_features`."""
        _check_stage(first_stage)
        stage: Any = self.stages[first_stage]
        x: Tensor = stage.blocks(features.permute(0, 2, 3, 1))
        embedding: Tensor = self.neck(
            self.stages[first_stage + 1 :](x.permute(0, 3, 1, 2))
        )
        return embedding


class _FreshAttention(Attention):
    """timm's attention without its cache of biases, and faster on its way back.

    The cache outlives `load_state_dict` and optimiser steps in eval mode, and a
    tensor cached in inference mode can not take part in training.
    """

    attention_bias_idxs: Tensor

    def get_attention_biases(self, device: torch.device) -> Tensor:
        # torch's fused attention takes masks of four axes
        return self.attention_biases[:, self.attention_bias_idxs].unsqueeze(0)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, N, dim)``; with gradient by plain products on a CPU.

        Fused attention is faster there, but twice as slow on its way back; and
        autocast would take the weights of the attention to float32.
        """
        if x.device.type != "cpu" or not torch.is_grad_enabled():
            return super().forward(x)  # type: ignore[no-any-return,no-untyped-call]
        qkv = self.qkv(self.norm(x)).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        q, k, v = qkv.split((self.key_dim, self.key_dim, self.val_dim), dim=3)
        scores = (q * self.scale) @ k.mT
        scores = scores + self.get_attention_biases(x.device).to(scores.dtype)
        with torch.autocast(x.device.type, enabled=False):
            heads = scores.softmax(dim=-1) @ v
        mixed: Tensor = self.proj(heads.transpose(1, 2).flatten(2))
        return mixed


def _prepare(module: nn.Module) -> None:
    """Fold norms and activations into convolutions, and drop the bias caches."""
    for name, child in module.named_children():
        if isinstance(child, ConvNorm):
            setattr(module, name, child.fuse())
        elif isinstance(child, Attention):
            fresh = _FreshAttention(
                child.qkv.in_features,
                child.key_dim,
                child.num_heads,
                child.attn_ratio,
                child.resolution,
            )
            setattr(module, name, fresh)
        else:
            _prepare(child)
    for name, activation in _ACTIVATED:
        conv = getattr(module, name, None)
        if isinstance(conv, nn.Conv2d) and hasattr(module, activation):
            setattr(module, name, ConvGelu(conv))
            setattr(module, activation, nn.Identity())


def _check_stage(first_stage: int) -> None:
    if first_stage not in FIRST_STAGES:
        raise ValueError(f"first_stage is one of {FIRST_STAGES}, not {first_stage}")


def build_mobile_sam(state_dict: Mapping[str, Tensor] | None = None) -> Sam:
    """Return MobileSAM on the CPU in eval mode.

    Parameters
    ----------
    state_dict
        Weights with our keys (see `convert_original_keys`), of any float type;
        the model is float32. None leaves the random initial values.

    Raises
    ------
    RuntimeError
        If keys are missing or left over, or shapes differ.
    """
    grid = (EMBEDDING_SIDE, EMBEDDING_SIDE)
    sam = Sam(
        image_encoder=MobileSamEncoder(),
        prompt_encoder=PromptEncoder(
            embed_dim=EMBEDDING_CHANNELS,
            image_embedding_size=grid,
            input_image_size=(MODEL_SIDE, MODEL_SIDE),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            transformer_dim=EMBEDDING_CHANNELS,
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=EMBEDDING_CHANNELS, mlp_dim=2048, num_heads=8
            ),
        ),
        pixel_mean=list(_PIXEL_MEAN),
        pixel_std=list(_PIXEL_STD),
    )
    if state_dict is not None:
        sam.load_state_dict(state_dict)
    return sam.eval()


def convert_original_keys(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of the published ``mobile_sam.pt`` with our keys.

    Batch norms are folded into their convolutions (in float64, so that folding
    costs no precision), the unused classifier is left out, and the encoder's
    modules get timm's names.

    Parameters
    ----------
    state_dict
        Keys such as ``image_encoder.patch_embed.seq.0.c.weight`` and
        ``image_encoder.layers.0.blocks.0.conv1.bn.running_mean``.
    """
    converted: dict[str, Tensor] = {}
    for key, value in state_dict.items():
        if _UNUSED.search(key) or ".bn." in key:
            continue
        module, _, leaf = key.rpartition(".")
        if not module.endswith(".c"):
            converted[_our_name(key)] = value
            continue
        name = _our_name(module.removesuffix("c"))
        batch_norm = module.removesuffix("c") + "bn."
        if leaf == "weight" and batch_norm + "weight" in state_dict:
            weight, bias = _fold(value, state_dict, batch_norm)
            converted[name + "weight"], converted[name + "bias"] = weight, bias
        else:
            converted[name + leaf] = value
    return converted


def to_original_keys(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return our weights with the keys of the published ``mobile_sam.pt``.

    MobileSAM's own code loads them strictly: each convolution gets a batch norm that
    only adds its bias, and the classifier, which no code of MobileSAM calls, is there
    and gives zero. `convert_original_keys` takes them back.

    Parameters
    ----------
    state_dict
        Keys such as ``image_encoder.stages.0.blocks.0.conv1.weight``.
    """
    original = {_original_name(key): value for key, value in state_dict.items()}
    for key, weight in state_dict.items():
        if weight.ndim == 4 and _CONVOLUTION.match(key):
            module = _original_name(key).removesuffix("weight")
            original[f"{module}c.weight"] = original.pop(f"{module}weight")
            original |= _batch_norm(f"{module}bn.", original.pop(f"{module}bias"))
    width = state_dict[f"{_ENCODER}neck.0.weight"].shape[1]
    original[f"{_ENCODER}norm_head.weight"] = torch.ones(width)
    original[f"{_ENCODER}norm_head.bias"] = torch.zeros(width)
    original[f"{_ENCODER}head.weight"] = torch.zeros(_CLASSES, width)
    original[f"{_ENCODER}head.bias"] = torch.zeros(_CLASSES)
    return original


def _batch_norm(name: str, bias: Tensor) -> dict[str, Tensor]:
    """Return the state of a batch norm that adds a bias and does nothing else."""
    return {
        f"{name}weight": torch.ones_like(bias),
        f"{name}bias": bias,
        f"{name}running_mean": torch.zeros_like(bias),
        f"{name}running_var": torch.full_like(bias, 1 - _BATCH_NORM_EPS),
        f"{name}num_batches_tracked": torch.tensor(0),
    }


def _fold(
    weight: Tensor, state_dict: Mapping[str, Tensor], batch_norm: str
) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the convolution with its batch norm applied."""
    gamma, beta, mean, variance = (
        state_dict[batch_norm + leaf].double()
        for leaf in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / torch.sqrt(variance + _BATCH_NORM_EPS)
    folded = weight.double() * scale[:, None, None, None]
    return folded.to(weight.dtype), (beta - mean * scale).to(weight.dtype)


def _our_name(key: str) -> str:
    return _with_prefix(key, _ORIGINAL_AND_OURS)


def _original_name(key: str) -> str:
    return _with_prefix(key, ((new, old) for old, new in _ORIGINAL_AND_OURS))


def _with_prefix(key: str, pairs: Iterable[tuple[str, str]]) -> str:
    """Return a parameter of the encoder under another prefix; the first that fits."""
    for old, new in pairs:
        if key.startswith(f"{_ENCODER}{old}"):
            return f"{_ENCODER}{new}{key.removeprefix(_ENCODER + old)}"
    return key
