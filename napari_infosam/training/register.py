"""A trained student becomes a version of its project: weights, card, database row."""

from __future__ import annotations

import platform
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import timm
import torch

from napari_infosam.core.errors import InfosamError
from napari_infosam.models.student import STUDENT_FILE, save_student
from napari_infosam.project import Project, VersionRecord
from napari_infosam.project.files import write_json
from napari_infosam.project.versions import BASE, JUDGED_ON_IMAGES, KNOWN_NUMBERS
from napari_infosam.training.distill import InfosamDistiller

if TYPE_CHECKING:
    from napari_infosam.core.events import Gate
    from napari_infosam.core.options import FinetuneOptions
    from napari_infosam.training.stages import Stage

CARD_FILE = "card.json"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a student comes from.

    Attributes
    ----------
    parent
        The version that was active when the run began.
    begun_with
        The version whose weights were those of the first step, or ``base``.
    data_hash, known
        What the run read: its hash, and its `known_numbers`.
    judged_on_images
        Whether other images judge than it learnt from.
    """

    parent: str
    begun_with: str
    data_hash: str
    known: dict[str, int]
    judged_on_images: bool


def register(
    project: Project,
    stage: Stage,
    options: FinetuneOptions,
    gate: Gate,
    origin: Origin,
    run_dir: Path,
) -> bool:
    """Write weights and card, add the version, and activate it if it was accepted.

    A pinned version goes on to answer, and so does one that came to do so during the
    run, since the student was not compared with it. Returns whether the student does.

    Parameters
    ----------
    project, stage, options, gate, origin
        Where, what, how it was trained, the verdict on it, and what it comes from.
    run_dir
        Folder of the run, which gets a copy of the card.

    Raises
    ------
    InfosamError
        If the disk is full or read-only.
    """
    record = VersionRecord(
        id=gate.version_id,
        parent=origin.parent,
        method=stage.spec.method,
        stage=options.stage,
        options=options.model_dump(mode="json"),
        data_hash=origin.data_hash,
        metrics={
            **gate.model_dump(include={"base", "active", "candidate"}),
            KNOWN_NUMBERS: origin.known,
            JUDGED_ON_IMAGES: origin.judged_on_images,
        },
        status="accepted" if gate.accepted else "rejected",
        reason=gate.reason,
    )
    try:
        more = {
            "run": run_dir.name,
            "begun_with": origin.begun_with,
            "interpolation": gate.interpolation,
        }
        _write_files(project, stage, record, more)
        # with its activation in one transaction: a version is never half there
        is_compared = project.active_version in (origin.parent, BASE)
        project.add_version(
            replace(record, status="active")
            if gate.accepted and is_compared
            else record
        )
    except Exception:
        # weights of no version only take space, and the disk may be full
        shutil.rmtree(project.version_dir(record.id), ignore_errors=True)
        raise
    with suppress(OSError):  # the version has one
        shutil.copyfile(project.version_dir(record.id) / CARD_FILE, run_dir / CARD_FILE)
    return project.active_version == record.id


def _write_files(
    project: Project, stage: Stage, record: VersionRecord, more: dict[str, Any]
) -> None:
    folder = project.version_dir(record.id)
    save_student(stage.sam, folder / STUDENT_FILE, stage.spec)
    if isinstance(stage.distiller, InfosamDistiller):
        stage.distiller.save_relation(folder)
    preprocessing = {
        image.name: image.preprocessing.model_dump(mode="json")
        for image in project.images()
        if image.split is not None
    }
    card = {
        # a person's marks change, a card does not
        **{k: v for k, v in asdict(record).items() if k not in ("name", "pinned")},
        **more,
        "student": stage.spec.model_dump(mode="json"),
        "preprocessing": preprocessing,
        "libraries": {
            "napari-infosam": version("napari-infosam"),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "timm": timm.__version__,
        },
    }
    try:
        write_json(folder / CARD_FILE, card)
    except OSError as error:
        raise InfosamError(
            f"The model card could not be written to {folder}: {error.strerror}. Free "
            "some space and fine-tune again."
        ) from error
