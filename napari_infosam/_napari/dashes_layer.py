"""Layers of dashed lines: the edge of a preview, and those of chosen objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Vectors

if TYPE_CHECKING:
    from napari.layers import Layer
    from numpy.typing import NDArray

PREVIEWED = np.array([(0, 0, 0, 0.85), (1, 1, 1, 0.95)])
CHOSEN = np.array([(0.1, 0.3, 1, 1), (1, 1, 1, 1)])
"""Colours of dashes, in turn: one of them is seen on any image."""


_IN_THUMBNAIL = 40
"""napari draws 1,024 of them anew at each change, which takes 25 milliseconds."""


def make_dashes_layer(name: str) -> Vectors:
    """Return an empty layer for dashes."""
    layer = Vectors(ndim=2, name=name, vector_style="line")
    layer._max_vectors_thumbnail = _IN_THUMBNAIL
    return layer


def fill_dashes(
    layer: Layer,
    dashes: NDArray[np.float32] | None,
    width: float,
    colors: NDArray[np.float64],
) -> None:
    """Show dashes, or none.

    Parameters
    ----------
    layer
        Made by `make_dashes_layer`.
    dashes
        ``(N, 2, 2)`` begin and direction, N even.
    width
        In pixels of the picture.
    colors
        ``(2, 4)`` RGBA that take turns.
    """
    if dashes is None or not len(dashes):
        if len(layer.data):
            layer.data = np.zeros((0, 2, 2), np.float32)
        return
    if not np.isclose(layer.edge_width, width):  # each change draws a thumbnail
        with layer.events.blocker_all():  # seen once, when all is in place
            layer.edge_width = width
    layer.data = dashes
    layer.edge_color = np.tile(colors, (len(dashes) // 2, 1))
