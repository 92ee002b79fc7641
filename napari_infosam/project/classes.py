"""The classes of a project, and the steps of the journal that change them.

As objects do, classes stay in their table: one whose adding was taken back is only out
of sight, since what was accepted in it may come back with a redo.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_infosam.core.errors import InfosamError
from napari_infosam.project.records import ClassChange, ClassRecord

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

PALETTE = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
    "#999999",
)
"""Colours of new classes in turn: Okabe and Ito, told apart by colour-blind people."""

COLOUR = re.compile("#[0-9a-fA-F]{6}")

TABLES = (
    # rows point at `classes` while it is made anew; SQLite checks them at the end
    "PRAGMA defer_foreign_keys = ON",
    "CREATE TEMP TABLE old_classes AS SELECT * FROM classes",
    "DROP TABLE classes",
    """
    CREATE TABLE classes (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        color TEXT NOT NULL,
        removed INTEGER NOT NULL DEFAULT 0
    )
    """,
    "INSERT INTO classes (id, name, color) SELECT id, name, color FROM old_classes",
    "DROP TABLE old_classes",
    "CREATE UNIQUE INDEX classes_in_sight ON classes (name) WHERE removed = 0",
    # what a step made of a class; one that is new had neither name nor colour
    """
    CREATE TABLE class_changes (
        step_id INTEGER NOT NULL REFERENCES history ON DELETE CASCADE,
        class_id INTEGER NOT NULL REFERENCES classes,
        old_name TEXT,
        old_color TEXT,
        name TEXT NOT NULL,
        color TEXT NOT NULL,
        PRIMARY KEY (step_id, class_id)
    ) WITHOUT ROWID
    """,
)
"""The way to schema 5, in which changes of classes are steps of the journal."""


def select_classes(connection: sqlite3.Connection) -> list[ClassRecord]:
    """Return all classes in the order in which they were added."""
    rows = connection.execute(
        "SELECT id, name, color FROM classes WHERE removed = 0 ORDER BY id"
    )
    return [ClassRecord(**row) for row in rows]


def select_last_class(connection: sqlite3.Connection) -> str | None:
    """Return the class of the newest object, None while there is none."""
    row = connection.execute(
        "SELECT name FROM objects JOIN classes ON classes.id = class_id"
        " WHERE deleted = 0 ORDER BY objects.id DESC LIMIT 1"
    ).fetchone()
    return None if row is None else str(row["name"])


def find_class(connection: sqlite3.Connection, name: str) -> ClassRecord:
    """Return the class of a name, or raise a sentence."""
    known = {record.name: record for record in select_classes(connection)}
    if name not in known:
        raise InfosamError(
            f"The project has no class {name!r}: add it, or choose one of "
            f"{', '.join(known)}."
        )
    return known[name]


# ------------------------------------------------------------------------ change
def add_class(
    connection: sqlite3.Connection, name: str, color: str | None
) -> ClassRecord | ClassChange:
    """Add a class, or return the one that has this name already."""
    name = _checked_name(name)
    color = color if color is None else _checked_color(color)
    known = select_classes(connection)
    for record in known:
        if record.name == name:
            return record
    color = color or PALETTE[len(known) % len(PALETTE)]
    row = connection.execute(
        "INSERT INTO classes (name, color) VALUES (?, ?) RETURNING id", (name, color)
    ).fetchone()
    return ClassChange(None, ClassRecord(row["id"], name, color))


def rename_class(
    connection: sqlite3.Connection, name: str, new: str
) -> ClassChange | None:
    """Give a class another name, which none has yet; None if it is the same."""
    new = _checked_name(new)
    record = find_class(connection, name)
    if new == name:
        return None
    if any(other.name == new for other in select_classes(connection)):
        raise InfosamError(
            f"There is a class {new!r} already: choose objects and give them that one."
        )
    return _changed(connection, record, ClassRecord(record.id, new, record.color))


def recolor_class(
    connection: sqlite3.Connection, name: str, color: str
) -> ClassChange | None:
    """Change the colour of a class; None if it is the same."""
    color = _checked_color(color)
    record = find_class(connection, name)
    if color == record.color:
        return None
    return _changed(connection, record, ClassRecord(record.id, name, color))


def _changed(
    connection: sqlite3.Connection, before: ClassRecord, after: ClassRecord
) -> ClassChange:
    _put(connection, after)
    return ClassChange(before, after)


def _put(connection: sqlite3.Connection, record: ClassRecord) -> None:
    connection.execute(
        "UPDATE classes SET name = ?, color = ?, removed = 0 WHERE id = ?",
        (record.name, record.color, record.id),
    )


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name:
        raise InfosamError("A class needs a name: type at least one letter.")
    return name


def _checked_color(color: str) -> str:
    if not COLOUR.fullmatch(color):
        raise InfosamError(f"{color!r} is not a colour: give it as #rrggbb.")
    return color


# ----------------------------------------------------------------------- journal
def record_changes(
    connection: sqlite3.Connection, step_id: int, changes: Iterable[ClassChange]
) -> None:
    """Write to the journal what a step did to classes."""
    connection.executemany(
        "INSERT INTO class_changes VALUES (?, ?, ?, ?, ?, ?)",
        [
            (
                step_id,
                after.id,
                before and before.name,
                before and before.color,
                after.name,
                after.color,
            )
            for before, after in changes
        ],
    )


def select_changes(
    connection: sqlite3.Connection, step_id: int
) -> tuple[ClassChange, ...]:
    """Return what a step did to classes."""
    rows = connection.execute(
        "SELECT * FROM class_changes WHERE step_id = ? ORDER BY class_id", (step_id,)
    )
    return tuple(
        ClassChange(
            None
            if row["old_name"] is None
            else ClassRecord(row["class_id"], row["old_name"], row["old_color"]),
            ClassRecord(row["class_id"], row["name"], row["color"]),
        )
        for row in rows
    )


def turn_changes(connection: sqlite3.Connection, step_id: int, *, undone: bool) -> None:
    """Take back what a step did to classes, or do it again."""
    for before, after in select_changes(connection, step_id):
        record = before if undone else after
        if record is not None:
            _put(connection, record)
        else:
            connection.execute(
                "UPDATE classes SET removed = 1 WHERE id = ?", (after.id,)
            )
