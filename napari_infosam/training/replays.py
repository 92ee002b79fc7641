"""What came of replays, in a file of the cache that may be deleted at any time."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

FILE = "replays.jsonl"


class Replays:
    """IoUs by object and version: in memory, and a line each in a file.

    A line that can not be read, or written, costs a replay and nothing else.

    Parameters
    ----------
    directory
        The cache of the project.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._known: dict[tuple[str, str], tuple[float, ...]] = {}
        self._read()

    def get(self, key: str, version: str) -> tuple[float, ...] | None:
        """Return what a version did on an object, or None."""
        return self._known.get((key, version))

    def put(self, key: str, version: str, ious: tuple[float, ...]) -> None:
        """Keep what a version did on an object."""
        self._known[key, version] = ious
        line = json.dumps({"object": key, "version": version, "ious": ious})
        try:
            self._path.parent.mkdir(exist_ok=True)
            # whole lines of one write each: another window may append, too. What a
            # crash has torn ends at the newline in front
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"\n{line}\n")
        except OSError as error:
            logger.warning("The replay is kept in memory only: %s", error)

    def _read(self) -> None:
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return
        except OSError as error:
            logger.warning("Earlier replays can not be read: %s", error)
            return
        for line in filter(None, lines):
            entry = _parse(line)
            if entry is not None:
                key, version, ious = entry
                self._known[key, version] = ious


def _parse(line: bytes) -> tuple[str, str, tuple[float, ...]] | None:
    try:
        entry: Any = json.loads(line)
        ious = tuple(map(float, entry["ious"]))
        found = str(entry["object"]), str(entry["version"]), ious
    except (ValueError, KeyError, TypeError):
        return None
    return found if ious and all(map(math.isfinite, ious)) else None
