"""``infosam import``: images with objects of other programs become reviewed ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_infosam.cli.app import JsonOption, ProjectArgument, app
from napari_infosam.cli.group import emit, quiet_stdout
from napari_infosam.cli.progress import OnProgress, bar, say
from napari_infosam.core.errors import InfosamError

if TYPE_CHECKING:
    from napari_infosam.project import Project
    from napari_infosam.project.formats.importing import ImportReport


class FileFormat(StrEnum):
    """The formats that go in and out."""

    LABELS = "labels"
    COCO = "coco"
    YOLO = "yolo"
    GEOJSON = "geojson"
    OME_ZARR = "ome-zarr"


@app.command("import")
def import_data(
    project: ProjectArgument,
    images: Annotated[
        Path | None, typer.Option(help="Folder of images the objects belong to.")
    ] = None,
    masks: Annotated[
        Path | None, typer.Option(help="Folder of label images named as the images.")
    ] = None,
    file_format: Annotated[
        FileFormat, typer.Option("--format", help="What the objects come in.")
    ] = FileFormat.LABELS,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="File or folder of objects that are not masks."),
    ] = None,
    binary: Annotated[
        bool,
        typer.Option("--binary", help="All of a mask that is not 0 is one object."),
    ] = False,
    model: Annotated[
        str, typer.Option(help="Base model of a new project, a name or a path.")
    ] = "vit_t",
    as_json: JsonOption = False,
) -> None:
    """Add images and their objects to a project, which is made if there is none.

    Label images (--images and --masks) are paired with images by name without
    suffix: 0 is background, each other value one object. The other formats are read
    --from a file or folder; without --images the objects go to the images of the
    same names in the project.
    """
    import_into = _importer(file_format, images, masks, source, binary)
    opened, is_new = _open_or_create(project, model)
    with quiet_stdout(), opened, bar("Importing") as on_progress:
        try:
            report = import_into(opened, on_progress)
        except BaseException:
            if is_new and not opened.images():
                shutil.rmtree(opened.path, ignore_errors=True)
            raise
    for line in report.skipped:
        say(f"Skipped {line}")
    if as_json:
        emit(
            {
                "project": str(opened.path),
                "n_images": report.n_images,
                "n_objects": report.n_objects,
                "skipped": list(report.skipped),
            }
        )
    else:
        typer.echo(
            f"{report.n_images} images, {report.n_objects} new objects in {opened.path}"
        )


def _importer(
    file_format: FileFormat,
    images: Path | None,
    masks: Path | None,
    source: Path | None,
    binary: bool,
) -> Callable[[Project, OnProgress], ImportReport]:
    """Return what imports, or raise a sentence if the options do not fit together."""
    if file_format == FileFormat.LABELS:
        if images is None or masks is None or source is not None:
            raise InfosamError(
                "Label images need --images and --masks, two folders of equal file "
                "names; what is read --from a file needs its --format."
            )
        return _label_importer(images, masks, binary)
    if source is None or masks is not None or binary:
        raise InfosamError(
            f"--format {file_format} needs --from, the file or folder of objects, and "
            "neither --masks nor --binary, which are for label images."
        )
    if file_format == FileFormat.OME_ZARR and images is not None:
        raise InfosamError("OME-Zarr brings its own pixels: leave out --images.")
    if not source.exists():
        raise InfosamError(f"There is no {source}: check the path.")
    return partial(_import_file, file_format, images, source)


def _label_importer(
    images: Path, masks: Path, binary: bool
) -> Callable[[Project, OnProgress], ImportReport]:
    from napari_infosam.project.formats.labels import find_pairs, import_folder

    # before a project is made for nothing
    find_pairs(images, masks)

    def import_labels(project: Project, on_progress: OnProgress) -> ImportReport:
        report = import_folder(
            project, images, masks, binary=binary, on_progress=on_progress
        )
        if not report.n_images:
            raise InfosamError(
                "None of the pairs could be imported, the first because "
                f"{report.skipped[0]}."
            )
        return report

    return import_labels


def _import_file(
    file_format: FileFormat,
    images: Path | None,
    source: Path,
    project: Project,
    on_progress: OnProgress,
) -> ImportReport:
    """Read everything first, so that a broken file changes nothing."""
    from napari_infosam.project.formats.importing import write_draft
    from napari_infosam.project.formats.progress import part_of
    from napari_infosam.project.formats.targets import Images

    def tell(share: float) -> None:
        on_progress(share, 1)

    read, written = part_of(tell, 0, 2), part_of(tell, 1, 2)
    match file_format:
        case FileFormat.COCO:
            from napari_infosam.project.formats import coco

            draft = coco.read(source, Images(project, images), read)
        case FileFormat.GEOJSON:
            from napari_infosam.project.formats import geojson

            draft = geojson.read(source, Images(project, images), read)
        case FileFormat.YOLO:
            from napari_infosam.project.formats import yolo

            given = Images(project, images) if images else None
            draft = yolo.read(source, given, read)
        case _:
            from napari_infosam.project.formats import ome_zarr

            draft = ome_zarr.read(source, Images(project, None), read)
    return write_draft(project, draft, written)


def _open_or_create(path: Path, model: str) -> tuple[Project, bool]:
    """Return the open project and whether it was made now."""
    from napari_infosam.project import Project
    from napari_infosam.project.folder import SUFFIX

    named = path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)
    if path.exists() or named.exists():
        return Project.open(path), False
    return Project.create(path, model=model), True
