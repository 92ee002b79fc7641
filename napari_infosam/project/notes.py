"""What a window notes of its work in an image, as plain JSON values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

# there may be thousands for an image, which are decided about one by one
UNDECIDED = """
    CREATE TABLE undecided (
        listed_id INTEGER NOT NULL REFERENCES listed ON DELETE CASCADE,
        number INTEGER NOT NULL,
        note TEXT NOT NULL,
        PRIMARY KEY (listed_id, number)
    )
    """
"""The table of boxes and proposals that are not decided about."""

HAS_UNDECIDED = "EXISTS (SELECT 1 FROM undecided WHERE listed_id = listed.id)"
"""Whether an image of the list has some."""


def to_text(value: dict[str, Any] | None) -> str | None:
    """Return what is stored of a note, None for None."""
    return None if value is None else json.dumps(value, separators=(",", ":"))


def from_text(text: str | None) -> dict[str, Any] | None:
    """Return a note that was stored; what can not be read is as if it never was."""
    try:
        value = None if text is None else json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def write_undecided(
    connection: sqlite3.Connection,
    listed_id: int,
    texts: Mapping[int, str | None],
) -> None:
    """Write notes, as of `to_text`, by number; delete those that are None.

    Nothing is written of an image that is in the list no more.
    """
    connection.executemany(
        "DELETE FROM undecided WHERE listed_id = ? AND number = ?",
        [(listed_id, number) for number, text in texts.items() if text is None],
    )
    connection.executemany(
        "INSERT OR REPLACE INTO undecided SELECT id, ?, ? FROM listed WHERE id = ?",
        [
            (number, text, listed_id)
            for number, text in texts.items()
            if text is not None
        ],
    )


def read_undecided(
    connection: sqlite3.Connection, listed_id: int
) -> dict[int, dict[str, Any] | None]:
    """Return the notes of an image by number, in the order of the numbers."""
    rows = connection.execute(
        "SELECT number, note FROM undecided WHERE listed_id = ? ORDER BY number",
        (listed_id,),
    )
    return {int(number): from_text(note) for number, note in rows}
