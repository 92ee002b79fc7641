from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_infosam.training import prompting
from napari_infosam.training.batches import Group
from napari_infosam.training.dataset import low_res_target
from napari_infosam.training.prompting import (
    CORRECTIONS,
    PromptPlan,
    cropped,
    draw_plan,
    draw_prompts,
)

CPU = torch.device("cpu")
STEP = 4
"""Pixels of the model's input for one of the decoder's logits."""


@st.composite
def masks(draw) -> np.ndarray:
    """One object in a picture of any size, from a pixel to all of it."""
    height, width = draw(st.integers(2, 90)), draw(st.integers(2, 90))
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    bottom, right = (
        draw(st.integers(top, height - 1)),
        draw(st.integers(left, width - 1)),
    )
    mask = np.zeros((height, width), bool)
    mask[top : bottom + 1, left : right + 1] = True
    if draw(st.booleans()) and mask.sum() > 9:
        noise = np.random.default_rng(0).random(mask.shape) < 0.7
        mask &= noise | (np.arange(width) == left)[None]
    return mask


def first_prompts(mask: np.ndarray, box: bool, seed: int):
    targets = low_res_target(mask)
    rng = np.random.default_rng(seed)
    # no corrections: the decoder is not asked
    prompts = draw_prompts(PromptPlan(box, 0), targets, None, torch.zeros(1), rng)
    return prompts, (targets[0, 0] > 0.5).numpy()


def to_low_res(xy: torch.Tensor) -> np.ndarray:
    """Return (column, row) indices of points in the model's input."""
    return np.round((xy.numpy() + 0.5) / STEP - 0.5).astype(int)


@given(mask=masks(), seed=st.integers(0, 99))
def test_the_first_click_lies_on_the_object(mask, seed):
    prompts, wanted = first_prompts(mask, False, seed)
    assert prompts.boxes is None
    assert prompts.mask_input is None
    assert prompts.coords.shape == (1, 1, 2)
    assert prompts.labels.tolist() == [[1]]
    column, row = to_low_res(prompts.coords[0, 0])
    assert wanted[row, column]


@given(mask=masks(), seed=st.integers(0, 99))
def test_a_box_is_roughly_that_of_the_object(mask, seed):
    prompts, wanted = first_prompts(mask, True, seed)
    assert prompts.coords is None
    x0, y0, x1, y1 = ((prompts.boxes[0].numpy() + 0.5) / STEP).tolist()
    assert 0 <= x0 < x1 <= wanted.shape[1]
    assert 0 <= y0 < y1 <= wanted.shape[0]
    rows, columns = np.nonzero(wanted)
    left, top, right, bottom = (
        columns.min(),
        rows.min(),
        columns.max() + 1,
        rows.max() + 1,
    )
    overlap = (min(right, x1) - max(left, x0)) * (min(bottom, y1) - max(top, y0))
    union = (right - left) * (bottom - top) + (x1 - x0) * (y1 - y0) - overlap
    assert overlap / union > 0.6


def test_boxes_differ_and_are_not_biased():
    mask = np.zeros((256, 256), bool)
    mask[100:150, 60:160] = True
    rng = np.random.default_rng(0)
    boxes = np.stack([prompting._jittered_box(mask, rng) for _ in range(400)])
    assert len(np.unique(boxes, axis=0)) == 400
    centre = np.array([60, 100, 160, 150]) * STEP - 0.5
    spread = boxes - centre
    sizes = np.array([100, 50, 100, 50]) * STEP
    np.testing.assert_allclose((spread / sizes).mean(0), 0, atol=0.01)
    np.testing.assert_allclose((spread / sizes).std(0), 0.05, atol=0.01)


def test_clicks_go_mostly_well_inside():
    mask = np.zeros((256, 256), bool)
    mask[100:160, 60:120] = True
    rng = np.random.default_rng(0)
    clicks = [prompting._first_click(mask, rng) for _ in range(400)]
    depth = [min(c.x - 59, 120 - c.x, c.y - 99, 160 - c.y) / 30.5 for c in clicks]
    assert np.mean(np.array(depth) > 0.55) > 0.7
    assert np.mean(np.array(depth) < 0.5) > 0.05


def test_plans_are_drawn_as_often_as_they_should_be():
    rng = np.random.default_rng(0)
    plans = [draw_plan(rng) for _ in range(3000)]
    assert np.mean([p.box for p in plans]) == pytest.approx(0.4, abs=0.03)
    for number, share in enumerate(CORRECTIONS):
        found = np.mean([p.corrections == number for p in plans])
        assert found == pytest.approx(share, abs=0.03)
    for plan in plans:
        assert plan.ambiguous is (not plan.box and plan.corrections == 0)


@pytest.fixture(scope="module")
def group(samples):
    return Group(samples[0], (0, 1, 2))


@pytest.fixture(scope="module")
def embedding(frozen, samples):
    return frozen.embedding(samples[0])


@pytest.mark.parametrize("box", [False, True])
@pytest.mark.parametrize("corrections", [1, 3])
def test_corrections(base, group, embedding, box, corrections):
    targets = group.targets(CPU)
    plan = PromptPlan(box, corrections)
    assert not plan.ambiguous
    rng = np.random.default_rng(4)
    prompts = draw_prompts(plan, targets, base.decoder, embedding, rng)
    clicks = corrections + (not box)
    assert prompts.coords.shape == (3, clicks, 2)
    assert prompts.labels.shape == (3, clicks)
    assert (prompts.boxes is not None) is box
    assert prompts.mask_input.shape == (3, 1, 256, 256)
    assert prompts.mask_input.dtype == torch.float32
    assert not prompts.mask_input.requires_grad
    for target, points, labels in zip(
        targets[:, 0], prompts.coords, prompts.labels, strict=True
    ):
        found = to_low_res(points)
        on_object = (target > 0.5).numpy()[found[:, 1], found[:, 0]]
        np.testing.assert_array_equal(on_object, labels.numpy() == 1)
        assert len({tuple(p) for p in found.tolist()}) == clicks
    # the answer that is fed back is the one to the prompts before the last click
    earlier = prompting.PromptTensors(
        prompts.coords[:, :-1] if clicks > 1 else None,
        prompts.labels[:, :-1] if clicks > 1 else None,
        prompts.boxes,
    )
    if corrections == 1:
        with torch.no_grad():
            expected = base.decoder(embedding, earlier).logits[:, :1]
        torch.testing.assert_close(prompts.mask_input, expected)


@settings(max_examples=4)
@given(seed=st.integers(0, 1000))
def test_prompts_depend_on_the_seed_alone(base, group, embedding, seed):
    drawn = []
    for _ in range(2):
        rng = np.random.default_rng(seed)
        plan = draw_plan(rng)
        targets = group.targets(CPU)
        drawn.append(draw_prompts(plan, targets, base.decoder, embedding, rng))
    for name in ("coords", "labels", "boxes", "mask_input"):
        one, other = (getattr(p, name) for p in drawn)
        assert (one is None and other is None) or torch.equal(one, other)


def test_logits_are_cut_to_the_image(base, group, embedding):
    targets = group.targets(CPU)[..., :200, :]
    rng = np.random.default_rng(0)
    prompts = draw_prompts(PromptPlan(True, 0), targets, None, embedding, rng)
    with torch.no_grad():
        output = base.decoder(embedding, prompts)
    assert cropped(output, targets).shape == (3, 4, 200, 256)
    assert torch.equal(cropped(output, targets), output.logits[..., :200, :])
