"""The accepted objects of a project with the prompts that made them."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.prompts import Box, Point, PromptSet
from napari_infosam.project.classes import find_class
from napari_infosam.project.images import select_images
from napari_infosam.project.lookups import check_there, slice_text
from napari_infosam.project.prompt_extras import (
    insert_extras,
    rough_mask_of,
    select_extras,
)
from napari_infosam.project.records import ObjectRecord
from napari_infosam.project.split import decide_split

if TYPE_CHECKING:
    import sqlite3

    from napari_infosam.project.encoded import Encoded

_HIGHEST_INSTANCE = 2**24
"""Of instance ids that are taken over: label images are int32, and new ones follow."""


@dataclass(frozen=True, slots=True)
class Origin:
    """How a mask came about, apart from its pixels.

    ``instance_id`` is a wish, from another project; where it is taken, or None, the
    object gets the next one.
    """

    class_name: str
    slice_index: tuple[int, ...] = ()
    model_version: str = "base"
    score: float | None = None
    reviewed: bool = True
    prompts: PromptSet = field(default_factory=PromptSet)
    proposal_ious: tuple[float, ...] = ()
    instance_id: int | None = None

    @classmethod
    def of(cls, record: ObjectRecord) -> Origin:
        """Return the origin of an object."""
        return cls(
            record.class_name,
            record.slice_index,
            record.model_version,
            record.score,
            record.reviewed,
            record.prompts,
            record.proposal_ious,
        )

    def __post_init__(self) -> None:
        if len(self.proposal_ious) > len(self.prompts):
            raise InfosamError(
                f"{len(self.proposal_ious)} proposal IoUs were given for "
                f"{len(self.prompts)} prompts: give at most one for each."
            )
        if not all(0 <= iou <= 1 for iou in self.proposal_ious):
            raise InfosamError(
                f"Proposal IoUs lie between 0 and 1, not {self.proposal_ious}."
            )


def write_object(
    connection: sqlite3.Connection,
    image_id: int,
    mask: Encoded,
    origin: Origin,
    instance_id: int | None = None,
) -> int:
    """Write an object with its prompts, and its image's split; return its id.

    Parameters
    ----------
    instance_id
        Its number; by default one that no object of the picture ever had.
    """
    if origin.reviewed:
        decide_split(connection, image_id)
    position = slice_text(origin.slice_index)
    if instance_id is None:
        instance_id = _instance_id(connection, image_id, position, origin.instance_id)
    score = origin.score
    values: dict[str, Any] = {
        "image_id": image_id,
        "slice_index": position,
        "class_id": find_class(connection, origin.class_name).id,
        "instance_id": instance_id,
        "rle": mask.rle,
        "height": mask.shape[0],
        "width": mask.shape[1],
        "x0": mask.box.x0,
        "y0": mask.box.y0,
        "x1": mask.box.x1,
        "y1": mask.box.y1,
        "area": mask.area,
        "score": float(score) if score is not None and math.isfinite(score) else None,
        "model_version": origin.model_version,
        "reviewed": bool(origin.reviewed),
        "created": time.time(),
    }
    row = connection.execute(
        f"INSERT INTO objects ({', '.join(values)})"
        f" VALUES ({', '.join(':' + name for name in values)}) RETURNING id",
        values,
    ).fetchone()
    _insert_prompts(connection, row["id"], origin)
    return int(row["id"])


def copy_objects(
    connection: sqlite3.Connection, object_ids: Sequence[int], class_name: str
) -> range:
    """Write objects once more, with their prompts, as ones of another class.

    Returns
    -------
    range
        The ids of the copies, in the order of those that were copied.
    """
    row = connection.execute("SELECT coalesce(max(id), 0) + 1 FROM objects").fetchone()
    first = int(row[0])
    new = {
        "first": first,
        "old": json.dumps(list(object_ids)),
        "class_id": find_class(connection, class_name).id,
        "created": time.time(),
    }
    kept = (
        "image_id, slice_index, instance_id, rle, height, width, x0, y0, x1, y1, area,"
        " score, model_version, reviewed"
    )
    connection.execute(
        f"INSERT INTO objects (id, class_id, created, {kept})"
        f" SELECT :first + key, :class_id, :created, {kept}"
        " FROM json_each(:old) CROSS JOIN objects ON objects.id = value ORDER BY key",
        new,
    )
    of_prompts = "position, kind, x0, y0, x1, y1, positive, proposal_iou, model_version"
    of_extras = "choice, rle, height, width, proposal_iou"
    for table, kept in (("prompts", of_prompts), ("prompt_extras", of_extras)):
        connection.execute(
            f"INSERT INTO {table} (object_id, {kept}) SELECT :first + key, {kept}"
            f" FROM json_each(:old) CROSS JOIN {table} ON object_id = value",
            new,
        )
    return range(first, first + len(object_ids))


def _instance_id(
    connection: sqlite3.Connection, image_id: int, position: str, wish: int | None
) -> int:
    """Return the wish if no object, not even a deleted one, has it; else the next."""
    here = (image_id, position)
    if wish is not None and 0 < wish <= _HIGHEST_INSTANCE:
        taken = connection.execute(
            "SELECT 1 FROM objects"
            " WHERE image_id = ? AND slice_index = ? AND instance_id = ?",
            (*here, wish),
        ).fetchone()
        if taken is None:
            return wish
    row = connection.execute(
        "SELECT coalesce(max(instance_id), 0) + 1 FROM objects"
        " WHERE image_id = ? AND slice_index = ?",
        here,
    ).fetchone()
    return int(row[0])


def select_objects(
    connection: sqlite3.Connection,
    *,
    object_ids: Sequence[int] | None = None,
    image_id: int | None = None,
    reviewed: bool | None = None,
    slice_index: tuple[int, ...] | None = None,
    instance_ids: Sequence[int] | None = None,
    box: Box | None = None,
) -> list[ObjectRecord]:
    """Return the objects that were not deleted, in the order of their ids.

    Parameters
    ----------
    box
        Only objects whose boxes meet this one.
    """
    position = None if slice_index is None else slice_text(slice_index)
    where, parameters = _conditions(
        {
            "objects.id IN (SELECT value FROM json_each(?))": _listed(object_ids),
            "image_id = ?": image_id,
            "reviewed = ?": reviewed,
            "slice_index = ?": position,
            "instance_id IN (SELECT value FROM json_each(?))": _listed(instance_ids),
            "objects.x0 <= ?": box and box.x1,
            "objects.x1 >= ?": box and box.x0,
            "objects.y0 <= ?": box and box.y1,
            "objects.y1 >= ?": box and box.y0,
        }
    )
    rows = connection.execute(
        "SELECT objects.*, classes.name AS class_name FROM objects"
        f" JOIN classes ON classes.id = class_id WHERE {where} ORDER BY objects.id",
        parameters,
    ).fetchall()
    prompts = _select_prompts(connection, where, parameters)
    extras = select_extras(connection, where, parameters)
    return [_object(row, prompts[row["id"]], extras.get(row["id"])) for row in rows]


def _listed(numbers: Sequence[int] | None) -> str | None:
    return None if numbers is None else json.dumps([int(number) for number in numbers])


def _conditions(wanted: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
    """Return the condition for objects in sight that are as wanted, None being any."""
    chosen = {text: value for text, value in wanted.items() if value is not None}
    parameters = tuple(
        int(value) if isinstance(value, (np.integer, np.bool_, bool)) else value
        for value in chosen.values()
    )
    return " AND ".join(["deleted = 0", *chosen]), parameters


def require_object(connection: sqlite3.Connection, object_id: int) -> ObjectRecord:
    """Return an object that was not deleted, or raise a sentence."""
    return require_objects(connection, [object_id])[0]


def require_objects(
    connection: sqlite3.Connection, object_ids: Sequence[int]
) -> list[ObjectRecord]:
    """Return objects that were not deleted, as they are named, or raise a sentence."""
    found = {
        record.id: record
        for record in select_objects(connection, object_ids=object_ids)
    }
    check_there(object_ids, found)
    return [found[object_id] for object_id in object_ids]


def count_objects(connection: sqlite3.Connection, image_id: int | None) -> int:
    """Return how many objects were not deleted, of one image or of all."""
    where, parameters = _conditions({"image_id = ?": image_id})
    query = f"SELECT count(*) FROM objects WHERE {where}"
    return int(connection.execute(query, parameters).fetchone()[0])


def count_images(connection: sqlite3.Connection) -> int:
    """Return how many images have an object that was not deleted."""
    where, parameters = _conditions({})
    query = f"SELECT count(DISTINCT image_id) FROM objects WHERE {where}"
    return int(connection.execute(query, parameters).fetchone()[0])


def data_hash(connection: sqlite3.Connection) -> str:
    """Return a SHA-256 over the reviewed objects and how they are used."""
    known = {image.id: image for image in select_images(connection)}
    lines = []
    for record in select_objects(connection, reviewed=True):
        image = known[record.image_id]
        how = image.preprocessing.model_dump_json()
        where = f"{image.content_hash} {how} {image.split} {record.slice_index} "
        lines.append(where.encode() + record.rle)
    return hashlib.sha256(b"\n".join(sorted(lines))).hexdigest()


def _insert_prompts(
    connection: sqlite3.Connection, object_id: int, origin: Origin
) -> None:
    prompts = origin.prompts
    rows: list[tuple[Any, ...]] = []
    if prompts.box is not None:
        corners = (prompts.box.x0, prompts.box.y0, prompts.box.x1, prompts.box.y1)
        rows.append(("box", *map(float, corners), None))
    rows += [
        ("point", float(p.x), float(p.y), None, None, bool(p.positive))
        for p in prompts.points
    ]
    known = insert_extras(connection, object_id, prompts, origin.proposal_ious)
    ious = (*map(float, known), *[None] * len(rows))
    connection.executemany(
        "INSERT INTO prompts (object_id, position, kind, x0, y0, x1, y1, positive,"
        " proposal_iou, model_version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (object_id, position, *row, ious[position], origin.model_version)
            for position, row in enumerate(rows)
        ],
    )


def _select_prompts(
    connection: sqlite3.Connection, where: str, parameters: Sequence[Any]
) -> dict[int, list[sqlite3.Row]]:
    rows = connection.execute(
        "SELECT prompts.* FROM prompts JOIN objects ON objects.id = object_id"
        f" WHERE {where} ORDER BY object_id, position",
        parameters,
    )
    prompts: dict[int, list[sqlite3.Row]] = defaultdict(list)
    for row in rows:
        prompts[row["object_id"]].append(row)
    return prompts


def _object(
    row: sqlite3.Row, prompts: Sequence[sqlite3.Row], extras: sqlite3.Row | None
) -> ObjectRecord:
    ious = [] if extras is None else [extras["proposal_iou"]]
    ious += [p["proposal_iou"] for p in prompts]
    boxes = [
        Box(p["x0"], p["y0"], p["x1"], p["y1"]) for p in prompts if p["kind"] == "box"
    ]
    points = tuple(
        Point(p["x0"], p["y0"], bool(p["positive"]))
        for p in prompts
        if p["kind"] == "point"
    )
    return ObjectRecord(
        id=row["id"],
        image_id=row["image_id"],
        slice_index=tuple(json.loads(row["slice_index"])),
        class_name=row["class_name"],
        instance_id=row["instance_id"],
        rle=row["rle"],
        shape=(row["height"], row["width"]),
        box=Box(row["x0"], row["y0"], row["x1"], row["y1"]),
        area=row["area"],
        score=row["score"],
        model_version=row["model_version"],
        reviewed=bool(row["reviewed"]),
        created=row["created"],
        prompts=PromptSet(
            points,
            boxes[0] if boxes else None,
            rough_mask_of(extras),
            None if extras is None else extras["choice"],
        ),
        proposal_ious=tuple(value for value in ious if value is not None),
    )
