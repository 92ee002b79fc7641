"""What an OME-Zarr image of any version holds: its metadata and its pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core.huge_image import HugeImage
from napari_infosam.core.tiles import is_huge
from napari_infosam.project.formats.importing import refuse
from napari_infosam.project.huge_files import bands

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_OF_A_PLANE = frozenset(("c", "y", "x"))

_MOST_KEPT = 2**28
"""Bytes of planes that are decoded together and kept."""

Place = dict[str, int]
"""Where a plane is along each axis but the three of `_OF_A_PLANE`."""


def own_attributes(group: Any) -> dict[str, Any]:
    """Return what this program has added to an image."""
    found: dict[str, Any] = group.attrs.get("infosam") or {}
    return found


def ngff_attributes(group: Any) -> dict[str, Any]:
    """Return the metadata, which version 0.5 keeps under a key of its own."""
    attributes = dict(group.attrs)
    found: dict[str, Any] = attributes.get("ome", attributes)
    return found


@dataclass(frozen=True, slots=True)
class Multiscale:
    """What an image says of its axes and levels.

    Attributes
    ----------
    axes
        Their names.
    units, scale
        Of each axis: the unit or None, and how much of it one step is in the finest
        level.
    paths
        Of the levels, from the finest to the coarsest.
    """

    axes: tuple[str, ...]
    units: tuple[str | None, ...]
    scale: tuple[float, ...]
    paths: tuple[str, ...]

    @classmethod
    def of(cls, group: Any) -> Multiscale:
        """Read the metadata of an image; what is missing raises `LookupError`."""
        scales = ngff_attributes(group)["multiscales"][0]
        # version 0.3 has names alone, and older ones always these five
        given = scales.get("axes", list("tczyx"))
        axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in given]
        first = scales["datasets"][0]
        steps = np.ones(len(axes))
        for one in (first, scales):
            for transformation in one.get("coordinateTransformations") or ():
                if transformation["type"] == "scale" and "scale" in transformation:
                    steps = steps * np.asarray(transformation["scale"], float)
        return cls(
            axes=tuple(axis["name"] for axis in axes),
            units=tuple(axis.get("unit") for axis in axes),
            scale=tuple(steps.tolist()),
            paths=tuple(dataset["path"] for dataset in scales["datasets"]),
        )


def open_multiscale(path: Path) -> Multiscale | None:
    """Return what an OME-Zarr image says; None if there is no such image."""
    import zarr

    try:
        return Multiscale.of(zarr.open_group(path, mode="r"))
    except Exception:  # whatever a broken store makes zarr stumble over
        return None


class Slab:
    """Keeps the planes that were decoded with one which was asked for.

    Those of one image at a time: a few images may share it.
    """

    def __init__(self) -> None:
        self._key: object = None
        self._pixels: NDArray[Any] | None = None

    def get(self, key: object, read: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Return what is kept, or what is read now and kept."""
        if self._pixels is None or key != self._key:
            self._pixels = None
            self._key, self._pixels = key, read()
        return self._pixels


