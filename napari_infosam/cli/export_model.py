"""``infosam export-model``: a version as files for other programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_infosam.cli.app import JsonOption, ProjectArgument, app
from napari_infosam.cli.group import emit, quiet_stdout, stoppable
from napari_infosam.cli.progress import say
from napari_infosam.core.options import ExportFormat  # noqa: TC001 (typer reads it)

if TYPE_CHECKING:
    from napari_infosam.models import SamModel
    from napari_infosam.project import Project


@app.command("export-model")
def export_model(
    project: ProjectArgument,
    version: Annotated[
        str, typer.Argument(help="A version such as v003, active, or base.")
    ],
    out: Annotated[
        str,
        typer.Argument(
            metavar="OUT",
            help="File to write, or folder; for onnx also the beginning of two names.",
        ),
    ],
    file_format: Annotated[
        ExportFormat | None,
        typer.Option(
            "--format",
            help="onnx: encoder and decoder for ONNX Runtime; safetensors: all weights "
            "and a card, for this program; state-dict: for the code of Segment "
            "Anything or MobileSAM; published: for the code of InfoSAM's authors.",
            show_default="by the ending of OUT; published for .pth",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a version for other programs.

    Nothing is left behind if something goes wrong. ONNX files are compared with the
    model in ONNX Runtime before they get their names.
    """
    from napari_infosam.models.export.write import export_model as write
    from napari_infosam.models.loading import load_version
    from napari_infosam.project import Project

    with quiet_stdout(), stoppable(), Project.open(project, lock=False) as opened:
        say(f"Loading {version}")
        model = load_version(opened, version, "cpu")
        card = _card(opened, model.version)
        done = write(model, out, file_format, overwrite=overwrite, card=card, say=say)
    if (warning := _colours(model, done.file_format)) is not None:
        say(warning)
    if as_json:
        sizes = {str(file): file.stat().st_size for file in done.files}
        emit(
            {
                "version": model.version,
                "format": done.file_format,
                "files": sizes,
                "bytes": sum(sizes.values()),
                "differences": done.differences,
            }
        )
    else:
        names = " and ".join(map(str, done.files))
        typer.echo(f"{model.version} is in {names}")


def _card(project: Project, version: str) -> dict[str, Any]:
    """Return the card of a version; empty for the base, which has none."""
    path = project.version_dir(version) / "card.json"
    if not path.is_file():
        return {}
    card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return card


def _colours(model: SamModel, file_format: ExportFormat) -> str | None:
    """Return a warning where a file's usual code swaps the model's colours."""
    if file_format == "published" and not model.published_input:
        return (
            "This file can not say that its model was trained on RGB pictures; the "
            "code of InfoSAM's authors feeds BGR."
        )
    if file_format == "state-dict" and model.published_input:
        return (
            "This file can not say that its model was trained on BGR pictures; the "
            "code of Segment Anything feeds RGB."
        )
    return None
