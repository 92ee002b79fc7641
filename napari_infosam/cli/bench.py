"""``infosam bench``: the table of methods on one's own data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_infosam.bench.rows import TABLE_1, parse_row
from napari_infosam.cli.app import DeviceOption, JsonOption, app
from napari_infosam.cli.group import emit, quiet_stdout, stoppable
from napari_infosam.cli.progress import TrainingBars, bars, say
from napari_infosam.core.cores import all_cores
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.options import UNLIMITED, FinetuneOptions, Recipe

if TYPE_CHECKING:
    from napari_infosam.bench.data import DataSet
    from napari_infosam.bench.run import Cell
    from napari_infosam.training.published_evaluation import Prompt


@app.command()
def bench(
    data: Annotated[
        list[Path],
        typer.Option(
            help="Folder with images/ and masks/, or with train.csv and test.csv "
            "(columns image and label). Can be given several times."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of results, table and plot.")],
    methods: Annotated[
        str,
        typer.Option(
            help="Rows of the table, with commas, as in adapter+infosam, or with "
            "options of their own, as in 'adapter+infosam lambda_d=0.5'."
        ),
    ] = ",".join(TABLE_1),
    model: Annotated[str, typer.Option(help="Base model, a name or a path.")] = "vit_t",
    train_images: Annotated[
        int,
        typer.Option(help="Images to learn from; 0 takes all of a train.csv.", min=0),
    ] = 12,
    test_images: Annotated[
        int | None, typer.Option(help="Images to measure on; all by default.", min=1)
    ] = None,
    seeds: Annotated[
        int, typer.Option(help="Repetitions, each with other images.", min=1)
    ] = 3,
    max_steps: Annotated[
        int | None, typer.Option(help="Steps of each stage at most.", min=1)
    ] = None,
    max_epochs: Annotated[
        int | None,
        typer.Option(help="Passes over the objects in each stage at most.", min=1),
    ] = None,
    others: Annotated[
        int,
        typer.Option(
            help="Images of each other data set to measure forgetting.", min=0
        ),
    ] = 0,
    max_objects: Annotated[
        int, typer.Option(help="Objects that are measured at most.", min=1)
    ] = 60,
    max_clicks: Annotated[
        int, typer.Option(help="Clicks on each object at most.", min=5)
    ] = 20,
    recipe: Annotated[
        Recipe, typer.Option(help="paper: as published, quirks included.")
    ] = "default",
    points: Annotated[
        bool,
        typer.Option(
            "--points",
            help="Ask the published figures with five points instead of a box (roads).",
        ),
    ] = False,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Train and measure every method on every data set, and write one table.

    What has a result already is not done again: Ctrl-C, and the same command later
    goes on.
    """
    from napari_infosam.bench.cell import Protocol
    from napari_infosam.bench.run import Plan, run_bench

    if points and recipe != "paper":
        raise InfosamError(
            "--points asks for the published figures: give --recipe paper too."
        )
    prompt: Prompt | None = None
    if recipe == "paper":
        prompt = "points" if points else "box"
    plan = Plan(
        data=_data_sets(data),
        rows=[parse_row(name.strip()) for name in methods.split(",")],
        seeds=range(seeds),
        n_train=train_images or None,
        n_test=test_images,
        n_others=others,
        model=model,
        options=_options(recipe, device, max_steps, max_epochs),
        protocol=Protocol(max_clicks, max_objects, prompt),
    )
    with quiet_stdout(), stoppable(), bars() as progress:
        show = TrainingBars(progress)

        def on_cell(cell: Cell) -> None:
            progress.console.print(f"{cell.number} of {cell.total}: {cell.name}")

        table = run_bench(plan, out, on_cell=on_cell, on_event=show)
    if as_json:
        emit({"table": str(table), "results": str(out / "results")})
    else:
        typer.echo(table.read_text("utf-8"))
    say(f"The table is {table}, the plot {table.with_suffix('.png')}")


def _options(
    recipe: Recipe, device: str, max_steps: int | None, max_epochs: int | None
) -> FinetuneOptions:
    given: dict[str, Any] = {
        "begin": "base",
        "device": device,
        "threads": all_cores(),
        "max_seconds": UNLIMITED,
        "max_steps": max_steps,
    }
    if max_epochs is not None:
        given["max_epochs"] = max_epochs
    if recipe == "paper":
        return FinetuneOptions.published(**given)
    return FinetuneOptions(**given)


def _data_sets(folders: list[Path]) -> list[DataSet]:
    from napari_infosam.bench.data import read_data_set

    sets = [read_data_set(folder) for folder in folders]
    names = [found.name for found in sets]
    if len(set(names)) < len(names):
        raise InfosamError(
            f"Two data sets are called {max(names, key=names.count)}: rename a folder."
        )
    return sets
