"""One fine-tuning run, from the project to the gate; lives in the training process."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from napari_infosam.core import events
from napari_infosam.core.cores import half_of_the_cores
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.options import FinetuneOptions
from napari_infosam.models.devices import resolve_device
from napari_infosam.models.embeddings import EmbeddingCache
from napari_infosam.models.loading import load_model, load_version
from napari_infosam.models.student import STUDENT_FILE, StudentSpec, read_spec
from napari_infosam.models.threads import set_fastest_threads
from napari_infosam.project import Project
from napari_infosam.project.shelf import kept_sentence
from napari_infosam.project.versions import BASE, known_numbers
from napari_infosam.training.beginning import Beginning, begin_with
from napari_infosam.training.calibration import calibrate
from napari_infosam.training.candidates import choose_candidate
from napari_infosam.training.checkpoint import load_checkpoint, remove_checkpoint
from napari_infosam.training.dataset import (
    Sample,
    Split,
    count_objects,
    limit_objects,
    load_split,
)
from napari_infosam.training.features import FrozenFeatures
from napari_infosam.training.held_out import HeldOut
from napari_infosam.training.history import count_deaths
from napari_infosam.training.known_results import read_results
from napari_infosam.training.register import Origin, register
from napari_infosam.training.reporter import CONFIG_FILE, Reporter
from napari_infosam.training.teach import Teaching
from napari_infosam.training.thrift import fits

if TYPE_CHECKING:
    from napari_infosam.models.sam_model import SamModel
    from napari_infosam.training.evaluate import Evaluation
    from napari_infosam.training.stages import Stage

GATE_OBJECTS = 24
GATE_CLICKS = 8
"""Held-out objects and clicks each, for every model that the gate compares."""

LEAST_SHARE = 0.6
"""Part of the budget that teaching gets, however long the preparation took.

