"""Masks kept as the part of an image that they lie in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core.placed import Place, PlacedMask, place_of
from napari_infosam.core.prompts import Box
from napari_infosam.core.tiles import is_huge

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_infosam.core.masks import BoolArray
    from napari_infosam.core.tiles import Tile

Span = tuple[slice, slice]
"""Some rows and columns of an image."""


@dataclass(frozen=True, slots=True)
class SmallMask:
    """One mask of an image, kept as the part of it that is not empty.

    Attributes
    ----------
    part
        ``(h, w)`` bool; ``(0, 0)`` for an empty mask.
    corner
        (row, column) of its first pixel in the image.
    shape
        (height, width) of the image.
    score
        Predicted IoU.
    tile
        The tile of a huge image in which it was found, or None.
    """

    part: BoolArray
    corner: tuple[int, int]
    shape: tuple[int, int]
    score: float
    tile: Tile | None = None

    @property
    def place(self) -> tuple[slice, slice]:
        """Where the part lies in the image: rows and columns."""
        (row, column), (height, width) = self.corner, self.part.shape
        return slice(row, row + height), slice(column, column + width)

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.part))

    @property
    def box(self) -> Box:
        """The box of the part, corners at pixel centres."""
        rows, columns = self.place
        return Box(columns.start, rows.start, columns.stop - 1, rows.stop - 1)

    def with_part(self, part: BoolArray) -> SmallMask:
        """Return a mask of fewer pixels: ``part`` is as high and wide as this one."""
        return trimmed(part, self.corner, self.shape, self.score, self.tile)

    def mask(self) -> BoolArray:
        """Return the ``(height, width)`` bool mask; of a huge image as a crop."""
        if is_huge(self.shape):
            return PlacedMask(self.part, Place(*self.corner, self.shape, self.tile))
        full = np.zeros(self.shape, np.bool_)
        full[self.place] = self.part
        return full


def small_mask(mask: BoolArray, score: float) -> SmallMask:
    """Return a mask as the part that is not empty.

    Parameters
    ----------
    mask
        ``(H, W)`` bool of the image, or a `PlacedMask`.
    score
        Predicted IoU.
    """
    place = place_of(mask)
    if place is None:
        height, width = mask.shape
        return trimmed(mask, (0, 0), (height, width), score)
    corner = place.row, place.column
    return trimmed(np.asarray(mask), corner, place.frame, score, place.tile)


def trimmed(
    part: BoolArray,
    corner: tuple[int, int],
    shape: tuple[int, int],
    score: float,
    tile: Tile | None = None,
) -> SmallMask:
    """Return the mask whose pixels a part of an image has, which may be too large.

    Parameters as the attributes of `SmallMask`.
    """
    rows = np.flatnonzero(part.any(axis=1))
    columns = np.flatnonzero(part.any(axis=0))
    if not rows.size:
        return SmallMask(part[:0, :0], (0, 0), shape, score, tile)
    tight = part[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return SmallMask(
        np.ascontiguousarray(tight),
        (corner[0] + int(rows[0]), corner[1] + int(columns[0])),
        shape,
        score,
        tile,
    )


class TakenParts:
    """Which pixels of a huge image are taken: never a full frame.

    Is read, added to and copied like an ``(H, W)`` bool array, part by part.

    Parameters
    ----------
    taken_before
        Returns some rows and columns of a label image.
    """

    def __init__(self, taken_before: Callable[[range, range], NDArray[Any]]) -> None:
        self._taken_before = taken_before
        self._laid: list[tuple[Span, BoolArray]] = []

    def copy(self) -> TakenParts:
        """Return the same, to be added to."""
        made = TakenParts(self._taken_before)
        made._laid = [*self._laid]
        return made

    def __getitem__(self, place: Span) -> BoolArray:
        part = self._taken_before(*(range(s.start, s.stop) for s in place)) > 0
        for span, laid in self._laid:
            low = [max(a.start, b.start) for a, b in zip(place, span, strict=True)]
            high = [min(a.stop, b.stop) for a, b in zip(place, span, strict=True)]
            if low[0] < high[0] and low[1] < high[1]:
                part[_within(low, high, place)] |= laid[_within(low, high, span)]
        return part

    def __setitem__(self, place: Span, part: BoolArray) -> None:
        self._laid.append((place, part))


def _within(low: Sequence[int], high: Sequence[int], place: Span) -> Span:
    """Return rows and columns of an image as those of a part of it."""
    (top, left), (bottom, right) = low, high
    rows, columns = place
    return (
        slice(top - rows.start, bottom - rows.start),
        slice(left - columns.start, right - columns.start),
    )


def apart(
    masks: Sequence[SmallMask],
    taken: BoolArray | TakenParts,
    min_share: float = 0.0,
) -> list[SmallMask | None]:
    """Return masks that have no pixel in common, and none that is taken already.

    An earlier mask keeps a pixel that it shares with a later one.

    Parameters
    ----------
    masks
        Of one image.
    taken
        ``(H, W)`` bool: pixels that no mask may have. It stays as it is.
    min_share
        A mask that is left with less than this share of itself is dropped.

    Returns
    -------
    list of SmallMask or None
        What is left of each mask; None where it was dropped.
    """
    taken = taken.copy()
    kept: list[SmallMask | None] = []
    for mask in masks:
        part = mask.part & ~taken[mask.place]
        area = int(np.count_nonzero(part))
        if not area or area < min_share * mask.area:
            kept.append(None)
            continue
        taken[mask.place] |= part
        kept.append(mask.with_part(part))
    return kept
