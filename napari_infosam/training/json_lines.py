"""Files of the cache with a line of JSON for each thing that is known.

They may be deleted at any time. A line that can not be read, or written, costs what it
would have saved and nothing else.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


def append_line(path: Path, entry: Any) -> None:
    """Add a line; another window may do so, too."""
    try:
        path.parent.mkdir(exist_ok=True)
        # one write each; what a crash has torn ends at the newline in front
        with path.open("a", encoding="utf-8") as file:
            file.write(f"\n{json.dumps(entry)}\n")
    except OSError as error:
        logger.warning("%s is kept in memory only: %s", path.name, error)


def read_lines(path: Path) -> Iterator[Any]:
    """Yield what the lines hold that are JSON."""
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
