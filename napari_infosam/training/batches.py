"""The order in which objects are trained: groups of one image, batches of images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_infosam.training.dataset import Sample, low_res_target

if TYPE_CHECKING:
    import numpy as np

    from napari_infosam.core.events import StageName

IMAGES_PER_BATCH: dict[StageName, int] = {"quick": 2, "full": 4}
"""Quick takes many small steps; the information losses of full want rows."""

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
    samples: Sequence[Sample],
    images_per_batch: int,
    rng: np.random.Generator,
    objects_per_group: int = OBJECTS_PER_GROUP,
) -> Iterator[list[Group]]:
    """Yield batches of groups, in which every object comes up once.

    The groups of a batch are of different images as long as there are that many.
    """
    queues = [_groups(sample, rng, objects_per_group) for sample in samples]
    while queues:
        longest_first = sorted(queues, key=lambda q: (-len(q), rng.random()))
        yield [queue.pop() for queue in longest_first[:images_per_batch]]
        queues = [queue for queue in queues if queue]


def with_replay(
    batches: Iterable[list[Group]],
    replayed: Sequence[Sample],
    number: int,
    rng: np.random.Generator,
    objects_per_group: int = OBJECTS_PER_GROUP,
) -> Iterator[list[Group]]:
    """Yield batches with groups of other images added to each.

    Parameters
    ----------
    batches
        Of the images that are learnt.
    replayed
        The other images; they come up in turn.
    number
        Groups of them in each batch.
    rng
        Source of chance.
    objects_per_group
        Of each of them, at most.
    """
    others = _endless(replayed, rng, objects_per_group)
    for batch in batches:
        yield [*batch, *islice(others, number)]


def _endless(
    samples: Sequence[Sample], rng: np.random.Generator, most: int
) -> Iterator[Group]:
    while samples:
        for number in rng.permutation(len(samples)):
            yield _groups(samples[number], rng, most)[0]


def _groups(sample: Sample, rng: np.random.Generator, most: int) -> list[Group]:
    order = [int(i) for i in rng.permutation(len(sample.rles))]
    return [
        Group(sample, tuple(order[start : start + most]))
        for start in range(0, len(order), most)
    ]
