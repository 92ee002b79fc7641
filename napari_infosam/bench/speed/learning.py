"""Speed of training steps, and the memory of a training."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_infosam.bench.data import read_data_set
from napari_infosam.bench.speed.measure import (
    Row,
    alternate,
    compare,
    peak_memory,
)
from napari_infosam.bench.speed.references import AuthorsRecipe, DecoderTuning
from napari_infosam.core.cores import all_cores
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.masks import encode_rle, iter_objects
from napari_infosam.core.options import FinetuneOptions, Method
from napari_infosam.models import EmbeddingCache, load_model
from napari_infosam.models.student import StudentSpec
from napari_infosam.synthetic import make_set
from napari_infosam.training.batches import IMAGES_PER_BATCH, epoch
from napari_infosam.training.dataset import Sample
from napari_infosam.training.features import FrozenFeatures
from napari_infosam.training.stages import Stage

if TYPE_CHECKING:
    from napari_infosam.bench.speed.measure import Work

IMAGES = 8
EPOCHS = 100
MEMORY_STEPS = 3

AUTHORS = "the authors' recipe"
BARE = "bare float32 decoder, there and back"


def read_samples(folder: Path | None) -> list[Sample]:
    """Return images with one object each; synthetic cells without a data set."""
    if folder is not None:
        data = read_data_set(folder)
        samples = data.read(data.pairs[:IMAGES])
        if len(samples) < IMAGES_PER_BATCH["full"]:
            raise InfosamError(
                f"{folder} has {len(samples)} usable pairs: give a data set of "
                f"{IMAGES_PER_BATCH['full']} or more, or none for synthetic cells."
            )
    else:
        samples = [
            Sample(
                i.name, i.image, tuple(encode_rle(m) for _, m in iter_objects(i.labels))
            )
            for i in make_set(IMAGES, 0)
        ]
    return [replace(sample, rles=sample.rles[:1]) for sample in samples]


class Learning:
    """Some images, and ways to learn from them.

    Parameters
    ----------
    data
        Folder of a data set, or None for synthetic cells.
    """

    def __init__(self, data: Path | None = None) -> None:
        self.samples = read_samples(data)
        self.base = load_model("vit_t", "cpu")
        self._cache = EmbeddingCache()

    def stage(self, method: Method) -> Stage:
        """Return a stage by the default recipe, its features computed."""
        spec = StudentSpec.of(self.base, method)
        block = spec.first_block if spec.needs_early else None
        features = FrozenFeatures(self.base, self._cache, block)
        for sample in self.samples:
            features.prepare(sample)
        return Stage(features, spec, FinetuneOptions(threads=all_cores()))

    def steps(self, stage: Stage, batch: int) -> Callable[[], None]:
        """Return what takes one step of a stage, corrective clicks included."""
        optimizer = torch.optim.Adam(stage.parameters, 1e-4)
        rng = np.random.default_rng(0)
        batches = [
            groups for _ in range(EPOCHS) for groups in epoch(self.samples, batch, rng)
        ]

        def step() -> None:
            optimizer.zero_grad()
            stage.step(batches.pop(), rng)
            optimizer.step()

        return step

    @cached_property
    def quick(self) -> Work:
        """A step of the quick stage."""
        return self.steps(self.stage("decoder"), IMAGES_PER_BATCH["quick"])

    @cached_property
    def full(self) -> Work:
        """A step of the full stage."""
        return self.steps(self.stage("adapter"), IMAGES_PER_BATCH["full"])

    @cached_property
    def authors(self) -> AuthorsRecipe:
        """The reference of the full stage, with as many images in a step."""
        return AuthorsRecipe(self.base, self.samples[: IMAGES_PER_BATCH["full"]])

    def quick_steps(self, repetitions: int) -> list[Row]:
        """Return how long the quick stage takes for an object."""
        embedding = self.stage("decoder").features.embedding(self.samples[0])
        bare = DecoderTuning(self.base, self.samples[0], embedding)
        names = "quick step, an object", BARE
        seconds = alternate({names[0]: self.quick, names[1]: bare.step}, repetitions)
        return [
            compare(
                "quick",
                names,
                (seconds[names[0]], seconds[names[1]]),
                aim=1 / 2,
                share=1 / IMAGES_PER_BATCH["quick"],
            )
        ]

    def full_steps(self, repetitions: int) -> list[Row]:
        """Return how long the full stage takes for an image."""
        names = "full step, an image", AUTHORS
        works = {names[0]: self.full, names[1]: self.authors.step}
        seconds = alternate(works, repetitions)
        values = seconds[names[0]], seconds[names[1]]
        return [compare("full", names, values, aim=1 / 6)]


def memory(repetitions: int) -> list[Row]:
    """Return the memory of full training beside the authors' recipe.

    Each runs in a process of its own, from loading the model to the third step.
    """
    names = "memory of full training", AUTHORS
    found: dict[str, list[float]] = {"ours": [], "authors": []}
    for _ in range(repetitions):
        for side, values in found.items():
            values.append(_memory_of(side))
    return [
        compare(
            "memory", names, (found["ours"], found["authors"]), aim=1 / 2, unit="MiB"
        )
    ]


def _memory_of(side: str) -> float:
    command = [sys.executable, "-m", __name__, side]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the measuring process failed: {done.stderr[-2000:]}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def _take_steps(side: str) -> float:
    """Return the MiB that training takes from here on."""
    with peak_memory() as peak:
        learning = Learning()
        step = learning.full if side == "ours" else learning.authors.step
        for _ in range(MEMORY_STEPS):
            step()
    return peak.mebibytes


if __name__ == "__main__":
    print(json.dumps(_take_steps(sys.argv[1])))
