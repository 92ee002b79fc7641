"""What came of replays, in a file of the cache that may be deleted at any time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from napari_infosam.training.json_lines import append_line, read_lines

FILE = "replays.jsonl"


class Replays:
    """IoUs by object and version: in memory, and a line each in a file.

    Parameters
    ----------
    directory
        The cache of the project.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._known: dict[tuple[str, str], tuple[float, ...]] = {}
        for entry in read_lines(self._path):
            found = _parse(entry)
            if found is not None:
                key, version, ious = found
                self._known[key, version] = ious

    def get(self, key: str, version: str) -> tuple[float, ...] | None:
        """Return what a version did on an object, or None."""
        return self._known.get((key, version))

    def put(self, key: str, version: str, ious: tuple[float, ...]) -> None:
        """Keep what a version did on an object."""
        self._known[key, version] = ious
        append_line(self._path, {"object": key, "version": version, "ious": ious})


def _parse(entry: Any) -> tuple[str, str, tuple[float, ...]] | None:
    try:
        ious = tuple(map(float, entry["ious"]))
        found = str(entry["object"]), str(entry["version"]), ious
    except (ValueError, KeyError, TypeError):
        return None
    return found if ious and all(map(math.isfinite, ious)) else None
