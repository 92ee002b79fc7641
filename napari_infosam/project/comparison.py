"""Two versions side by side, by the figures that the gate measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.events import Metrics
from napari_infosam.core.words import counted
from napari_infosam.project.versions import BASE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_infosam.project.records import VersionRecord
    from napari_infosam.project.store import Project

FIGURES = (
    ("noc85", "clicks to 0.85 IoU", False),
    ("noc90", "clicks to 0.90 IoU", False),
    ("iou_1", "IoU after 1 click", True),
    ("iou_3", "IoU after 3 clicks", True),
    ("iou_5", "IoU after 5 clicks", True),
    ("iou_box", "IoU of a box", True),
)
"""Key among `Metrics`, in words, and whether more is better."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of two versions.

    Attributes
    ----------
    key, words
        Which one.
    a, b
        Means over objects; None where it was not measured.
    better
        The id of the version with the better figure; '' if neither is.
    """

    key: str
    words: str
    a: float | None
    b: float | None
    better: str

    @property
    def difference(self) -> float | None:
        """B less A."""
        return None if self.a is None or self.b is None else self.b - self.a


@dataclass(frozen=True, slots=True)
class VersionComparison:
    """Two versions side by side.

    Attributes
    ----------
    a, b
        Ids of the versions.
    measured_by
        The version in whose training both were measured on the same objects, newest
        first; '' if there is none and each was measured in its own.
    figures
        In the order of `FIGURES`.
    note
        On what the figures were measured, in one sentence.
    """

    a: str
    b: str
    measured_by: str
    figures: tuple[Figure, ...]
    note: str


def compare_versions(project: Project, a: str, b: str) -> VersionComparison:
    """Compare two versions by what the gate found; nothing is measured anew.

    Parameters
    ----------
    project
        The project.
    a, b
        Ids, names, ``base`` or ``active``.

    Raises
    ------
    InfosamError
        If there is no such version, or both are the same.
    """
    first, second = project.shelf.find(a), project.shelf.find(b)
    if first == second:
        raise InfosamError(f"{first} can not be compared with itself: choose two.")
    records = project.versions(with_deleted=True)
    for record in reversed(records):
        found = measured(record)
        if first in found and second in found:
            note = (
                f"Both measured on the same {_objects(found[first])}, in the training "
                f"of {record.id}."
            )
            both = found[first], found[second]
            return _compared(first, second, record.id, both, note)
    pair = _newest(records, first), _newest(records, second)
    return _compared(first, second, "", pair, _note(first, second, pair))


def measured(record: VersionRecord) -> dict[str, Metrics]:
    """Return the figures of all that were compared in the training of a version.

    Parameters
    ----------
    record
        A trained version: the base, its parent and itself were measured.
    """
    found: dict[str, Metrics] = {}
    rows = ((BASE, "base"), (record.parent, "active"), (record.id, "candidate"))
    for version_id, key in rows:
        try:
            found[version_id] = Metrics.model_validate(record.metrics.get(key))
        except ValidationError:
            continue
    return found


def _newest(records: Sequence[VersionRecord], version_id: str) -> Metrics | None:
    for record in reversed(records):
        if version_id in (found := measured(record)):
            return found[version_id]
    return None


def _compared(
    a: str,
    b: str,
    measured_by: str,
    pair: tuple[Metrics | None, Metrics | None],
    note: str,
) -> VersionComparison:
    figures = []
    for key, words, more_is_better in FIGURES:
        old, new = (None if m is None else getattr(m, key) for m in pair)
        better = ""
        if old is not None and new is not None and old != new:
            better = b if (new > old) == more_is_better else a
        figures.append(Figure(key, words, old, new, better))
    return VersionComparison(a, b, measured_by, tuple(figures), note)


def _note(a: str, b: str, pair: tuple[Metrics | None, Metrics | None]) -> str:
    missing = [v for v, m in zip((a, b), pair, strict=True) if m is None]
    if missing:
        return f"{' and '.join(missing)} was never measured by the gate."
    on = (f"{v} on {_objects(m)}" for v, m in zip((a, b), pair, strict=True) if m)
    return (
        f"Measured in different trainings, {' and '.join(on)}: differences may come "
        "from the objects."
    )


def _objects(metrics: Metrics) -> str:
    return counted(metrics.n_objects, "held-out object")
