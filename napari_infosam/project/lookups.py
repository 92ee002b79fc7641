"""Looking up many objects of a picture at once, and no more of them than is needed."""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from napari_infosam.core.errors import InfosamError
from napari_infosam.project.records import ObjectSummary

if TYPE_CHECKING:
    import sqlite3

    from napari_infosam.core.prompts import Box


class NumberedMask(NamedTuple):
    """As much of an object as is needed to paint it."""

    instance_id: int
    rle: bytes
    area: int


def select_masks(
    connection: sqlite3.Connection,
    image_id: int,
    slice_index: tuple[int, ...],
    box: Box,
) -> list[NumberedMask]:
    """Return the masks of a picture whose boxes meet one."""
    rows = connection.execute(
        "SELECT instance_id, rle, area FROM objects"
        " WHERE deleted = 0 AND image_id = ? AND slice_index = ?"
        " AND x0 <= ? AND x1 >= ? AND y0 <= ? AND y1 >= ?",
        (int(image_id), slice_text(slice_index), box.x1, box.x0, box.y1, box.y0),
    )
    return [NumberedMask(*row) for row in rows]


def select_summaries(
    connection: sqlite3.Connection, image_id: int, slice_index: tuple[int, ...]
) -> list[ObjectSummary]:
    """Return what a list shows of the objects of a picture, in order of number."""
    rows = connection.execute(
        "SELECT objects.id, instance_id, name, area, score, model_version"
        " FROM objects JOIN classes ON classes.id = class_id"
        " WHERE deleted = 0 AND image_id = ? AND slice_index = ? ORDER BY instance_id",
        (int(image_id), slice_text(slice_index)),
    )
    return [ObjectSummary(*row) for row in rows]


def select_ids(
    connection: sqlite3.Connection, image_id: int, slice_index: tuple[int, ...]
) -> dict[int, int]:
    """Return the ids of the objects of a picture by their numbers."""
    rows = connection.execute(
        "SELECT instance_id, id FROM objects"
        " WHERE deleted = 0 AND image_id = ? AND slice_index = ?",
        (int(image_id), slice_text(slice_index)),
    )
    return dict(map(tuple, rows))


def check_one_picture(
    connection: sqlite3.Connection, object_ids: Sequence[int]
) -> None:
    """Raise a sentence unless objects are there, at least one, and in one picture."""
    if not object_ids:
        raise InfosamError("No object was named: give the id of one or more.")
    named = json.dumps(list(object_ids))
    those = "FROM objects WHERE deleted = 0 AND id IN (SELECT value FROM json_each(?))"
    counts = connection.execute(
        f"SELECT count(*) AS n {those} GROUP BY image_id, slice_index", (named,)
    ).fetchall()
    if [row["n"] for row in counts] == [len(set(object_ids))]:
        return
    rows = connection.execute(f"SELECT id, image_id, slice_index {those}", (named,))
    pictures = {row["id"]: (row["image_id"], row["slice_index"]) for row in rows}
    check_there(object_ids, pictures)
    for one, other in pairwise(object_ids):
        if pictures[one] != pictures[other]:
            raise InfosamError(
                f"Objects {one} and {other} lie in different images or slices: "
                "name objects of one."
            )


def of_other_class(
    connection: sqlite3.Connection, object_ids: Sequence[int], class_name: str
) -> list[int]:
    """Return which of some objects are not of a class, in the same order."""
    rows = connection.execute(
        "SELECT value FROM json_each(?) CROSS JOIN objects ON objects.id = value"
        " JOIN classes ON classes.id = class_id WHERE name != ? ORDER BY key",
        (json.dumps(list(object_ids)), class_name),
    )
    return [int(row[0]) for row in rows]


def check_there(object_ids: Sequence[int], found: Container[int]) -> None:
    """Raise a sentence if an object was not found."""
    for object_id in object_ids:
        if object_id not in found:
            raise InfosamError(
                f"The project has no object {object_id}: it was deleted or never "
                "accepted."
            )


def slice_text(slice_index: Sequence[int]) -> str:
    """Return a position on the leading axes as it is stored."""
    return json.dumps([int(i) for i in slice_index])
