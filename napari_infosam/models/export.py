"""A student as one file of weights that stands by itself, base included."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

import torch
from safetensors import safe_open

from napari_infosam.core.errors import InfosamError
from napari_infosam.models.peft.method import has_modules
from napari_infosam.models.student import write_tensors

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

    from napari_infosam.models.sam_model import FirstClick, SamModel

_FIRST_CLICK, _INPUT = "infosam_first_click", "infosam_input"
_PUBLISHED, _RGB = "published", "rgb"


class Answering(TypedDict, total=False):
    """How a model wants to be asked; keywords of `SamModel`."""

    first_click: FirstClick
    published_input: bool


def save_model(model: SamModel, path: Path) -> None:
    """Write all weights of a model, under the names of published checkpoints.

    Parameters
    ----------
    model
        Base or student.
    path
        ``.safetensors`` keeps how the model wants to be asked beside the weights;
        ``.pt`` and ``.pth`` are what the code of InfoSAM's authors reads.

    Raises
    ------
    InfosamError
        For another suffix, a student of ``hq-sam``, or a full disk.
    """
    if model.has_hq_head:
        raise InfosamError(
            f"{model.version} has the head of HQ-SAM, which no plain SAM file can "
            "hold: export another version."
        )
    weights = {
        key: value.detach().cpu().contiguous()
        for key, value in model.sam.state_dict().items()
    }
    if path.suffix == ".safetensors":
        prepared = _PUBLISHED if model.published_input else _RGB
        write_tensors(
            path, weights, {_FIRST_CLICK: model.first_click, _INPUT: prepared}
        )
        return
    if path.suffix not in (".pt", ".pth"):
        raise InfosamError(
            f"{path.name} is no name for weights: end it in .safetensors, .pth or .pt."
        )
    temporary = path.with_suffix(".tmp")
    try:
        torch.save(weights, temporary)
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        raise InfosamError(
            f"The model could not be written to {path}: {error}. Free some space."
        ) from error


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
