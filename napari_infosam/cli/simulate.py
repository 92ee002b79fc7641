"""``infosam simulate``: what training while annotating saves, on data with masks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from napari_infosam.cli.app import DeviceOption, JsonOption, app
from napari_infosam.cli.group import emit, quiet_stdout, stoppable
from napari_infosam.cli.progress import TrainingBars, bars, say
from napari_infosam.core.cores import all_cores
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.options import FinetuneOptions

POLICIES = "none,decoder,lora,adapter,infosam"


@app.command()
def simulate(
    data: Annotated[
        Path,
        typer.Option(
            help="Folder with images/ and masks/, or with train.csv and test.csv "
            "(columns image and label)."
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of results, table, plot and projects.")
    ] = Path("infosam-simulation"),
    images: Annotated[int, typer.Option(help="Images to annotate.", min=1)] = 20,
    policy: Annotated[
        str,
        typer.Option(
            help="What is trained meanwhile, with commas: none, infosam, or a row of "
            "bench, as in 'adapter+infosam lambda_d=0.5'."
        ),
    ] = POLICIES,
    test_images: Annotated[
        int, typer.Option(help="Held-out images to measure on.", min=1)
    ] = 20,
    max_objects: Annotated[
        int, typer.Option(help="Held-out objects that are measured at most.", min=1)
    ] = 60,
    every: Annotated[
        int,
        typer.Option(
            help="New objects after which the annotator waits for the model again.",
            min=1,
        ),
    ] = 10,
    jitter: Annotated[
        float,
        typer.Option(
            help="Farthest in pixels from where a click should go.",
            min=0,
            metavar="PIXELS",
        ),
    ] = 0.0,
    accept: Annotated[
        Literal["proposal", "truth"],
        typer.Option(
            help="What is learnt: the proposal that was good enough, as in the "
            "window, or the true mask."
        ),
    ] = "proposal",
    max_seconds_per_training: Annotated[
        float,
        typer.Option(
            help="Time of each training; the quick stage has 50 at most.",
            min=1,
            metavar="S",
        ),
    ] = FinetuneOptions().max_seconds,
    max_steps: Annotated[
        int | None,
        typer.Option(help="Steps of each stage of a training at most.", min=1),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Chooses the images, and what is random.", min=0)
    ] = 0,
    model: Annotated[str, typer.Option(help="Base model, a name or a path.")] = "vit_t",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Let a simulated annotator label image after image while the model learns.

    A real project, the training process and the gate, once for each policy. A policy
    that has a result already is not run again: Ctrl-C, and the same command later
    goes on with the one that was interrupted, from its beginning.
    """
    from napari_infosam.bench.data import read_data_set
    from napari_infosam.bench.loop_report import summary
    from napari_infosam.bench.policies import (
        PLOT,
        TABLE,
        Plan,
        parse_policy,
        run_simulations,
    )
    from napari_infosam.bench.simulation import Person

    policies = [parse_policy(name) for name in policy.split(",")]
    names = [chosen.name for chosen in policies]
    if len(set(names)) < len(names):
        raise InfosamError(
            f"The policy {max(names, key=names.count)!r} is named twice: name each "
            "once."
        )
    plan = Plan(
        data=read_data_set(data),
        policies=policies,
        n_images=images,
        n_test=test_images,
        max_objects=max_objects,
        seed=seed,
        model=model,
        options=FinetuneOptions(
            device=device,
            threads=all_cores(),
            max_seconds=max_seconds_per_training,
            max_steps=max_steps,
        ),
        person=Person(jitter, accept, every, seed),
    )
    with quiet_stdout(), stoppable(), bars() as progress:
        task = progress.add_task("Reading the images", total=None)

        def show(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        results = run_simulations(
            plan,
            out,
            on_policy=progress.console.print,
            on_progress=show,
            on_event=TrainingBars(progress),
        )
    table, plot = out / TABLE, out / PLOT
    if as_json:
        found = [summary(result) for result in results]
        emit({"policies": found, "table": str(table), "plot": str(plot)})
    else:
        typer.echo(table.read_text("utf-8"))
    say(f"The table is {table}, the plot {plot}")
