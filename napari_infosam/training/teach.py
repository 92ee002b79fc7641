"""The stages of a run one after the other, with validation and checkpoints."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core import events
from napari_infosam.core.errors import InfosamError
from napari_infosam.models.predictor import Predictor
from napari_infosam.models.student import StudentSpec
from napari_infosam.project.versions import BASE
from napari_infosam.training.batches import Group, epoch, with_replay
from napari_infosam.training.beginning import Beginning, decoder_weights
from napari_infosam.training.checkpoint import save_checkpoint
from napari_infosam.training.dataset import Sample, limit_objects
from napari_infosam.training.fit import DEFAULT, PUBLISHED, Fit, Progress, Schedule
from napari_infosam.training.held_out import HeldOut
from napari_infosam.training.photographs import REPLAYED, photographs
from napari_infosam.training.published import IMAGES_PER_BATCH as FULL_BATCH
from napari_infosam.training.published import PublishedStage, published_epoch
from napari_infosam.training.reporter import CancelledError, Reporter
from napari_infosam.training.stages import Stage, StepLoss
from napari_infosam.training.thrift import Portions, fits

if TYPE_CHECKING:
    from napari_infosam.core.options import FinetuneOptions
    from napari_infosam.training.features import FrozenFeatures

LOOK_OBJECTS = 8
LOOK_CLICKS = 3
"""Held-out objects and clicks each, for a look during training."""

LOOK_EVERY = 10.0
"""Seconds of training that a look is worth: it takes some of them itself."""

CHECKPOINT_SECONDS = 20.0
LEAST_SECONDS = 5.0
"""A stage gets at least this long, however short the budget."""

QUICK_SHARE = 0.25
"""Part of the time that the quick stage gets where the full one follows."""


FROM_BASE = Beginning()


class Teaching:
    """Trains a student, stage by stage.

    Parameters
    ----------
    run_dir
        Where checkpoints go.
    reporter
        Where events go.
    options
        Of the run.
    features
        Cached features of the frozen base.
    """

    def __init__(
        self,
        run_dir: Path,
        reporter: Reporter,
        options: FinetuneOptions,
        features: FrozenFeatures,
    ) -> None:
        self.run_dir = run_dir
        self.reporter = reporter
        self.options = options
        self.features = features
        self._begun_with = BASE
        self._saved_at = time.monotonic()
        self._portions = Portions()
        self._replayed: Sequence[Sample] = ()
        if options.replay:
            self._replayed = photographs(Predictor(features.base), REPLAYED)

    def teach(
        self,
        train: Sequence[Sample],
        judged: Sequence[Sample],
        seconds: float,
        checkpoint: dict[str, Any] | None = None,
        *,
        begin: Beginning = FROM_BASE,
        deaths: int = 0,
    ) -> Stage:
        """Return the trained student.

        Parameters
        ----------
        train
            What it learns from.
        judged
            Held-out objects, to keep the best student on the way; without any the last
            one is kept.
        seconds
            Budget of all stages together.
        checkpoint
            Where an earlier process stopped.
        begin
            Weights of the first step; with others than those of the base only the last
            stage is run. A checkpoint goes before them.
        deaths
            So many processes that trained the same have vanished before: the batches
            are smaller from the beginning, but for those of the published recipe.
        """
        self._begun_with = begin.version
        names = self.options.stages
        first = 0
        if checkpoint:
            first = names.index(checkpoint["stage"])
        elif begin.weights is not None:
            first = len(names) - 1
        if deaths and self.options.recipe == "default":
            sentence = self._portions.begin_smaller(names[first], deaths)
            if sentence is not None:
                self._say(sentence)
        stage: Stage | None = None
        for name in names[first:]:
            share = QUICK_SHARE if name != names[-1] else 1.0
            stage_seconds = max(LEAST_SECONDS, seconds * share)
            stage = self._stage(name, begin)
            fit = Fit(
                stage,
                self._steps(name, train),
                stage_seconds,
                self._schedule(train, stage_seconds),
                self._say,
            )
            if checkpoint and checkpoint["stage"] == name:
                fit.load_state_dict(checkpoint["fit"])
            self._notice_rows(stage, len(train))
            self._fit(name, fit, train, judged)
            seconds -= fit.progress.spent
            begin = Beginning(begin.version, decoder_weights(stage.sam))
        if stage is None:
            raise ValueError("a run has at least one stage")
        return stage

    def _stage(self, name: events.StageName, begin: Beginning) -> Stage:
        base = self.features.base
        method = self.options.method if name == "full" else "decoder"
        spec = StudentSpec.of(base, method, self.options.first_block)
        kind = PublishedStage if self.options.recipe == "paper" else Stage
        options = self.options
        if name != options.stages[-1]:  # mixed with the base once, at the end
            options = options.model_copy(update={"interpolate": 0.0})
        if begin.relation is not None:
            options = options.model_copy(update={"relation_from": str(begin.relation)})
        stage = kind(self.features, spec, options)
        begin.copy_to(stage.sam)
        return stage

    def _epoch(
        self, name: events.StageName, train: Sequence[Sample], rng: np.random.Generator
    ) -> Iterator[list[Group]]:
        if self.options.recipe == "paper":
            return published_epoch(train, rng)
        images, objects = self._portions.images(name), self._portions.objects
        batches = epoch(train, images, rng, objects)
        return with_replay(batches, self._replayed, self.options.replay, rng, objects)

    def _schedule(self, train: Sequence[Sample], seconds: float) -> Schedule:
        if self.options.recipe == "default":
            looks = int(min(seconds / LOOK_EVERY, DEFAULT.looks))  # there may be no end
            return replace(DEFAULT, looks=max(1, looks))
        # the published schedule counts the batch that is dropped
        batches = max(len(train) // FULL_BATCH, 1)
        return replace(PUBLISHED, horizon=(batches + 1) / batches)

    def _steps(self, name: events.StageName, train: Sequence[Sample]) -> int:
        batches = sum(1 for _ in self._epoch(name, train, np.random.default_rng(0)))
        if not batches:
            raise InfosamError(
                f"The published recipe drops batches of fewer than {FULL_BATCH} "
                f"images, and there are {len(train)}: accept objects on more images."
            )
        steps = batches * self.options.max_epochs
        return min(steps, self.options.max_steps or steps)

    def _notice_rows(self, stage: Stage, rows: int) -> None:
        distiller = stage.distiller
        if distiller is None or rows >= distiller.wanted_rows:
            return
        losses = self._losses()
        if rows < distiller.min_rows:
            where = "one image" if rows == 1 else f"{rows} images"
            message = (
                f"With training objects on {where} only, the {losses} are left out: "
                "accept objects on more images to use them."
            )
        else:
            message = (
                f"The {losses} see {rows} images at a time; they want "
                f"{distiller.wanted_rows}."
            )
        self._say(message)

    def _losses(self) -> str:
        distill = self.options.distill
        return "information losses" if distill == "infosam" else f"{distill} loss"

    def _say(self, sentence: str) -> None:
        self.reporter.emit(events.Notice(message=sentence))

    def _fit(
        self,
        name: events.StageName,
        fit: Fit,
        train: Sequence[Sample],
        judged: Sequence[Sample],
    ) -> None:
        words = "decoder" if fit.stage.spec.method == "decoder" else "whole student"
        self.reporter.emit(
            events.StageStarted(
                stage=name, message=f"Training the {words}", steps=fit.progress.steps
            )
        )
        few = limit_objects(judged, LOOK_OBJECTS, self.options.seed)
        looked_at = HeldOut.of(few, LOOK_OBJECTS)
        rng = np.random.default_rng((self.options.seed, fit.progress.step, 1))

        def on_step(progress: Progress, loss: StepLoss | None) -> None:
            self.reporter.emit(
                events.Step(
                    stage=name,
                    step=progress.step,
                    steps=progress.expected_steps,
                    seconds_left=progress.seconds_left,
                    loss=loss.total if loss else None,
                    parts=loss.parts if loss else {},
                )
            )
            self.reporter.check()
            # after the first one, so that whatever was begun can be resumed
            due = time.monotonic() - self._saved_at > CHECKPOINT_SECONDS
            if due or progress.step == 1:
                self._checkpoint(name, fit)

        def validate() -> float:
            if not looked_at.samples:
                return 0.0
            result = looked_at.evaluate(
                fit.stage.model(),
                self.features,
                max_clicks=LOOK_CLICKS,
                on_progress=lambda _done, _total: self.reporter.check(),
            )
            self.reporter.emit(
                events.Validation(
                    step=fit.progress.step,
                    iou_1=result.iou_after(1),
                    iou_box=result.iou_box,
                )
            )
            return (result.iou_after(1) + result.iou_after(3) + result.iou_box) / 3

        def train_on() -> None:
            fit.run(
                lambda: self._epoch(name, train, rng),
                on_step=on_step,
                validate=validate,
            )

        try:
            while not fits(train_on):
                self._save_memory(fit, name)
        except (CancelledError, MemoryError):
            self._checkpoint(name, fit)
            raise
        # for a run that is cancelled in the gate
        self._checkpoint(name, fit)

    def _save_memory(self, fit: Fit, name: events.StageName) -> None:
        """Let the stage go on with less at a time.

        Raises
        ------
        MemoryError
            If it can not: one object of one image is too much.
        """
        fit.forget_momentum()  # the step that failed may have left half of it
        # the batches of the published recipe are a part of it
        is_free = self.options.recipe == "default"
        sentence = self._portions.shrink(name) if is_free else None
        if sentence is None:
            raise MemoryError
        self._say(sentence)
        distiller, rows = fit.stage.distiller, self._portions.images(name)
        if distiller is not None and not distiller.has_rows([""] * rows):
            self._say(
                f"The {self._losses()} need {distiller.min_rows} images in a batch, "
                "and are left out."
            )

    def _checkpoint(self, name: events.StageName, fit: Fit) -> None:
        save_checkpoint(self.run_dir, name, fit.state_dict(), self._begun_with)
        self._saved_at = time.monotonic()
