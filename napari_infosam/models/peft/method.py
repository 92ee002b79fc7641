"""The methods by name: what each puts into an encoder, and what of it is trained."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from segment_anything.modeling import ImageEncoderViT

from napari_infosam.models.encoder_parts import attention_blocks
from napari_infosam.models.peft.adapter import (
    PLACES,
    Bottleneck,
    place_adapter,
    place_adapters,
)
from napari_infosam.models.peft.lora import EXPERTS, place_lora

if TYPE_CHECKING:
    from torch import Tensor, nn

    from napari_infosam.core.options import Method
    from napari_infosam.models.encoder_parts import Encoder


def _bitfit(block: nn.Module) -> list[nn.Parameter]:
    return [p for name, p in block.named_parameters() if name.endswith(".bias")]


_ATTACH: dict[Method, Callable[[Any], list[nn.Parameter]]] = {
    "bitfit": _bitfit,
    "lora": lambda block: place_lora(block.attn.qkv),
    "conv-lora": lambda block: place_lora(block.attn.qkv, experts=EXPERTS),
    "adapter": lambda block: place_adapters(
        block, "Space_Adapter_Series", "MLP_Adapter_Series"
    ),
    "adaptformer": lambda block: place_adapters(block, "MLP_Adapter_Parallel"),
    "su-sam": lambda block: place_adapters(
        block, "Space_Adapter_Series", "MLP_Adapter_Parallel"
    ),
}

_WITH_NORMS = frozenset({"adapter", "adaptformer", "su-sam"})


def first_tuned_block(method: Method, encoder: Encoder) -> int:
    """Return the first attention block that a method changes by default.

    In ViT the published choice: adapters from the third block on, the others in all.
    In TinyViT the two blocks of its last stage: what lies below is computed once for
    an image, and students come nearly as far as with eight blocks
    (``docs/benchmarks.md``).
    """
    if not isinstance(encoder, ImageEncoderViT):
        return len(attention_blocks(encoder)) - 2
    return 2 if method in _WITH_NORMS else 0


def attach_method(
    encoder: Encoder, method: Method, first_block: int
) -> list[nn.Parameter]:
    """Put the modules of a method into all blocks from the given one on.

    All of them change nothing at first. Modules that are there already, those of a
    published checkpoint, are kept and trained further.

    Parameters
    ----------
    encoder
        The student's encoder; changed in place.
    method
        Which modules; ``decoder`` and ``hq-sam`` leave the encoder as it is.
    first_block
        First attention block that is changed.

    Returns
    -------
    list of Parameter
        What is to be trained; for adapters the layer norms of their blocks too.
    """
    attach = _ATTACH.get(method, lambda _block: [])
    blocks = attention_blocks(encoder)[first_block:]
    return [parameter for block in blocks for parameter in attach(block)]


_ADAPTER_KEY = re.compile(rf"^(.*blocks\.\d+)\.({'|'.join(PLACES)})\.D_fc1\.weight$")
_LORA_KEY = re.compile(r"^(.*blocks\.\d+\.attn\.qkv)\.lora_A$")


def has_modules(encoder: nn.Module) -> bool:
    """Return whether an encoder carries adapters, LoRA or Conv-LoRA."""
    return any(
        isinstance(module, Bottleneck) or hasattr(module, "lora_A")
        for module in encoder.modules()
    )


def attach_published(encoder: Encoder, state: Mapping[str, Tensor]) -> None:
    """Put the modules into an encoder that a published checkpoint has weights for.

    Parameters
    ----------
    encoder
        Changed in place; the weights are not loaded.
    state
        State dict of an encoder, with keys such as
        ``blocks.2.MLP_Adapter_Series.D_fc1.weight``.
    """
    for key, value in state.items():
        if match := _ADAPTER_KEY.match(key):
            hidden, width = value.shape
            block = encoder.get_submodule(match[1])
            place_adapter(block, match[2], hidden / width)
        elif match := _LORA_KEY.match(key):
            experts = _count_experts(state, match[1])
            place_lora(encoder.get_submodule(match[1]), value.shape[0], experts)


def _count_experts(keys: Iterable[str], layer: str) -> int:
    expert = re.compile(rf"^{re.escape(layer)}\.lora_moe_experts\.(\d+)\.0\.weight$")
    return sum(expert.match(key) is not None for key in keys)
