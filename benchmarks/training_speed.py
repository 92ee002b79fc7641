"""Steps of both stages against plain ones of the same model, as ratios in one run.

    python benchmarks/training_speed.py [--data DIR] [--repetitions 10]

takes eight images of a data set (laid out as for ``infosam bench``; without one,
synthetic cells), one object each. The reference of the full stage is the authors'
recipe on MobileSAM: four images, teacher and student forward through the whole encoder
and backward through all adapted blocks, float32, one prompt an image, masks compared
at 1024 x 1024, nothing cached. That of the quick stage is the plain float32 decoder,
forward and backward, with one prompt. Some minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_infosam.bench.data import read_data_set
from napari_infosam.core.cores import all_cores
from napari_infosam.core.masks import encode_rle, iter_objects
from napari_infosam.core.options import FinetuneOptions, Method
from napari_infosam.models import EmbeddingCache, load_model
from napari_infosam.models.decoder import Decoder
from napari_infosam.models.registry import build_sam
from napari_infosam.models.student import StudentSpec, build_student
from napari_infosam.synthetic import make_set
from napari_infosam.training.batches import IMAGES_PER_BATCH, Group, epoch
from napari_infosam.training.dataset import Sample
from napari_infosam.training.features import FrozenFeatures
from napari_infosam.training.losses import structure_loss
from napari_infosam.training.prompting import PromptPlan, draw_prompts
from napari_infosam.training.relation import RelationModule, information_losses
from napari_infosam.training.stages import Stage

if TYPE_CHECKING:
    from napari_infosam.models.sam_model import SamModel

IMAGES = 8
BATCH, QUICK_BATCH = IMAGES_PER_BATCH["full"], IMAGES_PER_BATCH["quick"]
SIDE, WINDOW = 1024, 31
POINT = PromptPlan(box=False, corrections=0)


def read(folder: Path | None) -> list[Sample]:
    """Return samples of one object each."""
    if folder is not None:
        data = read_data_set(folder)
        samples = data.read(data.pairs[:IMAGES])
    else:
        samples = [
            Sample(
                i.name, i.image, tuple(encode_rle(m) for _, m in iter_objects(i.labels))
            )
            for i in make_set(IMAGES, 0)
        ]
    return [replace(sample, rles=sample.rles[:1]) for sample in samples]


class Plain:
    """A student and its teacher in float32, with nothing cached."""

    def __init__(self, spec: StudentSpec, samples: list[Sample]) -> None:
        self.teacher, _ = build_sam("vit_t")
        self.student, trained = build_student(self.teacher, spec)
        self.decoders = Decoder(self.teacher), Decoder(self.student)
        self.relation = RelationModule()
        self.trained = [*trained, *self.relation.parameters()]
        self.optimizer = torch.optim.Adam(self.trained, 2e-4)
        self.groups = [Group(sample, (0,)) for sample in samples]
        self.rng = np.random.default_rng(0)

    def full(self, inputs: Tensor) -> None:
        """Take a step of the authors' recipe."""
        with torch.no_grad():
            known = self.teacher.image_encoder(inputs)
        seen = self.student.image_encoder(inputs)
        tokens: tuple[list[Tensor], list[Tensor]] = ([], [])
        loss = torch.zeros(())
        for number, group in enumerate(self.groups[:BATCH]):
            targets = group.targets(inputs.device)
            one, other = known[number : number + 1], seen[number : number + 1]
            prompts = draw_prompts(POINT, targets, self.decoders[1], other, self.rng)
            with torch.no_grad():
                tokens[0].append(self.decoders[0](one, prompts).mask_token)
            output = self.decoders[1](other, prompts)
            tokens[1].append(output.mask_token)
            logits = F.interpolate(output.logits[:, :1], (SIDE, SIDE), mode="bilinear")
            target = F.interpolate(targets, (SIDE, SIDE), mode="bilinear")
            loss = loss + structure_loss(logits, target, WINDOW).mean() / BATCH
        rows = [features.flatten(2).mT for features in (known, seen)]
        taught, learnt = map(torch.cat, tokens)
        losses = information_losses(self.relation, rows[0], taught, rows[1], learnt)
        self._update(loss + losses.weighted())

    def quick(self, embedding: Tensor) -> None:
        """Take one prompt forward and backward through the decoder."""
        targets = self.groups[0].targets(embedding.device)
        prompts = draw_prompts(POINT, targets, self.decoders[1], embedding, self.rng)
        logits = self.decoders[1](embedding, prompts).logits[:, :1]
        height, width = targets.shape[-2:]
        loss = F.binary_cross_entropy_with_logits(logits[..., :height, :width], targets)
        self._update(loss)

    def _update(self, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def make_stage(
    base: SamModel, method: Method, cache: EmbeddingCache, samples: list[Sample]
) -> Stage:
    """Return a stage by the default recipe, its features cached."""
    spec = StudentSpec.of(base, method)
    features = FrozenFeatures(
        base, cache, spec.first_block if spec.needs_early else None
    )
    for sample in samples:
        features.prepare(sample)
    return Stage(features, spec, FinetuneOptions(threads=all_cores()))


def ours(stage: Stage, samples: list[Sample], batch: int) -> Callable[[], None]:
    """Return a step of a stage as it is trained, corrective clicks included."""
    optimizer = torch.optim.Adam(stage.parameters, 1e-4)
    rng = np.random.default_rng(0)
    batches = [group for _ in range(100) for group in epoch(samples, batch, rng)]

    def step() -> None:
        optimizer.zero_grad()
        stage.step(batches.pop(), rng)
        optimizer.step()

    return step


def compare(
    first: Callable[[], None], second: Callable[[], None], share: float, times: int
) -> dict[str, float]:
    """Return how long the first takes for its share, over the second; alternating."""
    first(), second()
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(times):
        for work, spent in zip((first, second), seconds, strict=True):
            start = time.perf_counter()
            work()
            spent.append(time.perf_counter() - start)
    ratios = share * np.divide(*seconds)
    return {
        "ratio": share * median(seconds[0]) / median(seconds[1]),
        "ratio_quartile_1": float(np.quantile(ratios, 0.25)),
        "ratio_quartile_3": float(np.quantile(ratios, 0.75)),
        "seconds": median(seconds[0]),
        "seconds_reference": median(seconds[1]),
    }


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--repetitions", type=int, default=10)
    arguments = parser.parse_args()
    samples = read(arguments.data)
    base = load_model("vit_t", "cpu")
    plain = Plain(StudentSpec.of(base, "adapter", 2), samples)
    inputs = torch.cat([base.encoder_input(s.picture) for s in samples[:BATCH]])
    answer: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        cache = EmbeddingCache(Path(folder))
        stages = {
            name: make_stage(base, method, cache, samples)
            for name, method in (("quick", "decoder"), ("full", "adapter"))
        }
        embedding = stages["quick"].features.embedding(samples[0])
        answer["quick, an object"] = compare(
            ours(stages["quick"], samples, QUICK_BATCH),
            lambda: plain.quick(embedding),
            1 / QUICK_BATCH,
            arguments.repetitions,
        )
        answer["full, an image"] = compare(
            ours(stages["full"], samples, BATCH),
            lambda: plain.full(inputs.contiguous()),
            1.0,
            arguments.repetitions,
        )
    answer |= {"threads": torch.get_num_threads(), "torch": torch.__version__}
    print(json.dumps(answer, indent=2))


if __name__ == "__main__":
    main()
