"""``infosam versions`` and ``infosam activate``: which student answers clicks."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_infosam.cli.app import JsonOption, ProjectArgument, app
from napari_infosam.cli.group import emit
from napari_infosam.cli.progress import console
from napari_infosam.core.errors import InfosamError

if TYPE_CHECKING:
    from napari_infosam.project import Project, VersionRecord
    from napari_infosam.project.comparison import VersionComparison

_Pair = tuple[str, str]


@app.command()
def versions(
    project: ProjectArgument,
    compare: Annotated[
        _Pair | None,
        typer.Option("--compare", metavar="A B", help="Two versions side by side."),
    ] = None,
    pin: Annotated[
        str | None,
        typer.Option(
            "--pin",
            metavar="V",
            help="Never delete it, nor replace it by itself while it answers.",
        ),
    ] = None,
    unpin: Annotated[
        str | None, typer.Option("--unpin", metavar="V", help="Let it loose again.")
    ] = None,
    rename: Annotated[
        _Pair | None,
        typer.Option(
            "--rename", metavar="V NAME", help="Name a version; '' takes it away."
        ),
    ] = None,
    delete: Annotated[
        str | None,
        typer.Option("--delete", metavar="V", help="Delete a version and its files."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the trained versions of a project and how they did, or manage them."""
    from napari_infosam.project import Project
    from napari_infosam.project.comparison import compare_versions

    with Project.open(project, lock=False) as opened:
        found = None
        asked = (compare, pin, unpin, rename, delete)
        chosen = [value for value in asked if value is not None]
        if len(chosen) > 1:
            raise InfosamError(
                "One thing at a time: give one of --compare, --pin, --unpin, --rename "
                "and --delete."
            )
        if compare is not None:
            found = compare_versions(opened, *compare)
        elif chosen:
            _manage(opened, pin, unpin, rename, delete)
        records, active = opened.versions(), opened.active_version
        base_pinned = opened.shelf.is_pinned("base")
    if found is not None:
        _show_comparison(found, as_json)
    elif as_json:
        emit({"active": active, "versions": [_as_dict(r) for r in records]})
    else:
        _print_table(records, active, base_pinned)


@app.command()
def activate(
    project: ProjectArgument,
    version: Annotated[
        str, typer.Argument(help="A version such as v003, its name, or base.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Let another version, or the base model, answer from now on."""
    from napari_infosam.project import Project

    with Project.open(project, lock=False) as opened:
        version = opened.shelf.find(version)
        opened.activate(version)
        path = opened.path
    if as_json:
        emit({"project": str(path), "active": version})
    else:
        typer.echo(f"{version} answers now in {path}")


def _manage(
    project: Project,
    pin: str | None,
    unpin: str | None,
    rename: _Pair | None,
    delete: str | None,
) -> None:
    from napari_infosam.training.removal import delete_version

    shelf = project.shelf
    if pin is not None:
        shelf.pin(shelf.find(pin))
    if unpin is not None:
        shelf.pin(shelf.find(unpin), False)
    if rename is not None:
        shelf.rename(shelf.find(rename[0]), rename[1])
    if delete is not None:
        delete_version(project, shelf.find(delete))


def _as_dict(record: VersionRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": record.name,
        "pinned": record.pinned,
        "parent": record.parent,
        "method": record.method,
        "stage": record.stage,
        "status": record.status,
        "reason": record.reason,
        "metrics": record.metrics,
        "data_hash": record.data_hash,
        "created": record.created,
    }


def _print_table(records: list[VersionRecord], active: str, base_pinned: bool) -> None:
    from rich.table import Table

    table = Table("", "version", "parent", "stage", "verdict", "made")
    base = "base (pinned)" if base_pinned else "base"
    table.add_row("*" if active == "base" else "", base, "", "", "", "")
    for record in records:
        made = datetime.fromtimestamp(record.created)
        name = f" {record.name}" if record.name else ""
        table.add_row(
            "*" if record.id == active else "",
            f"{record.id}{name}{' (pinned)' if record.pinned else ''}",
            record.parent,
            record.stage,
            record.reason,
            f"{made:%Y-%m-%d %H:%M}",
        )
    console(stderr=False).print(table)


def _show_comparison(found: VersionComparison, as_json: bool) -> None:
    from rich.table import Table

    if as_json:
        emit(asdict(found))
        return
    table = Table("", found.a, found.b, "difference", "better")
    for figure in found.figures:
        values = (figure.a, figure.b)
        cells = ["-" if value is None else f"{value:.3f}" for value in values]
        change = figure.difference
        shown = "-" if change is None else f"{change:+.3f}"
        table.add_row(figure.words, *cells, shown, figure.better)
    console(stderr=False).print(table)
    typer.echo(found.note)
