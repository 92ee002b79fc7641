"""Masks that are kept as a crop and a place: of a huge image a full one is too big."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.prompts import Box

if TYPE_CHECKING:
    from napari_infosam.core.masks import BoolArray
    from napari_infosam.core.tiles import Tile


@dataclass(frozen=True, slots=True)
class Place:
    """Where a crop lies.

    Attributes
    ----------
    row, column
        Of its first pixel, in the full image.
    frame
        (height, width) of the full image.
    tile
        The tile in which it was found, or None.
    """

    row: int
    column: int
    frame: tuple[int, int]
    tile: Tile | None = None


class PlacedMask(NDArray[np.bool_]):
    """An ``(h, w)`` bool array that is the crop of a mask of a larger image.

    Outside of the crop the mask is empty. It is an array so that areas are counted as
    always; a part or a copy of it has no place any more.

    Attributes
    ----------
    place
        Where it lies, or None for what was made from it by numpy.
    """

    place: Place | None

    def __new__(cls, crop: BoolArray, place: Place) -> PlacedMask:
        """Put a crop in its place; pixels outside of the frame raise a sentence."""
        height, width = place.frame
        inside = place.row >= 0 and place.column >= 0
        inside &= place.row + crop.shape[0] <= height
        inside &= place.column + crop.shape[1] <= width
        if crop.ndim != 2 or not inside:
            raise InfosamError(
                f"A crop of shape {crop.shape} at {(place.row, place.column)} does not "
                f"lie in an image of {height} x {width} pixels: move or cut it."
            )
        made = np.ascontiguousarray(crop, np.bool_).view(cls)
        made.place = place
        return made

    def __array_finalize__(self, other: Any) -> None:
        self.place = None


def place_of(mask: BoolArray) -> Place | None:
    """Return where a mask lies if it is a crop; None for a mask of a whole image."""
    return mask.place if isinstance(mask, PlacedMask) else None


def is_on(mask: BoolArray, row: int, column: int) -> bool:
    """Return whether a pixel of the image belongs to a mask, also of a crop."""
    place = place_of(mask)
    if place is not None:
        row, column = row - place.row, column - place.column
    inside = 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]
    return inside and bool(mask[row, column])


def placed_box(mask: PlacedMask) -> Box | None:
    """Return the tight box in the full image, corners at centres; None if empty."""
    place = mask.place
    crop = np.asarray(mask)
    rows = np.flatnonzero(crop.any(axis=1))
    columns = np.flatnonzero(crop.any(axis=0))
    if place is None or not rows.size:
        return None
    row, column = place.row, place.column
    return Box(
        float(column + columns[0]),
        float(row + rows[0]),
        float(column + columns[-1]),
        float(row + rows[-1]),
    )


def overlap(one: PlacedMask, other: PlacedMask) -> int:
    """Return how many pixels two crops of one image share."""
    a, b = one.place, other.place
    if a is None or b is None or a.frame != b.frame:
        return 0
    top, left = max(a.row, b.row), max(a.column, b.column)
    bottom = min(a.row + one.shape[0], b.row + other.shape[0])
    right = min(a.column + one.shape[1], b.column + other.shape[1])
    if top >= bottom or left >= right:
        return 0
    parts = [
        np.asarray(mask)[
            top - place.row : bottom - place.row,
            left - place.column : right - place.column,
        ]
        for mask, place in ((one, a), (other, b))
    ]
    return int(np.count_nonzero(parts[0] & parts[1]))


def in_common(*masks: BoolArray) -> tuple[list[BoolArray], tuple[int, int]]:
    """Return masks of one image as parts that lie on each other.

    Returns
    -------
    parts
        ``(h, w)`` bool each, as small as they can be; masks of the whole image as they
        are.
    corner
        (row, column) of their first pixel in the image.
    """
    places = [place_of(mask) for mask in masks]
    at = [(p.row, p.column) for p in places if p is not None]
    if len(at) < len(masks):
        return list(masks), (0, 0)
    some = [(mask, corner) for mask, corner in zip(masks, at, strict=True) if mask.size]
    row = min((row for _, (row, _) in some), default=0)
    column = min((column for _, (_, column) in some), default=0)
    bottom = max((at[0] + mask.shape[0] for mask, at in some), default=0)
    right = max((at[1] + mask.shape[1] for mask, at in some), default=0)
    parts = []
    for mask, (top, left) in zip(masks, at, strict=True):
        part = np.zeros((bottom - row, right - column), np.bool_)
        if mask.size:
            down, across = top - row, left - column
            height, width = mask.shape
            part[down : down + height, across : across + width] = mask
        parts.append(part)
    return parts, (row, column)


def placed_runs(mask: PlacedMask) -> NDArray[np.int64]:
    """Return the runs of a mask in its full image, in column-major order.

    Returns
    -------
    numpy.ndarray
        ``(N, 2)``: first pixel and one past the last, pixel (row, column) being
        ``column * H + row``.
    """
    place = mask.place
    crop = np.asarray(mask)
    if place is None or not crop.any():
        return np.zeros((0, 2), np.int64)
    columns = np.zeros((crop.shape[1], crop.shape[0] + 2), np.int8)
    columns[:, 1:-1] = crop.T
    edges = np.diff(columns, axis=1)
    column, start = np.nonzero(edges == 1)
    stop = np.nonzero(edges == -1)[1]
    first = (place.column + column) * place.frame[0] + place.row
    runs = np.stack((first + start, first + stop), axis=1).astype(np.int64)
    return join_runs(runs)


def join_runs(runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return sorted runs, ``(N, 2)``, where those that touch are one.

    As in column-major order they do that go on in the next column.
    """
    if not len(runs):
        return runs
    joined = runs[1:, 0] == runs[:-1, 1]
    return np.stack(
        (
            runs[np.concatenate(([True], ~joined)), 0],
            runs[np.concatenate((~joined, [True])), 1],
        ),
        axis=1,
    )


def placed_rle(mask: PlacedMask) -> bytes:
    """Return the compressed COCO encoding of the mask of the full image."""
    place = mask.place
    if place is None:
        raise InfosamError("This mask has no place: give the crop as it was made.")
    return rle_of_runs(placed_runs(mask), place.frame)


def rle_of_runs(runs: NDArray[np.int64], shape: tuple[int, int]) -> bytes:
    """Return the compressed COCO encoding of sorted runs of an ``(H, W)`` image."""
    counts = np.diff(runs.ravel(), prepend=0, append=shape[0] * shape[1])
    # an encoding ends with the object where that reaches the last pixel
    counts = counts[: counts.size - (counts[-1] == 0)]
    if not fits_coco(shape):
        return _compressed(counts.tolist())
    encoded = coco.frPyObjects({"size": list(shape), "counts": counts.tolist()}, *shape)
    compressed: bytes = encoded["counts"]
    return compressed


def fits_coco(shape: tuple[int, int]) -> bool:
    """Return whether pycocotools can count the pixels of ``(H, W)``, in 32 bits."""
    return shape[0] * shape[1] < 2**32


def _compressed(counts: list[int]) -> bytes:
    """Return the lengths of runs as pycocotools writes them, however long they are."""
    text = bytearray()
    for place, count in enumerate(counts):
        rest = count - counts[place - 2] if place > 2 else count
        is_over = False
        while not is_over:
            bits, rest = rest & 31, rest >> 5
            # the highest bit of the last five is the sign
            is_over = rest == (-1 if bits & 16 else 0)
            text.append(ord("0") + bits + (0 if is_over else 32))
    return bytes(text)
