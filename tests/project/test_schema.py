from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from napari_infosam.core.errors import InfosamError
from napari_infosam.project import Project, schema
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
