"""All cells of a table, one after the other; what is done already is not done again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_infosam.bench.cell import Material, Protocol, run_cell
from napari_infosam.bench.table import RESULT_SUFFIX, draw, markdown, read_results
from napari_infosam.core.errors import InfosamError
from napari_infosam.models.embeddings import EmbeddingCache
from napari_infosam.models.loading import load_model
from napari_infosam.models.threads import set_fastest_threads

if TYPE_CHECKING:
    from napari_infosam.bench.data import DataSet, Pair
    from napari_infosam.bench.rows import Row
    from napari_infosam.core.events import TrainingEvent
    from napari_infosam.core.options import FinetuneOptions

RESULTS = "results"
TABLE = "table.md"
PLOT = "table.png"


@dataclass(frozen=True, slots=True)
class Plan:
    """What the table holds.

    Attributes
    ----------
    data
        Data sets, its columns.
    rows
        Its rows.
    seeds
        Each chooses other training images, and all that is random in training.
    n_train, n_test
        Images to learn from and to measure on; None takes all.
    n_others
        Images of every other data set that a student is measured on; 0 for none.
    model
        Base model, a name or a path.
    options
        Of every training; method, distillation and seed are set for each cell.
    protocol
        How a student is measured.
    """

    data: Sequence[DataSet]
    rows: Sequence[Row]
    seeds: Sequence[int]
    n_train: int | None
    n_test: int | None
    n_others: int
    model: str
    options: FinetuneOptions
    protocol: Protocol

    def cells(self) -> Iterator[tuple[int, DataSet, Row]]:
        """Yield seed, data set and row of each cell; all of a seed come first."""
        for seed in self.seeds:
            for data in self.data:
                for row in self.rows:
                    yield seed, data, row


@dataclass(frozen=True, slots=True)
class Cell:
    """Which cell is under way, for people.

    Attributes
    ----------
    number, total
        Of all cells.
    name
        Data set, row and seed.
    """

    number: int
    total: int
    name: str


def run_bench(
    plan: Plan,
    out: Path,
    *,
    on_cell: Callable[[Cell], None] | None = None,
    on_event: Callable[[TrainingEvent], None] | None = None,
) -> Path:
    """Run all cells that have no result yet, and write table and plot.

    Parameters
    ----------
    plan
        What to run.
    out
        Folder of results, ``table.md`` and ``table.png``; cells that are there with
        the same settings are taken as they are.
    on_cell
        Called before each cell.
    on_event
        Called with every event of every training.

    Returns
    -------
    Path
        The table.

    Raises
    ------
    InfosamError
        If a data set can not be read, or is too small.
    """
    for data in plan.data:  # what can not work is said before hours of work
        data.split(plan.n_train, plan.n_test, seed=0)
    set_fastest_threads(plan.options.threads or 1)
    base = load_model(plan.model, plan.options.device)
    cache = EmbeddingCache(out / "cache")
    total = len(plan.data) * len(plan.rows) * len(plan.seeds)
    for number, (seed, data, row) in enumerate(plan.cells(), start=1):
        settings = _settings(plan, seed, data, row)
        path = out / RESULTS / data.name / f"{row.name}-{seed}{RESULT_SUFFIX}"
        if _is_done(path, settings):
            continue
        if on_cell is not None:
            on_cell(Cell(number, total, f"{data.name}, {row.name}, seed {seed}"))
        found = run_cell(
            base,
            row,
            _material(plan, data, seed),
            _options(plan, row, seed),
            plan.protocol,
            cache=cache,
            folder=out / "runs" / data.name / f"{row.name}-{seed}",
            on_event=on_event,
        )
        result = {"data": data.name, "row": row.name, "seed": seed, **found}
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, {**result, "settings": settings})
    results = read_results(out / RESULTS)
    names = [row.name for row in plan.rows]
    (out / TABLE).write_text(markdown(results, names), "utf-8")
    draw(out / PLOT, results, names)
    return out / TABLE


def _options(plan: Plan, row: Row, seed: int) -> FinetuneOptions:
    if row.method is None:
        return plan.options
    # the decoder has no full stage; everything else is trained all the way
    stage = "quick" if row.method == "decoder" else "full"
    return plan.options.model_copy(
        update={
            "method": row.method,
            "distill": row.distill,
            "seed": seed,
            "stage": stage,
        }
    )


def _material(plan: Plan, data: DataSet, seed: int) -> Material:
    train, test = data.split(plan.n_train, plan.n_test, seed)
    others = {}
    if plan.n_others:
        for other in plan.data:
            if other.name != data.name:
                # the same images whichever the seed: what is left of all is measured
                shown = list(other.test or other.pairs)[-plan.n_others :]
                others[other.name] = _read(other, shown)
    return Material(_read(data, train), _read(data, test), others)


def _read(data: DataSet, pairs: Sequence[Pair]) -> Sequence[Any]:
    samples = data.read(pairs)
    if not samples:
        raise InfosamError(f"None of the pairs of {data.name} can be read.")
    return samples


def _settings(plan: Plan, seed: int, data: DataSet, row: Row) -> dict[str, Any]:
    """Return all that a result depends on."""
    train, test = data.split(plan.n_train, plan.n_test, seed)
    files = sha256("\n".join(str(image) for image, _ in (*train, *test)).encode())
    return {
        "model": plan.model,
        "options": _options(plan, row, seed).model_dump(mode="json"),
        "protocol": asdict(plan.protocol),
        "n_others": plan.n_others,
        "files": files.hexdigest(),
    }


def _is_done(path: Path, settings: dict[str, Any]) -> bool:
    try:
        known: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return bool(known.get("settings") == settings)


def _write(path: Path, value: object) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=2) + "\n", "utf-8")
    temporary.replace(path)
