"""Students in training, and what has changed of them."""

from __future__ import annotations

import torch

from napari_infosam.core.options import FinetuneOptions
from napari_infosam.models.student import StudentSpec
from napari_infosam.training.stages import Stage


def make_stage(features, method: str, **options) -> Stage:
    base = features.base
    spec = StudentSpec(base=base.name, base_hash=base.weights_hash, method=method)
    return Stage(features, spec, FinetuneOptions(**options))


def state_of(sam) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in sam.state_dict().items()}


def assert_same(sam, before) -> None:
    for key, value in sam.state_dict().items():
        assert torch.equal(value, before[key]), key
