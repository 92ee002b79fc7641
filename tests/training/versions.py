"""Versions of a project that no training has made."""

from __future__ import annotations

from napari_infosam.core.events import Metrics
from napari_infosam.core.options import FinetuneOptions
from napari_infosam.project import Project, VersionRecord
from napari_infosam.project.versions import KNOWN_NUMBERS, WEIGHTS_NAME, known_numbers


def figures(gained: float | None, box: float = 0.0) -> dict[str, object]:
    """Return what the gate measured of a student that is better by so much IoU.

    With boxes it gains ``box`` more.
    """
    if gained is None:
        return {}
    levels = {
        "base": (0.4, 0.4),
        "active": (0.5, 0.5),
        "candidate": (0.5 + gained, 0.5 + gained + box),
    }
    return {
        name: Metrics(
            n_images=1,
            n_objects=4,
            noc85=2,
            max_clicks=8,
            **dict.fromkeys(("iou_1", "iou_3", "iou_5"), level),
            iou_box=of_boxes,
        ).model_dump()
        for name, (level, of_boxes) in levels.items()
    }


def add_version(
    project: Project,
    status: str,
    stage: str = "quick",
    gained: float | None = None,
    *,
    box: float = 0.0,
    parent: str = "base",
) -> str:
    """Add a version that has learnt all there is, and return its id."""
    options = FinetuneOptions(stage=stage)
    known = known_numbers(project.objects(reviewed=True))
    version_id = project.reserve_version()
    (project.version_dir(version_id) / WEIGHTS_NAME).touch()
    project.add_version(
        VersionRecord(
            id=version_id,
            parent=parent,
            method=options.method,
            stage=stage,
            options=options.model_dump(mode="json"),
            data_hash=project.data_hash(),
            metrics={KNOWN_NUMBERS: known} | figures(gained, box),
            status=status,
        )
    )
    return version_id
