"""Label images from run-length encodings, without decoding every mask in full."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_infosam.project.records import ObjectRecord


def paint(records: Iterable[ObjectRecord], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Return the ``(H, W)`` label image of objects, later ones on top.

    The time grows with the area of the objects, not with their number times the size
    of the image.
    """
    columns = np.zeros(shape[0] * shape[1], np.int32)
    for record in records:
        columns[pixels_of(record.rle)] = record.instance_id
    return np.ascontiguousarray(columns.reshape(shape[1], shape[0]).T)


def pixels_of(rle: bytes) -> NDArray[np.int64]:
    """Return the pixels of a mask as indices into its columns, one after the other."""
    edges = np.cumsum(run_lengths(rle))
    # runs of background and object alternate, and background comes first
    starts, stops = edges[: edges.size // 2 * 2].reshape(-1, 2).T
    lengths = stops - starts
    before = np.cumsum(lengths) - lengths
    pixels: NDArray[np.int64] = np.repeat(starts - before, lengths)
    pixels += np.arange(pixels.size)
    return pixels


def run_lengths(rle: bytes) -> NDArray[np.int64]:
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
