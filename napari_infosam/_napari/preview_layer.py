"""The layer in which the edge of a preview is seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Vectors

if TYPE_CHECKING:
    from napari.layers import Layer
    from numpy.typing import NDArray

_COLORS = np.array([(0, 0, 0, 0.85), (1, 1, 1, 0.95)])
"""Of dashes, in turn: one of them is seen on any image."""


def make_preview_layer(name: str) -> Vectors:
    """Return an empty layer for the dashes of a preview."""
    return Vectors(ndim=2, name=name, vector_style="line")


def fill_preview(
    layer: Layer, dashes: NDArray[np.float32] | None, width: float
) -> None:
    """Show dashes, or none.

    Parameters
    ----------
    layer
        Made by `make_preview_layer`.
    dashes
        ``(N, 2, 2)`` begin and direction, N even.
    width
        In pixels of the picture.
    """
    if dashes is None or not len(dashes):
        if len(layer.data):
            layer.data = np.zeros((0, 2, 2), np.float32)
        return
    with layer.events.blocker_all():  # seen once, when all is in place
        layer.edge_width = width
    layer.data = dashes
    layer.edge_color = np.tile(_COLORS, (len(dashes) // 2, 1))
