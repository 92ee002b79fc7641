"""Masks as run-length encodings, worked on without decoding them in full.

A mask is the sorted indices of its pixels in column-major order, as the COCO encoding
counts them: pixel (row, column) of an image of height H is ``column * H + row``. What
is done to them takes a time that grows with the object, not with the image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_infosam.core.placed import rle_of_runs
from napari_infosam.core.prompts import Box

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Pixels = NDArray[np.int64]


_AT_ONCE = 1 << 22
"""Pixels that are painted together: the memory for it is a few times as much."""


class Numbered(Protocol):
    """An object as it is painted: an `ObjectRecord`, or less."""

    @property
    def instance_id(self) -> int:
        """Its number."""

    @property
    def rle(self) -> bytes:
        """Its compressed COCO encoding."""

    @property
    def area(self) -> int:
        """Its number of pixels."""


def lowest_first(area: int, number: int) -> tuple[int, int]:
    """Return what sorts objects from the lowest to the one on top.

    Of objects that overlap the one of fewer pixels is on top: a nucleus on its cell.
    Of as many, it is the one of the higher number.
    """
    return -area, number


def paint(records: Iterable[Numbered], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Return the ``(H, W)`` label image of objects, smaller ones on top."""
    return paint_columns(records, shape, 0, shape[1])


def paint_columns(
    records: Iterable[Numbered], shape: tuple[int, int], start: int, stop: int
) -> NDArray[np.int32]:
    """Return columns ``start`` to ``stop`` of a label image, ``(H, stop - start)``."""
    height = shape[0]
    first, last = start * height, stop * height
    columns = np.zeros(last - first, np.int32)
    order = sorted(records, key=lambda r: lowest_first(r.area, r.instance_id))
    for part in _parts(order):
        starts, stops, owners = _runs([record.rle for record in part])
        starts, stops = np.clip((starts, stops), first, last) - first
        numbers = np.array([record.instance_id for record in part])[owners]
        # of pixels that are named twice the later one counts
        columns[_between(starts, stops)] = np.repeat(numbers, stops - starts)
    return np.ascontiguousarray(columns.reshape(stop - start, height).T)


def _parts(records: Sequence[Numbered]) -> Iterator[Sequence[Numbered]]:
    """Cut a list of objects into parts of not too many pixels."""
    areas = np.cumsum([record.area for record in records])
    begin = 0
    while begin < len(records):
        before = areas[begin - 1] if begin else 0
        end = int(np.searchsorted(areas, before + _AT_ONCE, "right"))
        yield records[begin : max(end, begin + 1)]
        begin = max(end, begin + 1)


def pixels_of(rle: bytes) -> Pixels:
    """Return the sorted pixels of a compressed COCO encoding."""
    starts, stops, _ = _runs([rle])
    return _between(starts, stops)


def united(rles: Sequence[bytes]) -> Pixels:
    """Return the sorted pixels that are in any of several encodings of one image."""
    starts, stops, _ = _runs(rles)
    pixels = np.sort(_between(starts, stops))
    once: Pixels = pixels[np.diff(pixels, prepend=-1) > 0]
    return once


def _between(starts: Pixels, stops: Pixels) -> Pixels:
    """Return the pixels of runs, one run after the other."""
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
    """Return the lengths of the runs of a compressed COCO encoding."""
    return _lengths([rle])[0]


def _runs(rles: Sequence[bytes]) -> tuple[Pixels, Pixels, Pixels]:
    """Return starts, stops and encodings of the runs of pixels of several ones."""
    lengths, owners, places = _lengths(rles)
    # runs of background and object alternate, and background comes first
    edges = _cumsum_within(lengths, owners)
    stops = np.flatnonzero(places % 2)
    return edges[stops - 1], edges[stops], owners[stops]


def _lengths(rles: Sequence[bytes]) -> tuple[Pixels, Pixels, Pixels]:
    """Return the lengths of all runs, and which encoding and place in it they have.

    A number is written as characters of five bits each, lowest first; bit six says
    that more follow, bit five of the last one is the sign. From the fourth number on
    it is the difference to the one two before.
    """
    codes = np.frombuffer(b"".join(rles), np.uint8).astype(np.int64) - ord("0")
    ends = np.flatnonzero(codes < 32)
    begins = np.concatenate(([0], ends[:-1] + 1))
    sizes = ends - begins + 1
    shifts = 5 * (np.arange(codes.size) - np.repeat(begins, sizes))
    lengths = np.add.reduceat((codes & 31) << shifts, begins)
    lengths -= np.where(codes[ends] & 16, np.int64(1) << 5 * sizes, 0)
    edges = np.cumsum([len(rle) for rle in rles])
    counts = np.diff(np.searchsorted(ends, edges), prepend=0)
    owners = np.repeat(np.arange(counts.size), counts)
    places = np.arange(owners.size) - np.repeat(np.cumsum(counts) - counts, counts)
    # the first number, the second and every other, the third and every other
    row = 3 * owners + np.where(places, 2 - places % 2, 0)
    order = np.argsort(row, kind="stable")
    lengths[order] = _cumsum_within(lengths[order], row[order])
    return lengths, owners, places


def _cumsum_within(values: Pixels, groups: Pixels) -> Pixels:
    """Return sums that begin anew where the group is another one."""
    sums: Pixels = np.cumsum(values)
    begins = np.flatnonzero(np.diff(groups, prepend=-1))
    sizes = np.diff(begins, append=groups.size)
    return sums - np.repeat(sums[begins] - values[begins], sizes)
