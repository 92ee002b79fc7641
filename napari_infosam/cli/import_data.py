"""``infosam import``: images with objects of other programs become reviewed ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from enum import StrEnum
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
    SEMANTIC = "semantic"
    COCO = "coco"
    YOLO = "yolo"
    GEOJSON = "geojson"
    OME_ZARR = "ome-zarr"


@app.command("import")
def import_data(
    project: ProjectArgument,
    images: Annotated[
        Path | None, typer.Option(help="Folder of images of the objects, or one image.")
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(help="Folder of label images named as the images, or one."),
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
    suffix: 0 is background, each other value one object, or with --format semantic
    one class, of which each connected piece is an object. The other formats are read
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
                "n_known": report.n_known,
                "skipped": list(report.skipped),
            }
        )
    else:
        known = f" ({report.n_known} were there already)" if report.n_known else ""
        typer.echo(
            f"{report.n_images} images, {report.n_objects} new objects{known} in "
            f"{opened.path}"
        )


def _importer(
    file_format: FileFormat,
    images: Path | None,
    masks: Path | None,
    source: Path | None,
    binary: bool,
) -> Callable[[Project, OnProgress], ImportReport]:
    """Return what imports, or raise a sentence if the options do not fit together."""
    from napari_infosam.project.formats.export import LABEL_IMAGES
    from napari_infosam.project.formats.import_files import import_files

    if file_format in LABEL_IMAGES:
        if images is None or masks is None or source is not None:
            raise InfosamError(
                "Label images need --images and --masks, two folders of equal file "
                "names; what is read --from a file needs its --format."
            )
        if binary and file_format != FileFormat.LABELS:
            raise InfosamError(
                f"--binary is for --format {FileFormat.LABELS}, not {file_format}: "
                "leave it out."
            )
        from napari_infosam.project.formats.labels import find_pairs

        # before a project is made for nothing
        find_pairs(images, masks)
        source = masks
    elif source is None or masks is not None or binary:
        raise InfosamError(
            f"--format {file_format} needs --from, the file or folder of objects, and "
            "neither --masks nor --binary, which are for label images."
        )
    elif file_format == FileFormat.OME_ZARR and images is not None:
        raise InfosamError("OME-Zarr brings its own pixels: leave out --images.")
    elif not source.exists():
        raise InfosamError(f"There is no {source}: check the path.")

    def import_into(project: Project, on_progress: OnProgress) -> ImportReport:
        return import_files(
            project,
            file_format.value,
            source,
            images,
            binary=binary,
            on_progress=on_progress,
        )

    return import_into


def _open_or_create(path: Path, model: str) -> tuple[Project, bool]:
    """Return the open project and whether it was made now."""
    from napari_infosam.project import Project
    from napari_infosam.project.folder import SUFFIX

    named = path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)
    if path.exists() or named.exists():
        return Project.open(path), False
    return Project.create(path, model=model), True
