"""What a person does with the versions of a project: pin, rename, delete."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from napari_infosam.core.errors import InfosamError
from napari_infosam.project import settings, versions

if TYPE_CHECKING:
    import sqlite3

    from napari_infosam.project.database import Database
    from napari_infosam.project.store import Project

CARD_FILE = "card.json"
"""What stays of a deleted version: where it came from, and how it did."""

LONGEST_NAME = 40


class Shelf:
    """The versions of a project as a person keeps them, as ``project.shelf``.

    A version that is *pinned* is never deleted, and while it answers, no training
    replaces it: better students are kept beside it, and answer when a person says so.
    The base can be pinned as well.

    Parameters
    ----------
    database
        Of the project.
    folder
        Of the project.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder

    def find(self, text: str) -> str:
        """Return the id of a version by its id or name; ``active`` is one, too.

        Raises
        ------
        InfosamError
            If there is none.
        """
        with self._database.read() as connection:
            if text == "active":
                return settings.get(connection, "active_version")
            known = versions.select_versions(connection)
            named = [record.id for record in known if record.name == text]
            return named[0] if named else _require(connection, text)

    def is_pinned(self, version_id: str) -> bool:
        """Return whether a version, or ``base``, is pinned."""
        with self._database.read() as connection:
            return versions.is_pinned(connection, version_id)

    def pin(self, version_id: str, pinned: bool = True) -> None:
        """Pin a version, or ``base``, or let it loose again."""
        with self._database.write() as connection:
            _require(connection, version_id)
            versions.put_mark(connection, "pinned", version_id, "yes" if pinned else "")

    def rename(self, version_id: str, name: str) -> None:
        """Give a version a name beside its id; '' takes it away.

        Raises
        ------
        InfosamError
            If another version has the name, or it could be taken for an id.
        """
        name = " ".join(name.split())
        with self._database.write() as connection:
            _require_trained(connection, version_id, "renamed")
            _check_name(connection, version_id, name)
            versions.put_mark(connection, "name", version_id, name)

    def delete(self, version_id: str) -> None:
        """Delete the files of a version for good, and take it out of the list.

        Its card and its row stay, for masks and versions that name it, and its id is
        not given out again. No version needs the weights of its parent.

        Raises
        ------
        InfosamError
            If it answers, is pinned, or its files can not be removed.
        """
        with self._database.write() as connection:
            _require_trained(connection, version_id, "deleted")
            record = versions.select_version(connection, version_id)
            if record.status == "active":
                raise InfosamError(
                    f"{version_id} answers at the moment: let another version or the "
                    "base answer before it is deleted."
                )
            if record.pinned:
                raise InfosamError(
                    f"{version_id} is pinned: unpin it before it is deleted."
                )
            versions.put_mark(connection, "deleted", version_id, "yes")
            gone = versions.deleted(connection)
        # what a crash had left of earlier ones goes as well
        for deleted in gone:
            _remove_files(versions.directory(self._folder, deleted))


def kept_sentence(project: Project, version_id: str) -> str:
    """Say why a student that was accepted does not answer."""
    active = project.active_version
    if project.shelf.is_pinned(active):
        why = f"is better, but {active} is pinned and goes on to answer"
    else:
        why = f"was accepted, but not compared with {active}, which answers meanwhile"
    return f"{version_id} {why}: choose {version_id} to change that."


def _require(connection: sqlite3.Connection, version_id: str) -> str:
    """Return the id of a version or the base, or raise a sentence."""
    if version_id != versions.BASE:
        versions.select_version(connection, version_id)
    return version_id


def _require_trained(
    connection: sqlite3.Connection, version_id: str, what: str
) -> None:
    if version_id == versions.BASE:
        raise InfosamError(
            f"The base can not be {what}: choose a trained version such as v001."
        )
    versions.select_version(connection, version_id)


def _check_name(connection: sqlite3.Connection, version_id: str, name: str) -> None:
    if len(name) > LONGEST_NAME:
        raise InfosamError(
            f"The name {name!r} is too long: {LONGEST_NAME} letters are the most."
        )
    if name in (versions.BASE, "active") or versions.is_id(name):
        raise InfosamError(
            f"{name!r} can not be the name of a version: choose one that is no id."
        )
    for record in versions.select_versions(connection):
        if name and record.name == name and record.id != version_id:
            raise InfosamError(
                f"{record.id} has the name {name!r} already: choose another one."
            )


def _remove_files(folder: Path) -> None:
    """Remove all of a version but its card."""
    try:
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != CARD_FILE:
                path.unlink()
    except OSError as error:
        raise InfosamError(
            f"{folder.name} is out of the list, but its files in {folder} could not be "
            f"removed ({error.strerror}): remove them by hand."
        ) from error
