"""What an OME-Zarr image of any version holds: its metadata and its pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core.huge_image import HugeImage
from napari_infosam.core.tiles import is_huge
from napari_infosam.project.formats.importing import refuse

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def own_attributes(group: Any) -> dict[str, Any]:
    """Return what this program has added to an image."""
    found: dict[str, Any] = group.attrs.get("infosam") or {}
    return found


def ngff_attributes(group: Any) -> dict[str, Any]:
    """Return the metadata, which version 0.5 keeps under a key of its own."""
    attributes = dict(group.attrs)
    found: dict[str, Any] = attributes.get("ome", attributes)
    return found


class Plane:
    """The single plane of a multiscale image, of which nothing is read yet.

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
    levels
        Arrays from the finest to the coarsest.
    index
        Position on their leading axes if rows and columns are the last two and all
        others have one place; else None.

    Raises
    ------
    InfosamError
        If it has several planes, or axes that do not fit.
    """

    def __init__(self, group: Any, store: Path) -> None:
        self._group, self._store = group, store
        scales = ngff_attributes(group)["multiscales"][0]
        self.levels = [group[dataset["path"]] for dataset in scales["datasets"]]
        array = self.levels[0]
        # version 0.3 has names alone, and older ones always these five
        given = scales.get("axes", list("tczyx"))
        axes = [axis["name"] if isinstance(axis, dict) else axis for axis in given]
        if len(axes) != array.ndim:
            raise refuse(
                store, f"it names {len(axes)} axes for {array.ndim} dimensions"
            )
        for axis, size in zip(axes, array.shape, strict=True):
            if axis not in "cyx" and size > 1:
                raise refuse(
                    store,
                    f"it has {size} planes along {axis}, only single planes are read",
                )
        self._axes = axes
        sizes = dict(zip(axes, map(int, array.shape), strict=True))
        self.shape = sizes["y"], sizes["x"]
        in_order = axes[-2:] == ["y", "x"]
        self._is_single = in_order and sizes.get("c", 1) == 1
        self._is_colour = in_order and sizes.get("c", 1) > 1
        self.index = (0,) * (len(axes) - 2) if self._is_single else None

    def picture(self) -> NDArray[Any] | HugeImage:
        """Return ``(Y, X[, C])`` pixels; of a huge image, what reads them by tiles."""
        path = str(self._store.absolute())
        if is_huge(self.shape) and self.index is not None:
            return HugeImage(self.levels, index=self.index, path=path)
        if is_huge(self.shape) and self._is_colour:
            at = self._axes.index("c")
            levels = [_ChannelsLast(level, at) for level in self.levels]
            return HugeImage(levels, rgb=True, path=path)
        return self.pixels()

    def pixels(self) -> NDArray[Any]:
        """Return the full-size array as ``(Y, X[, C])``."""
        axes, array = self._axes, self.levels[0]
        kept = [axis for axis in axes if axis in "cyx"]
        pixels = np.asarray(array[...]).reshape(
            [n for axis, n in zip(axes, array.shape, strict=True) if axis in "cyx"]
        )
        pixels = pixels.transpose([kept.index(axis) for axis in "yxc" if axis in kept])
        own = own_attributes(self._group)
        if pixels.ndim == 3 and pixels.shape[2] == 1 and own.get("axes") != "YXC":
            pixels = pixels[..., 0]
        return np.ascontiguousarray(pixels)


class _ChannelsLast:
    """A level ``(..., C, ..., Y, X)`` of one plane, seen as ``(Y, X, C)``."""

    def __init__(self, level: Any, axis: int) -> None:
        self._level = level
        self._place: list[Any] = [0] * (level.ndim - 2)
        self._place[axis] = slice(None)
        self.shape = (*map(int, level.shape[-2:]), int(level.shape[axis]))
        self.dtype = level.dtype

    def __getitem__(self, key: tuple[slice, slice]) -> NDArray[Any]:
        return np.moveaxis(np.asarray(self._level[(*self._place, *key)]), 0, -1)
