"""What came of replays, so that none is done twice."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, TypeAlias

from napari_infosam.training.json_lines import JsonLines

FILE = "replays.jsonl"

Replays: TypeAlias = JsonLines[tuple[str, str], tuple[float, ...]]
"""IoUs by object and version."""


def read_replays(cache: Path) -> Replays:
    """Return the replays in the cache of a project."""
    return JsonLines(cache / FILE, _parse)


def keep_replay(
    replays: Replays, key: str, version: str, ious: tuple[float, ...]
) -> None:
    """Keep what a version did on an object."""
    entry = {"object": key, "version": version, "ious": ious}
    replays.put((key, version), ious, entry)


def _parse(entry: Any) -> tuple[tuple[str, str], tuple[float, ...]] | None:
    try:
        ious = tuple(map(float, entry["ious"]))
        key = str(entry["object"]), str(entry["version"])
    except (ValueError, KeyError, TypeError):
        return None
    return (key, ious) if ious and all(map(math.isfinite, ious)) else None
