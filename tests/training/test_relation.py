"""The losses against vectors computed with the method authors' published code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_infosam.training.relation import RelationModule, information_losses

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def vectors() -> dict[str, NDArray[np.float32]]:
    with np.load(Path(__file__).parent / "data" / "infosam_losses.npz") as file:
        return dict(file)


@pytest.fixture
def module(vectors: dict[str, NDArray[np.float32]]) -> RelationModule:
    relation = RelationModule(dim=32)
    relation.load_state_dict(
        {k[3:]: torch.tensor(v) for k, v in vectors.items() if k.startswith("rm.")}
    )
    return relation


def _inputs(vectors: dict[str, NDArray[np.float32]]) -> list[torch.Tensor]:
    names = ("z_image_teacher", "z_mask_teacher", "z_image_student", "z_mask_student")
    return [torch.tensor(vectors[n], requires_grad=True) for n in names]


def test_relation_maps(module, vectors) -> None:
    image_t, token_t, image_s, token_s = _inputs(vectors)
    for relation, name in (
        (module(image_t, token_t), "relation_teacher"),
        (module(image_s, token_s), "relation_student"),
    ):
        np.testing.assert_allclose(
            relation.detach().numpy(), vectors[name], atol=TOLERANCE
        )


def test_losses_and_gradients(module, vectors) -> None:
    image_t, token_t, image_s, token_s = _inputs(vectors)
    losses = information_losses(module, image_t, token_t, image_s, token_s)
    total = losses.weighted()
    assert losses.relation.item() == pytest.approx(vectors["loss_r"], abs=TOLERANCE)
    assert losses.distill.item() == pytest.approx(vectors["loss_d"], abs=TOLERANCE)
    assert total.item() == pytest.approx(vectors["loss_info"], abs=TOLERANCE)

    total.backward()
    assert image_t.grad is None
    assert token_t.grad is None
    for value, name in ((image_s, "image"), (token_s, "mask")):
        np.testing.assert_allclose(
            value.grad.numpy(), vectors[f"grad_z_{name}_student"], atol=TOLERANCE
        )
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(
            parameter.grad.numpy(),
            vectors[f"rm_grad.{name}"],
            atol=TOLERANCE,
            err_msg=name,
        )


def test_the_gradients_are_not_trivially_zero(vectors) -> None:
    assert np.abs(vectors["grad_z_image_student"]).max() > 1e-3
    assert np.abs(vectors["rm_grad.query_proj.weight"]).max() > 1e-3


def test_one_row_is_refused(module, vectors) -> None:
    rows = [value[:1] for value in _inputs(vectors)]
    with pytest.raises(ValueError, match="at least 2 rows, not 1"):
        information_losses(module, *rows)


def test_relation_loss_trains_the_relation_module_only(module, vectors) -> None:
    image_t, token_t, image_s, token_s = _inputs(vectors)
    losses = information_losses(module, image_t, token_t, image_s, token_s)
    losses.relation.backward()
    assert image_s.grad is None
    assert token_s.grad is None
    assert module.query_proj.weight.grad.abs().max() > 0
