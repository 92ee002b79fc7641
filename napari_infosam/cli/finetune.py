"""``infosam finetune``: learn from what was accepted."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_infosam.cli.app import DeviceOption, JsonOption, ProjectArgument, app
from napari_infosam.cli.group import (
    LoggedBugError,
    StoppedError,
    emit,
    quiet_stdout,
    stoppable,
)
from napari_infosam.cli.progress import TrainingBars, bars
from napari_infosam.core import events
from napari_infosam.core.cores import all_cores
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.options import Distill, FinetuneOptions, Method, Stage

if TYPE_CHECKING:
    from napari_infosam.core.events import TrainingEvent


@app.command()
def finetune(
    project: ProjectArgument,
    method: Annotated[
        Method, typer.Option(help="What the full stage tunes in the encoder.")
    ] = "adapter",
    distill: Annotated[
        Distill, typer.Option(help="Information losses of InfoSAM in the full stage.")
    ] = "infosam",
    stage: Annotated[
        Stage,
        typer.Option(
            help="quick: the mask decoder; full: then the encoder too; auto: full "
            "where there are two minutes for it."
        ),
    ] = "quick",
    model: Annotated[
        str | None, typer.Option(help="Base model; it must be that of the project.")
    ] = None,
    device: DeviceOption = "auto",
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 0,
    max_seconds: Annotated[
        float, typer.Option(help="Wall-clock budget of the run in seconds.")
    ] = 300.0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run that was interrupted.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Fine-tune a student on the accepted objects of a project.

    It answers from then on if it is better on held-out objects than the active
    version and than the base. Ctrl-C stops and keeps what was learnt so far.
    """
    from napari_infosam.project import Project

    with Project.open(project, lock=False) as opened:
        path, base = opened.path, opened.model
        n_objects = len(opened.objects(reviewed=True))
    if model not in (None, base):
        raise InfosamError(
            f"{path} was made for the model {base}, not {model}: leave --model out, or "
            f"make another project with 'infosam import NEW --model {model} ...'."
        )
    options = FinetuneOptions(
        stage=stage,
        method=method,
        distill=distill,
        model=base,
        device=device,
        # nobody clicks meanwhile
        threads=all_cores(),
        seed=seed,
        max_seconds=max_seconds,
    )
    if not n_objects:
        raise InfosamError(
            f"Nothing is accepted in {path} yet: accept objects in napari, or add some "
            "with 'infosam import'."
        )
    with quiet_stdout():
        result = _run(path, options, _interrupted_run(path) if resume else None)
    if as_json:
        emit(result)
    else:
        verdict = "answers from now on" if result["accepted"] else "is kept, not used"
        typer.echo(f"{result['version']} {verdict}. {result['reason']}")


def _interrupted_run(path: Path) -> Path:
    from napari_infosam.training.job import find_resumable

    run_dir = find_resumable(path)
    if run_dir is None:
        raise InfosamError(
            f"No fine-tuning of {path} was interrupted: start one without --resume."
        )
    return run_dir


def _run(path: Path, options: FinetuneOptions, resume: Path | None) -> dict[str, Any]:
    """Run the training process to its end and return what it said."""
    from napari_infosam.project import Project
    from napari_infosam.training.job import finetune

    seen: dict[str, TrainingEvent] = {}
    with stoppable(), Project.open(path, lock=False) as project, bars() as progress:
        show = TrainingBars(progress)

        def on_event(event: TrainingEvent) -> None:
            seen[event.kind] = event
            show(event)

        try:
            version = finetune(project, options, on_event, resume=resume)
        except InfosamError as error:
            failed = seen.get("failed")
            if isinstance(failed, events.Failed) and failed.details:
                raise LoggedBugError(str(error)) from error
            raise
        except KeyboardInterrupt:
            raise StoppedError(_what_is_kept(path)) from None
    finished = seen["finished"]
    return {
        "project": str(path),
        "version": version.id,
        "accepted": version.status != "rejected",
        "reason": version.reason,
        "seconds": finished.seconds if isinstance(finished, events.Finished) else None,
        **version.metrics,
    }


def _what_is_kept(path: Path) -> str:
    from napari_infosam.training.job import find_resumable

    if find_resumable(path) is None:
        return "Stopped before anything was learnt; start again to fine-tune."
    command = shlex.join(["infosam", "finetune", str(path), "--resume"])
    return f"Stopped, what was learnt is kept. Go on with: {command}"
