"""The undo journal: every change of the objects, kept in the database.

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
from napari_infosam.project.records import Action, HistoryEntry

if TYPE_CHECKING:
    import sqlite3


def record(
    connection: sqlite3.Connection,
    action: Action,
    *,
    shown: Collection[int] = (),
    hidden: Collection[int] = (),
) -> None:
    """Add a step that was done; what could have been redone no longer can.

    Parameters
    ----------
    shown, hidden
        Ids of the rows that are seen since this step, and of those that are not.
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


def hide(connection: sqlite3.Connection, object_ids: Collection[int]) -> None:
    """Take objects out of sight; `record` is what makes it a step."""
    connection.execute(
        "UPDATE objects SET deleted = 1 WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(object_ids)),),
    )


def has_steps(connection: sqlite3.Connection, *, undone: bool) -> bool:
    """Return whether there are steps to take back, or ones that were taken back."""
    row = connection.execute(
        "SELECT 1 FROM history WHERE undone = ? LIMIT 1", (undone,)
    ).fetchone()
    return row is not None


def last(connection: sqlite3.Connection) -> HistoryEntry | None:
    """Return the step that undo would take back; None when there is none."""
    row = _last_row(connection)
    return None if row is None else _entry(connection, row)


def undo(connection: sqlite3.Connection) -> HistoryEntry | None:
    """Take the last step back; None when there is none."""
    return _turn(connection, _last_row(connection), undone=True)


def redo(connection: sqlite3.Connection) -> HistoryEntry | None:
    """Do the step again that was undone last; None when there is none."""
    row = connection.execute(
        "SELECT * FROM history WHERE undone = 1 ORDER BY id LIMIT 1"
    ).fetchone()
    return _turn(connection, row, undone=False)


def _last_row(connection: sqlite3.Connection) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM history WHERE undone = 0 ORDER BY id DESC LIMIT 1"
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
    connection.execute(
        "UPDATE history SET undone = ? WHERE id = ?", (undone, row["id"])
    )
    return _entry(connection, row)


def _entry(connection: sqlite3.Connection, row: sqlite3.Row) -> HistoryEntry:
    found = connection.execute(
        "SELECT shown, min(object_id) AS object_id, count(*) AS n_objects, image_id,"
        " slice_index, min(x0) AS x0, min(y0) AS y0, max(x1) AS x1, max(y1) AS y1"
        " FROM changes JOIN objects ON objects.id = object_id WHERE step_id = ?"
        " GROUP BY shown ORDER BY shown DESC",
        (row["id"],),
    ).fetchall()
    first = found[0]
    return HistoryEntry(
        action=row["action"],
        object_id=first["object_id"],
        image_id=first["image_id"],
        n_objects=first["n_objects"],
        box=Box(
            min(part["x0"] for part in found),
            min(part["y0"] for part in found),
            max(part["x1"] for part in found),
            max(part["y1"] for part in found),
        ),
        slice_index=tuple(json.loads(first["slice_index"])),
    )
