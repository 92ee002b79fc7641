"""Which version a training goes on from, by what the gate has measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_infosam.project.comparison import measured
from napari_infosam.project.versions import BASE
from napari_infosam.training.gate import TOLERANCE

if TYPE_CHECKING:
    from napari_infosam.project import Project, VersionRecord


def predecessor(project: Project) -> VersionRecord | None:
    """Return the version that the next training goes on from; None for the base.

    That is the active one; or the newest student, if it was rejected against the
    active one although it gained, by less than chance would: what it has learnt is not
    learnt again, and the next student has more to show.

    Parameters
    ----------
    project
        The project.
    """
    active, versions = project.active_version, project.versions()
    if versions and versions[-1].parent == active and _is_promising(versions[-1]):
        return versions[-1]
    return None if active == BASE else project.version(active)


def gain(version: VersionRecord) -> float | None:
    """Return what a version gained over the one that was active, as the gate sees it.

    The mean of the gains in IoU after 1, 3 and 5 clicks and of a box; None where that
    was not measured.
    """
    gains = _gains(version)
    return None if gains is None else sum(gains) / len(gains)


def _is_promising(version: VersionRecord) -> bool:
    """Return whether a rejected version gained, and lost no kind of prompt for it."""
    gains = _gains(version)
    return (
        version.status == "rejected"
        and gains is not None
        and sum(gains) > 0
        and min(gains) > -TOLERANCE
    )


def _gains(version: VersionRecord) -> tuple[float, ...] | None:
    found = measured(version)
    before, after = found.get(version.parent), found.get(version.id)
    if before is None or after is None:
        return None
    return (
        after.iou_1 - before.iou_1,
        after.iou_3 - before.iou_3,
        after.iou_5 - before.iou_5,
        after.iou_box - before.iou_box,
    )
