"""A picture of what fine-tuning changed: masks after one click, IoU over clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from napari_infosam.core.masks import BoolArray
    from napari_infosam.core.prompts import Point

# distinguishable with any colour vision (Okabe and Ito)
BASE_COLOUR = "#d55e00"
STUDENT_COLOUR = "#0072b2"
PALETTE = (BASE_COLOUR, STUDENT_COLOUR, "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_TRUTH_COLOUR = "#ffffff"
_CLICK_COLOUR = "#f0e442"
_MARGIN = 18
"""Pixels around an object that its picture shows."""


@dataclass(frozen=True, slots=True)
class Example:
    """What base and student answered to the same click.

    Attributes
    ----------
    image
        ``(H, W, 3)`` uint8.
    target, base, student
        ``(H, W)`` masks: the truth and the two answers.
    click
        The only prompt.
    base_iou, student_iou
        IoU of the answers with the truth.
    """

    image: NDArray[np.uint8]
    target: BoolArray
    base: BoolArray
    student: BoolArray
    click: Point
    base_iou: float
    student_iou: float


@dataclass(frozen=True, slots=True)
class Curve:
    """How one model does over clicks: mean IoU after click 1, 2, ... and its NoC85."""

    ious: Sequence[float]
    noc85: float


def draw_report(
    path: Path,
    examples: Sequence[Example],
    *,
    base: Curve,
    student: Curve,
    title: str,
) -> None:
    """Write the report as a PNG file.

    Parameters
    ----------
    path
        Where the picture goes.
    examples
        One row of pictures each; at least one.
    base, student
        Means over all held-out objects.
    title
        One line above everything.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = len(examples)
    figure = Figure(figsize=(12.5, 0.9 + 2.7 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=13)
    grid = figure.add_gridspec(rows, 4, width_ratios=(1, 1, 1, 1.5))
    for row, example in enumerate(examples):
        axes = [figure.add_subplot(grid[row, column]) for column in range(3)]
        _draw_example(axes, example, with_titles=row == 0)
    right = grid[:, 3].subgridspec(2, 1, height_ratios=(3, 1))
    _draw_curves(figure.add_subplot(right[0]), base, student)
    _draw_bars(figure.add_subplot(right[1]), base, student)
    figure.savefig(path, dpi=110)


def _draw_example(axes: list[Axes], example: Example, *, with_titles: bool) -> None:
    window = _window(example)
    image = example.image[window]
    answers = (
        ("click and truth", None, _CLICK_COLOUR, None),
        ("base, 1 click", example.base, BASE_COLOUR, example.base_iou),
        ("student, 1 click", example.student, STUDENT_COLOUR, example.student_iou),
    )
    for axis, (name, mask, colour, iou) in zip(axes, answers, strict=True):
        picture = image if mask is None else _tint(image, mask[window], colour)
        axis.imshow(picture, interpolation="nearest")
        _outline(axis, example.target[window], "black", 2.4)
        _outline(axis, example.target[window], _TRUTH_COLOUR, 1.2)
        axis.plot(
            example.click.x - window[1].start,
            example.click.y - window[0].start,
            marker="o",
            markersize=8,
            markerfacecolor=_CLICK_COLOUR,
            markeredgecolor="black",
        )
        axis.set_xticks([])
        axis.set_yticks([])
        if with_titles:
            axis.set_title(name, fontsize=11)
        if iou is not None:
            axis.set_xlabel(f"IoU {iou:.2f}", fontsize=10, color=colour)


def _window(example: Example) -> tuple[slice, slice]:
    """Return the square part of the image around the object and both answers."""
    height, width = example.target.shape
    rows, columns = np.nonzero(example.target)
    side = min(max(np.ptp(rows), np.ptp(columns)) + 2 * _MARGIN, height, width)
    slices = []
    for values, length in ((rows, height), (columns, width)):
        middle = (int(values.min()) + int(values.max())) // 2
        start = min(max(middle - int(side) // 2, 0), length - int(side))
        slices.append(slice(start, start + int(side)))
    return slices[0], slices[1]


def _tint(image: NDArray[np.uint8], mask: BoolArray, colour: str) -> NDArray[np.uint8]:
    from matplotlib.colors import to_rgb

    tinted = image.astype(np.float64)
    tinted[mask] = 0.45 * tinted[mask] + 0.55 * 255 * np.array(to_rgb(colour))
    return tinted.astype(np.uint8)


def _outline(axis: Axes, mask: BoolArray, colour: str, width: float) -> None:
    axis.contour(mask, levels=[0.5], colors=[colour], linewidths=[width])


def _draw_curves(axis: Axes, base: Curve, student: Curve) -> None:
    style: dict[str, Any] = {"marker": "o", "markersize": 4}
    for name, curve, colour in (
        ("student", student, STUDENT_COLOUR),
        ("base", base, BASE_COLOUR),
    ):
        clicks = np.arange(1, len(curve.ious) + 1)
        axis.plot(clicks, curve.ious, color=colour, label=name, **style)
    axis.axhline(0.85, color="0.5", linewidth=1, linestyle="--")
    axis.set(xlabel="clicks", ylabel="mean IoU, held-out objects", ylim=(0, 1))
    axis.set_xticks(np.arange(1, len(base.ious) + 1))
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right")


def _draw_bars(axis: Axes, base: Curve, student: Curve) -> None:
    bars = axis.barh(
        ["student", "base"],
        [student.noc85, base.noc85],
        color=[STUDENT_COLOUR, BASE_COLOUR],
        height=0.5,
    )
    axis.bar_label(bars, fmt="%.1f", padding=3)
    axis.set_xlim(0, 1.15 * max(student.noc85, base.noc85))
    axis.set_xlabel("clicks to reach IoU 0.85 (NoC85)")
