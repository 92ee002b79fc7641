"""The connection to ``project.sqlite``: transactions, threads, failures."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import RLock, get_ident

from napari_infosam.core.errors import InfosamError
from napari_infosam.project import schema
from napari_infosam.project.failures import damaged, one_sentence

FILE_NAME = "project.sqlite"
_BUSY_SECONDS = 10.0


class Database:
    """A project database, safe to use from several threads and processes.

    Parameters
    ----------
    folder
        The project folder, which holds a database.
    thorough
        Also read every page and refuse a damaged database.

    Raises
    ------
    InfosamError
        If the file is damaged, no project, or from a newer napari-infosam. It is
        not changed then.
    """

    def __init__(self, folder: Path, *, thorough: bool = False) -> None:
        self._folder = folder
        self._file = folder / FILE_NAME
        self._lock = RLock()
        with ExitStack() as undo, one_sentence(folder):
            self._inode = self._file.stat().st_ino
            self._connection = _connect(self._file)
            undo.callback(self._connection.close)
            self._owner = get_ident()
            self._writer: int | None = None
            self._aside: sqlite3.Connection | None = None
            self._aside_lock = RLock()
            self._check(thorough)
            self._connection.execute("PRAGMA journal_mode = WAL")
            undo.pop_all()

    @property
    def is_outdated(self) -> bool:
        """Whether the schema is older than this program's."""
        with self.read() as connection:
            return schema.schema_version(connection) < schema.SCHEMA_VERSION

    def migrate(self) -> None:
        """Bring an older project to this schema; a copy of the old file is kept."""
        with self._lock, one_sentence(self._folder):
            old = schema.schema_version(self._connection)
            copy = self._file.with_name(f"{FILE_NAME}.schema{old}")
            part = copy.with_name(f"{copy.name}.part")
            part.unlink(missing_ok=True)
            with closing(sqlite3.connect(part)) as target:
                self._connection.backup(target)
            part.replace(copy)
            schema.migrate(self._connection, schema.MIGRATIONS)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Read several tables as they are at one moment.

        Other threads than the one that opened the database have a connection of
        their own: a window does not wait until its background has read thousands of
        objects.
        """
        if get_ident() in (self._owner, self._writer):
            with self._transaction("BEGIN") as connection:
                yield connection
            return
        with self._aside_lock, one_sentence(self._folder):
            if self._aside is None:
                with self._lock:
                    # a closed database is none to be opened anew
                    self._connection.execute("SELECT 1")
                    self._aside = _connect(self._file)
            with _rolled_back(self._aside):
                self._aside.execute("BEGIN")
                yield self._aside

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Write in one transaction: all of it is on disk afterwards, or nothing.

        What the same thread reads and writes within it is part of it.
        """
        with self._transaction("BEGIN IMMEDIATE") as connection:
            self._check_place()
            outer, self._writer = self._writer, get_ident()
            try:
                yield connection
            finally:
                self._writer = outer

    def close(self) -> None:
        """Close the connection; closing twice is fine."""
        with self._aside_lock, self._lock, one_sentence(self._folder):
            if self._aside is not None:
                self._aside.close()
            self._connection.close()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._lock, one_sentence(self._folder):
            if self._connection.in_transaction:
                yield self._connection
                return
            self._connection.execute(begin)
            with _rolled_back(self._connection):
                yield self._connection
                self._connection.execute("COMMIT")

    def _check(self, thorough: bool) -> None:
        application = self._connection.execute("PRAGMA application_id").fetchone()[0]
        if application != schema.APPLICATION_ID:
            raise InfosamError(damaged(self._folder, "it is not one of napari-infosam"))
        schema.check_version(self._connection, self._folder)
        if thorough:
            verdict = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise InfosamError(damaged(self._folder, verdict.splitlines()[-1]))

    def _check_place(self) -> None:
        """Raise a sentence if the folder was moved or deleted while it is open.

        SQLite would go on writing to a file that no longer has a name.
        """
        try:
            in_place = self._file.stat().st_ino == self._inode
        except FileNotFoundError:
            in_place = False
        if not in_place:
            raise InfosamError(
                f"The project {self._folder} was moved or deleted while it was open: "
                "put it back, or close it and open it where it is now."
            )


@contextmanager
def _rolled_back(connection: sqlite3.Connection) -> Iterator[None]:
    """End a transaction that was not committed."""
    try:
        yield
    finally:
        # SQLite has already rolled back by itself after some failures
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextmanager
def new_database(folder: Path) -> Iterator[sqlite3.Connection]:
    """Make the database of a new project; the block fills it in one transaction."""
    with closing(_connect(folder / FILE_NAME)) as connection:
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        connection.execute("PRAGMA journal_mode = WAL")
        schema.migrate(connection, schema.MIGRATIONS)
        connection.execute("BEGIN")
        yield connection
        connection.execute("COMMIT")


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        file, _BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    return connection
