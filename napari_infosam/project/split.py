"""Which images are learnt from, and which ones judge what was learnt."""

from __future__ import annotations

import json
import re
from itertools import product
from typing import TYPE_CHECKING

from napari_infosam.project import settings

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

VALIDATE_EVERY = 6
"""One image in so many validates, from the first one on."""

ALSO_VALIDATES = 3
"""So does the one after so many: a single image says little of others."""

SLICES_TOGETHER = 4
"""Along each axis of a stack: so many neighbours are in one part, being alike."""

_UNITS = "split_units"
"""Setting: how many images, or groups of such slices, have a part."""

_SLICE = re.compile(r"(?P<stack>.+) \[(?P<position>\d+(?:, \d+)*)\]")


def stack_of(name: str) -> tuple[str, tuple[int, ...]] | None:
    """Return which stack an image is a slice of, and where in it, by its name."""
    found = _SLICE.fullmatch(name)
    if found is None:
        return None
    return found["stack"], tuple(map(int, found["position"].split(", ")))


def slice_name(stack: str, position: tuple[int, ...]) -> str:
    """Return what the slice at a position of a stack is called, as `stack_of` reads it.

    At no position it is the name itself.
    """
    return f"{stack} [{', '.join(map(str, position))}]" if position else stack


def stacks_of(names: Sequence[str]) -> list[tuple[str, tuple[int, ...]] | None]:
    """Return `stack_of` each of some images.

    What has the name of an image among them is none: napari numbers layers of equal
    names just as slices are numbered here.
    """
    plain = set(names)
    found = map(stack_of, names)
    return [None if stack and stack[0] in plain else stack for stack in found]


def group_of(name: str, source: str | None) -> str:
    """Return what slices of a file that are beside each other have in common.

    The name itself for an image that is alone.
    """
    block = _block(name, source)
    return name if block is None else f"{source} {block[1]}"


def decide_split(connection: sqlite3.Connection, image_id: int) -> None:
    """Give an image that gets a reviewed object its part, once and for all.

    The first image validates, and the fourth, then every sixth: held-out figures exist
    from the first object on, and never lose an image to training. Of a stack in a file,
    slices beside each other go together and count as one image.
    """
    name, source, split = connection.execute(
        "SELECT name, source, split FROM images WHERE id = ?", (image_id,)
    ).fetchone()
    if split is not None:
        return
    own = _part_of_neighbours(connection, name, source)
    if own is None:
        known = settings.get(connection, _UNITS, "")
        n_units = int(known) if known else _count_units(connection)
        settings.put(connection, _UNITS, str(n_units + 1))
        validates = n_units == ALSO_VALIDATES or n_units % VALIDATE_EVERY == 0
        own = "val" if validates else "train"
    connection.execute("UPDATE images SET split = ? WHERE id = ?", (own, image_id))


def _part_of_neighbours(
    connection: sqlite3.Connection, name: str, source: str | None
) -> str | None:
    """Return the part of the slices beside one in a file, or None without any."""
    block = _block(name, source)
    if block is None:
        return None
    stack, place = block
    near = [range(SLICES_TOGETHER * n, SLICES_TOGETHER * (n + 1)) for n in place]
    names = [slice_name(stack, beside) for beside in product(*near)]
    row = connection.execute(
        "SELECT split FROM images WHERE split IS NOT NULL AND source = ?"
        " AND name IN (SELECT value FROM json_each(?)) LIMIT 1",
        (source, json.dumps(names)),
    ).fetchone()
    return None if row is None else str(row["split"])


def _count_units(connection: sqlite3.Connection) -> int:
    """Return how many images and blocks of slices have a part."""
    rows = connection.execute(
        "SELECT id, name, source FROM images WHERE split IS NOT NULL"
    )
    blocks = [(_block(name, source), source, id_) for id_, name, source in rows]
    return len({(block, source) if block else id_ for block, source, id_ in blocks})


def _block(name: str, source: str | None) -> tuple[str, tuple[int, ...]] | None:
    """Return the stack and the block in it of a slice; None for an image."""
    stack = stack_of(name)
    # without a file, "[1]" may be what napari makes of equal names
    if stack is None or source is None:
        return None
    base, position = stack
    return base, tuple(place // SLICES_TOGETHER for place in position)
