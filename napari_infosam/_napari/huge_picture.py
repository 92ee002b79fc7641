"""Masks and objects of a huge picture: seen through windows, kept as crops.

napari shows a multiscale layer by asking its levels for the part in view. The levels
here are no arrays: each part is made when it is asked for, so that a label image of
the whole picture never exists. Such layers can be seen, but not painted on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_infosam._napari.parts import parts_of
from napari_infosam.core.huge_image import HugeImage
from napari_infosam.core.placed import Place, PlacedMask, place_of
from napari_infosam.core.prompts import Point
from napari_infosam.project.windows import label_window, places_within

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_infosam.core.masks import BoolArray
    from napari_infosam.project import ObjectRecord, Project

Read = Callable[[range, range], NDArray[Any]]

_SMALLEST = 32
"""A level that is not larger than this is the last one.

napari keeps what it read of the last level: it must be too small to be looked at.
"""


class WindowLevel:
    """One level of a multiscale Labels layer whose parts are made when asked for.

    Parameters
    ----------
    picture
        What makes them.
    stride
        So many pixels of the picture, along each axis, are one of this level.
    """

    ndim = 2

    def __init__(self, picture: WindowedPicture, stride: int) -> None:
        self._picture = picture
        self._stride = stride
        self.dtype = np.dtype(np.int32)
        height, width = picture.shape
        self.shape = (-(-height // stride), -(-width // stride))
        self.size = self.shape[0] * self.shape[1]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        keys = key if isinstance(key, tuple) else (key,)
        keys = (*keys, *[slice(None)] * (2 - len(keys)))
        rows, columns = (
            range(0, size, self._stride)[k if isinstance(k, slice) else slice(k, k + 1)]
            for size, k in zip(self._picture.shape, keys, strict=True)
        )
        part = self._picture.read(rows, columns).astype(self.dtype, copy=False)
        single = tuple(slice(None) if isinstance(k, slice) else 0 for k in keys)
        return part[single]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:, :].astype(dtype or self.dtype, copy=False)


class WindowedPicture:
    """What a multiscale Labels layer shows of a huge picture.

    What is shown changes with `read`, and not with the data of the layer: napari would
    ask for a part of another level than it has (0.9.2).

    Parameters
    ----------
    shape
        (height, width) of the picture.

    Attributes
    ----------
    read
        Returns the given rows and columns of the picture.
    levels
        For the layer, from the finest to the coarsest, each half as fine as the one
        before.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.read: Read = blank
        self.levels = [WindowLevel(self, 1)]
        while max(self.levels[-1].shape) > _SMALLEST:
            self.levels.append(WindowLevel(self, 2 ** len(self.levels)))

    def show(self, layer: Labels, read: Read) -> None:
        """Let a layer of these levels show something else."""
        self.read = read
        layer.refresh(extent=False, thumbnail=False)


def blank(rows: range, columns: range) -> NDArray[np.uint8]:
    """Return a part of an empty picture."""
    return np.zeros((len(rows), len(columns)), np.uint8)


def reader_of_crop(crop: NDArray[np.uint8], row: int, column: int) -> Read:
    """Return what reads a picture that is empty but for a crop at a place."""
    return reader_of_crops([(crop, row, column)])


def reader_of_crops(crops: Iterable[tuple[NDArray[np.uint8], int, int]]) -> Read:
    """Return what reads a picture that is empty but for crops, later ones on top.

    Parameters
    ----------
    crops
        Each with its place: row and column. What is 0 in one covers nothing.
    """
    known = list(crops)

    def read(rows: range, columns: range) -> NDArray[np.uint8]:
        part = blank(rows, columns)
        for crop, row, column in known:
            inside_rows = places_within(rows, row, crop.shape[0])
            inside_columns = places_within(columns, column, crop.shape[1])
            below = part[inside_rows, inside_columns]
            if not below.size:
                continue
            seen = crop[
                np.ix_(
                    np.array(rows[inside_rows], np.intp) - row,
                    np.array(columns[inside_columns], np.intp) - column,
                )
            ]
            below[seen > 0] = seen[seen > 0]
        return part

    return read


def keep_tile(
    project: Project,
    image_id: int,
    pixels: NDArray[Any] | HugeImage | None,
    mask: BoolArray,
) -> None:
    """Keep the tile in which a mask was found; nothing for a picture that is no huge.

    It was read for the answer, and is at hand.
    """
    place = place_of(mask)
    if isinstance(pixels, HugeImage) and place is not None and place.tile is not None:
        project.tiles.keep(image_id, place.tile, pixels.read_tile(place.tile))


def parts_of_object(record: ObjectRecord, points: Sequence[Point]) -> list[PlacedMask]:
    """Return the parts of an object, see `parts_of`."""
    box = record.box
    row, column = int(box.y0), int(box.x0)
    rows, columns = range(row, int(box.y1) + 1), range(column, int(box.x1) + 1)
    crop = label_window([record], rows, columns) > 0
    inside = [Point(p.x - column, p.y - row, p.positive) for p in points]
    parts = []
    for part in parts_of(crop, inside):
        at = part.place
        if at is not None:
            place = Place(row + at.row, column + at.column, record.shape)
            parts.append(PlacedMask(part, place))
    return parts
