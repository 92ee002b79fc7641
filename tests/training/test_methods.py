"""A training step of every method and with every distiller."""

from __future__ import annotations

import copy
import functools
from typing import get_args

import numpy as np
import pytest
import torch
from segment_anything.modeling import ImageEncoderViT

from napari_infosam.core.options import FinetuneOptions, Method
from napari_infosam.models.sam_model import SamModel
from napari_infosam.models.student import StudentSpec
from napari_infosam.training.batches import Group
from napari_infosam.training.features import FrozenFeatures
from napari_infosam.training.stages import Stage

from .helpers import assert_same, make_stage, state_of

CPU = torch.device("cpu")


@pytest.mark.parametrize("method", ["conv-lora", "su-sam", "hq-sam"])
def test_a_step_changes_what_the_method_tunes_and_nothing_else(
    base, adapted, groups, method
):
    stage = make_stage(adapted, method)
    before = state_of(stage.sam)
    optimizer = torch.optim.Adam(stage.parameters, lr=1e-3)
    for number in range(2):  # what starts at zero keeps its inputs idle for a step
        optimizer.zero_grad()
        loss = stage.step(groups[:2], np.random.default_rng(number))
        assert {"structure", "relation", "distill"} <= loss.parts.keys()
        optimizer.step()
    tuned = {name for name, p in stage.sam.named_parameters() if p.requires_grad}
    changed = {
        key
        for key, value in stage.sam.state_dict().items()
        if not torch.equal(value, before[key])
    }
    assert changed <= tuned
    decoder = {name for name in changed if name.startswith("mask_decoder.")}
    if method == "hq-sam":
        heads = ("mask_decoder.hq.", "mask_decoder.iou_prediction_head.")
        assert changed
        assert all(name.startswith(heads) for name in changed)
    else:
        assert decoder
        assert changed > decoder
    assert_same(
        base.sam, {k: v for k, v in before.items() if k in base.sam.state_dict()}
    )


@pytest.fixture(scope="module")
def undistilled(adapted, groups):
    """Return a stage without a teacher after a step, and the loss of that step."""
    stage = make_stage(adapted, "adapter", distill="none")
    return stage, stage.step(groups, np.random.default_rng(0))


@pytest.mark.slow
@pytest.mark.parametrize("distill", ["vid", "pkt", "logit"])
def test_a_step_with_every_distiller_reaches_the_encoder(
    adapted, groups, undistilled, distill
):
    plain, reference = undistilled
    # heavy, as the gradients of PKT are smaller than the rounding of others in float32
    stage = make_stage(adapted, "adapter", distill=distill, distill_weight=100.0)
    loss = stage.step(groups, np.random.default_rng(0))
    assert loss.total == pytest.approx(
        reference.total + 100 * loss.parts["distill"], rel=1e-4
    )
    names = {name for name, _ in plain.sam.image_encoder.named_parameters()}
    adapters = [name for name in names if "D_fc2" in name]
    assert len(adapters) == 2 * 2 * 8
    for name in adapters:
        mine = stage.sam.image_encoder.get_parameter(name).grad
        other = plain.sam.image_encoder.get_parameter(name).grad
        assert not torch.allclose(mine, other), name


def test_the_early_features_of_hq_sam_are_those_of_its_model(adapted, samples):
    """Training, validation and clicking must see the same."""
    stage = make_stage(adapted, "hq-sam")
    model = stage.model()
    fresh = model.encode(samples[0].picture)
    known = adapted.image_embedding(samples[0], model)
    assert known.encoder_hash == model.encoder_hash != adapted.base.encoder_hash
    torch.testing.assert_close(known.features, fresh, atol=2e-2, rtol=2e-2)
    with torch.no_grad():
        trained_on = stage._embedding(Group(samples[0], (0,)))
    torch.testing.assert_close(trained_on, known.features.float())


@pytest.fixture(scope="module")
def vit_features(base, cache) -> FrozenFeatures:
    """Return features of a Segment Anything with a ViT, small and untrained."""
    torch.manual_seed(0)
    encoder = ImageEncoderViT(
        depth=4,
        embed_dim=32,
        num_heads=2,
        mlp_ratio=2,
        out_chans=256,
        use_rel_pos=True,
        rel_pos_zero_init=False,
        window_size=14,
        global_attn_indexes=(2,),
        norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6),
    )
    sam = copy.deepcopy(base.sam)
    sam.image_encoder = encoder
    return FrozenFeatures(SamModel(sam, "small", CPU), cache, 3)


@pytest.mark.parametrize("method", [m for m in get_args(Method) if m != "decoder"])
def test_every_method_trains_a_vit(vit_features, groups, method):
    spec = StudentSpec.of(vit_features.base, method, first_block=3)
    assert spec.first_block == 3  # of hq-sam too: behind the first global attention
    stage = Stage(
        vit_features, spec, FinetuneOptions(method=method, learning_rate=1e-3)
    )
    before = state_of(stage.sam)
    optimizer = torch.optim.Adam(stage.parameters, lr=1e-3)
    for number in range(2):
        optimizer.zero_grad()
        loss = stage.step(groups[:2], np.random.default_rng(number))
        assert np.isfinite(loss.total)
        optimizer.step()
    part = "mask_decoder.hq." if method == "hq-sam" else "image_encoder.blocks.3."
    changed = [
        key
        for key, value in stage.sam.state_dict().items()
        if not torch.equal(value, before[key])
    ]
    assert any(key.startswith(part) for key in changed)
    assert not any(key.startswith("image_encoder.blocks.2.") for key in changed)

    model = stage.model()
    fresh = model.encode(groups[0].sample.picture)
    known = vit_features.image_embedding(groups[0].sample, model)
    torch.testing.assert_close(known.features, fresh, atol=2e-2, rtol=2e-2)
