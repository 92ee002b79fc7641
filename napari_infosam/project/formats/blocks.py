"""The label image of a huge picture, made block by block: never a full frame."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from napari_infosam.project.painting import lowest_first
from napari_infosam.project.windows import column_runs, places_within, runs_window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_infosam.project.formats.items import Item

SIDE = 1024
"""Of a block, in its own pixels."""

_KEPT = 16
"""So many decoded masks are kept: a large one lies in many blocks."""

Block = tuple[int, int]
"""Its number along the rows and along the columns."""


class LabelBlocks:
    """Blocks of the label image of some objects, as the window shows it.

    Parameters
    ----------
    items
        The objects.
    values
        What stands for each of them in the label image.
    shape
        (height, width) of the picture.
    dtype
        Of the label image.
    stride
        So many pixels of the picture, along each axis, are one of the label image.
        The first of them counts.

    Attributes
    ----------
    shape
        (height, width) of the label image.
    grid
        Numbers of blocks along both axes.
    """

    def __init__(
        self,
        items: Sequence[Item],
        values: Sequence[int],
        shape: tuple[int, int],
        dtype: type[np.uint16 | np.uint32],
        stride: int = 1,
    ) -> None:
        pairs = zip(items, values, strict=True)
        self._painted = sorted(pairs, key=lambda p: lowest_first(p[0].area, p[1]))
        self._boxes = [item.xywh for item, _ in self._painted]
        self._dtype = dtype
        self._stride = stride
        self._frame = shape
        self.shape = -(-shape[0] // stride), -(-shape[1] // stride)
        self.grid = -(-self.shape[0] // SIDE), -(-self.shape[1] // SIDE)
        self._members: dict[Block, list[int]] = {}
        self._runs = lru_cache(_KEPT)(column_runs)
        covered = SIDE * stride
        for number, (x, y, width, height) in enumerate(self._boxes):
            for row in range(y // covered, (y + height - 1) // covered + 1):
                for column in range(x // covered, (x + width - 1) // covered + 1):
                    self._members.setdefault((row, column), []).append(number)

    @property
    def filled(self) -> list[Block]:
        """The blocks in which there may be an object, row by row."""
        return sorted(self._members)

    def read(self, block: Block) -> NDArray[np.uint16 | np.uint32]:
        """Return a block, at most `SIDE` x `SIDE`; it ends where the picture does."""
        rows, columns = self._places(block, 0), self._places(block, 1)
        labels = np.zeros((len(rows), len(columns)), self._dtype)
        for number in self._members.get(block, ()):
            x, y, width, height = self._boxes[number]
            inside = places_within(rows, y, height), places_within(columns, x, width)
            part = labels[inside]
            if part.size:
                item, value = self._painted[number]
                runs = self._runs(item.rle, self._frame[0])
                seen = runs_window(runs, rows[inside[0]], columns[inside[1]])
                part[seen] = value
        return labels

    def _places(self, block: Block, axis: int) -> range:
        """Return which rows, or columns, of the picture a block shows."""
        start = block[axis] * SIDE
        return range(0, self._frame[axis], self._stride)[start : start + SIDE]
