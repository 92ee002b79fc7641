from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_infosam.core.masks import encode_rle
from napari_infosam.training.batches import OBJECTS_PER_GROUP, epoch, with_replay
from napari_infosam.training.dataset import Sample, low_res_shape

COUNTS = st.lists(st.integers(1, 9), min_size=1, max_size=6)


def named(counts) -> list[Sample]:
    picture = np.zeros((4, 4, 3), np.uint8)
    return [
        Sample(str(i), picture, tuple(f"{i}-{j}".encode() for j in range(count)))
        for i, count in enumerate(counts)
    ]


@given(counts=COUNTS, size=st.integers(1, 5), seed=st.integers(0, 9))
def test_an_epoch(counts, size, seed):
    samples = named(counts)
    batches = list(epoch(samples, size, np.random.default_rng(seed)))
    seen = Counter(
        group.sample.rles[index]
        for batch in batches
        for group in batch
        for index in group.indices
    )
    assert seen == Counter(rle for sample in samples for rle in sample.rles)
    for batch in batches:
        names = [group.sample.name for group in batch]
        assert len(names) == len(set(names))
        assert 1 <= len(batch) <= size
        assert all(1 <= len(g.indices) <= OBJECTS_PER_GROUP for g in batch)


@given(counts=st.lists(st.integers(4, 4), min_size=4, max_size=8))
def test_batches_are_full_as_long_as_there_are_images(counts):
    """The information losses live on the number of images in a batch."""
    batches = list(epoch(named(counts), 4, np.random.default_rng(0)))
    groups = sum(len(batch) for batch in batches)
    assert sum(len(batch) == 4 for batch in batches) == groups // 4


def order(seed: int) -> list[list[tuple[str, tuple[int, ...]]]]:
    batches = epoch(named([5, 3, 8]), 2, np.random.default_rng(seed))
    return [[(g.sample.name, g.indices) for g in batch] for batch in batches]


def test_the_order_depends_on_the_seed_alone():
    assert order(1) == order(1)
    assert len({str(order(seed)) for seed in range(6)}) > 1


def test_one_generator_gives_different_epochs():
    rng = np.random.default_rng(0)
    samples = named([6, 6])
    first, second = (
        [[g.indices for g in batch] for batch in epoch(samples, 2, rng)]
        for _ in range(2)
    )
    assert first != second


def test_targets_are_the_objects_of_the_group():
    shape = (30, 60)
    masks = []
    for column in (3, 20, 40):
        mask = np.zeros(shape, bool)
        mask[5:20, column : column + 12] = True
        masks.append(mask)
    sample = Sample("a", np.zeros((*shape, 3), np.uint8), tuple(map(encode_rle, masks)))
    for batch in epoch([sample], 4, np.random.default_rng(0)):
        (group,) = batch
        targets = group.targets(torch.device("cpu"))
        assert targets.shape == (len(group.indices), 1, *low_res_shape(shape))
        scale = 256 / 60
        for index, target in zip(group.indices, targets[:, 0].numpy(), strict=True):
            _, columns = np.nonzero(target > 0.5)
            left = np.nonzero(masks[index])[1].min()
            assert abs(columns.min() - left * scale) <= 2


@given(counts=COUNTS, others=COUNTS, number=st.integers(0, 3), seed=st.integers(0, 9))
def test_other_images_are_replayed_in_turn(counts, others, number, seed):
    samples = named(counts)
    replayed = [
        replace(sample, name=f"other {sample.name}") for sample in named(others)
    ]
    batches = list(epoch(samples, 2, np.random.default_rng(seed)))
    rng = np.random.default_rng(seed)
    mixed = list(with_replay(batches, replayed, number, rng))
    assert [batch[: len(batch) - number] for batch in mixed] == batches
    seen = Counter(
        g.sample.name for batch in mixed for g in batch[len(batch) - number :]
    )
    assert sum(seen.values()) == number * len(batches)
    times = [seen[sample.name] for sample in replayed]
    assert max(times) - min(times) <= 1


def test_nothing_to_replay_changes_nothing():
    batches = list(epoch(named([2, 3]), 2, np.random.default_rng(0)))
    assert list(with_replay(batches, [], 2, np.random.default_rng(0))) == batches
