"""Policies of training while annotating, simulated one after the other."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from napari_infosam.bench.loop_report import draw, markdown
from napari_infosam.bench.notes import Notes
from napari_infosam.bench.rows import Row, parse_row
from napari_infosam.bench.simulation import OnProgress, Person, Simulation, describe
from napari_infosam.bench.stored import is_done, settings_of
from napari_infosam.core.errors import InfosamError
from napari_infosam.models.embeddings import EmbeddingCache
from napari_infosam.models.loading import load_model
from napari_infosam.models.predictor import Predictor
from napari_infosam.models.threads import set_fastest_threads
from napari_infosam.project.files import make_folder, write_json
from napari_infosam.training.dataset import Sample, count_objects, limit_objects
from napari_infosam.training.evaluate import evaluate

if TYPE_CHECKING:
    from napari_infosam.bench.data import DataSet, Pair
    from napari_infosam.core.events import TrainingEvent
    from napari_infosam.core.options import FinetuneOptions
    from napari_infosam.models.sam_model import SamModel

NEVER = "none"
SHORT = {NEVER: "sam", "infosam": "adapter+infosam"}
"""Policies that have names of their own, and their rows."""

TABLE, PLOT = "loop.md", "loop.png"


@dataclass(frozen=True, slots=True)
class Policy:
    """How the model is trained while a person annotates.

    Attributes
    ----------
    name
        As it was asked for.
    row
        What is trained.
    """

    name: str
    row: Row


@dataclass(frozen=True, slots=True)
class Plan:
    """What is simulated.

    Attributes
    ----------
    data
        The data set.
    policies
        What is compared.
    n_images, n_test, max_objects
        Images to annotate, held-out images, and held-out objects at most, drawn
        evenly over those.
    seed
        Chooses the images, and is that of training and of the annotator's hand.
    model
        Base model, a name or a path.
    options
        Of every training; method, distillation and seed are set by the policy.
    person
        Who annotates.
    """

    data: DataSet
    policies: Sequence[Policy]
    n_images: int
    n_test: int | None
    max_objects: int
    seed: int
    model: str
    options: FinetuneOptions
    person: Person


def parse_policy(text: str) -> Policy:
    """Return the policy of a text.

    Parameters
    ----------
    text
        ``none`` never trains, ``infosam`` is ``adapter+infosam``; otherwise a row of
        `napari_infosam.bench.rows.parse_row`, such as ``decoder`` or ``lora``.

    Raises
    ------
    InfosamError
        If there is no such policy.
    """
    name = " ".join(text.split())
    return Policy(name, parse_row(SHORT.get(name, name)))


def run_simulations(
    plan: Plan,
    out: Path,
    *,
    on_policy: Callable[[str], None] | None = None,
    on_progress: OnProgress | None = None,
    on_event: Callable[[TrainingEvent], None] | None = None,
) -> list[dict[str, Any]]:
    """Simulate all policies that have no result yet, and write table and plot.

    Parameters
    ----------
    plan
        What to simulate.
    out
        Folder: a file ``POLICY.json`` each, ``loop.md``, ``loop.png`` and the
        projects. Policies that are there with the same settings are taken as they
        are; one that was interrupted begins anew.
    on_policy
        Called with the name of a policy before it begins.
    on_progress, on_event
        Told about annotating and measuring, and about training.

    Returns
    -------
    list of dict
        The results, as in the files; see `Simulation.run`.

    Raises
    ------
    InfosamError
        If the data set is too small, or no policy came to an end.
    """
    tell = on_progress or _silent
    pairs = _split(plan)
    make_folder(out, "choose another one with --out")
    threads = plan.options.threads or 1
    set_fastest_threads(threads)
    base = load_model(plan.model, plan.options.device)
    note = Notes(on_event)
    train = plan.data.read(pairs[0], note)
    held_out = limit_objects(
        plan.data.read(pairs[1], note), plan.max_objects, plan.seed
    )
    if not count_objects(train) or not held_out:
        raise InfosamError(
            f"The images chosen of {plan.data.name} hold no objects: take more with "
            "--images and --test-images."
        )
    measure = _Measuring(base, held_out, out / "cache", threads, tell)
    found = []
    for policy in plan.policies:
        options = policy.row.options(plan.options, plan.seed)
        settings = {
            **settings_of(base, options, [*pairs[0], *pairs[1]]),
            "person": describe(plan.person),
            "policy": policy.name,
            "n_images": len(pairs[0]),
            "max_objects": plan.max_objects,
            "seed": plan.seed,
        }
        name = quote(policy.name, safe=" +=")  # a row may name a file
        path = out / f"{name}.json"
        if not is_done(path, settings):
            if on_policy is not None:
                on_policy(policy.name)
            try:
                result = Simulation(
                    base,
                    train,
                    plan.person,
                    None if policy.row.method is None else options,
                    path=out / "projects" / f"{name}.infosam",
                    measure=measure,
                    on_progress=tell,
                    on_event=on_event,
                ).run()
            except InfosamError as error:
                note(f"{policy.name} has no result: {error}")
                continue
            write_json(path, {"policy": policy.name, **result, "settings": settings})
        found.append(json.loads(path.read_text("utf-8")))
    if not found:
        raise InfosamError(note.lines[-1])
    (out / TABLE).write_text(markdown(found, note.lines), "utf-8")
    draw(out / PLOT, found, plan.data.name)
    return found


def _split(plan: Plan) -> tuple[list[Pair], list[Pair]]:
    data = plan.data
    if data.test is None and plan.n_images >= len(data.pairs):
        raise InfosamError(
            f"{data.name} has {len(data.pairs)} pairs and no test set: give fewer "
            "--images, so that some are left to measure on."
        )
    return data.split(plan.n_images, plan.n_test, plan.seed)


class _Measuring:
    """Measures models on the held-out images, the base only once."""

    def __init__(
        self,
        base: SamModel,
        samples: Sequence[Sample],
        directory: Path,
        threads: int,
        tell: OnProgress,
    ) -> None:
        self._base = base
        self._samples = samples
        self._cache = EmbeddingCache(directory)
        self._threads = threads
        self._tell = tell
        self._of_base: dict[str, float] = {}

    def __call__(self, model: SamModel) -> dict[str, float]:
        if model is self._base and self._of_base:
            return self._of_base
        own = model.encoder_hash != self._base.encoder_hash
        figures = evaluate(
            # embeddings of a tuned encoder are of no use to anybody else
            Predictor(model, EmbeddingCache() if own else self._cache),
            self._samples,
            on_progress=partial(self._tell, f"Measuring {model.version}"),
            threads=self._threads,
        ).figures()
        if model is self._base:
            self._of_base = figures
        return figures


def _silent(_what: str, _done: int, _total: int) -> None:
    """Tell nobody."""
