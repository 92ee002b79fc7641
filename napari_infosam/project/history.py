"""The undo journal: every commit and delete, kept in the database.

Objects are never removed from their table, only hidden, so that a step back is one
flag. Steps that were undone stay behind the others until a new action drops them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from napari_infosam.project.records import Action, HistoryEntry

if TYPE_CHECKING:
    import sqlite3

_SELECT = (
    "SELECT history.id, action, object_id, image_id FROM history"
    " JOIN objects ON objects.id = object_id"
)


def record(connection: sqlite3.Connection, action: Action, object_id: int) -> None:
    """Add a step; what could have been redone no longer can."""
    connection.execute("DELETE FROM history WHERE undone = 1")
    connection.execute(
        "INSERT INTO history (action, object_id, created) VALUES (?, ?, ?)",
        (action, object_id, time.time()),
    )


def delete(connection: sqlite3.Connection, object_id: int) -> None:
    """Hide an object, as a step that can be undone."""
    _set_deleted(connection, object_id, True)
    record(connection, "delete", object_id)


def has_steps(connection: sqlite3.Connection, *, undone: bool) -> bool:
    """Return whether there are steps to take back, or ones that were taken back."""
    row = connection.execute(
        "SELECT 1 FROM history WHERE undone = ? LIMIT 1", (undone,)
    ).fetchone()
    return row is not None


def undo(connection: sqlite3.Connection) -> HistoryEntry | None:
    """Take the last step back; None when there is none."""
    row = connection.execute(
        f"{_SELECT} WHERE undone = 0 ORDER BY history.id DESC LIMIT 1"
    ).fetchone()
    return _turn(connection, row, undone=True)


def redo(connection: sqlite3.Connection) -> HistoryEntry | None:
    """Do the step again that was undone last; None when there is none."""
    row = connection.execute(
        f"{_SELECT} WHERE undone = 1 ORDER BY history.id LIMIT 1"
    ).fetchone()
    return _turn(connection, row, undone=False)


def _turn(
    connection: sqlite3.Connection, row: sqlite3.Row | None, *, undone: bool
) -> HistoryEntry | None:
    if row is None:
        return None
    _set_deleted(connection, row["object_id"], (row["action"] == "delete") != undone)
    connection.execute(
        "UPDATE history SET undone = ? WHERE id = ?", (undone, row["id"])
    )
    return HistoryEntry(row["action"], row["object_id"], row["image_id"])


def _set_deleted(connection: sqlite3.Connection, object_id: int, deleted: bool) -> None:
    connection.execute(
        "UPDATE objects SET deleted = ? WHERE id = ?", (deleted, object_id)
    )
