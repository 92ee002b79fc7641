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
from napari_infosam.core.options import (
    Begin,
    Distill,
    FinetuneOptions,
    Method,
    Recipe,
    Relation,
    Stage,
)

if TYPE_CHECKING:
    from napari_infosam.core.events import TrainingEvent

DEFAULTS = FinetuneOptions()
METHOD = "Details of the method"
FULL_STAGE_ONLY = {
    "encoder_rate",
    "first_block",
    "lambda_r",
    "lambda_d",
    "relation",
    "relation_from",
    "relation_bank",
    "distill_weight",
}


@app.command()
def finetune(
    project: ProjectArgument,
    method: Annotated[
        Method | None,
        typer.Option(
            help="What the full stage tunes in the encoder.",
            show_default=DEFAULTS.method,
        ),
    ] = None,
    distill: Annotated[
        Distill | None,
        typer.Option(
            help="What the full stage learns from the base beside the masks.",
            show_default=DEFAULTS.distill,
        ),
    ] = None,
    stage: Annotated[
        Stage | None,
        typer.Option(
            help="quick: the mask decoder; full: then the encoder too; auto: full "
            "where there are two minutes for it.",
            show_default="quick; full with --method or --distill",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Base model; it must be that of the project.")
    ] = None,
    device: DeviceOption = "auto",
    seed: Annotated[
        int | None,
        typer.Option(
            help="Seed of every random choice.", show_default=str(DEFAULTS.seed)
        ),
    ] = None,
    max_seconds: Annotated[
        float | None,
        typer.Option(
            help="Wall-clock budget of the run in seconds.",
            show_default=f"{DEFAULTS.max_seconds:g}; none with --recipe paper",
        ),
    ] = None,
    max_epochs: Annotated[
        int | None,
        typer.Option(
            help="At most this many passes over the objects in each stage.",
            show_default=str(DEFAULTS.max_epochs),
        ),
    ] = None,
    recipe: Annotated[
        Recipe,
        typer.Option(
            help="paper: as published, quirks included; to compare with its tables.",
            rich_help_panel=METHOD,
        ),
    ] = DEFAULTS.recipe,
    begin: Annotated[
        Begin,
        typer.Option(
            help="What the first step begins with: the active version, or a newer "
            "student that gained too little on it, where it is of the same kind or of "
            "the quick stage; or the base.",
            rich_help_panel=METHOD,
        ),
    ] = DEFAULTS.begin,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="Peak learning rate.",
            show_default=str(DEFAULTS.learning_rate),
            rich_help_panel=METHOD,
        ),
    ] = None,
    encoder_rate: Annotated[
        float | None,
        typer.Option(
            help="Learning rate in the encoder, over that of the decoder.",
            show_default=str(DEFAULTS.encoder_rate),
            rich_help_panel=METHOD,
        ),
    ] = None,
    first_block: Annotated[
        int | None,
        typer.Option(
            help="First attention block that is tuned; by default the method's own.",
            rich_help_panel=METHOD,
        ),
    ] = None,
    lambda_r: Annotated[
        float,
        typer.Option(help="Weight of InfoSAM's L_r.", rich_help_panel=METHOD),
    ] = DEFAULTS.lambda_r,
    lambda_d: Annotated[
        float | None,
        typer.Option(
            help="Weight of InfoSAM's L_d.",
            show_default=str(DEFAULTS.lambda_d),
            rich_help_panel=METHOD,
        ),
    ] = None,
    relation: Annotated[
        Relation,
        typer.Option(
            help="Learned relation module, or the fixed dot product.",
            rich_help_panel=METHOD,
        ),
    ] = DEFAULTS.relation,
    relation_from: Annotated[
        Path | None,
        typer.Option(
            help="Project, or file, whose relation module is the start.",
            rich_help_panel=METHOD,
        ),
    ] = None,
    freeze_relation: Annotated[
        bool,
        typer.Option(
            "--freeze-relation",
            help="Leave the relation module as it was loaded.",
            rich_help_panel=METHOD,
        ),
    ] = False,
    relation_bank: Annotated[
        int | None,
        typer.Option(
            help="Images of earlier batches the information losses look at too.",
            show_default=str(DEFAULTS.relation_bank),
            rich_help_panel=METHOD,
        ),
    ] = None,
    distill_weight: Annotated[
        float,
        typer.Option(help="Weight of vid, pkt and logit.", rich_help_panel=METHOD),
    ] = DEFAULTS.distill_weight,
    anchor: Annotated[
        float,
        typer.Option(
            help="Weight of the squared distance from the base's weights.",
            rich_help_panel=METHOD,
        ),
    ] = DEFAULTS.anchor,
    replay: Annotated[
        int,
        typer.Option(
            help="Photographs in each batch, with the masks of the base.",
            min=0,
            max=8,
            rich_help_panel=METHOD,
        ),
    ] = DEFAULTS.replay,
    interpolate: Annotated[
        float,
        typer.Option(
            help="Share of the base in the student's final weights.",
            rich_help_panel=METHOD,
        ),
    ] = DEFAULTS.interpolate,
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
    if relation_from is not None and not relation_from.exists():
        raise InfosamError(
            f"--relation-from {relation_from} is not there: name a project that was "
            "trained with InfoSAM, or the relation.safetensors of a version."
        )
    if freeze_relation and relation_from is None:
        raise InfosamError(
            "--freeze-relation needs a relation module to freeze: name it with "
            "--relation-from."
        )
    if relation == "dot" and relation_from is not None:
        raise InfosamError(
            "--relation dot has nothing to learn: leave --relation-from out."
        )
    if method == "decoder" and distill not in (None, "none"):
        raise InfosamError(
            f"--method decoder leaves the encoder as it is and learns nothing by "
            f"--distill {distill}: leave one of them out."
        )
    given: dict[str, Any] = {
        "method": method,
        "distill": distill,
        "seed": seed,
        "max_epochs": max_epochs,
        "learning_rate": learning_rate,
        "lambda_d": lambda_d,
        "encoder_rate": encoder_rate,
        "relation_bank": relation_bank,
        "max_seconds": max_seconds,
    }
    make = FinetuneOptions.published if recipe == "paper" else FinetuneOptions
    if recipe == "paper" and replay:
        raise InfosamError("--recipe paper has no replay: leave --replay out.")
    options = make(
        **{name: value for name, value in given.items() if value is not None},
        begin=begin,
        model=base,
        device=device,
        # nobody clicks meanwhile
        threads=all_cores(),
        first_block=first_block,
        lambda_r=lambda_r,
        relation=relation,
        relation_from=str(relation_from.resolve()) if relation_from else None,
        freeze_relation=freeze_relation,
        distill_weight=distill_weight,
        anchor=anchor,
        replay=replay,
        interpolate=interpolate,
    )
    if stage is None:
        named = method not in (None, "decoder") or distill is not None
        stage = "full" if named or _needs_full_stage(options) else "quick"
    options = options.model_copy(update={"stage": stage})
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
        verdict = "answers from now on" if result["answers"] else "is kept, not used"
        typer.echo(f"{result['version']} {verdict}. {result['reason']}")


def _needs_full_stage(options: FinetuneOptions) -> bool:
    """Return whether an option was given that the quick stage knows nothing of."""
    return options.recipe == "paper" or any(
        getattr(options, name) != getattr(DEFAULTS, name) for name in FULL_STAGE_ONLY
    )


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
        "answers": version.status == "active",
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
