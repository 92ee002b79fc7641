"""What came of simulated annotators: a Markdown table and one plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_infosam.report import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WINDOW = 20
"""Objects that the running mean looks back on."""

_HEAD = (
    "policy",
    "objects",
    "clicks per object",
    "of the last quarter",
    "first-proposal IoU",
    "held-out NoC85",
    "held-out IoU, 1 click",
    "accepted",
    "minutes",
)
_STYLES = ("-", "--", "-.", ":")


def markdown(results: Sequence[dict[str, Any]], notes: Sequence[str] = ()) -> str:
    """Return the table: one line a policy.

    Parameters
    ----------
    results
        See `napari_infosam.bench.simulation.Simulation.run`.
    notes
        What was left out, and why.
    """
    lines = [_HEAD, ("---",) * len(_HEAD), *map(_row, results)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    parts = [table, "\n".join(f"- {line}" for line in notes)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _row(result: dict[str, Any]) -> tuple[str, ...]:
    found = summary(result)
    return (
        str(found["policy"]),
        str(found["n_objects"]),
        f"{found['clicks']:.2f}",
        f"{found['clicks_last_quarter']:.2f}",
        f"{found['first_iou']:.3f}",
        f"{found['noc85_base']:.2f} → {found['noc85']:.2f}",
        f"{found['iou_1_base']:.3f} → {found['iou_1']:.3f}",
        f"{found['n_accepted']} of {found['n_trainings']}",
        f"{found['seconds'] / 60:.1f}",
    )


def summary(result: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of one policy.

    Returns
    -------
    dict
        ``policy``, ``n_objects``; means over all objects of ``clicks`` to 0.85 IoU
        and ``first_iou``; ``clicks_last_quarter``; ``noc85``, ``iou_1`` on the
        held-out images at the end, and the same with ``_base`` at the beginning;
        ``n_trainings``, ``n_accepted``, and ``seconds`` without measuring.
    """
    clicks, stops = _clicks(result), result["held_out"]
    first, last = stops[0]["figures"], stops[-1]["figures"]
    return {
        "policy": result["policy"],
        "n_objects": len(clicks),
        "clicks": float(clicks.mean()),
        "clicks_last_quarter": float(clicks[-max(len(clicks) // 4, 1) :].mean()),
        "first_iou": float(np.mean([o["first_iou"] for o in result["objects"]])),
        "noc85_base": first["noc85"],
        "noc85": last["noc85"],
        "iou_1_base": first["iou_1"],
        "iou_1": last["iou_1"],
        "n_trainings": len(stops) - 1,
        "n_accepted": sum(stop["accepted"] for stop in stops[1:]),
        "seconds": result["seconds"],
    }


def _clicks(result: dict[str, Any]) -> NDArray[np.float64]:
    return np.array([o["clicks"] for o in result["objects"]], np.float64)


def running_mean(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return the mean of each value and of those before it, so many at most."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    means: NDArray[np.float64] = (sums[ends] - sums[starts]) / (ends - starts)
    return means


def draw(path: Path, results: Sequence[dict[str, Any]], name: str) -> None:
    """Write the plot as a PNG file: clicks and NoC85, by objects and by seconds.

    Parameters
    ----------
    path
        Where the picture goes.
    results
        One line each.
    name
        Of the data set.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{name}: clicks of a simulated annotator while the model learns")
    axes = figure.subplots(2, 2, sharex="col", sharey="row")
    for number, result in enumerate(results):
        style = {
            "color": PALETTE[number % len(PALETTE)],
            "linestyle": _STYLES[number % len(_STYLES)],
            "label": result["policy"],
        }
        _draw_clicks(axes[0], result, style)
        _draw_held_out(axes[1], result, style)
    axes[0, 0].set_ylabel(f"clicks per object\n(mean of the last {WINDOW})")
    axes[1, 0].set_ylabel("clicks to 0.85 IoU\non held-out objects (NoC85)")
    axes[1, 0].set_xlabel("objects annotated")
    axes[1, 1].set_xlabel("seconds of answering and training")
    for axis in axes.flat:
        axis.margins(y=0.1)
        axis.set_ylim(bottom=1)  # nothing takes less
        axis.grid(alpha=0.3)
    axes[0, 1].legend(loc="best", fontsize=9)
    figure.savefig(path, dpi=110)


def _draw_clicks(
    axes: Sequence[Axes], result: dict[str, Any], style: dict[str, Any]
) -> None:
    clicks = running_mean(_clicks(result), WINDOW)
    seconds = [o["seconds"] for o in result["objects"]]
    axes[0].plot(np.arange(1, len(clicks) + 1), clicks, **style)
    axes[1].plot(seconds, clicks, **style)


def _draw_held_out(
    axes: Sequence[Axes], result: dict[str, Any], style: dict[str, Any]
) -> None:
    """Draw steps, as a version answers until the next one does, and trainings.

    A full dot is a version that was accepted, a hollow one that was rejected.
    """
    stops = result["held_out"]
    values = [stop["figures"]["noc85"] for stop in stops]
    objects = [stop["n_annotated"] for stop in stops]
    seconds = [stop["seconds"] for stop in stops]
    ends = len(result["objects"]), result["seconds"]
    faces = [style["color"] if stop["accepted"] else "white" for stop in stops[1:]]
    for axis, places, end in zip(axes, (objects, seconds), ends, strict=True):
        axis.step([*places, end], [*values, values[-1]], where="post", **style)
        axis.scatter(
            places[1:], values[1:], c=faces, edgecolors=style["color"], zorder=3
        )
