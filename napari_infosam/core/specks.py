"""Specks and pinholes: what a mask has too little of for anybody to have meant it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_infosam.core.masks import BoolArray

LARGEST = 9
"""Low-res pixels of a speck at most: a model draws nothing of three by three well."""

SHARE = 0.01
"""Of the largest piece, which a speck is smaller than."""

_EDGE = 1e-3
"""Just on the other side: the pixels around, drawn by interpolation, hardly change."""

_CORNERS = np.ones((3, 3), bool)


def without_specks(
    logits: NDArray[np.float32],
    on: Iterable[tuple[int, int]] = (),
    off: Iterable[tuple[int, int]] = (),
) -> NDArray[np.float32]:
    """Return low-res logits whose mask has no specks and no pinholes.

    One far from an object makes its box as large as the image. Where they are, the
    logits come to lie on the other side of 0; all others stay as they are.

    Parameters
    ----------
    logits
        ``(h, w)``, without the padding.
    on, off
        (row, column) of positive and negative clicks: a piece that holds the first, and
        a hole that holds the second, is meant.
    """
    mask = logits > 0
    pieces, n_pieces = ndimage.label(mask, _CORNERS)
    holes, n_holes = ndimage.label(~mask)
    if n_pieces < 2 and n_holes < 2:
        return logits
    most = SHARE * np.bincount(pieces.ravel(), minlength=2)[1:].max()
    changed = _small(pieces, most, on) | _small(holes, most, off)
    flat = np.where(mask, -_EDGE, _EDGE).astype(logits.dtype)
    return np.where(changed, flat, logits)


def _small(
    labels: NDArray[Any], most: float, meant: Iterable[tuple[int, int]]
) -> BoolArray:
    """Return where pieces are small, of which none is meant."""
    sizes = np.bincount(labels.ravel())
    small = (sizes <= LARGEST) & (sizes < most)
    small[0] = False
    for place in meant:
        small[labels[place]] = False
    found: BoolArray = small[labels]
    return found
