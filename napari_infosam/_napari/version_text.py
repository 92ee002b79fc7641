"""Versions in words: how each compares with the base, and what it saves a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from napari_infosam.core.events import Metrics
from napari_infosam.core.words import counted
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
_FEWEST = 3
"""Objects from which on it is said what a version saves."""


def comparison(
    active: str, versions: Sequence[VersionRecord], *, is_next: bool = False
) -> str:
    """Return the line that says which version answers and how it compares.

    Parameters
    ----------
    active
        The version that answers.
    versions
        All trained versions.
    is_next
        Whether the active one answers from the next object on only.
    """
    if active == "base":
        return f"The base model answers{' from the next object on' if is_next else ''}."
    record = next((v for v in versions if v.id == active), None)
    base, own = (None, None) if record is None else _base_and_own(record)
    if base is None or own is None:
        return f"{active} answers."
    before, after, what = _gain(base, own)
    return f"base {before} {_ARROW} {active} {after} {what}, {_held_out(own)}"


def _gain(base: Metrics, own: Metrics) -> tuple[str, str, str]:
    """Return the figure of both for the first click, or else for what has gained."""
    pairs = (
        (base.iou_1, own.iou_1, "IoU after 1 click"),
        (base.iou_3, own.iou_3, "IoU after 3 clicks"),
        (base.iou_box, own.iou_box, "IoU of boxes"),
    )
    first = pairs[0]
    if round(first[1], 2) < round(first[0], 2):
        if own.noc85 < base.noc85:
            return f"{base.noc85:.1f}", f"{own.noc85:.1f}", "clicks to 0.85 IoU"
        first = max(pairs, key=lambda pair: pair[1] - pair[0])
    before, after, what = first
    return f"{before:.2f}", f"{after:.2f}", what


def entry(record: VersionRecord, *, is_next: bool = False) -> str:
    """Return a version as one line of a list.

    Parameters
    ----------
    record
        The version.
    is_next
        Whether the active one answers from the next object on only.
    """
    _, own = _base_and_own(record)
    figures = "" if own is None else f" · IoU {own.iou_1:.2f}"
    in_use = " · next" if is_next else " · in use"
    verdict = {"active": in_use, "rejected": " · rejected", "accepted": ""}
    name = f" {record.name}" if record.name else ""
    pinned = _PINNED if record.pinned else ""
    return f"{record.id}{name}{verdict[record.status]}{pinned}{figures}"


def base_entry(active: str, *, pinned: bool, is_next: bool = False) -> str:
    """Return the base as one line of the list of versions."""
    in_use = (" · next" if is_next else " · in use") if active == "base" else ""
    return f"base{in_use}{_PINNED if pinned else ''}"


def details(record: VersionRecord) -> str:
    """Return what a tooltip says of a version."""
    base, own = _base_and_own(record)
    lines = [f"{record.id}, compared with {record.parent} ({record.method})"]
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
    """Return the clicks per object, of the base and now; '' while that says little."""
    shown = None if figures is None else figures.now
    return "" if shown is None or shown.n < _FEWEST else _pair(shown.clicks, 1)


def saving_details(figures: RunningFigures | None) -> str:
    """Return what stands below `saving`: whose figures these are, and how sure."""
    if figures is None or figures.so_far is None:
        return ""
    now, so_far = figures.now, figures.so_far
    if so_far.n < _FEWEST:
        return ""
    if now is None:
        clicks = f"{_pair(so_far.clicks, 1)} clicks per object"
        return f"Base {_ARROW} all versions so far: {clicks} {_size(so_far)}"
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
        f"You can stop labelling for the model: clicks saved per object went "
        f"{plateau.earlier:.1f} {_ARROW} {plateau.later:.1f} over the last "
        f"{WINDOW} objects, a growth below {max(plateau.most, 0.1):.1f}."
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
    return counted(metrics.n_images, "held-out image")
