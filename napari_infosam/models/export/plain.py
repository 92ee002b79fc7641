"""Students as plain Segment Anything: what the method added is merged or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_infosam.core.errors import InfosamError
from napari_infosam.models.mobile_sam import MobileSamEncoder, to_original_keys
from napari_infosam.models.peft.adapter import Bottleneck
from napari_infosam.models.peft.lora import merge_lora

if TYPE_CHECKING:
    from torch import Tensor

    from napari_infosam.models.sam_model import SamModel


def plain_state_dict(model: SamModel) -> dict[str, Tensor]:
    """Return weights that the code of Segment Anything, or MobileSAM, loads strictly.

    Low-rank updates are merged into their layers; ``vit_t`` gets the keys of
    ``mobile_sam.pt``.

    Parameters
    ----------
    model
        Base or student.

    Raises
    ------
    InfosamError
        For adapters, Conv-LoRA and the head of HQ-SAM, which can not be merged.
    """
    if (extra := _unmergeable(model)) is not None:
        raise InfosamError(
            f"{model.version} has {extra}, which no plain Segment Anything can hold: "
            f"choose --format onnx{'' if model.has_hq_head else ' or safetensors'}."
        )
    state = merge_lora(model.sam.state_dict())
    if isinstance(model.sam.image_encoder, MobileSamEncoder):
        state = to_original_keys(state)
    return {key: value.detach().cpu().contiguous() for key, value in state.items()}


def _unmergeable(model: SamModel) -> str | None:
    """Return what a plain model has no place for, or None."""
    if model.has_hq_head:
        return "the head of HQ-SAM"
    for module in model.sam.image_encoder.modules():
        if isinstance(module, Bottleneck):
            return "adapters in its encoder"
        if hasattr(module, "lora_moe_gating"):
            return "the experts of Conv-LoRA in its encoder"
    return None
