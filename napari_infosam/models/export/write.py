"""Exporting a model in the format that was asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from napari_infosam.models.export.files import (
    all_or_none,
    choose_format,
    not_written,
    target_paths,
)
from napari_infosam.models.export.plain import plain_state_dict
from napari_infosam.models.export.published import (
    answering_metadata,
    published_state_dict,
)
from napari_infosam.project.files import write_json

if TYPE_CHECKING:
    from torch import Tensor

    from napari_infosam.core.options import ExportFormat
    from napari_infosam.models.sam_model import SamModel

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Export:
    """What was written.

    Attributes
    ----------
    file_format
        Its format.
    files
        Its files, all in one folder.
    differences
        For ``onnx``: largest differences between ONNX Runtime and the model.
    """

    file_format: ExportFormat
    files: list[Path]
    differences: dict[str, float] = field(default_factory=dict)


def export_model(
    model: SamModel,
    out: str | Path,
    file_format: ExportFormat | None = None,
    *,
    overwrite: bool = False,
    card: Mapping[str, Any] | None = None,
    say: Say = lambda _sentence: None,
) -> Export:
    """Write a model for other programs.

    Parameters
    ----------
    model
        Base or student, on the CPU.
    out
        File, or folder (one that is there, or with a slash at its end); for ``onnx``
        also the beginning of the two names.
    file_format
        ``onnx``: encoder and decoder, checked in ONNX Runtime. ``safetensors``: all
        weights, for `load_model`, and a card. ``state-dict``: a plain Segment Anything,
        into which the method is merged. ``published``: all weights under the names of
        InfoSAM's checkpoints. None goes by the ending of `out`.
    overwrite
        Whether files that are there may be replaced.
    card
        What is known of the model, for its card.
    say
        Called with a line of progress.

    Raises
    ------
    InfosamError
        If the format can not hold the model, a file is there already, the disk is full
        or read-only, a library is missing, or the check fails. Nothing is left then.
    """
    chosen = choose_format(str(out), file_format)
    targets = target_paths(str(out), chosen)
    differences: dict[str, float] = {}
    with all_or_none(targets, overwrite=overwrite) as draft:
        first, second = draft / targets[0].name, draft / targets[-1].name
        match chosen:
            case "onnx":
                differences = _write_onnx(model, first, second, say)
            case "safetensors":
                _write_safetensors(model, first, second, card or {})
            case "published":
                _write_torch(published_state_dict(model), first)
            case "state-dict":
                _write_torch(plain_state_dict(model), first)
        names = sorted(file.name for file in draft.iterdir())
    return Export(chosen, [targets[0].parent / name for name in names], differences)


def _write_onnx(
    model: SamModel, encoder: Path, decoder: Path, say: Say
) -> dict[str, float]:
    from napari_infosam.models.export.onnx_graphs import (
        check_libraries,
        write_decoder,
        write_encoder,
    )

    check_libraries()
    from napari_infosam.models.export.onnx_check import check_pair

    say(f"Writing the encoder of {model.version}")
    write_encoder(model, encoder)
    say(f"Writing the decoder of {model.version}")
    write_decoder(model, decoder)
    say("Comparing both in ONNX Runtime with the model")
    return check_pair(model, encoder, decoder)


def _write_safetensors(
    model: SamModel, path: Path, card_path: Path, card: Mapping[str, Any]
) -> None:
    try:
        save_file(published_state_dict(model), path, answering_metadata(model))
    except SafetensorError as error:
        raise not_written(path.parent.parent, error) from error
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    exported = {
        "file": path.name,
        "sha256": digest,
        "base": model.name,
        "version": model.version,
        "first_click": model.first_click,
        "published_input": model.published_input,
        "weights_hash": model.weights_hash,
    }
    write_json(card_path, {**card, "export": exported})


def _write_torch(weights: dict[str, Tensor], path: Path) -> None:
    try:
        with path.open("wb") as file:
            torch.save(weights, file)
    except RuntimeError as error:
        # torch's writer hides what the disk said behind an error of its own
        said = error.__context__
        reason = said if isinstance(said, OSError) else error
        raise not_written(path.parent.parent, reason) from error
