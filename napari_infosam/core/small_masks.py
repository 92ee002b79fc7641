"""Masks kept as the part of an image that they lie in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_infosam.core.placed import place_of
from napari_infosam.core.prompts import Box

if TYPE_CHECKING:
    from napari_infosam.core.masks import BoolArray


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
    """

    part: BoolArray
    corner: tuple[int, int]
    shape: tuple[int, int]
    score: float

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
        return trimmed(part, self.corner, self.shape, self.score)

    def mask(self) -> BoolArray:
        """Return the ``(height, width)`` bool mask."""
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
    return trimmed(np.asarray(mask), (place.row, place.column), place.frame, score)


def trimmed(
    part: BoolArray, corner: tuple[int, int], shape: tuple[int, int], score: float
) -> SmallMask:
    """Return the mask whose pixels a part of an image has, which may be too large.

    Parameters as the attributes of `SmallMask`.
    """
    rows = np.flatnonzero(part.any(axis=1))
    columns = np.flatnonzero(part.any(axis=0))
    if not rows.size:
        return SmallMask(part[:0, :0], (0, 0), shape, score)
    tight = part[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return SmallMask(
        np.ascontiguousarray(tight),
        (corner[0] + int(rows[0]), corner[1] + int(columns[0])),
        shape,
        score,
    )


def apart(
    masks: Sequence[SmallMask], taken: BoolArray, min_share: float = 0.0
) -> list[SmallMask | None]:
    """Return masks that have no pixel in common, and none that is taken already.

    An earlier mask keeps a pixel that it shares with a later one.

    Parameters
    ----------
    masks
        Of one image.
    taken
        ``(H, W)`` bool: pixels that no mask may have.
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