On a busy machine the imports alone can take most of a minute, and so can the gate where
many objects are held out.
"""


class Run:
    """A run and what its parts share.

    Parameters
    ----------
    run_dir
        Folder with ``config.json``, in ``runs`` of its project; everything the run
        writes goes there.
    reporter
        Where events go.
    started
        When the process started, by `time.monotonic`; the budget counts from there.
    """

    def __init__(self, run_dir: Path, reporter: Reporter, started: float) -> None:
        config = json.loads((run_dir / CONFIG_FILE).read_text("utf-8"))
        self.run_dir = run_dir
        self.reporter = reporter
        self.started = started
        self.options = FinetuneOptions.model_validate(config["options"])
        # not by the path in the file: the project may have been moved, or copied
        self.project = Project.open(run_dir.resolve().parent.parent, lock=False)
        self._known = read_results(self.project.cache_dir)
        self._seconds_per_model = 0.0
        # now: once it has said that it started, it would count itself
        self._deaths = count_deaths(self._runs_so_far())

    def execute(self) -> events.Finished:
        """Train, judge and register a student.

        Raises
        ------
        InfosamError
            If there is nothing to learn from, or the disk or the device fails.
        MemoryError
            If there is too little memory on the CPU as well.
        CancelledError
            If the person cancels; a checkpoint is written before.
        """
        set_fastest_threads(self.options.threads or half_of_the_cores())
        outcome: list[events.Finished] = []
        if not fits(lambda: outcome.append(self._attempt())):
            if resolve_device(self.options.device).type == "cpu":
                raise MemoryError
            self.options = self.options.model_copy(update={"device": "cpu"})
            self._notice(
                "The GPU has not enough memory for this training: it goes on, more "
                "slowly, on the CPU."
            )
            outcome.append(self._attempt())
        return outcome[0]

    def _attempt(self) -> events.Finished:
        """Do all of it on the device of the options, from the last checkpoint."""
        data_hash = self.project.data_hash()
        split = load_split(self.project, self._notice)
        # after the split: what was accepted while it was read counts as known, too
        found = self.project.objects(reviewed=True)
        _check(split, self.options, self.project)
        checkpoint = load_checkpoint(self.run_dir)
        base = load_model(self.project.model, self.options.device)
        parent = self.project.active_version
        if checkpoint is None:
            begin = begin_with(self.project, base, self.options)
        else:
            begin = Beginning(checkpoint.get("begun_with", BASE))
        versions = {v.id: v for v in self.project.versions(with_deleted=True)}
        known = known_numbers(found, versions.get(begin.version))
        origin = Origin(parent, begin.version, data_hash, known, split.by_images)
        self._announce(split, base, origin, resumed=checkpoint is not None)

        cache = EmbeddingCache(self.project.cache_dir)
        features = self._features(base, cache)
        adapted = features.first_block is not None
        judged = limit_objects(split.validation, GATE_OBJECTS, self.options.seed)
        held_out = HeldOut.of(judged, GATE_OBJECTS)
        pace = self._prepare(features, (*split.train, *held_out.samples))
        plain = features
        if features.base is not base:
            plain = FrozenFeatures(base, cache, None)
        rivals = self._rivals(plain, held_out, base, parent)

        spent = time.monotonic() - self.started
        gate_seconds = self._seconds_per_model + (
            pace * len(held_out.samples) if adapted else 0
        )
        budget = self.options.max_seconds
        teaching = Teaching(self.run_dir, self.reporter, self.options, features)
        stage = teaching.teach(
            split.train,
            judged,
            max(LEAST_SHARE * budget, budget - spent - gate_seconds),
            checkpoint,
            begin=begin,
            deaths=self._deaths,
        )
        return self._judge(stage, features, held_out, rivals, origin)

    def _runs_so_far(self) -> list[Path]:
        """Return the folders of this run and of those before it, the newest first."""
        names = sorted((path.name for path in self.project.runs()), reverse=True)
        here = self.run_dir.name
        return [self.run_dir.with_name(name) for name in names if name <= here]

    def _features(self, base: SamModel, cache: EmbeddingCache) -> FrozenFeatures:
        """Return the features that the student of the last stage needs."""
        teacher = base if self.options.recipe == "default" else base.as_published()
        method = self.options.method if "full" in self.options.stages else "decoder"
        spec = StudentSpec.of(teacher, method, self.options.first_block)
        return FrozenFeatures(
            teacher, cache, spec.first_block if spec.needs_early else None
        )

    def _announce(
        self, split: Split, base: SamModel, origin: Origin, *, resumed: bool
    ) -> None:
        self.reporter.emit(
            events.Started(
                pid=os.getpid(),
                device=str(base.device),
                model=base.name,
                parent=origin.parent,
                begun_with=origin.begun_with,
                n_train_images=len(split.train),
                n_train_objects=count_objects(split.train),
                n_validation_images=len(split.validation),
                n_validation_objects=count_objects(split.validation),
                resumed=resumed,
            )
        )

    def _prepare(self, features: FrozenFeatures, samples: tuple[Sample, ...]) -> float:
        """Fill the cache; return the seconds an image took."""
        total = len(samples)
        self._stage_started("prepare", f"Embedding {total} pictures", total)
        begin = time.monotonic()
        pace = 0.0
        for number, sample in enumerate(samples, start=1):
            self.reporter.check()
            features.prepare(sample)
            pace = (time.monotonic() - begin) / number
            self.reporter.emit(
                events.Step(
                    stage="prepare",
                    step=number,
                    steps=total,
                    seconds_left=pace * (total - number),
                )
            )
        return pace

    def _rivals(
        self,
        features: FrozenFeatures,
        held_out: HeldOut,
        base: SamModel,
        parent: str,
    ) -> dict[str, Evaluation]:
        """Evaluate the base and the active version on the held-out objects."""
        models = {BASE: base}
        if parent != BASE:
            models[parent] = load_version(self.project, parent, base=base)
            if models[parent].encoder_hash != base.encoder_hash:
                spec = read_spec(self.project.version_dir(parent) / STUDENT_FILE)
                features = FrozenFeatures(
                    base, EmbeddingCache(self.project.cache_dir), spec.first_block
                )
        results = {}
        for name, model in models.items():
            found = self._measure(model, features, held_out, f"Measuring {name}")
            held_out.keep(self._known, model, found)
            self._seconds_per_model = sum(one.seconds_in_all for one in found.objects)
            results[name] = found
        return results

    def _judge(
        self,
        stage: Stage,
        features: FrozenFeatures,
        held_out: HeldOut,
        rivals: Mapping[str, Evaluation],
        origin: Origin,
    ) -> events.Finished:
        self.reporter.check()
        version_id = self.project.reserve_version()

        def measure(model: SamModel, interpolation: float) -> Evaluation:
            mixed = f", {interpolation:.0%} base," if interpolation else ""
            message = f"Comparing {version_id}{mixed} with {origin.parent}"
            return self._measure(model, features, held_out, message)

        chosen = choose_candidate(stage, rivals, measure)
        evaluation = calibrate(stage, chosen.evaluation)
        if chosen.verdict.accepted:  # the next student meets it
            held_out.keep(self._known, stage.model(), evaluation)
        gate = events.Gate(
            version_id=version_id,
            accepted=chosen.verdict.accepted,
            reason=chosen.verdict.reason,
            base=rivals["base"].metrics(),
            active=rivals[origin.parent].metrics(),
            candidate=evaluation.metrics(),
            interpolation=chosen.interpolation,
        )
        answers = register(
            self.project, stage, self.options, gate, origin, self.run_dir
        )
        remove_checkpoint(self.run_dir)
        self.reporter.emit(events.Candidate(version_id=version_id))
        self.reporter.emit(gate)
        if gate.accepted and not answers:
            self._notice(kept_sentence(self.project, version_id))
        return events.Finished(
            version_id=version_id,
            accepted=gate.accepted,
            seconds=time.monotonic() - self.started,
        )

    def _measure(
        self,
        model: SamModel,
        features: FrozenFeatures,
        held_out: HeldOut,
        message: str,
    ) -> Evaluation:
        self._stage_started("gate", message, count_objects(held_out.samples))

        def on_progress(done: int, total: int) -> None:
            self.reporter.emit(events.Step(stage="gate", step=done, steps=total))
            self.reporter.check()

        return held_out.evaluate(
            model,
            features,
            max_clicks=GATE_CLICKS,
            on_progress=on_progress,
            known=self._known,
        )

    def _notice(self, sentence: str) -> None:
        self.reporter.emit(events.Notice(message=sentence))

    def _stage_started(self, stage: events.StageName, message: str, steps: int) -> None:
        self.reporter.emit(
            events.StageStarted(stage=stage, message=message, steps=steps)
        )


def _check(split: Split, options: FinetuneOptions, project: Project) -> None:
    if not split.train:
        raise InfosamError("Accept at least two objects before fine-tuning.")
    if not split.validation:
        raise InfosamError(
            "Accept at least two objects before fine-tuning: one is held out to check "
            "that the student is better."
        )
    if options.model not in (None, project.model):
        raise InfosamError(
            f"This project belongs to the model {project.model}, not {options.model}: "
            "make another project for another model."
        )
