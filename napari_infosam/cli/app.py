"""The typer application that the command modules add themselves to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from napari_infosam.cli.group import InfosamGroup, set_up_logging

app = typer.Typer(
    name="infosam",
    cls=InfosamGroup,
    help="Click to segment in napari while the model learns from what you accept.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)

_PROMPT = ("annotate", "bench-speed")
"""Commands whose clicks are to be answered soon, which idle threads wait for awake."""

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout.")
]
DeviceOption = Annotated[
    str, typer.Option(help="Where the model runs: auto, cpu, cuda or mps.")
]
ProjectArgument = Annotated[
    Path, typer.Argument(metavar="PROJECT", help="Project folder, NAME.infosam.")
]


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", help="Log more, and show tracebacks.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.")
    ] = False,
) -> None:
    """Set up what all commands share."""
    if context.invoked_subcommand not in _PROMPT:
        # torch's threads sleep when they have nothing to do: on a busy machine,
        # spinning costs several times the work itself
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    set_up_logging(debug)
    if version:
        from napari_infosam import __version__

        typer.echo(__version__)
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())
