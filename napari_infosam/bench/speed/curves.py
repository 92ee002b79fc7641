"""The curves of growth as JSON, Markdown and a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_infosam.bench.speed.growth import Curve

FLAT, LINEAR = 0.3, 1.15
"""Largest power of growth that counts as none, and as linear.

Both leave room for noise: a fixed cost makes them smaller, never larger.
"""


def write(result: Mapping[str, Any], out: Path) -> Path:
    """Write ``growth.json``, ``growth.png`` and ``growth.md``; return the last."""
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=2, allow_nan=False)
    (out / "growth.json").write_text(text + "\n", "utf-8")
    curves = [Curve(**found) for found in result["curves"]]
    draw(out / "growth.png", curves)
    table = out / "growth.md"
    table.write_text(markdown(curves), "utf-8")
    return table


def markdown(curves: Sequence[Curve]) -> str:
    """Return one table a series: work by size, and the power of the last two steps."""
    return (
        "\n\n".join(
            "\n".join(_table([c for c in curves if c.series == series]))
            for series in dict.fromkeys(curve.series for curve in curves)
        )
        + "\n"
    )


def _table(curves: Sequence[Curve]) -> Iterator[str]:
    sizes = curves[0].sizes
    yield f"| {curves[0].series} | {' | '.join(map(_count, sizes))} | grows by |"
    yield "|---|" + "---|" * (len(sizes) + 1)
    for curve in curves:
        cells = " | ".join(map(_time, curve.seconds))
        yield f"| {curve.work} | {cells} | {verdict(curve)} |"
    peaks = [
        f"{max(curve.mebibytes[i] for curve in curves):.0f} MiB"
        for i in range(len(sizes))
    ]
    yield f"| most memory | {' | '.join(peaks)} | |"


def verdict(curve: Curve) -> str:
    """Return the power of growth, marked where it is more than it should be."""
    power = curve.exponent()
    if power is None:
        return ""
    most = FLAT if curve.flat else LINEAR
    return f"n^{power:.2f}" + (" (too fast)" if power > most else "")


def _count(size: int) -> str:
    return f"{size:,}".replace(",", " ")


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def draw(path: Path, curves: Sequence[Curve]) -> None:
    """Write a picture: seconds against size, one plot a series."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(curve.series for curve in curves))
    figure = Figure(figsize=(4 * len(names), 4), layout="constrained")
    FigureCanvasAgg(figure)
    plots = figure.subplots(1, len(names), squeeze=False)[0]
    for axis, name in zip(plots, names, strict=True):
        for curve in curves:
            if curve.series == name:
                axis.plot(curve.sizes, curve.seconds, marker="o", label=curve.work)
        axis.set(xscale="log", yscale="log", xlabel=name, ylabel="seconds")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.savefig(path, dpi=90)
