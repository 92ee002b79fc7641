"""Versions in words: how each compares with the base, and what it saves a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from napari_infosam.core.events import Metrics
from napari_infosam.training.stopping import WINDOW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_infosam.project import VersionRecord
    from napari_infosam.training.prequential import (
        Comparison,
        Difference,
        RunningFigures,
    )

_ARROW = "\N{RIGHTWARDS ARROW}"
_PINNED = " · pinned"


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
        f"base {base.iou_1:.2f} {_ARROW} {active} {own.iou_1:.2f} IoU "
        f"after 1 click, {_held_out(own)}"
    )


def entry(record: VersionRecord) -> str:
    """Return a version as one line of a list."""
    _, own = _base_and_own(record)
    figures = "" if own is None else f" · IoU {own.iou_1:.2f}"
    verdict = {"active": " · in use", "rejected": " · rejected", "accepted": ""}
    name = f" {record.name}" if record.name else ""
    pinned = _PINNED if record.pinned else ""
    return f"{record.id}{name}{verdict[record.status]}{pinned}{figures}"


def base_entry(active: str, *, pinned: bool) -> str:
    """Return the base as one line of the list of versions."""
    in_use = " · in use" if active == "base" else ""
    return f"base{in_use}{_PINNED if pinned else ''}"


def details(record: VersionRecord) -> str:
    """Return what a tooltip says of a version."""
    base, own = _base_and_own(record)
    lines = [f"{record.id}, trained from {record.parent} ({record.method})"]
    for name, metrics in (("base", base), (record.id, own)):
        if metrics is not None:
            lines.append(
                f"{name}: IoU {metrics.iou_1:.3f} after 1 click, {metrics.iou_3:.3f} "
                f"after 3, {metrics.iou_box:.3f} from a box; {metrics.noc85:.1f} "
                f"clicks to IoU 0.85{_to_fine(metrics)}"
            )
    if record.reason:
        lines.append(record.reason)
    return "\n".join(lines)


def _to_fine(metrics: Metrics) -> str:
    return "" if metrics.noc90 is None else f", {metrics.noc90:.1f} to 0.90"


def saving(figures: RunningFigures | None) -> str:
    """Return the clicks per object, of the base and now; '' while unknown."""
    shown = None if figures is None else figures.now or figures.so_far
    return "" if shown is None else _pair(shown.clicks, 1)


def saving_details(figures: RunningFigures | None) -> str:
    """Return what stands below `saving`: whose figures these are, and how sure."""
    if figures is None or figures.so_far is None:
        return ""
    now, so_far = figures.now, figures.so_far
    if now is None:
        return f"base {_ARROW} all versions so far {_size(so_far)}\n{_first(so_far)}"
    lines = [f"base {_ARROW} {figures.version} {_size(now)}", _first(now)]
    if so_far.n > now.n:
        lines.append(f"All versions so far: {_pair(so_far.clicks, 1)} {_size(so_far)}")
    return "\n".join(lines)


def stopping(figures: RunningFigures | None) -> str:
    """Return the sentence that says that more labelling gains little; '' if not."""
    plateau = None if figures is None else figures.plateau
    if plateau is None:
        return ""
    return (
        f"You can stop labelling for the model: clicks per object went "
        f"{plateau.earlier:.1f} {_ARROW} {plateau.later:.1f} over the last "
        f"{WINDOW} objects, a gain below {max(plateau.most, 0.1):.1f}."
    )


def _first(found: Comparison) -> str:
    first = found.first_iou
    interval = _interval(first, 2)
    sure = f" ({interval})" if interval else ""
    return f"First proposal: IoU {_pair(first, 2)}{sure}"


def _pair(difference: Difference, digits: int) -> str:
    return f"{difference.base:.{digits}f} {_ARROW} {difference.now:.{digits}f}"


def _size(found: Comparison) -> str:
    size = f"n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{found.n}"
    interval = _interval(found.clicks, 1)
    return f"({size}, {interval})" if interval else f"({size})"


def _interval(difference: Difference, digits: int) -> str:
    if difference.interval is None:
        return ""
    low, high = (_signed(bound, digits) for bound in difference.interval)
    return f"95\N{NO-BREAK SPACE}% CI {low} to {high}"


def _signed(value: float, digits: int) -> str:
    text = f"{value:+.{digits}f}"
    if not float(text):  # no sign of a difference that is none
        return text[1:]
    return text.replace("-", "\N{MINUS SIGN}")


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
