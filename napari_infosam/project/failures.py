"""What SQLite and the file system say when they fail, as one sentence."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_infosam.core.errors import InfosamError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}


@contextmanager
def one_sentence(path: Path) -> Iterator[None]:
    """Turn failures of the disk or the database into an `InfosamError`.

    Parameters
    ----------
    path
        The folder or file that the sentence names.
    """
    try:
        yield
    except sqlite3.Error as error:
        sentence = _database_sentence(error, path)
        if sentence is None:
            raise
        raise InfosamError(sentence) from error
    except OSError as error:
        raise InfosamError(_disk_sentence(error, path)) from error


def _database_sentence(error: sqlite3.Error, path: Path) -> str | None:
    code = getattr(error, "sqlite_errorcode", None)
    match None if code is None else code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return _full(path)
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return _read_only(path)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return (
                f"The project {path} is being written by another process: "
                "nothing was changed, try again in a moment."
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return damaged(path, str(error))
        case sqlite3.SQLITE_CANTOPEN:
            return (
                f"The database of the project {path} can not be opened: check that "
                "its folder still exists, can be written to, and that the disk is "
                "not full."
            )
        case sqlite3.SQLITE_IOERR if path.exists() and not os.access(path, os.W_OK):
            return _read_only(path)
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_PROTOCOL | sqlite3.SQLITE_NOLFS:
            return (
                f"The disk failed while the project {path} was read or written "
                f"({error}): nothing was changed, check the disk and its free space."
            )
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
        return f"The project {path} is closed: open it again."
    return None


def _disk_sentence(error: OSError, path: Path) -> str:
    if error.errno in _FULL:
        return _full(path)
    if error.errno in _READ_ONLY:
        return _read_only(path)
    return f"{path} can not be read or written: {error.strerror or error}."


def damaged(path: Path, what: str) -> str:
    """Return the sentence about a database that can not be trusted."""
    return (
        f"The database of the project {path} is damaged ({what}): it was left as it "
        "is, put back a copy of project.sqlite or start a new project."
    )


def _full(path: Path) -> str:
    return (
        f"The disk that holds {path} is full: nothing of this step was saved, "
        "everything before it was; free some space and try again."
    )


def _read_only(path: Path) -> str:
    return (
        f"{path} can not be written to: change its permissions, or copy it to a "
        "place that is not read-only."
    )