class Planes:
    """The planes of a multiscale image, of which nothing is read yet.

    Parameters
    ----------
    group
        The image.
    store
        Where it lies, for sentences.
    slab
        Where pixels are kept.

    Attributes
    ----------
    shape
        (height, width).
    n_channels
        1 where it has no axis of channels.
    sizes
        Of the axes along which there are planes, by their names.
    levels
        Arrays from the finest to the coarsest.

    Raises
    ------
    InfosamError
        If the axes do not fit.
    """

    def __init__(self, group: Any, store: Path, slab: Slab) -> None:
        self._group, self._store, self._slab = group, store, slab
        about = Multiscale.of(group)
        self.levels = [group[path] for path in about.paths]
        array = self.levels[0]
        self._axes = about.axes
        if len(self._axes) != array.ndim:
            raise refuse(
                store, f"it names {len(self._axes)} axes for {array.ndim} dimensions"
            )
        sizes = dict(zip(self._axes, map(int, array.shape), strict=True))
        self.shape = sizes["y"], sizes["x"]
        self.n_channels = sizes.get("c", 1)
        self.sizes = {a: n for a, n in sizes.items() if a not in _OF_A_PLANE}
        self._is_in_order = self._axes[-2:] == ("y", "x")

    def together(self, place: Place) -> list[Place]:
        """Return where the planes are that are in the same chunks as one, itself too.

        They follow each other along the last axis that is not of a plane.
        """
        if not self.sizes:
            return [place]
        axis = list(self.sizes)[-1]
        n = int(self.levels[0].chunks[self._axes.index(axis)])
        first = place[axis] // n * n
        last = min(first + n, self.sizes[axis])
        return [{**place, axis: number} for number in range(first, last)]

    def picture(self, place: Place) -> NDArray[Any] | HugeImage:
        """Return ``(Y, X[, C])`` pixels; of a huge image, what reads them by tiles."""
        if not (is_huge(self.shape) and self._is_in_order):
            return self._pixels(place)
        path = str(self._store.absolute())
        # others may be coarser along the stack as well
        full = self.levels[0].shape[:-2]
        levels = [level for level in self.levels if level.shape[:-2] == full]
        if self.n_channels == 1:
            index = self._index({**place, "c": 0})[:-2]
            return HugeImage(levels, index=index, path=path)
        index, at = self._index(place)[:-2], self._axes.index("c")
        levels = [_ChannelsLast(level, at, index) for level in levels]
        return HugeImage(levels, rgb=True, path=path)

    def labels(self, places: Sequence[Place]) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield bands of planes of one channel, with their first row.

        Parameters
        ----------
        places
            As `together` returns them.

        Yields
        ------
        tuple
            The first row, and labels ``(planes, rows, X)``.
        """
        if not self._is_in_order:
            yield 0, np.stack([self._pixels(place) for place in places])
            return
        array, n = self.levels[0], len(places)
        index = self._index({**_slices(places), "c": 0})[:-2]
        for band in bands(array, array.ndim - 2, n):
            labels = np.asarray(array[(*index, band)])
            yield band.start, labels.reshape(n, *labels.shape[-2:])

    def _pixels(self, place: Place) -> NDArray[Any]:
        """Return a full-size plane as ``(Y, X[, C])``."""
        array = self.levels[0]
        places = self.together(place)
        n_values = math.prod(self.shape) * self.n_channels * len(places)
        if n_values * array.dtype.itemsize > _MOST_KEPT:
            places = [place]

        def read() -> NDArray[Any]:
            # an axis of one place stays one, so that all axes are where they were
            return np.asarray(array[self._index(_slices(places))])

        of_plane = [axis for axis in "yxc" if axis in self._axes]
        order = [self._axes.index(axis) for axis in (*self.sizes, *of_plane)]
        planes = self._slab.get((self, places), read).transpose(order)
        planes = planes.reshape(len(places), *planes.shape[len(self.sizes) :])
        pixels = planes[places.index(place)]
        own = own_attributes(self._group)
        if pixels.ndim == 3 and pixels.shape[2] == 1 and own.get("axes") != "YXC":
            pixels = pixels[..., 0]
        return np.ascontiguousarray(pixels)

    def _index(self, place: Mapping[str, int | slice]) -> tuple[Any, ...]:
        """Return what picks planes of an array of all axes."""
        return tuple(place.get(axis, slice(None)) for axis in self._axes)


def _slices(places: Sequence[Place]) -> dict[str, slice]:
    """Return what picks planes that follow each other along one axis."""
    first, last = places[0], places[-1]
    return {axis: slice(n, last[axis] + 1) for axis, n in first.items()}


class _ChannelsLast:
    """A level ``(..., C, ..., Y, X)`` of which one plane is seen as ``(Y, X, C)``."""

    def __init__(self, level: Any, axis: int, place: tuple[Any, ...]) -> None:
        self._level, self._place = level, place
        self.shape = (*map(int, level.shape[-2:]), int(level.shape[axis]))
        self.dtype = level.dtype

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[Any]:
        return np.moveaxis(np.asarray(self._level[(*self._place, *key)]), 0, -1)
