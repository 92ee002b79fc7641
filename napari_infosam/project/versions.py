"""The trained students of a project, and the runs that make them."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_infosam.core.errors import InfosamError
from napari_infosam.project import settings
from napari_infosam.project.files import (
    numbered_directory,
    sync_directory,
    write_json,
)
from napari_infosam.project.records import VersionRecord
from napari_infosam.project.schema import SCHEMA_VERSION

if TYPE_CHECKING:
    from napari_infosam.core.options import FinetuneOptions
    from napari_infosam.project.records import ObjectRecord

BASE = "base"
WEIGHTS_NAME = "student.safetensors"
KNOWN_NUMBERS = "known_numbers"
"""Among the metrics of a version: see `known_numbers`."""
JUDGED_ON_IMAGES = "judged_on_images"
"""Among the metrics of a version: whether other images judged than it learnt from."""

_NUMBERED = re.compile(r"v(\d{3,})")


def known_numbers(
    found: Iterable[ObjectRecord], begun_with: VersionRecord | None = None
) -> dict[str, int]:
    """Return the largest number (``instance_id``) of each picture that has objects.

    Objects that come later have larger ones, so this tells which were there. Ids would
    not: an object that is edited may get another.

    Parameters
    ----------
    found
        The objects.
    begun_with
        A version that knows others, which are added: they may be deleted now and come
        back.
    """
    known = dict[str, int]()
    if begun_with is not None:
        known |= begun_with.metrics.get(KNOWN_NUMBERS) or {}
    for record in found:
        picture = _picture(record)
        known[picture] = max(known.get(picture, 0), record.instance_id)
    return known


def may_know(version: VersionRecord, found: ObjectRecord) -> bool:
    """Return whether an object may be among what a version was trained on.

    It is if it was there when the run began, whichever part of the split it is in: the
    held-out ones have chosen the student. Versions that do not say so, of earlier
    releases, are taken to know all that was there when they were made.
    """
    known: dict[str, int] | None = version.metrics.get(KNOWN_NUMBERS)
    if known is None:
        return found.created <= version.created
    return found.instance_id <= known.get(_picture(found), 0)


def _picture(found: ObjectRecord) -> str:
    """Return the name of an image, or of a slice of a stack: ``3``, ``3,0,12``."""
    return ",".join(map(str, (found.image_id, *found.slice_index)))


def version_name(number: int) -> str:
    """Return the name of a version: 3 -> ``v003``."""
    return f"v{number:03d}"


def reserve(connection: sqlite3.Connection, folder: Path) -> str:
    """Make the directory of the next version and return its name."""
    models = folder / "models"
    models.mkdir(exist_ok=True)
    # rows count too: a version whose directory was deleted keeps its number
    names = [row["id"] for row in connection.execute("SELECT id FROM versions")]
    names += [path.name for path in models.iterdir()]
    numbers = [int(m[1]) for m in map(_NUMBERED.fullmatch, names) if m]
    start = max(numbers, default=0) + 1
    return numbered_directory(models, version_name, start).name


def insert(connection: sqlite3.Connection, folder: Path, record: VersionRecord) -> None:
    """Add the row of a reserved version; an active one answers unless a pinned does."""
    if not _NUMBERED.fullmatch(record.id) or not directory(folder, record.id).is_dir():
        raise InfosamError(
            f"Version {record.id!r} was not reserved: call reserve_version() first."
        )
    active = record.status == "active"
    try:
        connection.execute(
            "INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                record.id,
                record.parent,
                record.method,
                record.stage,
                json.dumps(record.options),
                record.data_hash,
                json.dumps(record.metrics),
                "accepted" if active else record.status,
                record.reason,
                record.created,
            ),
        )
    except sqlite3.IntegrityError:
        raise InfosamError(
            f"Version {record.id!r} is in the project already: reserve another id."
        ) from None
    if active and not is_pinned(connection, settings.get(connection, "active_version")):
        activate(connection, folder, record.id)


def select_versions(
    connection: sqlite3.Connection, *, with_deleted: bool = False
) -> list[VersionRecord]:
    """Return the versions, oldest first."""
    active = settings.get(connection, "active_version")
    rows = connection.execute("SELECT * FROM versions").fetchall()
    rows.sort(key=lambda row: int(row["id"][1:]))
    names, pinned = _marks(connection, "name"), _marks(connection, "pinned")
    gone = set() if with_deleted else deleted(connection)
    return [
        _version(row, active, names.get(row["id"], ""), row["id"] in pinned)
        for row in rows
        if row["id"] not in gone
    ]


def is_id(text: str) -> bool:
    """Return whether a text has the form of an id of a version."""
    return _NUMBERED.fullmatch(text) is not None


def put_mark(
    connection: sqlite3.Connection, mark: str, version_id: str, value: str
) -> None:
    """Note something of a version: ``name``, ``pinned``, ``deleted``; '' takes it back.

    Settings, not columns: releases that do not know them go on to work.
    """
    settings.put(connection, f"{mark}:{version_id}", value)


def _marks(connection: sqlite3.Connection, mark: str) -> dict[str, str]:
    rows = connection.execute(
        "SELECT key, value FROM settings WHERE value != '' AND key LIKE ?",
        (f"{mark}:%",),
    )
    return {row["key"].removeprefix(f"{mark}:"): row["value"] for row in rows}


def is_pinned(connection: sqlite3.Connection, version_id: str) -> bool:
    """Return whether a version, or the base, is pinned."""
    return version_id in _marks(connection, "pinned")


def deleted(connection: sqlite3.Connection) -> set[str]:
    """Return the ids of the versions that were deleted."""
    return set(_marks(connection, "deleted"))


def select_version(connection: sqlite3.Connection, version_id: str) -> VersionRecord:
    """Return a version, or raise a sentence that names the choices."""
    versions = select_versions(connection)
    for record in versions:
        if record.id == version_id:
            return record
    raise InfosamError(
        f"The project has no version {version_id!r}: "
        f"choose one of {_choices(versions)}."
    )


def activate(connection: sqlite3.Connection, folder: Path, version_id: str) -> None:
    """Let a version, or the base, answer from now on."""
    if version_id != BASE:
        select_version(connection, version_id)
        weights = directory(folder, version_id) / WEIGHTS_NAME
        if not weights.is_file():
            usable = [
                record
                for record in select_versions(connection)
                if (directory(folder, record.id) / WEIGHTS_NAME).is_file()
            ]
            raise InfosamError(
                f"The weights of version {version_id} are missing ({weights}): put "
                f"them back, or choose one of {_choices(usable)}."
            )
    now = settings.get(connection, "active_version")
    if version_id != now:
        settings.put(connection, "version_before", now)
        settings.put(connection, "active_version", version_id)


def before(connection: sqlite3.Connection) -> str:
    """Return which version answered before the active one; '' where none has.

    It is the base where that is not known, or the version is not there any more.
    """
    active = settings.get(connection, "active_version")
    found = settings.get(connection, "version_before", BASE)
    there = {record.id for record in select_versions(connection)}
    if found == active or found not in there:
        found = BASE
    return "" if found == active else found


def directory(folder: Path, version_id: str) -> Path:
    """Return where the weights and the card of a version lie."""
    return folder / "models" / version_id


def new_run(
    connection: sqlite3.Connection, folder: Path, options: FinetuneOptions
) -> Path:
    """Make the folder of a training run, with everything its process needs.

    ``project`` in ``config.json`` is for people and for earlier releases: where the
    project was when the run was made.
    """
    chosen = options.model_dump(mode="json")
    last = connection.execute("SELECT coalesce(max(id), 0) FROM runs").fetchone()[0]
    run = numbered_directory(folder / "runs", _run_name, last + 1)
    config: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "project": str(folder),
        "options": chosen,
    }
    try:
        write_json(run / "config.json", config)
        connection.execute(
            "INSERT INTO runs VALUES (?, ?, ?)",
            (int(run.name[1:]), json.dumps(chosen), time.time()),
        )
    except BaseException:
        (run / "config.json").unlink(missing_ok=True)
        run.rmdir()
        raise
    sync_directory(run.parent)
    return run


def select_runs(connection: sqlite3.Connection, folder: Path) -> list[Path]:
    """Return the folders of all runs that are still there, oldest first."""
    rows = connection.execute("SELECT id FROM runs ORDER BY id")
    paths = (folder / "runs" / _run_name(row["id"]) for row in rows)
    return [path for path in paths if path.is_dir()]


def _run_name(number: int) -> str:
    return f"r{number:03d}"


def _choices(versions: list[VersionRecord]) -> str:
    return ", ".join([BASE, *(record.id for record in versions)])


def _version(row: sqlite3.Row, active: str, name: str, pinned: bool) -> VersionRecord:
    return VersionRecord(
        id=row["id"],
        parent=row["parent"],
        method=row["method"],
        stage=row["stage"],
        options=json.loads(row["options"]),
        data_hash=row["data_hash"],
        metrics=json.loads(row["metrics"]),
        status="active" if row["id"] == active else row["status"],
        reason=row["reason"],
        created=row["created"],
        name=name,
        pinned=pinned,
    )
