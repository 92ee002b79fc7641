"""``infosam bench-speed``: how fast this machine works, as ratios in one run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_infosam.bench.speed.parts import PARTS
from napari_infosam.cli.app import JsonOption, app
from napari_infosam.cli.group import emit, quiet_stdout, stoppable
from napari_infosam.cli.progress import say
from napari_infosam.core.errors import InfosamError

if TYPE_CHECKING:
    from napari_infosam.bench.speed.parts import Part


@app.command("bench-speed")
def bench_speed(
    out: Annotated[Path, typer.Option(help="Folder of JSON, table and plot.")],
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"Only this part: {', '.join(PARTS)}. Can be given several times.",
        ),
    ] = None,
    repetitions: Annotated[
        int, typer.Option(help="How often each side is timed, in turns.", min=1)
    ] = 10,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Data set for the training steps, as for 'infosam bench'; synthetic "
            "cells by default."
        ),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            help="A speed.json of before: fail if a ratio is worse than there by more "
            "than a quarter."
        ),
    ] = None,
    growth: Annotated[
        bool,
        typer.Option(
            "--growth",
            help="Instead: time and memory against image side and the numbers of "
            "objects and images.",
        ),
    ] = False,
    most: Annotated[
        int,
        typer.Option(
            help="growth: images or objects at most; 50000 takes a quarter of an hour.",
            min=10,
        ),
    ] = 50_000,
    as_json: JsonOption = False,
) -> None:
    """Measure speed and memory beside other ways to run the same model.

    Both sides of a ratio take turns in one process, so that whatever else the machine
    does slows both. Some minutes; nothing is downloaded.
    """
    if growth:
        if only or check or data:
            raise InfosamError(
                "--growth measures no ratios: leave out --only, --check and --data."
            )
        _growth(out, most, as_json)
        return
    parts = _parts(only)
    from napari_infosam.bench.speed.measure import Row
    from napari_infosam.bench.speed.report import regressions, write
    from napari_infosam.bench.speed.run import run

    with quiet_stdout(), stoppable():
        for result in run(
            parts, repetitions, data, on_part=lambda part: say(f"Measuring {part}")
        ):
            table = write(result, out)
    if as_json:
        emit(result)
    else:
        typer.echo(table.read_text("utf-8"))
    say(f"The table is {table}, the figures {table.with_suffix('.json')}")
    if check is not None:
        worse = regressions([Row(**row) for row in result["rows"]], check)
        if worse:
            raise InfosamError(f"Slower than in {check}: {'; '.join(worse)}.")
        say(f"No ratio is worse than in {check}")


def _parts(only: list[str] | None) -> list[Part]:
    for name in only or ():
        if name not in PARTS:
            raise InfosamError(
                f"There is no part {name!r}: choose from {', '.join(PARTS)}."
            )
    return [part for part in PARTS if not only or part in only]


def _growth(out: Path, most: int, as_json: bool) -> None:
    from napari_infosam.bench.speed.curves import write
    from napari_infosam.bench.speed.growth import measure_growth

    with quiet_stdout(), stoppable():
        result = measure_growth(most, on_point=say)
        table = write(result, out)
    if as_json:
        emit(result)
    else:
        typer.echo(table.read_text("utf-8"))
    say(f"The table is {table}, the plot {table.with_suffix('.png')}")
