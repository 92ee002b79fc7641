from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.prompts import Point, PromptSet
from napari_infosam.project import HistoryEntry, Project, schema
from napari_infosam.project.lock import WindowLock

from .conftest import gradient, square

STEPS = (
    ("CREATE TABLE a (x INTEGER)", "INSERT INTO a VALUES (1)"),
    ("ALTER TABLE a ADD COLUMN y INTEGER DEFAULT 5",),
    ("UPDATE a SET y = y + x",),
)


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """Return a project with one object that nobody has open."""
    with Project.create(tmp_path / "cells") as project:
        image = project.add_image(gradient(), "a")
        project.commit(image.id, square(1, 1))
    return project.path


def edit(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / "project.sqlite")) as connection:
        connection.execute(statement)
        connection.commit()


def version_of(folder: Path, name: str = "project.sqlite") -> int:
    with closing(sqlite3.connect(folder / name)) as connection:
        return schema.schema_version(connection)


def test_a_new_project_has_the_newest_schema(closed: Path) -> None:
    assert version_of(closed) == schema.SCHEMA_VERSION == len(schema.MIGRATIONS)


@pytest.mark.parametrize("start", [0, 1, 2, 3])
def test_migrations_run_from_where_a_database_is(start: int) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.migrate(connection, STEPS[:start])
        assert schema.schema_version(connection) == start
        schema.migrate(connection, STEPS)
        assert schema.schema_version(connection) == 3
        assert connection.execute("SELECT x, y FROM a").fetchall() == [(1, 6)]


def test_a_migration_that_fails_changes_nothing() -> None:
    broken = (*STEPS, ("INSERT INTO a VALUES (9, 9)", "nonsense"))
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.migrate(connection, STEPS[:1])
        with pytest.raises(sqlite3.OperationalError, match="nonsense"):
            schema.migrate(connection, broken)
        assert schema.schema_version(connection) == 1
        assert connection.execute("SELECT * FROM a").fetchall() == [(1,)]
        assert not connection.in_transaction


