"""Pictures of two masks: which pixels belong to one of them only, which to both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_infosam.core.masks import BoolArray

ONLY_OWN, ONLY_OTHER, BOTH = 3, 4, 5
OTHER_FILL, OTHER_EDGE = 6, 7
"""Values in the layer of the proposal, which has 1 and 2 for itself."""

OWN_COLOR, OTHER_COLOR, BOTH_COLOR = "#ffd900", "#c65cff", "#f2f2f2"
"""Told apart with every kind of colour vision, as they differ in brightness too."""


def _rgba(color: str, alpha: float) -> tuple[float, float, float, float]:
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue, alpha


COLORS: dict[int | None, Any] = {
    ONLY_OWN: _rgba(OWN_COLOR, 0.75),
    ONLY_OTHER: _rgba(OTHER_COLOR, 0.75),
    BOTH: _rgba(BOTH_COLOR, 0.35),
    OTHER_FILL: _rgba(OTHER_COLOR, 0.3),
    OTHER_EDGE: _rgba(OTHER_COLOR, 1.0),
}


def difference(own: BoolArray, other: BoolArray) -> NDArray[np.uint8]:
    """Return where two masks ``(H, W)`` differ, as values of `COLORS`."""
    values = np.array([[0, ONLY_OTHER], [ONLY_OWN, BOTH]], np.uint8)
    return values[own.astype(np.intp), other.astype(np.intp)]


def as_other(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an outlined mask, 1 inside and 2 along its edge, in the other colour."""
    return np.array([0, OTHER_FILL, OTHER_EDGE], np.uint8)[picture]
