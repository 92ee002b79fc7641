"""All cells of a table, one after the other; what is done already is not done again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from napari_infosam.bench.cell import Material, Protocol, QuickStages, run_cell
from napari_infosam.bench.notes import Notes
from napari_infosam.bench.stored import is_done, settings_of
from napari_infosam.bench.table import (
    PHOTOGRAPHS,
    RESULT_SUFFIX,
    draw,
    markdown,
    read_result,
)
from napari_infosam.core.errors import InfosamError
from napari_infosam.models.embeddings import EmbeddingCache
from napari_infosam.models.loading import load_model
from napari_infosam.models.predictor import Predictor
from napari_infosam.models.threads import set_fastest_threads
from napari_infosam.project.files import write_json
from napari_infosam.training.failures import failure_sentence
from napari_infosam.training.photographs import MEASURED, photographs
from napari_infosam.training.published import IMAGES_PER_BATCH as FULL_BATCH

if TYPE_CHECKING:
    from napari_infosam.bench.data import DataSet, Pair
    from napari_infosam.bench.rows import Row
    from napari_infosam.core.events import TrainingEvent
    from napari_infosam.core.options import FinetuneOptions
    from napari_infosam.models.sam_model import SamModel
    from napari_infosam.training.dataset import Sample

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
        Images of every other data set that a student is measured on, and on
        photographs; 0 for none.
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
        Called with every event of every training, and what is left out.

    Returns
    -------
    Path
        The table.

    Raises
    ------
    InfosamError
        If a data set can not be read, or is too small.
    """
    _check(plan)
    set_fastest_threads(plan.options.threads or 1)
    base = load_model(plan.model, plan.options.device)
    cache = EmbeddingCache(out / "cache")
    photographed = photographs(Predictor(base), MEASURED) if plan.n_others else []
    results: list[Path] = []
    note = Notes(on_event)
    quick: dict[tuple[int, str], QuickStages] = {}
    total = len(plan.data) * len(plan.rows) * len(plan.seeds)
    for number, (seed, data, row) in enumerate(plan.cells(), start=1):
        settings = _settings(plan, base, seed, data, row)
        name = f"{quote(row.name, safe=' +=')}-{seed}"  # a row may name a file
        path = out / RESULTS / data.name / f"{name}{RESULT_SUFFIX}"
        if is_done(path, settings):
            results.append(path)
            continue
        if on_cell is not None:
            on_cell(Cell(number, total, f"{data.name}, {row.name}, seed {seed}"))
        if (seed, data.name) not in quick:  # those of earlier images are let go
            quick = {(seed, data.name): {}}
        material = _material(plan, data, seed, photographed, note)
        try:
            found = run_cell(
                base,
                row,
                material,
                row.options(plan.options, seed),
                plan.protocol,
                cache=cache,
                folder=out / "runs" / data.name / name,
                quick=quick[seed, data.name],
                on_event=on_event,
            )
        except Exception as error:
            sentence = failure_sentence(error)
            if sentence is None:
                raise
            note(f"{data.name}, {row.name}, seed {seed} has no result: {sentence}")
            continue
        result = {"data": data.name, "row": row.name, "seed": seed, **found}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {**result, "settings": settings})
        results.append(path)
    # of this plan only: the folder may hold others of earlier ones
    found_all = [read_result(path) for path in results]
    names = [row.name for row in plan.rows]
    (out / TABLE).write_text(markdown(found_all, names, note.lines), "utf-8")
    draw(out / PLOT, found_all, names)
    return out / TABLE


def _check(plan: Plan) -> None:
    """Say before hours of work what can not work."""
    least = FULL_BATCH if plan.options.recipe == "paper" else 2
    for data in plan.data:
        train, _ = data.split(plan.n_train, plan.n_test, seed=0)
        if len(train) < least:
            raise InfosamError(
                f"{data.name} gives {len(train)} images to learn from and at least "
                f"{least} are needed: give more --train-images."
            )


def _material(
    plan: Plan,
    data: DataSet,
    seed: int,
    photographed: Sequence[Sample],
    note: Callable[[str], None],
) -> Material:
    train, test = data.split(plan.n_train, plan.n_test, seed)
    others: dict[str, Sequence[Sample]] = {}
    if plan.n_others:
        others[PHOTOGRAPHS] = photographed
        for other in plan.data:
            if other.name != data.name:
                others[other.name] = other.read(_shown(other, plan.n_others), note)
    return Material(data.read(train, note), data.read(test, note), others)


def _shown(data: DataSet, number: int) -> Sequence[Pair]:
    """Return the pairs that students of other sets are measured on, for any seed."""
    return (data.test or data.pairs)[-number:]


def _settings(
    plan: Plan, base: SamModel, seed: int, data: DataSet, row: Row
) -> dict[str, Any]:
    """Return all that a result depends on."""
    train, test = data.split(plan.n_train, plan.n_test, seed)
    pairs = [*train, *test]
    if plan.n_others:
        others = [other for other in plan.data if other.name != data.name]
        pairs += [pair for other in others for pair in _shown(other, plan.n_others)]
    options = row.options(plan.options, seed)
    return {
        **settings_of(base, options, pairs),
        "protocol": asdict(plan.protocol),
    }
