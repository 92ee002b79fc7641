"""Which images are learnt from, and which ones judge what was learnt."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

VALIDATE_EVERY = 6
"""One image in so many validates."""

SLICES_TOGETHER = 4
"""Neighbouring slices of a stack that are in one part, for they are nearly alike."""

_SLICE = re.compile(r"(?P<stack>.+) \[(?P<position>\d+(?:, \d+)*)\]")


def stack_of(name: str) -> tuple[str, tuple[int, ...]] | None:
    """Return which stack an image is a slice of, and where in it, by its name."""
    found = _SLICE.fullmatch(name)
    if found is None:
        return None
    return found["stack"], tuple(map(int, found["position"].split(", ")))


def decide_split(connection: sqlite3.Connection, image_id: int) -> None:
    """Give an image that gets a reviewed object its part, once and for all.

    The first image validates, then every sixth: held-out figures exist from the
    first object on, and never lose an image to training. A slice of a stack goes with
    those beside it.
    """
    name, source, split = connection.execute(
        "SELECT name, source, split FROM images WHERE id = ?", (image_id,)
    ).fetchone()
    if split is not None:
        return
    if stack_of(name) is None:
        decided = connection.execute(
            "SELECT count(*) FROM images WHERE split IS NOT NULL"
        ).fetchone()[0]
        part = _turn(decided)
    else:
        part = _part_of_slice(connection, name, source)
    connection.execute("UPDATE images SET split = ? WHERE id = ?", (part, image_id))


def _turn(decided: int) -> str:
    return "val" if decided % VALIDATE_EVERY == 0 else "train"


def _part_of_slice(
    connection: sqlite3.Connection, name: str, source: str | None
) -> str:
    """Return the part of the block that a slice is in, which may be a new one."""
    rows = connection.execute(
        "SELECT name, split FROM images WHERE split IS NOT NULL AND source IS ?",
        (source,),
    )
    own = _block(name)
    blocks = {_block(row["name"]): str(row["split"]) for row in rows}
    of_stack = [block for block in blocks if block[0] == own[0] and block[1]]
    if own in blocks:
        return blocks[own]
    if of_stack:
        return _turn(len(of_stack))
    others = connection.execute(
        "SELECT name, source FROM images WHERE split IS NOT NULL"
    )
    return _turn(len({(row["source"], _block(row["name"])[0]) for row in others}))


def _block(name: str) -> tuple[str, tuple[int, ...]]:
    """Return the stack of a slice and its block in that; of an image its name."""
    stack = stack_of(name)
    if stack is None:
        return name, ()
    base, (*before, last) = stack
    return base, (*before, last // SLICES_TOGETHER)
