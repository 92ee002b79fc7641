"""``infosam versions`` and ``infosam activate``: which student answers clicks."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_infosam.cli.app import JsonOption, ProjectArgument, app
from napari_infosam.cli.group import emit
from napari_infosam.cli.progress import console

if TYPE_CHECKING:
    from napari_infosam.project import VersionRecord


@app.command()
def versions(project: ProjectArgument, as_json: JsonOption = False) -> None:
    """List the trained versions of a project and how they did."""
    from napari_infosam.project import Project

    with Project.open(project, lock=False) as opened:
        records, active = opened.versions(), opened.active_version
    if as_json:
        emit({"active": active, "versions": [_as_dict(r) for r in records]})
    else:
        _print_table(records, active)


@app.command()
def activate(
    project: ProjectArgument,
    version: Annotated[str, typer.Argument(help="A version such as v003, or base.")],
    as_json: JsonOption = False,
) -> None:
    """Let another version, or the base model, answer from now on."""
    from napari_infosam.project import Project

    with Project.open(project, lock=False) as opened:
        opened.activate(version)
        path = opened.path
    if as_json:
        emit({"project": str(path), "active": version})
    else:
        typer.echo(f"{version} answers now in {path}")


def _as_dict(record: VersionRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "parent": record.parent,
        "method": record.method,
        "stage": record.stage,
        "status": record.status,
        "reason": record.reason,
        "metrics": record.metrics,
        "data_hash": record.data_hash,
        "created": record.created,
    }


def _print_table(records: list[VersionRecord], active: str) -> None:
    from rich.table import Table

    table = Table("", "version", "parent", "stage", "verdict", "made")
    table.add_row("*" if active == "base" else "", "base", "", "", "", "")
    for record in records:
        made = datetime.fromtimestamp(record.created)
        table.add_row(
            "*" if record.id == active else "",
            record.id,
            record.parent,
            record.stage,
            record.reason,
            f"{made:%Y-%m-%d %H:%M}",
        )
    console(stderr=False).print(table)
