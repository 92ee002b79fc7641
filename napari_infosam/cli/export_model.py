"""``infosam export-model``: a version as one file of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_infosam.cli.app import JsonOption, ProjectArgument, app
from napari_infosam.cli.group import emit, quiet_stdout
from napari_infosam.cli.progress import say
from napari_infosam.core.errors import InfosamError


@app.command("export-model")
def export_model(
    project: ProjectArgument,
    version: Annotated[
        str, typer.Argument(help="A version such as v003, active, or base.")
    ],
    out: Annotated[
        Path, typer.Argument(help="File to write: .safetensors, .pth or .pt.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Write all weights of a version to one file, under published names.

    The file is a base model for other projects. A .pth file is what the code of
    InfoSAM's authors reads.
    """
    from napari_infosam.models.export import save_model
    from napari_infosam.models.loading import load_version
    from napari_infosam.project import Project

    if out.exists():
        raise InfosamError(f"{out} is there already: name another file.")
    with quiet_stdout(), Project.open(project, lock=False) as opened:
        model = load_version(opened, version, "cpu")
        save_model(model, out)
    if out.suffix != ".safetensors" and not model.published_input:
        say(
            "This file can not say that its model was trained on RGB pictures; the "
            "code of InfoSAM's authors feeds BGR."
        )
    if as_json:
        emit({"version": model.version, "file": str(out), "bytes": out.stat().st_size})
    else:
        typer.echo(f"{model.version} is in {out}")
