"""Projects: images, accepted objects and model versions, durable on disk."""

from napari_infosam.project.records import (
    ClassRecord,
    HistoryEntry,
    ImageRecord,
    ObjectRecord,
    ObjectSummary,
    VersionRecord,
)
from napari_infosam.project.store import Project

__all__ = [
    "ClassRecord",
    "HistoryEntry",
    "ImageRecord",
    "ObjectRecord",
    "ObjectSummary",
    "Project",
    "VersionRecord",
]
