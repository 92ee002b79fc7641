"""The speed table as JSON and Markdown, and its check against committed ratios."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_infosam.bench.speed.measure import Row
from napari_infosam.core.errors import InfosamError

TOLERANCE = 0.25
"""How much of a committed ratio a new one may lie above it.

Two runs on a busy machine differ by a tenth; a change that undoes an optimisation costs
half or more.
"""


def markdown(result: Mapping[str, Any]) -> str:
    """Return the tables of a run."""
    parts = [_machine(result["machine"])]
    rows = [Row(**row) for row in result["rows"]]
    if rows:
        parts.append("\n".join(_ratios(rows)))
    if "agreement" in result:
        found = result["agreement"]
        parts.append(
            "IoU of the masks of single clicks with those of SamPredictor in float32: "
            f"{found['mean']:.4f} on the mean, {found['least']:.4f} at least."
        )
    if "roofline" in result:
        parts.append("\n".join(_roofline(result["roofline"])))
    parts += [f"- {note}" for note in result["notes"]]
    return "\n\n".join(parts) + "\n"


def _machine(machine: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{k} {v}" for k, v in machine["packages"].items())
    native = ", ".join(machine["bfloat16"]) or "no bfloat16 of its own"
    busy = ", load unknown"
    if machine["load"] is not None:
        busy = f", load {machine['load']} before and {machine['load_after']} after"
    return (
        f"{machine['processor']} ({native}), {machine['cores']} cores, "
        f"{machine['threads']} threads, {machine['memory_gib']} GiB, {packages}{busy}; "
        f"{machine['repetitions']} alternating repetitions."
    )


def _ratios(rows: Sequence[Row]) -> Iterator[str]:
    yield "| | against | ratio (quartiles) | aim | medians |"
    yield "|---|---|---|---|---|"
    for row in rows:
        aim = "" if row.aim is None else f"{row.aim:.2f}"
        spread = f"{row.ratio:.2f} ({row.quartile_1:.2f} to {row.quartile_3:.2f})"
        medians = f"{_amount(row.value, row)} and {_amount(row.reference, row)}"
        yield f"| {row.work} | {row.against} | {spread} | {aim} | {medians} |"


def _amount(value: float, row: Row) -> str:
    return f"{value:.3g} s" if row.unit == "s" else f"{value:.0f} MiB"


def _roofline(found: Mapping[str, Any]) -> Iterator[str]:
    peaks = found["peak_gflops"]
    rates = (f"{peak:.0f} GFLOP/s in {dtype}" for dtype, peak in sorted(peaks.items()))
    yield f"Peak of matrix products: {', '.join(rates)}."
    yield ""
    yield "| | GFLOP | seconds | GFLOP/s | share of the peak |"
    yield "|---|---|---|---|---|"
    for row in found["works"]:
        yield (
            f"| {row['work']} | {row['gflop']:.2f} | {row['seconds']:.3g} | "
            f"{row['gflops']:.0f} | {row['share']:.0%} of {row['dtype']} |"
        )
    yield ""
    yield "| | its longest operations: share of the time, rate in GFLOP/s |"
    yield "|---|---|"
    for row in found["works"]:
        yield f"| {row['work']} | {', '.join(map(_operation, row['operations']))} |"


def _operation(found: Mapping[str, Any]) -> str:
    rate = f", {found['gflops']:.0f}" if found["gflops"] else ""
    return f"`{found['name']}` ({found['share']:.0%}{rate})"


def write(result: Mapping[str, Any], out: Path) -> Path:
    """Write ``speed.json`` and ``speed.md``; return the second."""
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=2, allow_nan=False)
    (out / "speed.json").write_text(text + "\n", "utf-8")
    table = out / "speed.md"
    table.write_text(markdown(result), "utf-8")
    return table


def regressions(
    rows: Sequence[Row], committed: Path, tolerance: float = TOLERANCE
) -> list[str]:
    """Return a sentence for each ratio that is worse than a committed one.

    Parameters
    ----------
    rows
        Measured now.
    committed
        A ``speed.json`` of before; rows that it lacks are not judged.
    tolerance
        How much of the committed ratio a new one may lie above it.

    Raises
    ------
    InfosamError
        If the file can not be read, or has none of the rows.
    """
    try:
        before = json.loads(committed.read_text("utf-8"))["rows"]
        known = {row.key: row.ratio for row in (Row(**found) for found in before)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InfosamError(
            f"{committed} holds no ratios to check against ({error}): give the "
            "speed.json of an earlier run."
        ) from error
    if not any(row.key in known for row in rows):
        raise InfosamError(f"{committed} has none of the rows that were measured.")
    return [
        f"{row.key} is {row.ratio:.2f}, and was {known[row.key]:.2f}"
        for row in rows
        if row.key in known and row.ratio > (1 + tolerance) * known[row.key]
    ]
