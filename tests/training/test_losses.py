from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from napari_infosam.training.losses import mask_iou, structure_loss

REFERENCE = Path(__file__).parent / "data" / "metrics.npz"
WINDOW = 31


@pytest.fixture(scope="module")
def published() -> dict[str, NDArray[np.float32]]:
    with np.load(REFERENCE) as arrays:
        return {key: arrays[key] for key in ("logits", "target")} | {
            "loss": arrays["structure_loss_as_published"]
        }


def box_mean(image: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return the mean of a window around each pixel; outside the image lie zeros."""
    half = window // 2
    padded = np.pad(image, half)
    sums = np.lib.stride_tricks.sliding_window_view(padded, (window, window))
    return sums.mean((2, 3))


def by_hand(logits, target, window: int) -> tuple[float, float, float]:
    """Return weighted BCE, plain BCE and weighted IoU loss of one mask, in numpy."""
    x, y = np.asarray(logits, np.float64), np.asarray(target, np.float64)
    weight = 1 + 5 * np.abs(box_mean(y, window) - y)
    p = 1 / (1 + np.exp(-x))
    bce = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    inter = (weight * p * y).sum()
    union = (weight * (p + y)).sum()
    iou = 1 - (inter + 1) / (union - inter + 1)
    return float((weight * bce).sum() / weight.sum()), float(bce.mean()), float(iou)


def test_structure_loss_by_hand(published):
    logits, target = published["logits"], published["target"]
    found = structure_loss(torch.tensor(logits), torch.tensor(target), WINDOW)
    expected = []
    for one, other in zip(logits, target, strict=True):
        weighted, _, iou = by_hand(one[0], other[0], WINDOW)
        expected.append(weighted + iou)
    np.testing.assert_allclose(found[:, 0].numpy(), expected, rtol=1e-5)


def test_the_hand_calculation_is_the_published_loss_but_for_its_bce(published):
    """Theirs averages the cross-entropy without the weights, over the batch."""
    terms = [
        by_hand(one[0], other[0], WINDOW)
        for one, other in zip(published["logits"], published["target"], strict=True)
    ]
    _, plain, iou = np.mean(terms, axis=0)
    assert plain + iou == pytest.approx(float(published["loss"]), rel=1e-5)


def test_the_loss_as_it_was_published(published):
    logits, target = map(torch.tensor, (published["logits"], published["target"]))
    found = structure_loss(logits, target, WINDOW, weigh_cross_entropy=False).mean()
    assert found.item() == pytest.approx(float(published["loss"]), abs=1e-5)


@given(
    target=hnp.arrays(np.float32, (1, 1, 9, 12), elements=st.floats(0, 1, width=32)),
    logits=hnp.arrays(np.float32, (1, 1, 9, 12), elements=st.floats(-9, 9, width=32)),
    window=st.sampled_from([1, 3, 7]),
)
def test_structure_loss_of_any_soft_mask(target, logits, window):
    found = structure_loss(torch.tensor(logits), torch.tensor(target), window)
    weighted, _, iou = by_hand(logits[0, 0], target[0, 0], window)
    assert found.item() == pytest.approx(weighted + iou, rel=1e-4, abs=1e-5)


def test_objects_of_a_batch_do_not_mix(published):
    logits, target = map(torch.tensor, (published["logits"], published["target"]))
    together = structure_loss(logits, target, 7)
    alone = [
        structure_loss(x[None], y[None], 7) for x, y in zip(logits, target, strict=True)
    ]
    assert together.shape == (3, 1)
    torch.testing.assert_close(together, torch.cat(alone))


@pytest.mark.parametrize("weighted", [True, False])
def test_several_answers_to_one_target_cost_what_each_costs_alone(published, weighted):
    logits, target = map(torch.tensor, (published["logits"], published["target"]))
    answers = torch.cat([logits, -logits, logits / 3], dim=1)
    together = structure_loss(answers, target, 7, weigh_cross_entropy=weighted)
    alone = [
        structure_loss(answer.unsqueeze(1), target, 7, weigh_cross_entropy=weighted)
        for answer in answers.unbind(1)
    ]
    torch.testing.assert_close(together, torch.cat(alone, dim=1))


def disc(side: int = 32) -> torch.Tensor:
    rows, columns = np.mgrid[:side, :side] - side // 2
    return torch.tensor(np.hypot(rows, columns) < side / 4).float()[None, None]


def test_the_right_mask_costs_least():
    target = disc()
    right = (target * 2 - 1) * 20
    wrong = -right
    shifted = right.roll(3, 3)
    losses = [structure_loss(x, target, 7).item() for x in (right, shifted, wrong)]
    assert losses[0] == pytest.approx(0, abs=1e-3)
    assert losses == sorted(losses)
    assert losses[1] > 0.1


def test_a_pixel_at_the_edge_counts_more():
    target = disc()
    inner, outer = torch.zeros_like(target), torch.zeros_like(target)
    right = (target * 2 - 1) * 4
    inner[..., 16, 16] = 8
    edge = torch.nonzero(target[0, 0, 16]).min()
    outer[..., 16, edge] = 8
    assert structure_loss(right - outer, target, 7) > structure_loss(
        right - inner, target, 7
    )


def test_the_gradient_leads_to_the_mask():
    target = disc()
    logits = torch.zeros_like(target, requires_grad=True)
    structure_loss(logits, target, 7).sum().backward()
    assert (logits.grad[target > 0.5] < 0).all()
    assert (logits.grad[target < 0.5] > 0).all()


@pytest.mark.parametrize("value", [-1e4, 1e4])
def test_extreme_logits_stay_finite(value):
    logits = torch.full((1, 1, 32, 32), value, requires_grad=True)
    loss = structure_loss(logits, disc(), 7)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(logits.grad).all()


# ---------------------------------------------------------------- mask_iou


@given(
    logits=hnp.arrays(np.float32, (2, 3, 4, 5), elements=st.sampled_from([-1, 0, 2])),
    target=hnp.arrays(
        np.float32, (2, 1, 4, 5), elements=st.sampled_from([0, 0.4, 0.5, 0.6, 1])
    ),
)
def test_mask_iou_by_hand(logits, target):
    found = mask_iou(torch.tensor(logits), torch.tensor(target)).numpy()
    assert found.shape == (2, 3)
    for b in range(2):
        wanted = target[b, 0] > 0.5
        for m in range(3):
            given_mask = logits[b, m] > 0
            union = (given_mask | wanted).sum()
            expected = (given_mask & wanted).sum() / union if union else 1.0
            assert found[b, m] == pytest.approx(expected)


def test_mask_iou_has_no_gradient():
    logits = torch.randn(1, 4, 8, 8, requires_grad=True)
    found = mask_iou(logits, disc(8))
    assert not found.requires_grad
    predicted = torch.zeros(1, 4, requires_grad=True)
    F.mse_loss(predicted, found).backward()
    assert predicted.grad is not None
