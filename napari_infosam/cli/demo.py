"""``infosam demo``: the whole loop on the synthetic sample."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_infosam.cli.app import JsonOption, app
from napari_infosam.cli.group import emit, quiet_stdout, stoppable
from napari_infosam.cli.progress import TrainingBars, bars, console, say

if TYPE_CHECKING:
    from napari_infosam.demo import DemoReport

_ROWS = {
    "iou_1": "IoU after 1 click",
    "iou_3": "IoU after 3 clicks",
    "iou_5": "IoU after 5 clicks",
    "iou_box": "IoU with a box",
    "noc85": "clicks to IoU 0.85 (NoC85)",
}


@app.command()
def demo(
    headless: Annotated[
        bool,
        typer.Option("--headless", help="No window: a simulated annotator clicks."),
    ] = False,
    out: Annotated[
        Path, typer.Option(help="Folder for the project and the report.")
    ] = Path("infosam-demo"),
    seed: Annotated[
        int, typer.Option(help="Another seed makes other images.", min=0)
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Click, accept, fine-tune, click less: the whole loop on synthetic cells.

    Opens napari with a sample project ready to click. With --headless a simulated
    annotator does the work, and a table and a picture compare base and student.
    """
    from napari_infosam.demo import DemoPlan, make_sample_project, run_demo

    plan = DemoPlan(seed=seed)
    if not headless:
        from napari_infosam._napari.launch import check_display, run

        check_display()
        run([], make_sample_project(out, plan), False)
        return
    with quiet_stdout(), stoppable(), bars() as progress:
        task = progress.add_task("Making the images", total=None)

        def show(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        report = run_demo(out, plan, on_progress=show, on_event=TrainingBars(progress))
    if as_json:
        emit(asdict(report))
    else:
        _print_table(report)
    say(f"The picture is {report.picture}, the project {report.project}")


def _print_table(report: DemoReport) -> None:
    from rich.table import Table

    table = Table("on held-out images", "base", f"student {report.version}")
    for key, name in _ROWS.items():
        table.add_row(name, f"{report.base[key]:.2f}", f"{report.student[key]:.2f}")
    console(stderr=False).print(table)
    typer.echo(
        f"{report.n_labelled_objects} objects in {report.n_labelled_images} images, "
        f"learnt in {report.seconds['finetune']:.0f} s: {_saving(report)}. "
        f"{report.reason}"
    )


def _saving(report: DemoReport) -> str:
    what = "fewer" if report.fewer_clicks >= 0 else "more"
    return f"{abs(report.fewer_clicks):.0%} {what} clicks"
