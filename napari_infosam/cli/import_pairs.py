"""``infosam import``: pairs of image and mask files become reviewed objects."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_infosam.cli.app import JsonOption, ProjectArgument, app
from napari_infosam.cli.group import emit, quiet_stdout
from napari_infosam.cli.progress import bar, say
from napari_infosam.core.errors import InfosamError

if TYPE_CHECKING:
    from napari_infosam.project import Project


@app.command("import")
def import_pairs(
    project: ProjectArgument,
    images: Annotated[Path, typer.Option(help="Folder of images.")],
    masks: Annotated[
        Path, typer.Option(help="Folder of label images named as the images.")
    ],
    binary: Annotated[
        bool,
        typer.Option("--binary", help="All of a mask that is not 0 is one object."),
    ] = False,
    model: Annotated[
        str, typer.Option(help="Base model of a new project, a name or a path.")
    ] = "vit_t",
    as_json: JsonOption = False,
) -> None:
    """Add images and their masks to a project, which is made if there is none.

    Files are paired by name without suffix. A mask is a label image: 0 is
    background, each other value one object.
    """
    from napari_infosam.project.formats.labels import find_pairs, import_folder

    # before a project is made for nothing
    find_pairs(images, masks)
    opened, is_new = _open_or_create(project, model)
    with quiet_stdout(), opened, bar("Importing") as on_progress:
        try:
            report = import_folder(
                opened, images, masks, binary=binary, on_progress=on_progress
            )
            if not report.n_images:
                raise InfosamError(
                    "None of the pairs could be imported, the first because "
                    f"{report.skipped[0]}."
                )
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


def _open_or_create(path: Path, model: str) -> tuple[Project, bool]:
    """Return the open project and whether it was made now."""
    from napari_infosam.project import Project
    from napari_infosam.project.folder import SUFFIX

    named = path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)
    if path.exists() or named.exists():
        return Project.open(path), False
    return Project.create(path, model=model), True
