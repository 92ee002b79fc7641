"""The decoder's upscaling as matrix products: pixels are put in their places last.

Its transposed convolutions have a stride as wide as their kernel, so that every pixel
of the output comes from one pixel of the input. What lies between them works on each
pixel alone, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


def upscaled(upscaling: nn.Sequential, places: Tensor) -> Tensor:
    """Return ``(B, 16 P, 32)``: for each place its 4 x 4 pixels, see `as_grid`.

    Parameters
    ----------
    upscaling
        Transposed convolution, layer norm, activation, transposed convolution,
        activation; of Segment Anything's `MaskDecoder`.
    places
        ``(B, P, 256)``.
    """
    modules: list[Any] = list(upscaling)
    first, norm, activation, second, last = modules
    x = _quadrupled(first, places)
    x = activation(F.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, norm.eps))
    return last(_quadrupled(second, x))  # type: ignore[no-any-return]


def as_grid(values: Tensor, shape: Sequence[int]) -> Tensor:
    """Return values of `upscaled` pixels in rows and columns.

    Parameters
    ----------
    values
        ``(B, 16 h w, M)``.
    shape
        (h, w), the grid of places.

    Returns
    -------
    Tensor
        ``(B, M, 4 h, 4 w)``.
    """
    pixels: Tensor = values.unflatten(1, (*shape, 2, 2, 2, 2))
    return pixels.permute(0, 7, 1, 3, 5, 2, 4, 6).flatten(2, 4).flatten(3, 5)


def _quadrupled(convolution: nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """Return ``(B, 4 P, C)`` of ``(B, P, C')``: each pixel becomes 2 x 2."""
    weight = convolution.weight.permute(2, 3, 1, 0).flatten(0, 2)
    bias = convolution.bias
    y = F.linear(x, weight, None if bias is None else bias.repeat(4))
    pixels: Tensor = y.unflatten(2, (4, -1)).flatten(1, 2)
    return pixels
