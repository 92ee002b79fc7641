"""The tables of ``project.sqlite`` and the way from older ones to these."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_infosam.core.errors import InfosamError
from napari_infosam.project import classes, notes, prompt_extras
from napari_infosam.project.listing import IMAGE_LIST

if TYPE_CHECKING:
    import sqlite3

APPLICATION_ID = 0x4953414D  # "ISAM"

_VERSION_1 = (
    "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """
    CREATE TABLE images (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        content_hash TEXT NOT NULL,
        shape TEXT NOT NULL,
        axes TEXT NOT NULL,
        dtype TEXT NOT NULL,
        source TEXT,
        preprocessing TEXT NOT NULL,
        split TEXT CHECK (split IN ('train', 'val')),
        created REAL NOT NULL,
        UNIQUE (content_hash, preprocessing)
    )
    """,
    """
    CREATE TABLE classes (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        color TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE objects (
        id INTEGER PRIMARY KEY,
        image_id INTEGER NOT NULL REFERENCES images,
        slice_index TEXT NOT NULL,
        class_id INTEGER NOT NULL REFERENCES classes,
        instance_id INTEGER NOT NULL CHECK (instance_id > 0),
        rle BLOB NOT NULL,
        height INTEGER NOT NULL,
        width INTEGER NOT NULL,
        x0 REAL NOT NULL,
        y0 REAL NOT NULL,
        x1 REAL NOT NULL,
        y1 REAL NOT NULL,
        area INTEGER NOT NULL CHECK (area > 0),
        score REAL,
        model_version TEXT NOT NULL,
        reviewed INTEGER NOT NULL,
        deleted INTEGER NOT NULL DEFAULT 0,
        created REAL NOT NULL,
        UNIQUE (image_id, slice_index, instance_id)
    )
    """,
    """
    CREATE TABLE prompts (
        object_id INTEGER NOT NULL REFERENCES objects,
        position INTEGER NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('point', 'box')),
        x0 REAL NOT NULL,
        y0 REAL NOT NULL,
        x1 REAL,
        y1 REAL,
        positive INTEGER,
        proposal_iou REAL,
        model_version TEXT NOT NULL,
        PRIMARY KEY (object_id, position)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE history (
        id INTEGER PRIMARY KEY,
        action TEXT NOT NULL CHECK (action IN ('commit', 'delete')),
        object_id INTEGER NOT NULL REFERENCES objects,
        undone INTEGER NOT NULL DEFAULT 0,
        created REAL NOT NULL
    )
    """,
    # the redo tail is looked for at every commit
    "CREATE INDEX history_undone ON history (id) WHERE undone = 1",
    """
    CREATE TABLE versions (
        id TEXT PRIMARY KEY,
        parent TEXT NOT NULL,
        method TEXT NOT NULL,
        stage TEXT NOT NULL,
        options TEXT NOT NULL,
        data_hash TEXT NOT NULL,
        metrics TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('accepted', 'rejected')),
        reason TEXT NOT NULL,
        created REAL NOT NULL
    )
    """,
    """
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY,
        options TEXT NOT NULL,
        created REAL NOT NULL
    )
    """,
)

_VERSION_2 = (
    # rows point at `objects` while it is made anew; SQLite checks them at the end
    "PRAGMA defer_foreign_keys = ON",
    "CREATE TEMP TABLE old_history AS SELECT * FROM history",
    "DROP TABLE history",
    """
    CREATE TABLE history (
        id INTEGER PRIMARY KEY,
        action TEXT NOT NULL,
        undone INTEGER NOT NULL DEFAULT 0,
        created REAL NOT NULL
    )
    """,
    "CREATE INDEX history_undone ON history (id) WHERE undone = 1",
    # what a step showed and what it hid: an object that is changed is hidden, and
    # shown as it is now in a row of its own
    """
    CREATE TABLE changes (
        step_id INTEGER NOT NULL REFERENCES history ON DELETE CASCADE,
        object_id INTEGER NOT NULL REFERENCES objects,
        shown INTEGER NOT NULL,
        PRIMARY KEY (step_id, object_id)
    ) WITHOUT ROWID
    """,
    "INSERT INTO history SELECT id, action, undone, created FROM old_history",
    "INSERT INTO changes SELECT id, object_id, action = 'commit' FROM old_history",
    "DROP TABLE old_history",
    "CREATE TEMP TABLE old_objects AS SELECT * FROM objects",
    "DROP TABLE objects",
    """
    CREATE TABLE objects (
        id INTEGER PRIMARY KEY,
        image_id INTEGER NOT NULL REFERENCES images,
        slice_index TEXT NOT NULL,
        class_id INTEGER NOT NULL REFERENCES classes,
        instance_id INTEGER NOT NULL CHECK (instance_id > 0),
        rle BLOB NOT NULL,
        height INTEGER NOT NULL,
        width INTEGER NOT NULL,
        x0 REAL NOT NULL,
        y0 REAL NOT NULL,
        x1 REAL NOT NULL,
        y1 REAL NOT NULL,
        area INTEGER NOT NULL CHECK (area > 0),
        score REAL,
        model_version TEXT NOT NULL,
        reviewed INTEGER NOT NULL,
        deleted INTEGER NOT NULL DEFAULT 0,
        created REAL NOT NULL
    )
    """,
    "INSERT INTO objects SELECT * FROM old_objects",
    "DROP TABLE old_objects",
    "CREATE INDEX objects_instance ON objects (image_id, slice_index, instance_id)",
    # a number is that of one object at a time, whatever it was before
    """
    CREATE UNIQUE INDEX objects_in_sight
    ON objects (image_id, slice_index, instance_id) WHERE deleted = 0
    """,
)

_VERSION_4 = (prompt_extras.TABLE,)

_VERSION_5 = (notes.UNDECIDED, *classes.TABLES)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    _VERSION_1,
    _VERSION_2,
    IMAGE_LIST,
    _VERSION_4,
    _VERSION_5,
)
"""``MIGRATIONS[n]`` turns schema version n into n + 1, statement by statement."""

SCHEMA_VERSION = len(MIGRATIONS)


def schema_version(connection: sqlite3.Connection) -> int:
    """Return the schema version that a database says it has."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Raise a sentence if a project comes from a newer napari-infosam."""
    version = schema_version(connection)
    if version > SCHEMA_VERSION:
        raise InfosamError(
            f"The project {path} was made by a newer napari-infosam (schema "
            f"{version}, this one knows {SCHEMA_VERSION}): update napari-infosam."
        )


def migrate(
    connection: sqlite3.Connection,
    migrations: Sequence[Sequence[str]],
) -> None:
    """Bring a database to the newest schema in one transaction, or leave it as it is.

    Parameters
    ----------
    connection
        In autocommit mode (``isolation_level=None``).
    migrations
        ``migrations[n]`` turns schema version n into n + 1.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        # read inside the transaction: another process may have been faster
        for statements in migrations[schema_version(connection) :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
