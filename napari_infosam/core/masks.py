"""Binary masks: COCO run-length encoding, boxes, label images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.prompts import Box

BoolArray = NDArray[np.bool_]


def encode_rle(mask: BoolArray) -> bytes:
    """Return the compressed COCO run-length encoding of an ``(H, W)`` mask."""
    encoded = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    counts: bytes = encoded["counts"]
    return counts


def decode_rle(counts: bytes, shape: tuple[int, int]) -> BoolArray:
    """Return the ``(H, W)`` mask of a compressed COCO run-length encoding."""
    decoded = coco.decode({"size": list(shape), "counts": counts})
    return np.ascontiguousarray(decoded, dtype=np.bool_)


def mask_box(mask: BoolArray) -> Box:
    """Return the tight box of an ``(H, W)`` mask, corners at pixel centres.

    Raises
    ------
    InfosamError
        If the mask is empty.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        raise InfosamError("An empty mask has no box: mark at least one pixel.")
    return Box(float(columns[0]), float(rows[0]), float(columns[-1]), float(rows[-1]))


def iter_objects(labels: NDArray[Any]) -> Iterator[tuple[int, BoolArray]]:
    """Yield ``(value, mask)`` for every non-zero value of an ``(H, W)`` label image."""
    for value in np.unique(labels):
        if value:
            yield int(value), labels == value
