"""Versions in words: how each compares with the base, and why one was rejected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from napari_infosam.core.events import Metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_infosam.project import VersionRecord


def comparison(active: str, versions: Sequence[VersionRecord]) -> str:
    """Return the line that says which version answers and how it compares.

    Parameters
    ----------
    active
        The version that answers.
    versions
        All trained versions.
    """
    if active == "base":
        return "The base model answers."
    record = next((v for v in versions if v.id == active), None)
    base, own = (None, None) if record is None else _base_and_own(record)
    if base is None or own is None:
        return f"{active} answers."
    return (
        f"base {base.iou_1:.2f} \N{RIGHTWARDS ARROW} {active} {own.iou_1:.2f} IoU "
        f"after 1 click, {_held_out(own)}"
    )


def entry(record: VersionRecord) -> str:
    """Return a version as one line of a list."""
    _, own = _base_and_own(record)
    figures = "" if own is None else f" · IoU {own.iou_1:.2f}"
    verdict = {"active": " · in use", "rejected": " · rejected", "accepted": ""}
    return f"{record.id}{verdict[record.status]}{figures}"


def details(record: VersionRecord) -> str:
    """Return what a tooltip says of a version."""
    base, own = _base_and_own(record)
    lines = [f"{record.id}, trained from {record.parent} ({record.method})"]
    for name, metrics in (("base", base), (record.id, own)):
        if metrics is not None:
            lines.append(
                f"{name}: IoU {metrics.iou_1:.3f} after 1 click, {metrics.iou_3:.3f} "
                f"after 3, {metrics.iou_box:.3f} from a box; {metrics.noc85:.1f} "
                f"clicks to IoU 0.85"
            )
    if record.reason:
        lines.append(record.reason)
    return "\n".join(lines)


def _base_and_own(record: VersionRecord) -> tuple[Metrics | None, Metrics | None]:
    return _metrics(record.metrics.get("base")), _metrics(
        record.metrics.get("candidate")
    )


def _metrics(value: Any) -> Metrics | None:
    try:
        return Metrics.model_validate(value)
    except ValidationError:
        return None


def _held_out(metrics: Metrics) -> str:
    number = metrics.n_images
    return f"{number} held-out {'image' if number == 1 else 'images'}"
