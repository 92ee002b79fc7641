"""How far something is that has parts, which may have parts themselves."""

from __future__ import annotations

from collections.abc import Callable

Tell = Callable[[float], None]
"""Called with how much is done, from 0 to 1. What it raises ends the work."""

AT_ONCE = 100
"""So many objects are read between two calls."""


def nobody(_: float) -> None:
    """Stand for someone who does not want to know."""


def part_of(tell: Tell, number: int, total: int) -> Tell:
    """Return what tells about one of several equal parts, the first is number 0."""
    return lambda share: tell((number + share) / total)
