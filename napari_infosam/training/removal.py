"""A version is deleted only while no training may want to read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_infosam.core.errors import InfosamError
from napari_infosam.training.job import find_running

if TYPE_CHECKING:
    from napari_infosam.project import Project


def delete_version(project: Project, version_id: str) -> None:
    """Delete a version; see `Shelf.delete`.

    Raises
    ------
    InfosamError
        As there, or while a training runs, which compares its student with others.
    """
    if find_running(project.path) is not None:
        raise InfosamError(
            f"{version_id} can not be deleted while the project is fine-tuned: wait, "
            "or cancel the training."
        )
    project.shelf.delete(version_id)
