"""From the results of all cells to one Markdown table and one plot."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

RESULT_SUFFIX = ".json"
PHOTOGRAPHS = "photographs"
"""Name, among other data sets, of those that `training.photographs` makes."""

COLUMNS = {
    "iou_1": "IoU, 1 click",
    "iou_box": "IoU, box",
    "iou_5": "IoU, 5 clicks",
    "noc85": "clicks to 0.85",
    "score_error": "error of predicted IoU",
}
PUBLISHED_COLUMNS = {
    "paper_s_measure": "S-measure",
    "paper_e_measure": "E-measure",
    "paper_weighted_f": "weighted F",
    "paper_iou": "IoU over logits",
    "paper_dice": "Dice over logits",
}


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one cell.

    Attributes
    ----------
    data, row, seed
        Which cell.
    figures
        On the test images of its data set.
    others
        On images of other data sets, by their name.
    """

    data: str
    row: str
    seed: int
    figures: dict[str, float]
    others: dict[str, dict[str, float]]


def read_result(path: Path) -> Result:
    """Return the result of one cell."""
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return Result(
        found["data"], found["row"], found["seed"], found["figures"], found["others"]
    )


def markdown(
    results: Sequence[Result], rows: Sequence[str], notes: Sequence[str] = ()
) -> str:
    """Return one table a figure: rows by data sets, and the mean of those.

    Parameters
    ----------
    results
        Of all cells; those that are missing are left blank.
    rows
        Names of the rows, in order.
    notes
        What was left out, and why.
    """
    columns = COLUMNS
    if any("paper_iou" in result.figures for result in results):
        columns = COLUMNS | PUBLISHED_COLUMNS
    parts = [_table(results, rows, key, title) for key, title in columns.items()]
    parts += _added(results, rows)
    if any(result.others for result in results):
        parts.append(_retention(results, rows))
    if notes:
        parts.append("\n".join(f"- {line}" for line in notes))
    return "\n\n".join(parts) + "\n"


def _table(results: Sequence[Result], rows: Sequence[str], key: str, title: str) -> str:
    names = sorted({result.data for result in results})
    cells = _by_cell(results, key)
    lines = [_line([f"**{title}**", *names, "mean"]), _line(["---"] * (len(names) + 2))]
    for row in rows:
        values = [cells.get((row, name), []) for name in names]
        lines.append(_line([row, *map(_spread, values), _mean_of_sets(values)]))
    return "\n".join(lines)


def _added(results: Sequence[Result], rows: Sequence[str]) -> list[str]:
    """Return what distillation adds to a method, paired by data set and seed."""
    pairs = [(row, re.sub(r"\+\w+", "", row)) for row in rows if "+" in row]
    pairs = [(row, plain) for row, plain in pairs if plain in rows]
    names = sorted({result.data for result in results})
    found = {(result.row, result.data, result.seed): result for result in results}
    tables = []
    for row, plain in pairs:
        head = [f"**{row} less {plain}**", *names, "mean"]
        lines = [_line(head), _line(["---"] * len(head))]
        for key in ("iou_1", "iou_box", "iou_5"):
            changes = defaultdict[str, list[float]](list)
            for (of, name, seed), result in found.items():
                other = found.get((plain, name, seed))
                if of == row and other is not None and key in result.figures:
                    changes[name].append(result.figures[key] - other.figures[key])
            values = [changes[name] for name in names]
            mean = _mean_of_sets(values, sign=True)
            spreads = (_spread(seeds, sign=True) for seeds in values)
            lines.append(_line([COLUMNS[key], *spreads, mean]))
        tables.append("\n".join(lines))
    return tables


def _retention(results: Sequence[Result], rows: Sequence[str]) -> str:
    """Return how students do on what they have not seen, against the base."""
    keys = ("iou_1", "iou_box")
    places = ("other sets", PHOTOGRAPHS)
    titles = [f"{place}: {COLUMNS[key]}" for place in places for key in keys]
    head = ["**elsewhere, less the base**", *titles]
    lines = [_line(head), _line(["---"] * len(head))]
    base = {
        (result.data, result.seed, name): figures
        for result in results
        if result.row == "sam"
        for name, figures in result.others.items()
    }
    for row in rows:
        changes: dict[tuple[str, str], list[float]] = defaultdict(list)
        for result in results:
            for name, figures in result.others.items():
                before = base.get((result.data, result.seed, name))
                if result.row == row and before is not None:
                    place = PHOTOGRAPHS if name == PHOTOGRAPHS else places[0]
                    for key in keys:
                        changes[place, key].append(figures[key] - before[key])
        values = (changes[place, key] for place in places for key in keys)
        lines.append(_line([row, *(_spread(v, sign=True) for v in values)]))
    return "\n".join(lines)


def _by_cell(results: Iterable[Result], key: str) -> dict[tuple[str, str], list[float]]:
    """Return the values of all seeds by (row, data set)."""
    cells = defaultdict[tuple[str, str], list[float]](list)
    for result in results:
        if key in result.figures:
            cells[result.row, result.data].append(result.figures[key])
    return cells


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _spread(values: Sequence[float], *, sign: bool = False) -> str:
    """Return mean and standard deviation over the seeds."""
    if not values:
        return ""
    mean = f"{np.mean(values):+.3f}" if sign else f"{np.mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.3f}"


def _mean_of_sets(values: Sequence[Sequence[float]], *, sign: bool = False) -> str:
    """Return the mean over data sets, blank unless each has a value."""
    if not all(values):
        return ""
    mean = np.mean([np.mean(seeds) for seeds in values])
    return f"{mean:+.3f}" if sign else f"{mean:.3f}"


def draw(path: Path, results: Sequence[Result], rows: Sequence[str]) -> None:
    """Write a picture: IoU after one click and of a box, by data set and row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = sorted({result.data for result in results})
    keys = ("iou_1", "iou_box")
    figure = Figure(figsize=(3 + 1.6 * len(names), 7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(keys), 1, sharex=True)
    width = 0.8 / max(len(rows), 1)
    for axis, key in zip(axes, keys, strict=True):
        cells = _by_cell(results, key)
        for number, row in enumerate(rows):
            seeds = [cells.get((row, name), []) for name in names]
            at = np.arange(len(names)) + (number - (len(rows) - 1) / 2) * width
            heights = [np.mean(v) if v else np.nan for v in seeds]
            spreads = [np.std(v, ddof=1) if len(v) > 1 else 0.0 for v in seeds]
            axis.bar(at, heights, width, yerr=spreads, label=row, capsize=2)
        axis.set(ylabel=COLUMNS[key], ylim=(0, 1))
        axis.grid(axis="y", alpha=0.3)
    axes[-1].set_xticks(np.arange(len(names)), names)
    axes[0].legend(ncols=min(len(rows), 4), fontsize=8, loc="lower right")
    figure.savefig(path, dpi=110)
