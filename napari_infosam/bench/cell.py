"""One cell of the table: train a row on a data set with a seed, and measure it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from napari_infosam.models.predictor import Predictor
from napari_infosam.models.student import StudentSpec
from napari_infosam.training.beginning import Beginning, decoder_weights
from napari_infosam.training.dataset import limit_objects
from napari_infosam.training.evaluate import evaluate
from napari_infosam.training.features import FrozenFeatures
from napari_infosam.training.published_evaluation import Prompt, evaluate_as_published
from napari_infosam.training.reporter import Reporter
from napari_infosam.training.teach import FROM_BASE, Teaching

if TYPE_CHECKING:
    from napari_infosam.bench.rows import Row
    from napari_infosam.core.events import TrainingEvent
    from napari_infosam.core.options import FinetuneOptions
    from napari_infosam.models.embeddings import EmbeddingCache
    from napari_infosam.models.sam_model import SamModel
    from napari_infosam.training.dataset import Sample
    from napari_infosam.training.stages import Stage


HELD_OUT_EVERY = 6
"""One image in so many is not learnt from, and chooses the best student on the way."""


@dataclass(frozen=True, slots=True)
class Material:
    """What a cell learns from and is measured on.

    Attributes
    ----------
    train, test
        Of the cell's own data set.
    others
        Samples of other data sets, to see what the student has forgotten.
    """

    train: Sequence[Sample]
    test: Sequence[Sample]
    others: Mapping[str, Sequence[Sample]]


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a cell is measured.

    Attributes
    ----------
    max_clicks
        Clicks counted for objects that never get there.
    max_objects
        Objects that are measured, drawn evenly over the images; None for all.
    prompt
        What the published figures are asked with; None leaves them out.
    """

    max_clicks: int = 20
    max_objects: int | None = 60
    prompt: Prompt | None = None


@dataclass(frozen=True, slots=True)
class QuickStage:
    """What came of a quick stage.

    Attributes
    ----------
    end
        What the full stage begins with.
    seconds, steps
        What it took.
    """

    end: Beginning
    seconds: float
    steps: dict[str, int]


QuickStages: TypeAlias = dict["FinetuneOptions", QuickStage]
"""By their options: rows of the same images begin with the same quick stage."""


def run_cell(
    base: SamModel,
    row: Row,
    material: Material,
    options: FinetuneOptions,
    protocol: Protocol,
    *,
    cache: EmbeddingCache,
    folder: Path,
    quick: QuickStages,
    on_event: Callable[[TrainingEvent], None] | None = None,
) -> dict[str, Any]:
    """Train and measure; return the figures.

    Parameters
    ----------
    base
        The base model, which is the teacher too.
    row, material, options, protocol
        What is trained, on what, how, and how it is measured.
    cache
        Of embeddings and early features, for all cells together.
    folder
        Where checkpoints and events of the run go.
    quick
        Of earlier cells with the same material; this one may add its own.
    on_event
        Called with every event of the training.
    """
    if options.recipe == "paper":  # the row that is not trained included
        base = base.as_published()
    model, trained = base, dict[str, Any]()
    features = FrozenFeatures(base, cache, None)
    if row.method is not None:
        features, model, trained = _train(
            base, material.train, options, cache, folder, quick, on_event
        )
    threads = options.threads or 1
    figures = _measure(model, features, material.test, protocol, threads)
    others = {
        name: _measure(model, features, samples, protocol, threads)
        for name, samples in material.others.items()
    }
    return {**trained, "figures": figures, "others": others}


def _train(
    base: SamModel,
    train: Sequence[Sample],
    options: FinetuneOptions,
    cache: EmbeddingCache,
    folder: Path,
    quick: QuickStages,
    on_event: Callable[[TrainingEvent], None] | None,
) -> tuple[FrozenFeatures, SamModel, dict[str, Any]]:
    held_out, learnt = list(train[::HELD_OUT_EVERY]), list(train)
    del learnt[::HELD_OUT_EVERY]
    if options.recipe == "paper":
        held_out, learnt = [], list(train)
    spec = StudentSpec.of(base, options.method, options.first_block)
    features = FrozenFeatures(
        base, cache, spec.first_block if spec.needs_early else None
    )
    folder.mkdir(parents=True, exist_ok=True)

    def teach(
        options: FinetuneOptions, begin: Beginning = FROM_BASE
    ) -> tuple[Stage, float, dict[str, int]]:
        reporter = _Listener(folder, on_event)
        began = time.monotonic()
        try:
            stage = Teaching(folder, reporter, options, features).teach(
                learnt, held_out, options.max_seconds, begin=begin
            )
        finally:
            reporter.close()
        return stage, time.monotonic() - began, reporter.steps

    begun: QuickStage | None = None
    if options.stages == ("quick", "full"):
        common = options.of_quick_stage()
        if common not in quick:
            stage, seconds, steps = teach(common)
            end = Beginning(weights=decoder_weights(stage.sam))
            quick[common] = QuickStage(end, seconds, steps)
        begun = quick[common]
    stage, seconds, steps = teach(options, begun.end if begun else FROM_BASE)
    if begun is not None:
        seconds, steps = seconds + begun.seconds, begun.steps | steps
    return (
        features,
        stage.model(),
        {
            "train_seconds": seconds,
            "trained_parameters": sum(p.numel() for p in stage.trained),
            "steps": steps,
        },
    )


class _Listener(Reporter):
    """A reporter whose events are also heard here, and whose steps are counted."""

    def __init__(
        self, folder: Path, on_event: Callable[[TrainingEvent], None] | None
    ) -> None:
        self.steps: dict[str, int] = {}
        self._on_event = on_event
        super().__init__(folder)

    def emit(self, event: TrainingEvent) -> None:
        super().emit(event)
        if event.kind == "step":
            self.steps[event.stage] = event.step
        if self._on_event is not None and event.kind != "heartbeat":
            self._on_event(event)


def _measure(
    model: SamModel,
    features: FrozenFeatures,
    samples: Sequence[Sample],
    protocol: Protocol,
    threads: int,
) -> dict[str, float]:
    """Return the figures of a model on some samples."""
    chosen = samples
    if protocol.max_objects is not None:
        chosen = limit_objects(samples, protocol.max_objects, seed=0)
    for sample in chosen:
        features.prepare(sample)
    predictor = Predictor(model)
    result = evaluate(
        predictor,
        chosen,
        max_clicks=protocol.max_clicks,
        embeddings=[features.image_embedding(sample, model) for sample in chosen],
        threads=threads,
    )
    figures = result.figures()
    if protocol.prompt is not None:
        published = evaluate_as_published(
            predictor,
            samples,
            prompt=protocol.prompt,
            embed=lambda sample: features.image_embedding(sample, model),
        )
        figures |= {f"paper_{k}": v for k, v in asdict(published).items()}
    return figures
