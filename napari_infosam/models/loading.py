"""Loading a base model by name or path, and the versions of a project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_infosam.models.devices import resolve_device
from napari_infosam.models.export.published import read_answering
from napari_infosam.models.registry import build_sam
from napari_infosam.models.sam_model import SamModel
from napari_infosam.models.student import STUDENT_FILE, load_student

if TYPE_CHECKING:
    from napari_infosam.models.weights import Cancelled, Progress
    from napari_infosam.project import Project


def load_model(
    name_or_path: str | Path = "vit_t",
    device: str = "auto",
    *,
    on_progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> SamModel:
    """Return a base model, ready to answer.

    Parameters
    ----------
    name_or_path
        ``vit_t`` (in the box), ``vit_b``, ``vit_l``, ``vit_h`` (downloaded once), or
        the path of a weights file.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    on_progress, cancelled
        Called during a download; see `napari_infosam.models.weights.download`.

    Raises
    ------
    InfosamError
        If the name, the file or the device is wrong, or the download fails.
    """
    resolved = resolve_device(device)
    sam, name = build_sam(name_or_path, on_progress=on_progress, cancelled=cancelled)
    return SamModel(sam, name, resolved, **read_answering(Path(name), sam))


def load_version(
    project: Project,
    version_id: str = "active",
    device: str = "auto",
    *,
    base: SamModel | None = None,
) -> SamModel:
    """Return a model version of a project.

    Parameters
    ----------
    project
        The project.
    version_id
        ``base``, ``active``, or a version such as ``v003``.
    device
        Where it runs; not used if `base` is given.
    base
        The project's base model, if it is loaded already.

    Raises
    ------
    InfosamError
        If there is no such version, or its file is damaged.
    """
    if version_id == "active":
        version_id = project.active_version
    if version_id != "base":
        project.version(version_id)
    base = base or load_model(project.model, device)
    if version_id == "base":
        return base
    return load_student(
        base, project.version_dir(version_id) / STUDENT_FILE, version_id
    )
