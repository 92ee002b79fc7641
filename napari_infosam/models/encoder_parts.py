"""The parts of an image encoder that fine-tuning needs: blocks, norms and the cut.

Blocks are the attention blocks, numbered from the input: 12 in ViT-B, 10 in TinyViT
(stages 1 to 3). The cut lies below the first block that is tuned; what comes before
it never changes and is computed once for an image.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

from segment_anything.modeling import ImageEncoderViT
from torch import nn

from napari_infosam.models.mobile_sam import MobileSamEncoder

if TYPE_CHECKING:
    from torch import Tensor

Encoder: TypeAlias = MobileSamEncoder | ImageEncoderViT


def attention_blocks(encoder: Encoder) -> list[nn.Module]:
    """Return the attention blocks, from the input to the neck."""
    if isinstance(encoder, MobileSamEncoder):
        stages = encoder.stages[1:]
        return [
            block
            for stage in stages
            for block in stage.get_submodule("blocks").children()
        ]
    return list(encoder.blocks)


def block_norms(block: nn.Module) -> Iterator[nn.LayerNorm]:
    """Yield the two layer norms of an attention block."""
    for name, module in block.named_modules():
        ours = name in ("norm1", "norm2", "attn.norm", "mlp.norm")
        if ours and isinstance(module, nn.LayerNorm):
            yield module


def block_width(block: nn.Module) -> int:
    """Return the number of channels of an attention block."""
    width: int = next(block_norms(block)).weight.shape[0]
    return width


def early_features(encoder: Encoder, x: Tensor, first_block: int) -> Tensor:
    """Return everything below the cut, for `late_embedding`.

    Parameters
    ----------
    encoder
        TinyViT or ViT.
    x
        ``(B, 3, 1024, 1024)`` normalised and padded input.
    first_block
        First block that may be tuned. In TinyViT the cut is at the stage that
        holds it.
    """
    if isinstance(encoder, MobileSamEncoder):
        return encoder.early_features(x, _stage_of(encoder, first_block))
    features: Tensor = encoder.patch_embed(x)
    if encoder.pos_embed is not None:
        features = features + encoder.pos_embed
    for block in encoder.blocks[:first_block]:
        features = block(features)
    return features


def late_embedding(encoder: Encoder, features: Tensor, first_block: int) -> Tensor:
    """Return the embedding ``(B, 256, 64, 64)`` from the features below the cut."""
    if isinstance(encoder, MobileSamEncoder):
        return encoder.from_early_features(features, _stage_of(encoder, first_block))
    for block in encoder.blocks[first_block:]:
        features = block(features)
    embedding: Tensor = encoder.neck(features.permute(0, 3, 1, 2))
    return embedding


def _stage_of(encoder: MobileSamEncoder, first_block: int) -> int:
    """Return the TinyViT stage that holds an attention block."""
    seen = 0
    for number, stage in enumerate(encoder.stages[1:], start=1):
        seen += len(list(stage.get_submodule("blocks").children()))
        if first_block < seen:
            return number
    raise ValueError(f"the encoder has {seen} blocks, so {first_block} is not one")
