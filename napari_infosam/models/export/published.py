"""All weights of a model under the names of published checkpoints, base included."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

from safetensors import safe_open

from napari_infosam.core.errors import InfosamError
from napari_infosam.models.peft.method import has_modules

if TYPE_CHECKING:
    from segment_anything.modeling import Sam
    from torch import Tensor

    from napari_infosam.models.sam_model import FirstClick, SamModel

_FIRST_CLICK, _INPUT = "infosam_first_click", "infosam_input"
_PUBLISHED, _RGB = "published", "rgb"


class Answering(TypedDict, total=False):
    """How a model wants to be asked; keywords of `SamModel`."""

    first_click: FirstClick
    published_input: bool


def published_state_dict(model: SamModel) -> dict[str, Tensor]:
    """Return all weights, what the method added included.

    Parameters
    ----------
    model
        Base or student.

    Raises
    ------
    InfosamError
        For a student of ``hq-sam``.
    """
    if model.has_hq_head:
        raise InfosamError(
            f"{model.version} has the head of HQ-SAM, which no plain SAM file can "
            "hold: choose --format onnx, or export another version."
        )
    return {
        key: value.detach().cpu().contiguous()
        for key, value in model.sam.state_dict().items()
    }


def answering_metadata(model: SamModel) -> dict[str, str]:
    """Return what a ``.safetensors`` or ``.onnx`` file says beside its weights."""
    prepared = _PUBLISHED if model.published_input else _RGB
    return {_FIRST_CLICK: model.first_click, _INPUT: prepared}


def read_answering(path: Path, sam: Sam) -> Answering:
    """Return how the model of a weights file wants to be asked.

    Checkpoints with modules of a method that do not say so themselves are taken for
    published ones: they were trained for the single mask, and on pictures as the
    authors' code prepares them.

    Parameters
    ----------
    path
        The weights file.
    sam
        The model it was loaded into.
    """
    known: dict[str, str] = {}
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            known = file.metadata() or {}
    if _FIRST_CLICK in known:
        return Answering(
            first_click=cast("FirstClick", known[_FIRST_CLICK]),
            published_input=known.get(_INPUT) == _PUBLISHED,
        )
    if has_modules(sam.image_encoder):
        return Answering(first_click="single", published_input=True)
    return Answering()
