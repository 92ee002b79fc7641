"""The order in which objects are trained: groups of one image, batches of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_infosam.training.dataset import Sample, low_res_target

if TYPE_CHECKING:
    import numpy as np

OBJECTS_PER_GROUP = 2
"""Objects of one image in a step; they share its pass through the encoder."""


@dataclass(frozen=True, slots=True)
class Group:
    """Some objects of one image."""

    sample: Sample
    indices: tuple[int, ...]

    def targets(self, device: torch.device) -> Tensor:
        """Return ``(B, 1, h, w)`` soft masks in the decoder's resolution."""
        masks = [low_res_target(self.sample.mask(i)) for i in self.indices]
        return torch.cat(masks).to(device)


def epoch(
    samples: Sequence[Sample], images_per_batch: int, rng: np.random.Generator
) -> Iterator[list[Group]]:
    """Yield batches of groups, in which every object comes up once.

    The groups of a batch are of different images as long as there are that many.
    """
    queues = [_groups(sample, rng) for sample in samples]
    while queues:
        longest_first = sorted(queues, key=lambda q: (-len(q), rng.random()))
        yield [queue.pop() for queue in longest_first[:images_per_batch]]
        queues = [queue for queue in queues if queue]


def _groups(sample: Sample, rng: np.random.Generator) -> list[Group]:
    order = [int(i) for i in rng.permutation(len(sample.rles))]
    return [
        Group(sample, tuple(order[start : start + OBJECTS_PER_GROUP]))
        for start in range(0, len(order), OBJECTS_PER_GROUP)
    ]
