"""Which images are learnt from, and which ones judge what was learnt."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

VALIDATE_EVERY = 6
"""One image in so many validates."""

SLICES_TOGETHER = 4
"""Along each axis of a stack: so many neighbours are in one part, being alike."""

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
    first object on, and never lose an image to training. Of a stack in a file, slices
    beside each other go together and count as one image.
    """
    name, source, split = connection.execute(
        "SELECT name, source, split FROM images WHERE id = ?", (image_id,)
    ).fetchone()
    if split is not None:
        return
    n_decided = connection.execute(
        "SELECT count(*) FROM images WHERE split IS NOT NULL"
    ).fetchone()[0]
    # without a file, "[1]" may be what napari makes of equal names
    slices = connection.execute(
        "SELECT name, source, split FROM images WHERE split IS NOT NULL"
        " AND source IS NOT NULL AND name LIKE '% [%]'"
    ).fetchall()
    blocks = {_block(row["name"], row["source"]): row["split"] for row in slices}
    n_units = n_decided - len(slices) + len(blocks)
    turn = "val" if n_units % VALIDATE_EVERY == 0 else "train"
    own = turn if source is None else blocks.get(_block(name, source), turn)
    connection.execute("UPDATE images SET split = ? WHERE id = ?", (own, image_id))


def _block(name: str, source: str) -> tuple[object, ...]:
    """Return the neighbours in a stack that a slice goes with; an image is alone."""
    stack = stack_of(name)
    if stack is None:
        return source, name
    base, position = stack
    return source, base, tuple(place // SLICES_TOGETHER for place in position)
