"""The models there are, and building one from its name or from a weights file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segment_anything import sam_model_registry

from napari_infosam.core.errors import InfosamError
from napari_infosam.models.mobile_sam import build_mobile_sam, convert_original_keys
from napari_infosam.models.peft.method import attach_published
from napari_infosam.models.weights import (
    PUBLISHED,
    Cancelled,
    Progress,
    RemoteFile,
    download,
    load_state_dict,
)
from napari_infosam.resources import resource_path

if TYPE_CHECKING:
    from segment_anything.modeling import Sam
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A base model that can be had by name.

    Attributes
    ----------
    name
        Name of the architecture, as in `segment_anything`.
    title
        For people.
    file
        Name of its weights file.
    sha256
        Hash of that file, in hexadecimal.
    size
        Of that file, in bytes.
    licence
        Of the weights, as an SPDX identifier.
    bundled
        Whether the file ships with the package; otherwise it is downloaded once.
    """

    name: str
    title: str
    file: str
    sha256: str
    size: int
    licence: str = "Apache-2.0"
    bundled: bool = False


def _published(name: str, title: str) -> ModelEntry:
    remote = PUBLISHED[name]
    return ModelEntry(name, title, remote.name, remote.sha256, remote.size)


MODELS: dict[str, ModelEntry] = {
    "vit_t": ModelEntry(
        "vit_t",
        "MobileSAM",
        "mobile_sam.safetensors",
        "a131d31bf7c0aa36b3b84ee6b39b12efb2c2f85152a5958039a5bbb90ca0c583",
        39_253_864,
        bundled=True,
    ),
    "vit_b": _published("vit_b", "Segment Anything, base"),
    "vit_l": _published("vit_l", "Segment Anything, large"),
    "vit_h": _published("vit_h", "Segment Anything, huge"),
}

_VIT_BY_WIDTH = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
_VIT_KEY = "image_encoder.patch_embed.proj.weight"
_TINY_KEY = "image_encoder.patch_embed.conv1.weight"
_ORIGINAL_TINY_KEY = "image_encoder.patch_embed.seq.0.c.weight"
_ENCODER = "image_encoder."
_SHOWN = 3
"""Tensors an error sentence names before it only counts them."""


def build_sam(
    name_or_path: str | Path,
    *,
    on_progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    published: Mapping[str, RemoteFile] = PUBLISHED,
    folder: Path | None = None,
) -> tuple[Sam, str]:
    """Return a base model on the CPU, in eval mode, and the name to ask for it again.

    Parameters
    ----------
    name_or_path
        A key of `MODELS`, or the path of a weights file: ours, the published
        MobileSAM or Segment Anything, or an InfoSAM checkpoint with adapters, LoRA or
        Conv-LoRA. The architecture is read off the weights.
    on_progress, cancelled, published, folder
        For a download, see `napari_infosam.models.weights.download`.

    Returns
    -------
    sam, name
        The name is the key, or the absolute path of the file.

    Raises
    ------
    InfosamError
        For an unknown name, a file that can not be read or is no such model, or
        a download that fails.
    """
    name = str(name_or_path)
    entry = MODELS.get(name)
    if entry is None:
        path = _weights_path(name)
        name = str(path)
    elif entry.bundled:
        path = resource_path(entry.file)
    else:
        path = download(
            name,
            on_progress=on_progress,
            cancelled=cancelled,
            published=published,
            folder=folder,
        )
    return _build(path), name


def _weights_path(name: str) -> Path:
    path = Path(name).expanduser()
    if not path.suffix and not path.is_file():
        raise InfosamError(
            f"There is no model {name!r}: choose one of {', '.join(MODELS)}, or the "
            "path of a weights file."
        )
    return path.resolve()


def _build(path: Path) -> Sam:
    state = load_state_dict(path)
    architecture = _architecture(state, path)
    sam: Sam
    if architecture == "vit_t":
        sam = build_mobile_sam()
        if _ORIGINAL_TINY_KEY in state:
            state = convert_original_keys(state)
    else:
        sam = _vit_builder(architecture)()
    own = (key for key in state if key.startswith(_ENCODER))
    attach_published(
        sam.image_encoder, {key.removeprefix(_ENCODER): state[key] for key in own}
    )
    _check_fit(sam, state, architecture, path)
    sam.load_state_dict(state)
    return sam.eval()


def _vit_builder(architecture: str) -> Callable[[], Sam]:
    builder: Callable[[], Sam] = sam_model_registry[architecture]
    return builder


def _architecture(state: Mapping[str, Tensor], path: Path) -> str:
    """Return the key of `MODELS` that a state dict belongs to."""
    if _TINY_KEY in state or _ORIGINAL_TINY_KEY in state:
        return "vit_t"
    if _VIT_KEY in state:
        width = state[_VIT_KEY].shape[0]
        if width in _VIT_BY_WIDTH:
            return _VIT_BY_WIDTH[width]
        raise InfosamError(
            f"{path} is a Segment Anything model of width {width}, which none of "
            f"{', '.join(MODELS)} has: choose another file."
        )
    raise InfosamError(
        f"{path} is no model of the kinds {', '.join(MODELS)} (its tensors are "
        f"{_names(state)}): choose weights of MobileSAM or Segment Anything 1."
    )


def _check_fit(
    sam: Sam, state: Mapping[str, Tensor], architecture: str, path: Path
) -> None:
    """Raise a sentence unless names and shapes of all tensors fit."""
    expected = sam.state_dict()
    missing = [key for key in expected if key not in state]
    extra = [key for key in state if key not in expected]
    other = [
        key
        for key, value in expected.items()
        if key in state and state[key].shape != value.shape
    ]
    problems = [
        f"{len(keys)} {what} ({_names(keys)})"
        for what, keys in (
            ("missing", missing),
            ("not part of it", extra),
            ("of another shape", other),
        )
        if keys
    ]
    if problems:
        raise InfosamError(
            f"{path} looks like {architecture}, but of its tensors "
            f"{' and '.join(problems)}: choose a complete file of this model."
        )


def _names(keys: Iterable[str]) -> str:
    keys = list(keys)
    more = len(keys) - _SHOWN
    return ", ".join(keys[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
