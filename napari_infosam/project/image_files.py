"""Files of images on disk: what a folder holds, and where moved ones are now."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePath

from napari_infosam.core.errors import InfosamError
from napari_infosam.project.formats.pictures import SUFFIXES

FOLDERS = (".zarr",)
"""Suffixes of folders that are one image."""

Report = Callable[[int], None]
Cancelled = Callable[[], bool]


class CancelledError(Exception):
    """The person has called it off."""


def is_image(path: Path) -> bool:
    """Return whether a path looks like an image that can be put on the list."""
    suffix = path.suffix.lower()
    return suffix in FOLDERS if path.is_dir() else suffix in SUFFIXES


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts ``image2`` before ``image10``."""
    return [
        (0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part)
        for part in re.split(r"([0-9]+)", text.casefold())
        if part
    ]


def find_images(
    paths: Iterable[Path],
    report: Report = lambda _: None,
    cancelled: Cancelled = lambda: False,
) -> list[Path]:
    """Return the images that files and folders stand for.

    Parameters
    ----------
    paths
        A file stands for itself. A folder stands for the images in it, or, if there
        are none, for those in its sub-folders; by name, ``image2`` before ``image10``.
    report
        Called for every image, with 1.
    cancelled
        Asked now and then whether to stop.

    Raises
    ------
    InfosamError
        If a file is missing or no image, or a folder holds none.
    CancelledError
        If it was called off.
    """
    found: list[Path] = []
    for given in paths:
        path = Path(os.path.abspath(given.expanduser()))
        if not path.exists():
            raise InfosamError(f"There is no file {path}: check the path.")
        if path.is_dir() and not is_image(path):
            inside = _inside(path, report, cancelled)
            if not inside:
                raise InfosamError(
                    f"The folder {path} holds no images: choose one with "
                    f"{', '.join((*SUFFIXES, *FOLDERS))}."
                )
            found += inside
        elif is_image(path):
            found.append(path)
            report(1)
        else:
            raise InfosamError(
                f"{path.name} is no image that can be listed: choose "
                f"{', '.join((*SUFFIXES, *FOLDERS))}."
            )
    return list(dict.fromkeys(found))


def _inside(folder: Path, report: Report, cancelled: Cancelled) -> list[Path]:
    """Return the images in a folder, or else those of its sub-folders."""
    images, folders = _scan(folder, report, cancelled)
    if not images:
        for inner in folders:
            images += _inside(inner, report, cancelled)
    return images


def _scan(
    folder: Path, report: Report, cancelled: Cancelled
) -> tuple[list[Path], list[Path]]:
    """Return the images and the other folders in a folder, each by name."""
    images: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if cancelled():
                    raise CancelledError
                suffix = PurePath(entry.name).suffix.lower()
                if entry.name.startswith(".") or suffix == ".infosam":
                    continue
                is_folder = entry.is_dir()
                if suffix in (FOLDERS if is_folder else SUFFIXES):
                    images.append(entry.name)
                    report(1)
                elif is_folder:
                    folders.append(entry.name)
    except OSError as error:
        raise InfosamError(
            f"The folder {folder} can not be read ({error.strerror}): choose another."
        ) from error
    return (
        [folder / name for name in sorted(images, key=natural_key)],
        [folder / name for name in sorted(folders, key=natural_key)],
    )


def find_moved(
    missing: Mapping[int, str],
    folder: Path,
    cancelled: Cancelled = lambda: False,
) -> dict[int, str]:
    """Return where files are that are no longer at their paths.

    Parameters
    ----------
    missing
        The old path of each, by id.
    folder
        Where to look, in sub-folders as well.

    Returns
    -------
    dict
        The new path of those that were found. Of several files of one name it is the
        one whose folders agree best with the old ones; where that does not decide,
        the file counts as not found.
    """
    wanted = {PurePath(path).name for path in missing.values()}
    candidates: dict[str, list[Path]] = {}
    for where, folders, files in os.walk(folder):
        if cancelled():
            raise CancelledError
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in wanted.intersection((*files, *folders)):
            candidates.setdefault(name, []).append(Path(where, name))
    moves: dict[int, str] = {}
    for listed_id, path in missing.items():
        old = PurePath(path)
        ranked = sorted(
            ((_agreement(old, new), str(new)) for new in candidates.get(old.name, ())),
            reverse=True,
        )
        if ranked and (len(ranked) == 1 or ranked[0][0] > ranked[1][0]):
            moves[listed_id] = ranked[0][1]
    return moves


def _agreement(old: PurePath, new: PurePath) -> int:
    """Return how many parts two paths have in common at their ends."""
    number = 0
    for one, other in zip(reversed(old.parts), reversed(new.parts), strict=False):
        if one != other:
            break
        number += 1
    return number
