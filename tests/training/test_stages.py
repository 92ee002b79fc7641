from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_infosam.training import stages
from napari_infosam.training.distill import Views
from napari_infosam.training.prompting import PromptPlan, draw_prompts
from napari_infosam.training.stages import Stage, _mask_loss

from .helpers import assert_same, make_stage, state_of

if TYPE_CHECKING:
    from napari_infosam.training.batches import Group

CPU = torch.device("cpu")


def plain_loss(stage: Stage, group: Group) -> float:
    """Return the loss of fixed prompts, to compare before with after."""
    targets = group.targets(CPU)
    rng = np.random.default_rng(0)
    total = 0.0
    with torch.no_grad():
        embedding = stage._embedding(group)
        for box in (False, True):
            plan = PromptPlan(box, 0)
            prompts = draw_prompts(plan, targets, stage.decoder, embedding, rng)
            output = stage.decoder(embedding, prompts)
            total += _mask_loss(output, targets, ambiguous=False)[0].item()
    return total


def test_the_quick_stage_learns_an_object_and_leaves_the_base_alone(
    base, frozen, groups
):
    before = state_of(base.sam)
    stage = make_stage(frozen, "decoder")
    assert stage.distiller is None
    group = groups[0]
    first = plain_loss(stage, group)
    optimizer = torch.optim.Adam(stage.parameters, lr=1e-4)
    rng = np.random.default_rng(0)
    for _ in range(8):
        optimizer.zero_grad()
        loss = stage.step([group], rng)
        assert loss.parts.keys() == {"structure", "iou"}
        assert all(np.isfinite(v) and v >= 0 for v in loss.parts.values())
        optimizer.step()
    assert plain_loss(stage, group) < 0.8 * first
    assert_same(base.sam, before)
    assert all(p.grad is None for p in base.sam.parameters())
    # and of the student, only the decoder has changed
    for key, value in stage.sam.state_dict().items():
        if not key.startswith("mask_decoder."):
            assert torch.equal(value, before[key]), key


def test_the_quick_stage_reaches_every_part_of_the_decoder(frozen, groups):
    stage = make_stage(frozen, "decoder")
    rng = np.random.default_rng(0)
    for _ in range(6):
        stage.step([groups[1]], rng)
    idle = {
        name
        for name, p in stage.sam.mask_decoder.named_parameters()
        if p.grad is None or not p.grad.abs().max() > 0
    }
    # softmax hides the biases of keys, and of the three ambiguity masks the best is
    # trained; neither it nor the IoU head may become stale
    idle = {name for name in idle if not name.endswith("k_proj.bias")}
    heads = {f"output_hypernetworks_mlps.{number}" for number in (1, 2, 3)}
    assert {".".join(name.split(".")[:2]) for name in idle} < heads


