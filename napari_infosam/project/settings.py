"""Single values of a project: its base model and the version that answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3


def get(connection: sqlite3.Connection, key: str, default: str | None = None) -> str:
    """Return a setting; one that every project has needs no default."""
    row = connection.execute(
        "SELECT value FROM settings WHERE key = ?", (key,)
    ).fetchone()
    if row is None and default is not None:
        return default
    return str(row["value"])


def put(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Write a setting."""
    connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, value))
