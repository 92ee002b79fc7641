"""The decoder's other order of products says what Segment Anything's modules say."""

from __future__ import annotations

import copy

import pytest
import torch
from segment_anything.modeling import TwoWayTransformer
from timm.layers.norm import LayerNorm2d
from torch import nn

from napari_infosam.models.two_way import two_way
from napari_infosam.models.upscaling import as_grid, upscaled

GRID, CHANNELS = (5, 3), 32


@pytest.fixture(scope="module")
def transformer() -> TwoWayTransformer:
    torch.manual_seed(0)
    found = TwoWayTransformer(2, CHANNELS, 4, 64).double()
    for parameter in found.parameters():  # no bias is zero by chance
        nn.init.normal_(parameter, std=0.3)
    return found


def inputs(objects: int, images: int, tokens: int):
    torch.manual_seed(objects)
    image = torch.randn(images, CHANNELS, *GRID, dtype=torch.float64)
    position = torch.randn(1, CHANNELS, *GRID, dtype=torch.float64)
    points = torch.randn(objects, tokens, CHANNELS, dtype=torch.float64)
    return image, position, points


def in_rows(image: torch.Tensor) -> torch.Tensor:
    return image.flatten(2).mT


@pytest.mark.parametrize(
    ("objects", "images", "tokens"), [(1, 1, 7), (3, 1, 6), (3, 3, 1), (2, 2, 12)]
)
def test_tokens_and_image_are_those_of_segment_anything(
    transformer, objects, images, tokens
):
    image, position, points = inputs(objects, images, tokens)
    size = (objects, -1, -1, -1)
    expected = transformer(image.expand(size), position.expand(size), points)
    found = two_way(transformer, in_rows(image), in_rows(position), points)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_gradients_are_those_of_segment_anything(transformer):
    other = copy.deepcopy(transformer)
    image, position, points = inputs(2, 1, 6)
    leaves = image.clone().requires_grad_(), image.clone().requires_grad_()
    size = (2, -1, -1, -1)
    expected = other(leaves[0].expand(size), position.expand(size), points)
    found = two_way(transformer, in_rows(leaves[1]), in_rows(position), points)
    for outputs in (expected, found):
        torch.stack([output.sin().sum() for output in outputs]).sum().backward()
    torch.testing.assert_close(leaves[1].grad, leaves[0].grad)
    for (name, one), two in zip(
        transformer.named_parameters(), other.parameters(), strict=True
    ):
        if name.endswith("k_proj.bias"):
            assert one.grad is None
            assert two.grad.abs().max() < 1e-12
        else:
            torch.testing.assert_close(one.grad, two.grad)
    transformer.zero_grad(set_to_none=True)


def test_upscaling_is_that_of_the_transposed_convolutions():
    torch.manual_seed(1)
    modules = nn.Sequential(
        nn.ConvTranspose2d(CHANNELS, 8, 2, stride=2),
        LayerNorm2d(8),
        nn.GELU(),
        nn.ConvTranspose2d(8, 4, 2, stride=2),
        nn.GELU(),
    ).double()
    image = torch.randn(2, CHANNELS, *GRID, dtype=torch.float64)
    found = as_grid(upscaled(modules, in_rows(image)), GRID)
    assert found.shape == (2, 4, 4 * GRID[0], 4 * GRID[1])
    torch.testing.assert_close(found, modules(image))
