"""A small picture of any image, for lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core.preprocess import Preprocessing, to_rgb_uint8

if TYPE_CHECKING:
    from napari_infosam.core.preprocess import RGBImage

_FINER = 4
"""So many times finer than the small picture are the pixels it is the mean of."""
_MOST_READ = 2048
"""Of compressed pixels without a coarse level, at most so many rows and columns."""


def small_picture(
    image: Any,
    side: int,
    *,
    leading: tuple[int | slice, ...] = (),
    channels: tuple[int, ...] | None = None,
) -> RGBImage:
    """Return a small picture, with the contrast that the model sees.

    Parameters
    ----------
    image
        ``(..., Y, X)`` or ``(..., Y, X, C)``, anything that is cut by slices. An array,
        or a memory map, is read in steps; of anything else that is large the middle is.
    side
        Of the picture, in pixels: neither height nor width is more.
    leading
        Place on each axis before the rows; ``slice(None)`` on one that holds channels.
    channels
        See `Preprocessing.channels`.

    Returns
    -------
    numpy.ndarray
        ``(h, w, 3)`` uint8.

    Raises
    ------
    InfosamError
        If it is no image, or lacks a channel.
    """
    plane = [int(size) for size in image.shape[len(leading) :][:2]]
    is_quick = isinstance(image, np.ndarray)
    reads = [size if is_quick else min(size, _MOST_READ) for size in plane]
    step = max(1, max(reads, default=1) // (_FINER * side))
    cut = []
    for size, n_read in zip(plane, reads, strict=True):
        start = (size - n_read) // 2
        cut.append(slice(start, start + n_read, step))
    part = np.asarray(image[(*leading, *cut)])
    if any(isinstance(place, slice) for place in leading):
        part = np.moveaxis(part, 0, -1)
    return _averaged(to_rgb_uint8(part, Preprocessing(channels=channels)), side)


def _averaged(picture: RGBImage, side: int) -> RGBImage:
    """Return the means of equal blocks, so many that the picture is small enough."""
    block = -(-max(picture.shape[:2]) // side)
    height, width = (max(1, size // block) for size in picture.shape[:2])
    rows, columns = (min(block, size) for size in picture.shape[:2])
    blocks = picture[: height * rows, : width * columns]
    blocks = blocks.reshape(height, rows, width, columns, 3)
    means: RGBImage = np.round(blocks.mean(axis=(1, 3))).astype(np.uint8)
    return means
