"""What models did on held-out objects, so that no training measures it again."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from pydantic import TypeAdapter, ValidationError

from napari_infosam.models.prediction import embedding_key
from napari_infosam.training.evaluate import ObjectResult
from napari_infosam.training.json_lines import JsonLines

if TYPE_CHECKING:
    from napari_infosam.models.sam_model import SamModel
    from napari_infosam.training.dataset import Sample

FILE = "held_out.jsonl"
PROTOCOL = 2
"""To be raised whenever models answer, or are clicked at, in another way."""
_RESULT = TypeAdapter(ObjectResult)


KnownResults: TypeAlias = JsonLines[str, ObjectResult]
"""Results by keys of `keys_of`."""


def read_results(cache: Path) -> KnownResults:
    """Return the results in the cache of a project."""
    return JsonLines(cache / FILE, _parse)


def keep_results(
    known: KnownResults, results: Iterable[tuple[str, ObjectResult]]
) -> None:
    """Keep results that are not known yet."""
    for key, result in results:
        if known.get(key) is None:
            entry = {"key": key, "result": _RESULT.dump_python(result, mode="json")}
            known.put(key, result, entry)


def keys_of(model: SamModel, sample: Sample, max_clicks: int) -> list[str]:
    """Return what tells a model's results on the objects of an image from all others.

    Another release of this package, or of torch, measures anew.

    Parameters
    ----------
    model
        Who answers.
    sample
        The image; one key for each of its masks.
    max_clicks
        See `napari_infosam.training.evaluate.evaluate`.
    """
    picture = embedding_key(sample.picture, model.encoder_hash)
    what = (
        f"{PROTOCOL} {version('napari-infosam')} {torch.__version__} {picture} "
        f"{model.weights_hash} {model.first_click} {model.device.type} {max_clicks} "
    )
    return [
        hashlib.blake2b(what.encode() + rle, digest_size=20).hexdigest()
        for rle in sample.rles
    ]


def _parse(entry: Any) -> tuple[str, ObjectResult] | None:
    try:
        key, result = str(entry["key"]), _RESULT.validate_python(entry["result"])
    except (KeyError, TypeError, ValidationError):
        return None
    if not result.ious or len(result.scores) not in (0, len(result.ious) + 1):
        return None
    found = (*result.ious, *result.scores, result.iou_box, result.seconds)
    return (key, result) if all(map(math.isfinite, found)) else None
