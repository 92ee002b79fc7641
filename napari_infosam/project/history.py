"""The undo journal: every change of objects and classes, kept in the database.

Objects are never removed from their table, only hidden; a change hides the old state
and shows the new one, so that a step back is a few flags. Steps that were undone stay
behind the others until a new action drops them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from napari_infosam.core.prompts import Box
from napari_infosam.project.classes import (
    record_changes,
    select_changes,
    turn_changes,
)
from napari_infosam.project.records import Action, ClassChange, HistoryEntry

if TYPE_CHECKING:
    import sqlite3

_ACROSS: tuple[Action, ...] = ("propagate", "import")
"""Steps that may be in several images."""


def record(
    connection: sqlite3.Connection,
    action: Action,
    *,
    shown: Collection[int] = (),
    hidden: Collection[int] = (),
    classes: Collection[ClassChange] = (),
) -> None:
    """Add a step that was done; what could have been redone no longer can.

    Parameters
    ----------
    shown, hidden
        Ids of the rows that are seen since this step, and of those that are not.
    classes
        What became of classes.
    """
    connection.execute("DELETE FROM history WHERE undone = 1")
    step_id = connection.execute(
        "INSERT INTO history (action, created) VALUES (?, ?) RETURNING id",
        (action, time.time()),
    ).fetchone()["id"]
    for are_shown, ids in ((True, shown), (False, hidden)):
        connection.execute(
            "INSERT INTO changes SELECT ?, value, ? FROM json_each(?)",
            (step_id, are_shown, json.dumps(list(ids))),
        )
    record_changes(connection, step_id, classes)


def hide(connection: sqlite3.Connection, object_ids: Collection[int]) -> None:
    """Take objects out of sight; `record` is what makes it a step."""
    connection.execute(
        "UPDATE objects SET deleted = 1 WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(object_ids)),),
    )


def times(connection: sqlite3.Connection) -> tuple[float | None, float | None]:
    """Return when the steps were done that undo and redo would turn.

    Returns
    -------
    tuple of float or None
        Seconds since the epoch, None where there is no step to take back, or none to
        do again.
    """
    back, again = (
        None if row is None else float(row["created"])
        for row in (_last_row(connection), _next_row(connection))
    )
    return back, again


def last(connection: sqlite3.Connection) -> HistoryEntry | None:
    """Return the step that undo would take back; None when there is none."""
    row = _last_row(connection)
    return None if row is None else _entry(connection, row)


def undo(connection: sqlite3.Connection) -> HistoryEntry | None:
    """Take the last step back; None when there is none."""
    return _turn(connection, _last_row(connection), undone=True)


def redo(connection: sqlite3.Connection) -> HistoryEntry | None:
    """Do the step again that was undone last; None when there is none."""
    return _turn(connection, _next_row(connection), undone=False)


def _last_row(connection: sqlite3.Connection) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM history WHERE undone = 0 ORDER BY id DESC LIMIT 1"
    ).fetchone()
    return row


def _next_row(connection: sqlite3.Connection) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM history WHERE undone = 1 ORDER BY id LIMIT 1"
    ).fetchone()
    return row


def _turn(
    connection: sqlite3.Connection, row: sqlite3.Row | None, *, undone: bool
) -> HistoryEntry | None:
    if row is None:
        return None
    # hiding comes first: two states of an object are never seen together
    for deleted, shown in ((1, undone), (0, not undone)):
        connection.execute(
            "UPDATE objects SET deleted = ? WHERE id IN"
            " (SELECT object_id FROM changes WHERE step_id = ? AND shown = ?)",
            (deleted, row["id"], shown),
        )
    turn_changes(connection, row["id"], undone=undone)
    connection.execute(
        "UPDATE history SET undone = ? WHERE id = ?", (undone, row["id"])
    )
    return _entry(connection, row)


def _entry(connection: sqlite3.Connection, row: sqlite3.Row) -> HistoryEntry:
    classes = select_changes(connection, row["id"])
    first = connection.execute(
        "SELECT min(object_id) AS object_id, count(*) AS n_objects FROM changes"
        " WHERE step_id = ? GROUP BY shown ORDER BY shown DESC LIMIT 1",
        (row["id"],),
    ).fetchone()
    if first is None:
        return HistoryEntry(row["action"], 0, 0, n_objects=0, classes=classes)
    place = connection.execute(
        "SELECT image_id, slice_index FROM objects WHERE id = ?", (first["object_id"],)
    ).fetchone()
    return HistoryEntry(
        action=row["action"],
        object_id=first["object_id"],
        image_id=place["image_id"],
        n_objects=first["n_objects"],
        box=None if row["action"] in _ACROSS else _box(connection, row["id"]),
        slice_index=tuple(json.loads(place["slice_index"])),
        classes=classes,
    )


def _box(connection: sqlite3.Connection, step_id: int) -> Box:
    corners = connection.execute(
        "SELECT min(x0), min(y0), max(x1), max(y1)"
        " FROM changes JOIN objects ON objects.id = object_id WHERE step_id = ?",
        (step_id,),
    ).fetchone()
    return Box(*corners)
