"""Parts of label images, at any stride, from run lengths: never a full frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_infosam.project.painting import lowest_first, run_lengths

if TYPE_CHECKING:
    from napari_infosam.core.masks import BoolArray
    from napari_infosam.core.tiles import Tile
    from napari_infosam.project.records import ObjectRecord

Runs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Column, first row, and one past the last row, ``(N,)`` each."""


def label_window(
    records: Iterable[ObjectRecord], rows: range, columns: range
) -> NDArray[np.int32]:
    """Return some rows and columns of a label image, smaller objects on top.

    Parameters
    ----------
    records
        Objects of one picture.
    rows, columns
        Which ones, ascending; with a step, only every so many.
    """
    window = np.zeros((len(rows), len(columns)), np.int32)
    for record in sorted(records, key=lambda r: lowest_first(r.area, r.instance_id)):
        box = record.box
        seen_rows = places_within(rows, int(box.y0), int(box.y1 - box.y0) + 1)
        seen_columns = places_within(columns, int(box.x0), int(box.x1 - box.x0) + 1)
        part = window[seen_rows, seen_columns]
        if part.size:
            runs = column_runs(record.rle, record.shape[0])
            seen = runs_window(runs, rows[seen_rows], columns[seen_columns])
            part[seen] = record.instance_id
    return window


def places_within(places: range, start: int, size: int) -> slice:
    """Return which of some places, ascending, lie in a part of an axis."""
    first = max(0, -((places.start - start) // places.step))
    last = max(first, -((places.start - start - size) // places.step))
    return slice(min(first, len(places)), min(last, len(places)))


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
    return runs_window(column_runs(rle, height), rows, columns)


def runs_window(runs: Runs, rows: range, columns: range) -> BoolArray:
    """Return some rows and columns of a mask that is given by its `column_runs`."""
    changes = np.zeros((len(columns), len(rows) + 1), np.int32)
    column, start, stop = runs
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


class Masked(Protocol):
    """An object with its mask: an `ObjectRecord`, or what a file holds of one."""

    @property
    def rle(self) -> bytes:
        """Its compressed COCO encoding."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the whole mask."""


def in_tile(record: Masked, tile: Tile) -> BoolArray:
    """Return the mask of an object as a tile shows it, ``(h, w)`` of the tile."""
    middle = (tile.stride - 1) // 2
    rows = range(tile.row + middle, tile.row + middle + tile.height, tile.stride)
    columns = range(
        tile.column + middle, tile.column + middle + tile.width, tile.stride
    )
    height, width = tile.shape
    return mask_window(record.rle, record.shape[0], rows[:height], columns[:width])


def column_runs(rle: bytes, height: int) -> Runs:
    """Return the runs of a mask, cut at the ends of columns."""
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
