"""Masks that were checked and encoded, ready to be written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.masks import BoolArray, encode_rle, mask_box
from napari_infosam.core.placed import PlacedMask, placed_box, placed_rle
from napari_infosam.project.painting import Pixels, box_of, rle_of

if TYPE_CHECKING:
    from napari_infosam.core.prompts import Box
    from napari_infosam.project.records import ImageRecord


@dataclass(frozen=True, slots=True)
class Encoded:
    """A checked mask, ready to be written."""

    rle: bytes
    shape: tuple[int, int]
    box: Box
    area: int


def encode(mask: BoolArray | Encoded, image: ImageRecord) -> Encoded:
    """Check a mask, ``(H, W)`` or a crop that has a place, and encode it.

    One that is encoded already is only checked.

    Raises
    ------
    InfosamError
        If the mask is empty, not a mask, or not of the image's height and width.
    """
    if isinstance(mask, PlacedMask):
        return _encode_placed(mask, image)
    if not isinstance(mask, Encoded):
        mask = np.asarray(mask)
    height, width = image.shape[:2]
    if mask.shape != (height, width):
        raise InfosamError(
            f"The mask has the shape {mask.shape}, but {image.name} is "
            f"{height} x {width} pixels: give a mask of the same height and width."
        )
    if isinstance(mask, Encoded):
        return mask
    if mask.dtype.kind not in "bui":
        raise InfosamError(
            f"A mask of type {mask.dtype} is not one of yes and no: threshold it first."
        )
    mask = mask.astype(np.bool_, copy=False)
    area = int(np.count_nonzero(mask))
    if not area:
        raise InfosamError(
            f"The mask for {image.name} is empty: mark at least one pixel."
        )
    return Encoded(encode_rle(mask), (height, width), mask_box(mask), area)


def _encode_placed(mask: PlacedMask, image: ImageRecord) -> Encoded:
    frame = (image.shape[0], image.shape[1])
    box = placed_box(mask)
    if mask.place is not None and mask.place.frame != frame:
        raise InfosamError(
            f"The mask lies in an image of {mask.place.frame} pixels, but {image.name} "
            f"has {frame}: give a mask of this image."
        )
    if box is None:
        raise InfosamError(
            f"The mask for {image.name} is empty: mark at least one pixel."
        )
    return Encoded(placed_rle(mask), frame, box, int(np.count_nonzero(mask)))


def encode_pixels(pixels: Pixels, shape: tuple[int, int]) -> Encoded:
    """Encode the sorted pixels of a mask, at least one."""
    box = box_of(pixels, shape[0])
    return Encoded(rle_of(pixels, shape), shape, box, pixels.size)
