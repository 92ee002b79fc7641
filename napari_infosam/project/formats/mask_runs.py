"""Masks that are met block by block, as run-length encodings: never a full frame."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core.placed import join_runs, rle_of_runs
from napari_infosam.project.windows import column_runs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_COLUMNS = 1024
"""So many are looked at together: what is made of them is a few times larger."""


class MaskRuns:
    """Gathers the objects of one picture from blocks of its label image.

    What it holds grows with the outlines of the objects, not with the picture.

    Parameters
    ----------
    shape
        (height, width) of the picture.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape
        self._values: list[NDArray[Any]] = []
        self._runs: list[NDArray[np.int64]] = []

    def add(self, labels: NDArray[Any], row: int = 0, column: int = 0) -> None:
        """Take up a block.

        Parameters
        ----------
        labels
            ``(h, w)`` whole numbers or bool, zero where there is no object. Blocks do
            not overlap.
        row, column
            Where its first pixel lies in the picture.
        """
        for left in range(0, labels.shape[1], _COLUMNS):
            self._add(labels[:, left : left + _COLUMNS], row, column + left)

    def _add(self, labels: NDArray[Any], row: int, column: int) -> None:
        columns = np.ascontiguousarray(labels.T)
        begins = np.ones(columns.shape, np.bool_)
        np.not_equal(columns[:, 1:], columns[:, :-1], out=begins[:, 1:])
        starts = np.flatnonzero(begins)
        values = columns.ravel()[starts]
        lengths = np.diff(starts, append=columns.size)
        some = values != 0
        place, offset = np.divmod(starts[some], columns.shape[1])
        first = (column + place) * self._shape[0] + row + offset
        self._values.append(values[some])
        self._runs.append(np.stack((first, first + lengths[some]), axis=1))

    def rles(self) -> Iterator[tuple[int, bytes]]:
        """Yield each value and the compressed COCO encoding of its mask, by value."""
        if not any(values.size for values in self._values):
            return
        values, runs = np.concatenate(self._values), np.concatenate(self._runs)
        order = np.lexsort((runs[:, 0], values))
        values, runs = values[order], runs[order]
        bounds = np.flatnonzero(values[1:] != values[:-1]) + 1
        edges = [0, *bounds.tolist(), len(values)]
        for start, stop in pairwise(edges):
            rle = rle_of_runs(join_runs(runs[start:stop]), self._shape)
            yield int(values[start]), rle


def rle_of_lengths(lengths: NDArray[np.int64], shape: tuple[int, int]) -> bytes:
    """Return the one encoding of a mask, whatever runs a file cuts it into.

    Parameters
    ----------
    lengths
        Of runs that fill an image of ``shape``, background first; some may be zero.
    shape
        (height, width) of the mask.
    """
    edges = np.cumsum(lengths)
    runs = edges[: edges.size // 2 * 2].reshape(-1, 2)
    return rle_of_runs(join_runs(runs[runs[:, 1] > runs[:, 0]]), shape)


def connected(rle: bytes, shape: tuple[int, int]) -> list[bytes]:
    """Return the connected pieces of a mask, also compressed COCO encodings.

    Pixels that touch at a corner are connected, as where the window splits objects.
    The mask is not decoded: it takes a time that grows with its runs.

    Parameters
    ----------
    rle
        The compressed COCO encoding of the mask.
    shape
        (height, width) of the mask.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    height = shape[0]
    columns, starts, stops = column_runs(rle, height)
    # columns are laid end to end, with room between them for the corners
    first = columns * (height + 2)
    n = columns.size
    # those of the next column that begin before a run has ended, and end after it began
    below = np.searchsorted(first + stops, first + height + 2 + starts)
    above = np.searchsorted(first + starts, first + height + 2 + stops, "right")
    counts = np.maximum(above - below, 0)
    left = np.repeat(np.arange(n), counts)
    before = np.cumsum(counts) - counts
    right = np.repeat(below - before, counts) + np.arange(left.size)
    graph = coo_array((np.ones(left.size, np.int8), (left, right)), (n, n))
    _, pieces = connected_components(graph, directed=False)
    order = np.argsort(pieces, kind="stable")
    at = columns * height
    runs = np.stack((at + starts, at + stops), axis=1)[order]
    bounds = np.flatnonzero(np.diff(pieces[order])) + 1
    return [rle_of_runs(join_runs(part), shape) for part in np.split(runs, bounds)]
