"""Objects of other programs, in whatever format, become reviewed ones of a project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from napari_infosam.core.errors import InfosamError
from napari_infosam.project.formats.export import LABEL_IMAGES
from napari_infosam.project.formats.importing import write_draft
from napari_infosam.project.formats.progress import Tell, nobody, part_of
from napari_infosam.project.formats.targets import Images

if TYPE_CHECKING:
    from napari_infosam.project.formats.export import Format
    from napari_infosam.project.formats.importing import Draft, ImportReport
    from napari_infosam.project.store import Project


def import_files(
    project: Project,
    kind: Format,
    source: Path,
    images: Path | None = None,
    *,
    binary: bool = False,
    on_progress: Callable[[float, int], None] | None = None,
) -> ImportReport:
    """Add objects, and images that are new, to a project: all of them or none.

    Everything is read before the first is written, so that a broken file changes
    nothing, and what is in the project already is not added again.

    Parameters
    ----------
    project
        Open with its lock.
    kind
        What the objects come in.
    source
        File or folder of the objects.
    images
        Folder of the images. Label images need it; for the others the images of the
        same names in the project are taken without it. OME-Zarr brings its own.
    binary
        ``labels``: all of a mask that is not 0 is one object.
    on_progress
        Called with (done, in all); what it raises ends the import.

    Raises
    ------
    InfosamError
        If there is nothing to import, a file is broken, or the project can not be
        written to.
    """
    if not source.exists():
        raise InfosamError(f"There is no {source}: check the path.")
    if kind in LABEL_IMAGES:
        classes = kind == "semantic"
        return _import_labels(project, source, images, binary, classes, on_progress)
    if kind == "ome-zarr" and images is not None:
        raise InfosamError(
            "OME-Zarr brings its own pixels: leave the folder of images out."
        )

    def tell(share: float) -> None:
        if on_progress is not None:
            on_progress(share, 1)

    told = nobody if on_progress is None else tell
    draft = _read(project, kind, source, images, part_of(told, 0, 2))
    return write_draft(project, draft, part_of(told, 1, 2))


def _import_labels(
    project: Project,
    masks: Path,
    images: Path | None,
    binary: bool,
    classes: bool,
    on_progress: Callable[[float, int], None] | None,
) -> ImportReport:
    from napari_infosam.project.formats.labels import import_folder

    if images is None:
        raise InfosamError(
            "Label images need a folder of images beside them, with equal file names."
        )
    report = import_folder(
        project, images, masks, binary=binary, classes=classes, on_progress=on_progress
    )
    if not report.n_images:
        raise InfosamError(
            "None of the pairs could be imported, the first because "
            f"{report.skipped[0]}."
        )
    return report


def _read(
    project: Project, kind: Format, source: Path, images: Path | None, tell: Tell
) -> Draft:
    # each format imports what it needs only when it is asked for
    if kind == "coco":
        from napari_infosam.project.formats import coco

        return coco.read(source, Images(project, images), tell)
    if kind == "geojson":
        from napari_infosam.project.formats import geojson

        return geojson.read(source, Images(project, images), tell)
    if kind == "yolo":
        from napari_infosam.project.formats import yolo

        given = Images(project, images) if images else None
        return yolo.read(source, given, tell)
    from napari_infosam.project.formats import ome_zarr

    return ome_zarr.read(source, Images(project, None), tell)
