"""``infosam evaluate``: simulated clicks on images with known masks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_infosam.cli.app import DeviceOption, JsonOption, app
from napari_infosam.cli.group import emit, quiet_stdout
from napari_infosam.cli.progress import OnProgress, bar, console, say
from napari_infosam.core.errors import InfosamError

if TYPE_CHECKING:
    from napari_infosam.models import SamModel
    from napari_infosam.training.dataset import Sample
    from napari_infosam.training.evaluate import Evaluation


@app.command()
def evaluate(
    images: Annotated[Path, typer.Option(help="Folder of images.")],
    masks: Annotated[
        Path, typer.Option(help="Folder of label images named as the images.")
    ],
    project: Annotated[
        Path | None, typer.Option(help="Project folder whose versions can be asked.")
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(
            help="base, active or vNNN. By default active with a project, else base."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Base model without a project: vit_t, vit_b, ... or a path."),
    ] = None,
    max_clicks: Annotated[
        int, typer.Option(help="Clicks on an object at most.", min=1, max=200)
    ] = 20,
    limit: Annotated[
        int | None, typer.Option(help="Only the first N pairs.", min=1)
    ] = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measure a model as a person would use it, on images with known masks.

    Each object is clicked until its IoU is 0.9: first in its middle, then in the
    middle of the largest error. NoC85 is the number of clicks to reach IoU 0.85.
    """
    with quiet_stdout():
        samples, skipped = _read_samples(images, masks, limit)
        result, asked = _evaluate(samples, project, version, model, device, max_clicks)
    for line in skipped:
        say(f"Skipped {line}")
    figures = {
        **result.figures(),
        "model": asked.name,
        "version": asked.version,
        "skipped": skipped,
    }
    if as_json:
        emit(figures)
    else:
        _print_table(figures)


def _read_samples(
    images: Path, masks: Path, limit: int | None
) -> tuple[list[Sample], list[str]]:
    """Return the samples of the first pairs and a line for each file not used."""
    from napari_infosam.project.formats.labels import find_pairs
    from napari_infosam.training.dataset import read_samples

    pairs, unpaired = find_pairs(images, masks)
    samples, skipped = read_samples(pairs[:limit])
    if not samples:
        raise InfosamError(
            f"None of the pairs can be used, the first because {skipped[0]}."
        )
    return samples, unpaired + skipped


def _evaluate(
    samples: list[Sample],
    project: Path | None,
    version: str | None,
    model: str | None,
    device: str,
    max_clicks: int,
) -> tuple[Evaluation, SamModel]:
    from napari_infosam.models import Predictor
    from napari_infosam.training import evaluate as evaluation

    with bar("Loading the model") as on_progress:
        asked = _load(project, version, model, device, on_progress)
    with bar(f"{asked.name} {asked.version}") as on_progress:
        result = evaluation.evaluate(
            Predictor(asked), samples, max_clicks=max_clicks, on_progress=on_progress
        )
    return result, asked


def _load(
    project: Path | None,
    version: str | None,
    model: str | None,
    device: str,
    on_progress: OnProgress,
) -> SamModel:
    from napari_infosam.models import load_model, load_version
    from napari_infosam.project import Project

    if project is None:
        if version not in (None, "base"):
            raise InfosamError(
                f"Version {version!r} belongs to a project: name it with --project, "
                "or choose --version base."
            )
        return load_model(model or "vit_t", device, on_progress=on_progress)
    if model is not None:
        raise InfosamError(
            f"A project brings its own base model: leave --model {model} or "
            f"--project {project} out."
        )
    with Project.open(project, lock=False) as opened:
        base = load_model(opened.model, device, on_progress=on_progress)
        return load_version(opened, version or "active", base=base)


def _print_table(figures: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("figure", "value")
    for name, value in figures.items():
        if name == "skipped":
            continue
        table.add_row(name, f"{value:.3f}" if isinstance(value, float) else str(value))
    console(stderr=False).print(table)
