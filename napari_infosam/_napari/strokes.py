"""Painted strokes until they are on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Hashable

    from numpy.typing import NDArray

Stroke = tuple["NDArray[np.int64]", "NDArray[np.int64]"]


class Strokes:
    """Strokes on one picture that wait to be written; those of others are set aside.

    A stroke is ``(N, 2)`` pixels, (row, column), and their ``(N,)`` values.
    """

    def __init__(self) -> None:
        self._key: Hashable = None
        self._of: dict[Hashable, list[Stroke]] = {}

    def turn_to(self, key: Hashable) -> None:
        """Be about another picture."""
        self._key = key

    def __bool__(self) -> bool:
        return bool(self._of.get(self._key))

    def add(self, pixels: NDArray[np.int64], values: NDArray[np.int64]) -> None:
        """Keep one more stroke."""
        self._of.setdefault(self._key, []).append((pixels, values))

    def all(self) -> Stroke:
        """Return all of them as one, in the order in which they were painted."""
        pixels, values = zip(*self._of[self._key], strict=True)
        return np.concatenate(pixels), np.concatenate(values)

    def clear(self) -> None:
        """Note that they are written."""
        self._of.pop(self._key, None)

    def lay_on(self, labels: NDArray[np.int32] | None) -> None:
        """Paint them on an ``(H, W)`` label image."""
        if labels is not None:
            for pixels, values in self._of.get(self._key, ()):
                labels[tuple(pixels.T)] = values
