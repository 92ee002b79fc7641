"""Results that are there already, and what they depend on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from napari_infosam.core.options import FinetuneOptions
from napari_infosam.training.dataset import DRAW

if TYPE_CHECKING:
    from pathlib import Path

    from napari_infosam.bench.data import Pair
    from napari_infosam.models.sam_model import SamModel

_OF_THE_MACHINE = {"threads"}
"""Options that do not change what comes out."""


def settings_of(
    base: SamModel, options: FinetuneOptions, pairs: Iterable[Pair]
) -> dict[str, Any]:
    """Return what the results of any training depend on.

    Parameters
    ----------
    base
        The base model.
    options
        Of the training.
    pairs
        All files that are read.
    """
    files = "\n".join(f"{f} {f.stat().st_size}" for pair in pairs for f in pair)
    return {
        "version": version("napari-infosam"),
        "weights": base.weights_hash,
        "options": _plain(options),
        "files": sha256(files.encode()).hexdigest(),
        "draw": DRAW,
    }


def is_done(path: Path, settings: dict[str, Any]) -> bool:
    """Return whether a result is there; options it was made before have defaults."""
    try:
        known: dict[str, Any] = json.loads(path.read_text("utf-8"))["settings"]
        # students of before began with the base
        options = {"begin": "base", **known["options"]}
        known["options"] = _plain(FinetuneOptions.model_validate(options))
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return known == settings


def _plain(options: FinetuneOptions) -> dict[str, Any]:
    return options.model_dump(mode="json", exclude=_OF_THE_MACHINE)
