"""``infosam export``: the accepted objects in the formats of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_infosam.cli.app import JsonOption, ProjectArgument, app
from napari_infosam.cli.group import emit, quiet_stdout, stoppable
from napari_infosam.cli.import_data import FileFormat
from napari_infosam.cli.progress import bar, say
from napari_infosam.core.errors import InfosamError


@app.command()
def export(
    project: ProjectArgument,
    file_format: Annotated[FileFormat, typer.Option("--format", help="What to write.")],
    out: Annotated[
        Path,
        typer.Option(help="Folder to make, or a .json or .geojson file of one image."),
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier export.")
    ] = False,
    polygons: Annotated[
        bool,
        typer.Option("--polygons", help="coco: polygons instead of run lengths."),
    ] = False,
    png: Annotated[
        bool,
        typer.Option("--png", help="labels, semantic: PNG instead of TIFF files."),
    ] = False,
    unreviewed: Annotated[
        bool,
        typer.Option("--unreviewed", help="Also objects that nobody has accepted."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the accepted objects of a project, completely or not at all.

    A window may have the project open. Images without objects are left out.
    """
    from napari_infosam.project import Project
    from napari_infosam.project.formats.export import LABEL_IMAGES, export_project

    for given, option, fitting in (
        (polygons, "--polygons", (FileFormat.COCO.value,)),
        (png, "--png", LABEL_IMAGES),
    ):
        if given and file_format not in fitting:
            raise InfosamError(
                f"{option} is for --format {' or '.join(fitting)}, not {file_format}: "
                "leave it out."
            )
    with (
        quiet_stdout(),
        stoppable(),
        Project.open(project, lock=False) as opened,
        bar("Exporting") as on_progress,
    ):
        report = export_project(
            opened,
            file_format.value,
            out,
            overwrite=overwrite,
            polygons=polygons,
            png=png,
            unreviewed=unreviewed,
            on_progress=on_progress,
        )
    for note in report.notes:
        say(f"Note: {note}")
    if as_json:
        emit(
            {
                "project": str(opened.path),
                "format": file_format.value,
                "out": str(report.path),
                "n_images": report.n_images,
                "n_objects": report.n_objects,
                "notes": list(report.notes),
            }
        )
    else:
        typer.echo(
            f"{report.n_images} images, {report.n_objects} objects in {report.path}"
        )
