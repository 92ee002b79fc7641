"""Where a project folder lies, and how a new one comes to be there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from napari_infosam.core.errors import InfosamError
from napari_infosam.project import settings, versions
from napari_infosam.project.classes import add_class
from napari_infosam.project.database import FILE_NAME, new_database
from napari_infosam.project.failures import one_sentence
from napari_infosam.project.files import sync_directory

SUFFIX = ".infosam"

AnyPath = str | os.PathLike[str]


def create_folder(path: AnyPath, model: str, classes: Sequence[str] = ()) -> Path:
    """Make a project folder with all a new project holds, and return where it is.

    The project is there completely or not at all: it is made beside its place and
    then renamed.

    Raises
    ------
    InfosamError
        If something is there already, or the place can not be written to.
    """
    folder = _absolute(path)
    if folder.suffix != SUFFIX:
        folder = folder.with_name(folder.name + SUFFIX)
    with one_sentence(folder):
        _check_free(folder)
        draft = folder.with_name(f".new-infosam-{uuid4().hex}")
        try:
            draft.mkdir()
            (draft / "images").mkdir()
            with new_database(draft) as connection:
                settings.put(connection, "model", model)
                settings.put(connection, "active_version", versions.BASE)
                for name in ("object", *classes):
                    add_class(connection, name, None)
            if folder.exists():
                folder.rmdir()
            draft.rename(folder)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        sync_directory(folder.parent)
    return folder


def find_folder(path: AnyPath) -> Path:
    """Return the absolute path of an existing project, given with or without suffix.

    Raises
    ------
    InfosamError
        If there is no project.
    """
    folder = _absolute(path)
    with one_sentence(folder):
        if not folder.exists() and folder.suffix != SUFFIX:
            folder = folder.with_name(folder.name + SUFFIX)
        if not folder.exists():
            raise InfosamError(
                f"There is no project {folder}: check the path, or create it."
            )
        if not (folder / FILE_NAME).is_file():
            raise InfosamError(
                f"{folder} is not a project, it holds no {FILE_NAME}: choose a "
                f"folder that was made as NAME{SUFFIX}."
            )
    return folder


def _absolute(path: AnyPath) -> Path:
    text = os.fspath(path)
    if not text or "\0" in text:
        raise InfosamError(f"{text!r} is not a path: name the project's folder.")
    folder = Path(os.path.abspath(Path(text).expanduser()))
    if not folder.name:
        raise InfosamError(f"{text} has no name: name the project's folder.")
    return folder


def _check_free(folder: Path) -> None:
    """Raise a sentence unless a project can be made here."""
    if not folder.parent.is_dir():
        raise InfosamError(
            f"There is no folder {folder.parent} to make a project in: create it first."
        )
    if (folder / FILE_NAME).exists():
        raise InfosamError(f"The project {folder} exists already: open it.")
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InfosamError(
            f"{folder} exists already and is not a project: choose another name."
        )
