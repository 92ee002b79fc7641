"""Parts of label images, at any stride, from run lengths: never a full frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_infosam.project.painting import run_lengths

if TYPE_CHECKING:
    from napari_infosam.core.masks import BoolArray
    from napari_infosam.core.tiles import Tile
    from napari_infosam.project.records import ObjectRecord


def label_window(
    records: Iterable[ObjectRecord], rows: range, columns: range
) -> NDArray[np.int32]:
    """Return some rows and columns of a label image, higher numbers on top.

    Parameters
    ----------
    records
        Objects of one picture.
    rows, columns
        Which ones, ascending; with a step, only every so many.
    """
    window = np.zeros((len(rows), len(columns)), np.int32)
    for record in sorted(records, key=lambda record: record.instance_id):
        window[mask_window(record.rle, record.shape[0], rows, columns)] = (
            record.instance_id
        )
    return window


def mask_window(rle: bytes, height: int, rows: range, columns: range) -> BoolArray:
    """Return some rows and columns of a mask.

    Parameters
    ----------
    rle
        Its compressed COCO encoding.
    height
        Of the whole mask.
    rows, columns
        As in `label_window`.
    """
    changes = np.zeros((len(columns), len(rows) + 1), np.int32)
    column, start, stop = _pieces(rle, height)
    place, offset = np.divmod(column - columns.start, columns.step)
    seen = (offset == 0) & (place >= 0) & (place < len(columns))
    first, last = (
        # the first row of the window that is not before it
        np.clip(-((rows.start - edge[seen]) // rows.step), 0, len(rows))
        for edge in (start, stop)
    )
    np.add.at(changes, (place[seen], first), 1)
    np.add.at(changes, (place[seen], last), -1)
    mask: BoolArray = np.cumsum(changes[:, :-1], axis=1).T > 0
    return mask


def in_tile(record: ObjectRecord, tile: Tile) -> BoolArray:
    """Return the mask of an object as a tile shows it, ``(h, w)`` of the tile."""
    middle = (tile.stride - 1) // 2
    rows = range(tile.row + middle, tile.row + middle + tile.height, tile.stride)
    columns = range(
        tile.column + middle, tile.column + middle + tile.width, tile.stride
    )
    height, width = tile.shape
    return mask_window(record.rle, record.shape[0], rows[:height], columns[:width])


def _pieces(
    rle: bytes, height: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the runs of a mask, cut at the ends of columns.

    Returns
    -------
    column, start, stop
        ``(N,)`` each: column, first row, and one past the last row.
    """
    edges = np.cumsum(run_lengths(rle))
    starts, stops = edges[: edges.size // 2 * 2].reshape(-1, 2).T
    some = stops > starts
    starts, stops = starts[some], stops[some]
    first, last = starts // height, (stops - 1) // height
    counts = last - first + 1
    column = np.repeat(first, counts)
    column += np.arange(column.size) - np.repeat(np.cumsum(counts) - counts, counts)
    begins = np.maximum(np.repeat(starts, counts) - column * height, 0)
    ends = np.minimum(np.repeat(stops, counts) - column * height, height)
    return column, begins, ends