def test_an_older_project_is_migrated_when_opened_and_a_copy_is_kept(
    closed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = (*schema.MIGRATIONS, ("ALTER TABLE images ADD COLUMN pixel_size REAL",))
    old = schema.SCHEMA_VERSION
    monkeypatch.setattr(schema, "MIGRATIONS", more)
    monkeypatch.setattr(schema, "SCHEMA_VERSION", len(more))
    with Project.open(closed) as project:
        assert project.n_objects() == 1
    assert version_of(closed) == old + 1
    copy = f"project.sqlite.schema{old}"
    assert version_of(closed, copy) == old
    with closing(sqlite3.connect(closed / copy)) as connection:
        assert connection.execute("SELECT count(*) FROM objects").fetchone() == (1,)
    assert not list(closed.glob("*.part"))


def test_a_reader_does_not_migrate_under_an_open_window(
    closed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = schema.SCHEMA_VERSION
    more = (*schema.MIGRATIONS, ("ALTER TABLE images ADD COLUMN pixel_size REAL",))
    monkeypatch.setattr(schema, "MIGRATIONS", more)
    monkeypatch.setattr(schema, "SCHEMA_VERSION", len(more))
    with WindowLock(closed), pytest.raises(InfosamError, match="another window"):
        Project.open(closed, lock=False)
    assert version_of(closed) == old
    with Project.open(closed, lock=False) as reader:
        assert reader.n_objects() == 1
    assert version_of(closed) == old + 1
    WindowLock(closed).release()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Return a project of schema 1: two objects, one deleted, a step undone."""
    with Project.create(tmp_path / "old") as project:
        image = project.add_image(gradient(), "a")
        for number in (1, 2, 3):
            project.commit(
                image.id,
                square(number, number),
                prompts=PromptSet((Point(number, number),)),
                proposal_ious=(0.5,),
            )
        project.delete(1)
        project.commit(image.id, square(9, 9))
        project.undo()
    database = project.path / "project.sqlite"
    with closing(sqlite3.connect(database, isolation_level=None)) as new:
        tables = ("settings", "images", "classes", "objects", "prompts")
        rows = {
            table: new.execute(f"SELECT * FROM {table}").fetchall() for table in tables
        }
        rows["classes"] = new.execute("SELECT id, name, color FROM classes").fetchall()
        steps = new.execute(
            "SELECT id, action, object_id, undone, created FROM history"
            " JOIN changes ON step_id = id"
        ).fetchall()
    database.unlink()
    with closing(sqlite3.connect(database, isolation_level=None)) as first:
        first.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        schema.migrate(first, schema.MIGRATIONS[:1])
        for table, content in (*rows.items(), ("history", steps)):
            marks = ", ".join("?" * len(content[0]))
            first.executemany(f"INSERT INTO {table} VALUES ({marks})", content)
    return project.path


def test_objects_prompts_and_journal_of_schema_1(old: Path) -> None:
    assert version_of(old) == 1
    with Project.open(old) as project:
        found = project.objects()
        assert [(o.id, o.instance_id) for o in found] == [(2, 2), (3, 3)]
        for record in found:
            np.testing.assert_array_equal(record.mask(), square(record.id, record.id))
            assert record.prompts == PromptSet((Point(record.id, record.id),))
            assert record.proposal_ious == (0.5,)
        # what was undone can be redone, what was done can be undone
        assert project.redo() == HistoryEntry("commit", 4, 1)
        assert project.n_objects() == 3
        steps = [project.undo() for _ in range(6)]
        assert steps == [
            HistoryEntry("commit", 4, 1),
            HistoryEntry("delete", 1, 1),
            HistoryEntry("commit", 3, 1),
            HistoryEntry("commit", 2, 1),
            HistoryEntry("commit", 1, 1),
            None,
        ]
        while project.redo():
            pass
        changed = project.edits.replace(2, square(15, 15))
        assert changed.instance_id == 2
        # a number that an object had is never given to another one
        assert project.commit(1, square(1, 1)).instance_id == 5
    assert version_of(old) == schema.SCHEMA_VERSION
    assert version_of(old, "project.sqlite.schema1") == 1
    with closing(sqlite3.connect(old / "project.sqlite")) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        names = "SELECT name FROM sqlite_master WHERE name LIKE 'old_%'"
        assert connection.execute(names).fetchall() == []
        connection.execute("PRAGMA foreign_keys = ON")
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
            connection.execute("DELETE FROM objects WHERE id = 2")


def test_a_migration_that_fails_at_any_statement_leaves_the_old_project(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = schema.MIGRATIONS
    for place, statements in list(enumerate(known))[1:]:
        for stop in range(len(statements)):
            with monkeypatch.context() as patched:
                broken = (*known[:place], (*statements[:stop], "nonsense"))
                patched.setattr(schema, "MIGRATIONS", broken)
                with pytest.raises(sqlite3.OperationalError, match="nonsense"):
                    Project.open(old)
            assert version_of(old) == 1
    with Project.open(old) as project:
        assert [record.id for record in project.objects()] == [2, 3]


@pytest.mark.parametrize("lock", [True, False])
def test_a_project_from_a_newer_version(closed: Path, lock: bool) -> None:
    edit(closed, "PRAGMA user_version = 99")
    before = hashlib.sha256((closed / "project.sqlite").read_bytes()).digest()
    with pytest.raises(InfosamError, match=r"newer napari-infosam \(schema 99"):
        Project.open(closed, lock=lock)
    after = hashlib.sha256((closed / "project.sqlite").read_bytes()).digest()
    assert after == before
    WindowLock(closed).release()


def test_a_database_of_something_else(closed: Path) -> None:
    edit(closed, "PRAGMA application_id = 1")
    with pytest.raises(InfosamError, match="not one of napari-infosam"):
        Project.open(closed)
