"""Where projects are kept unless a person says otherwise."""

from __future__ import annotations

import os
import re
from pathlib import Path

from napari_infosam.core.errors import InfosamError
from napari_infosam.project import Project

FOLDER_VARIABLE = "INFOSAM_PROJECTS"
SUFFIX = ".infosam"


def projects_folder(preferred: Path | None = None) -> Path:
    """Return the folder of projects that were made without being asked for."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    return preferred or Path.home() / "InfoSAM projects"


def default_project(image_name: str, preferred: Path | None = None) -> Path:
    """Return where the project of an image is made by itself.

    Parameters
    ----------
    image_name
        Names the project.
    preferred
        The folder that the person prefers.
    """
    # napari numbers layers of equal names: "cells [1]"
    plain = re.sub(r" \[\d+\]$", "", image_name)
    name = re.sub(r"[^\w .()-]+", "_", plain).strip(" ._") or "untitled"
    return projects_folder(preferred) / f"{name[:80]}{SUFFIX}"


def find_home(
    default: Path, digest: str, source: str | None = None
) -> tuple[Path, bool]:
    """Return where an image belongs, and whether that project is there already.

    Many images have the same name: a project is theirs only if it holds the very
    pixels.

    Parameters
    ----------
    default
        The place that its name leads to; others beside it carry a number.
    digest
        Content hash of the image.
    source
        Where its layer was read from: a project, if that was opened as a file.
    """
    if (
        source is not None
        and source.endswith(SUFFIX)
        and _holds(Path(source), digest, source)
    ):
        return Path(source), True
    path, number = default, 2
    while path.exists():
        if _holds(path, digest, source):
            return path, True
        path = default.with_name(f"{default.stem} {number}{SUFFIX}")
        number += 1
    return path, False


def _holds(folder: Path, digest: str, path: str | None) -> bool:
    """Return whether a project has an image, or knows the channels of its file."""
    if not (folder / "project.sqlite").is_file():
        return False
    try:
        with Project.open(folder, lock=False) as project:
            if path is not None and project.channels.get(path) is not None:
                return True
            same = any(image.content_hash == digest for image in project.images())
            return same or project.find_image(digest, path) is not None
    except InfosamError:
        return True  # to be opened, so that the person is told what is wrong with it


def free_project(path: Path) -> Path:
    """Return the path, with a number if something is there already."""
    free, number = path, 2
    while free.exists():
        free = path.with_name(f"{path.stem} {number}{SUFFIX}")
        number += 1
    return free
