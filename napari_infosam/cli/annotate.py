"""``infosam annotate``: open the window."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_infosam.cli.app import app
from napari_infosam.core.errors import InfosamError


@app.command()
def annotate(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATHS]...",
            help="Images to open; with --project also folders, for its list of images.",
        ),
    ] = None,
    project: Annotated[
        Path | None,
        typer.Option(help="Project folder; it is made if there is none."),
    ] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Open the synthetic sample images.")
    ] = False,
) -> None:
    """Open napari with the InfoSAM panel."""
    paths = paths or []
    for path in paths:
        if not path.exists():
            raise InfosamError(f"There is no file {path}: check the path.")
    from napari_infosam._napari.launch import run

    run(paths, project, sample)
