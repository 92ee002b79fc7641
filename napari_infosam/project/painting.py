"""Masks as run-length encodings, worked on without decoding them in full.

A mask is the sorted indices of its pixels in column-major order, as the COCO encoding
counts them: pixel (row, column) of an image of height H is ``column * H + row``. What
is done to them takes a time that grows with the object, not with the image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_infosam.core.placed import rle_of_runs
from napari_infosam.core.prompts import Box

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_infosam.project.records import ObjectRecord

Pixels = NDArray[np.int64]


def paint(records: Iterable[ObjectRecord], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Return the ``(H, W)`` label image of objects, higher numbers on top."""
    return paint_columns(records, shape, 0, shape[1])


def paint_columns(
    records: Iterable[ObjectRecord], shape: tuple[int, int], start: int, stop: int
) -> NDArray[np.int32]:
    """Return columns ``start`` to ``stop`` of a label image, ``(H, stop - start)``."""
    height = shape[0]
    first, last = start * height, stop * height
    columns = np.zeros(last - first, np.int32)
    for record in sorted(records, key=lambda record: record.instance_id):
        pixels = pixels_of(record.rle)
        if first or last < height * shape[1]:
            pixels = pixels[slice(*np.searchsorted(pixels, (first, last)))] - first
        columns[pixels] = record.instance_id
    return np.ascontiguousarray(columns.reshape(stop - start, height).T)


def pixels_of(rle: bytes) -> Pixels:
    """Return the sorted pixels of a compressed COCO encoding."""
    edges = np.cumsum(run_lengths(rle))
    # runs of background and object alternate, and background comes first
    starts, stops = edges[: edges.size // 2 * 2].reshape(-1, 2).T
    lengths = stops - starts
    before = np.cumsum(lengths) - lengths
    pixels: Pixels = np.repeat(starts - before, lengths)
    pixels += np.arange(pixels.size)
    return pixels


def rle_of(pixels: Pixels, shape: tuple[int, int]) -> bytes:
    """Return the compressed COCO encoding of sorted pixels of an ``(H, W)`` image."""
    breaks = np.flatnonzero(np.diff(pixels) != 1) + 1
    starts = pixels[np.concatenate(([0], breaks))[: pixels.size]]
    stops = pixels[np.concatenate((breaks - 1, [pixels.size - 1]))] + 1
    return rle_of_runs(np.stack((starts, stops), axis=1), shape)


def box_of(pixels: Pixels, height: int) -> Box:
    """Return the tight box of pixels, corners at pixel centres."""
    columns, rows = np.divmod(pixels, height)
    return Box(
        float(columns[0]), float(rows.min()), float(columns[-1]), float(rows.max())
    )


def among(pixels: Pixels, others: Pixels) -> NDArray[np.bool_]:
    """Return which of some pixels are among others; both are sorted."""
    if not others.size:
        return np.zeros(pixels.size, np.bool_)
    places = np.searchsorted(others, pixels)
    found: NDArray[np.bool_] = others[np.minimum(places, others.size - 1)] == pixels
    return found


def run_lengths(rle: bytes) -> Pixels:
    """Return the lengths of the runs of a compressed COCO encoding.

    A number is written as characters of five bits each, lowest first; bit six says
    that more follow, bit five of the last one is the sign. From the fourth number on
    it is the difference to the one two before.
    """
    codes = np.frombuffer(rle, np.uint8).astype(np.int64) - ord("0")
    ends = np.flatnonzero(codes < 32)
    begins = np.concatenate(([0], ends[:-1] + 1))
    sizes = ends - begins + 1
    shifts = 5 * (np.arange(codes.size) - np.repeat(begins, sizes))
    lengths = np.add.reduceat((codes & 31) << shifts, begins)
    lengths -= np.where(codes[ends] & 16, np.int64(1) << 5 * sizes, 0)
    lengths[1::2] = np.cumsum(lengths[1::2])
    lengths[2::2] = np.cumsum(lengths[2::2])
    return lengths
