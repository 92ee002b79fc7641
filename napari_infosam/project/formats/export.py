"""A project's accepted objects in the formats of other programs."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args
from uuid import uuid4

from napari_infosam.core.errors import InfosamError
from napari_infosam.project.failures import one_sentence
from napari_infosam.project.files import sync_directory
from napari_infosam.project.formats.items import Selection, select

if TYPE_CHECKING:
    from napari_infosam.project.formats.items import Done
    from napari_infosam.project.store import Project

Format = Literal["labels", "semantic", "coco", "yolo", "geojson", "ome-zarr"]
FORMATS: tuple[Format, ...] = get_args(Format)

LABEL_IMAGES: tuple[Format, ...] = ("labels", "semantic")
"""The formats in which objects are images of the same names as theirs."""

MARKER = "infosam-export.json"
"""Says that a folder is an export, and may be replaced by another."""

_SINGLE_FILES: dict[Format, str] = {"coco": ".json", "geojson": ".geojson"}


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written; ``notes`` say what the format could not hold."""

    path: Path
    n_images: int
    n_objects: int
    notes: tuple[str, ...]


def export_project(
    project: Project,
    kind: Format,
    out: Path,
    *,
    overwrite: bool = False,
    polygons: bool = False,
    png: bool = False,
    unreviewed: bool = False,
    on_progress: Callable[[float, int], None] | None = None,
) -> ExportReport:
    """Write the accepted objects of a project, completely or not at all.

    Images without objects are left out.

    Parameters
    ----------
    project
        Open, a lock is not needed.
    kind
        One of `FORMATS`.
    out
        Folder to be made; for COCO, and GeoJSON of a single image, also a ``.json``
        or ``.geojson`` file.
    overwrite
        Replace an earlier export.
    polygons
        COCO: write polygons instead of run lengths.
    png
        Label images: write PNG instead of TIFF files, and no stacks.
    unreviewed
        Export objects that no person has accepted as well.
    on_progress
        Called with (images done, images in all) after each image, and after parts of
        huge ones. What it raises ends the export, of which nothing stays.

    Raises
    ------
    InfosamError
        If there is nothing to export, or ``out`` is taken or can not be written to.
    """
    out = Path(os.path.abspath(out.expanduser()))
    single = out.suffix.lower() == _SINGLE_FILES.get(kind)
    with one_sentence(out):
        _check_place(out, single=single, overwrite=overwrite)
    selection = select(project, unreviewed=unreviewed)
    if single and kind == "geojson" and len(selection.pictures) > 1:
        raise InfosamError(
            f"{out.name} would hold one image, but {len(selection.pictures)} have "
            "objects: name a folder."
        )
    n_done = 0.0

    def done(number: float) -> None:
        nonlocal n_done
        n_done += number
        if on_progress:
            on_progress(round(n_done, 6), len(selection.pictures))

    draft = out.with_name(f".{out.name}-{uuid4().hex}")
    with one_sentence(out):
        try:
            if single:
                _write_file(selection, kind, draft, done, polygons=polygons)
                notes: list[str] = []
            else:
                draft.mkdir()
                notes = _write_folder(selection, kind, draft, done, polygons, png)
                _write_marker(selection, kind, draft)
            _put_in_place(draft, out)
        except BaseException:
            _remove(draft)
            raise
    n_objects = sum(len(picture.items) for picture in selection.pictures)
    return ExportReport(out, len(selection.pictures), n_objects, tuple(notes))


def _check_place(out: Path, *, single: bool, overwrite: bool) -> None:
    """Raise a sentence unless the export can go here without loss of other files."""
    if not out.name or not out.parent.is_dir():
        raise InfosamError(
            f"There is no folder {out.parent} to export into: create it first."
        )
    if not out.exists() or (not single and _is_empty(out)):
        return
    if single and out.is_dir():
        raise InfosamError(f"{out} is a folder: name another file.")
    if not single and not (out / MARKER).is_file():
        raise InfosamError(
            f"{out} exists and is not an earlier export (it holds no {MARKER}), so it "
            "is not replaced: name another folder."
        )
    if not overwrite:
        raise InfosamError(
            f"{out} exists already: name another place, or choose to replace the "
            "earlier export (on the command line: --overwrite)."
        )


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _write_file(
    selection: Selection,
    kind: Format,
    path: Path,
    done: Done,
    *,
    polygons: bool,
) -> None:
    """Write the one file of a format that may be one; it is on disk then."""
    if kind == "coco":
        from napari_infosam.project.formats import coco

        coco.write(selection, path, done, polygons=polygons)
    else:
        from napari_infosam.project.formats import geojson

        geojson.write_picture(selection.pictures[0], selection.colours, path)
        done(1)
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _write_folder(
    selection: Selection,
    kind: Format,
    folder: Path,
    done: Done,
    polygons: bool,
    png: bool,
) -> list[str]:
    """Fill a folder; return what is lost, one sentence each."""
    # each format imports what it needs only when it is asked for
    match kind:
        case "labels" | "semantic":
            from napari_infosam.project.formats import label_files

            classes = kind == "semantic"
            return label_files.write(selection, folder, done, png=png, classes=classes)
        case "coco":
            from napari_infosam.project.formats import coco

            coco.write(selection, folder / coco.FILE_NAME, done, polygons=polygons)
        case "yolo":
            from napari_infosam.project.formats import yolo

            return yolo.write(selection, folder, done)
        case "geojson":
            from napari_infosam.project.formats import geojson

            geojson.write(selection, folder, done)
        case "ome-zarr":
            from napari_infosam.project.formats import ome_zarr_files

            return ome_zarr_files.write(selection, folder, done)
    return []


def _write_marker(selection: Selection, kind: Format, folder: Path) -> None:
    from napari_infosam import __version__

    content = {
        "format": kind,
        "napari_infosam": __version__,
        "project": selection.project.path.name,
        "n_images": len(selection.pictures),
        "n_objects": sum(len(picture.items) for picture in selection.pictures),
        "created": time.time(),
    }
    (folder / MARKER).write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def _put_in_place(draft: Path, out: Path) -> None:
    """Give a finished export its name; what had it before is removed afterwards."""
    old = None
    if out.is_dir():
        old = out.with_name(f".{out.name}-old-{uuid4().hex}")
        out.rename(old)
    try:
        draft.replace(out)
    except BaseException:
        if old is not None:
            old.rename(out)
        raise
    sync_directory(out.parent)
    if old is not None:
        _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
