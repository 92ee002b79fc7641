"""What an OME-Zarr image of any version holds: its metadata and its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core.huge_image import HugeImage
from napari_infosam.core.tiles import is_huge
from napari_infosam.project.formats.importing import refuse
from napari_infosam.project.huge_files import bands

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_OF_A_PLANE = frozenset(("c", "y", "x"))

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


class Planes:
    """The planes of a multiscale image, of which nothing is read yet.

    Parameters
    ----------
    group
        The image.
    store
        Where it lies, for sentences.

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

    def __init__(self, group: Any, store: Path) -> None:
        self._group, self._store = group, store
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

    def picture(self, place: Mapping[str, int]) -> NDArray[Any] | HugeImage:
        """Return ``(Y, X[, C])`` pixels; of a huge image, what reads them by tiles."""
        if not (is_huge(self.shape) and self._is_in_order):
            return self._pixels(place)
        path = str(self._store.absolute())
        # others may be coarser along the stack as well
        full = self.levels[0].shape[:-2]
        levels = [level for level in self.levels if level.shape[:-2] == full]
        if self.n_channels == 1:
            return HugeImage(levels, index=self._index(place, c=0)[:-2], path=path)
        index, at = self._index(place), self._axes.index("c")
        levels = [_ChannelsLast(level, at, index[:-2]) for level in levels]
        return HugeImage(levels, rgb=True, path=path)

    def labels(self, place: Mapping[str, int]) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield ``(rows, X)`` bands of a plane of one channel with their first row."""
        if not self._is_in_order:
            yield 0, self._pixels(place)
            return
        index = self._index(place, c=0)[:-2]
        array = self.levels[0]
        for band in bands(array, array.ndim - 2):
            yield band.start, np.asarray(array[(*index, band)])

    def _pixels(self, place: Mapping[str, int]) -> NDArray[Any]:
        """Return a full-size plane as ``(Y, X[, C])``."""
        kept = [axis for axis in self._axes if axis in _OF_A_PLANE]
        pixels = np.asarray(self.levels[0][self._index(place)])
        pixels = pixels.transpose([kept.index(axis) for axis in "yxc" if axis in kept])
        own = own_attributes(self._group)
        if pixels.ndim == 3 and pixels.shape[2] == 1 and own.get("axes") != "YXC":
            pixels = pixels[..., 0]
        return np.ascontiguousarray(pixels)

    def _index(self, place: Mapping[str, int], **more: int) -> tuple[Any, ...]:
        """Return what picks a plane of an array of all axes."""
        known = {**place, **more}
        return tuple(known.get(axis, slice(None)) for axis in self._axes)


class _ChannelsLast:
    """A level ``(..., C, ..., Y, X)`` of which one plane is seen as ``(Y, X, C)``."""

    def __init__(self, level: Any, axis: int, place: tuple[Any, ...]) -> None:
        self._level, self._place = level, place
        self.shape = (*map(int, level.shape[-2:]), int(level.shape[axis]))
        self.dtype = level.dtype

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[Any]:
        return np.moveaxis(np.asarray(self._level[(*self._place, *key)]), 0, -1)
