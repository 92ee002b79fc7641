"""What is known by key: in memory, and as lines of JSON in a file of the cache."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

logger = logging.getLogger(__name__)

Key = TypeVar("Key")
Value = TypeVar("Value")


class JsonLines(Generic[Key, Value]):
    """Values by key, with a line for each in a file that may be deleted at any time.

    A line that can not be read, or written, costs what it would have saved and nothing
    else.

    Parameters
    ----------
    path
        The file; it need not be there.
    parse
        Returns key and value of what a line holds, or None if that is neither.
    """

    def __init__(
        self, path: Path, parse: Callable[[Any], tuple[Key, Value] | None]
    ) -> None:
        self._path = path
        found = map(parse, _read(path))
        self._known: dict[Key, Value] = dict(one for one in found if one is not None)

    def get(self, key: Key) -> Value | None:
        """Return the value of a key, or None."""
        return self._known.get(key)

    def put(self, key: Key, value: Value, entry: Any) -> None:
        """Keep a value; ``entry`` is what its line is to hold."""
        self._known[key] = value
        try:
            self._path.parent.mkdir(exist_ok=True)
            # whole lines of one write each: another window may append, too. What a
            # crash has torn ends at the newline in front
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"\n{json.dumps(entry)}\n")
        except OSError as error:
            logger.warning("%s is kept in memory only: %s", self._path.name, error)


def _read(path: Path) -> Iterator[Any]:
    """Yield what the lines of a file hold that are JSON."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        logger.warning("%s can not be read: %s", path.name, error)
        return
    for line in filter(None, lines):
        try:
            yield json.loads(line)
        except ValueError:
            continue