def test_the_loss_of_a_batch_is_the_mean_of_its_groups(frozen, groups):
    stage = make_stage(frozen, "decoder")
    together = stage.step(groups, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    alone = [stage.step([group], rng) for group in groups]
    assert together.total == pytest.approx(
        np.mean([loss.total for loss in alone]), rel=1e-4
    )
    for name in ("structure", "iou"):
        assert together.parts[name] == pytest.approx(
            np.mean([loss.parts[name] for loss in alone]), rel=1e-4
        )


def test_a_step_depends_on_the_seed_alone(frozen, groups):
    losses = [
        make_stage(frozen, "decoder").step(groups[:1], np.random.default_rng(seed))
        for seed in (5, 5, 6)
    ]
    first, again, other = (loss.total for loss in losses)
    assert first == again != other


def test_the_ambiguity_masks_are_trained_by_single_clicks(base, frozen, groups):
    stage = make_stage(frozen, "decoder")
    targets = groups[0].targets(CPU)
    embedding = frozen.embedding(groups[0].sample)
    rng = np.random.default_rng(0)
    prompts = draw_prompts(PromptPlan(False, 0), targets, None, embedding, rng)
    output = stage.decoder(embedding, prompts)
    gradients = {}
    for ambiguous in (False, True):
        loss, _ = _mask_loss(output, targets, ambiguous=ambiguous)
        (gradient,) = torch.autograd.grad(loss, output.logits, retain_graph=True)
        gradients[ambiguous] = gradient.abs().amax((0, 2, 3)) > 0
    assert gradients[False].tolist() == [True, False, False, False]
    assert gradients[True][0]
    assert gradients[True][1:].any()


def test_the_iou_head_learns_the_true_iou(frozen, groups):
    targets = groups[0].targets(CPU)
    right = ((targets * 2 - 1) * 20).expand(-1, 4, -1, -1)
    predicted = torch.tensor([[0.5, 0.5, 0.5, 0.5]] * 2, requires_grad=True)
    output = type("Output", (), {"logits": right, "iou": predicted, "mask_token": None})
    _, parts = _mask_loss(output, targets, ambiguous=False)
    assert parts["iou"] == pytest.approx(0.25, abs=0.01)
    assert parts["structure"] < 0.1


# ---------------------------------------------------------------- the full stage


@pytest.fixture(scope="module")
def full_step(base, adapted, groups):
    """Return a full stage after the backward pass of a batch of three images."""
    before = state_of(base.sam)
    stage = make_stage(adapted, "adapter")
    loss = stage.step(groups, np.random.default_rng(0))
    return stage, loss, before


def test_the_full_stage_has_all_losses(full_step):
    _, loss, _ = full_step
    assert loss.parts.keys() == {"structure", "iou", "relation", "distill"}
    assert all(np.isfinite(v) for v in loss.parts.values())
    assert loss.parts["distill"] < 0
    assert loss.parts["relation"] != 0


def test_gradients_of_the_full_stage(full_step):
    stage, _, _ = full_step
    reached = {
        name: p.grad is not None and bool(p.grad.abs().max() > 0)
        for name, p in stage.sam.named_parameters()
        if p.requires_grad
    }
    encoder = {n: r for n, r in reached.items() if n.startswith("image_encoder.")}
    # W2 starts at zero, so that W1 comes in with the second step
    assert all(r for n, r in encoder.items() if "D_fc2" in n)
    assert not any(r for n, r in encoder.items() if "D_fc1" in n)
    assert all(r for n, r in encoder.items() if ".norm." in n)
    frozen_parts = [p.grad for p in stage.sam.parameters() if not p.requires_grad]
    assert frozen_parts
    assert all(gradient is None for gradient in frozen_parts)


@pytest.mark.slow
def test_images_side_by_side_have_the_gradients_of_one_graph(
    adapted, groups, monkeypatch
):
    # exact arithmetic
    monkeypatch.setattr(stages, "training_dtype", lambda _device: None)
    batch = groups[:2]
    stage = make_stage(adapted, "adapter", threads=2)
    loss = stage.step(batch, np.random.default_rng(0))
    found = [p.grad for p in stage.parameters]

    whole = make_stage(adapted, "adapter", threads=1)
    rows = [
        whole._forward(group, rng)
        for group, rng in zip(batch, np.random.default_rng(0).spawn(2), strict=True)
    ]
    information = whole.distiller(
        Views.of([whole._teacher(row) for row in rows]),
        Views.of([(row.embedding, row.token, row.logits) for row in rows]),
    )
    total = torch.stack([row.loss for row in rows]).mean() + information.total
    assert loss.total == pytest.approx(total.item(), rel=1e-5)
    wanted = torch.autograd.grad(total, whole.parameters, allow_unused=True)
    for gradient, reference in zip(found, wanted, strict=True):
        if reference is None:
            assert gradient is None
            continue
        scale = reference.abs().max().clamp(min=1e-6)
        torch.testing.assert_close(
            gradient / scale, reference / scale, atol=2e-3, rtol=0
        )


def test_the_relation_module_learns(full_step):
    stage, _, _ = full_step
    gradients = {n: p.grad for n, p in stage.distiller.relation.named_parameters()}
    for name in ("query_proj.weight", "key_proj.weight", "layer_norm_feat.weight"):
        assert gradients[name].abs().max() > 0, name
    optimised = {id(p) for p in stage.parameters}
    assert all(id(p) in optimised for p in stage.distiller.relation.parameters())
    assert len(optimised) == len(stage.parameters)


def test_the_teacher_stays_what_it_was(base, full_step):
    _, _, before = full_step
    assert_same(base.sam, before)
    assert all(p.grad is None for p in base.sam.parameters())


@pytest.mark.slow
def test_the_weights_of_the_information_losses_count(adapted, groups):
    totals = {}
    for weights in ((0, 0), (1, 0), (0, 1)):
        stage = make_stage(adapted, "adapter", lambda_r=weights[0], lambda_d=weights[1])
        totals[weights] = stage.step(groups[:2], np.random.default_rng(0))
    plain = totals[0, 0].total
    for weights, name in (((1, 0), "relation"), ((0, 1), "distill")):
        loss = totals[weights]
        assert loss.total == pytest.approx(plain + loss.parts[name], abs=1e-4)


def test_a_single_row_has_no_information_losses(adapted, groups):
    stage = make_stage(adapted, "adapter")
    loss = stage.step(groups[:1], np.random.default_rng(0))
    assert loss.parts.keys() == {"structure", "iou"}
    assert all(p.grad is None for p in stage.distiller.relation.parameters())
    encoder = [p for n, p in stage.sam.image_encoder.named_parameters() if "D_fc2" in n]
    assert all(p.grad.abs().max() > 0 for p in encoder)


def test_without_distillation_there_is_no_relation_module(adapted, groups):
    stage = make_stage(adapted, "adapter", distill="none")
    assert stage.distiller is None
    loss = stage.step(groups[:2], np.random.default_rng(0))
    assert loss.parts.keys() == {"structure", "iou"}


@pytest.mark.slow
def test_the_full_stage_learns_an_object(base, adapted, groups):
    before = state_of(base.sam)
    stage = make_stage(adapted, "adapter")
    batch = groups[:2]
    first = sum(plain_loss(stage, group) for group in batch)
    optimizer = torch.optim.Adam(stage.parameters, lr=2e-4)
    rng = np.random.default_rng(0)
    for _ in range(5):
        optimizer.zero_grad()
        stage.step(batch, rng)
        optimizer.step()
    assert sum(plain_loss(stage, group) for group in batch) < 0.8 * first
    assert_same(base.sam, before)
    adapters = [m for n, m in stage.sam.named_modules() if n.endswith("Adapter_Series")]
    assert len(adapters) == 16
    assert all(a.D_fc2.weight.abs().max() > 0 for a in adapters)


def test_the_student_answers_with_the_weights_in_training(frozen, groups):
    stage = make_stage(frozen, "decoder")
    model = stage.model()
    assert model.first_click == "single"
    assert model.encoder_hash == frozen.base.encoder_hash
    before = model.weights_hash
    with torch.no_grad():
        stage.trained[0].add_(1)
    assert stage.model().weights_hash != before
    assert model.sam is stage.sam


def test_students_start_alike_for_a_seed(adapted):
    one, two, other = (
        copy.deepcopy(make_stage(adapted, "adapter", seed=seed).parameters)
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
