"""Files of images, above all of huge ones, opened without reading them."""

from __future__ import annotations

import logging
import math
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_infosam.core.tiles import is_huge

logger = logging.getLogger(__name__)

_COLOURS = (3, 4)

_BAND = 2**24
"""So many values at most are read at once."""


@dataclass(frozen=True, slots=True)
class HugeFile:
    """What a file holds.

    Attributes
    ----------
    levels
        Arrays from the finest to the coarsest, ``(..., Y, X)`` or ``(..., Y, X, C)``.
    rgb
        Whether the last axis is colour.
    is_ngff
        Whether it is an OME-Zarr image: readers differ in what they make of its axes.
    """

    levels: list[Any]
    rgb: bool
    is_ngff: bool = False


def open_huge(path: Path) -> HugeFile | None:
    """Open a file whose pictures are huge; None if they are not, or it is another kind.

    Parameters
    ----------
    path
        See `open_lazily`.
    """
    found = open_lazily(path)
    if found is None:
        return None
    shape = tuple(map(int, found.levels[0].shape))
    return found if is_huge(shape[-3:-1] if found.rgb else shape[-2:]) else None


def open_lazily(path: Path) -> HugeFile | None:
    """Open a file of any size without reading it; None if it is of another kind.

    Parameters
    ----------
    path
        A zarr array or an OME-Zarr image, a TIFF (with its pyramid, if it has one),
        or a ``.npy`` file.
    """
    try:
        is_ngff = False
        match path.suffix.lower():
            case ".zarr":
                levels, is_ngff = _open_zarr(path)
            case ".tif" | ".tiff":
                levels = _open_tiff(path)
            case ".npy":
                levels = [np.load(path, mmap_mode="r", allow_pickle=False)]
            case _:
                return None
    # whatever a broken file makes its reader stumble over: who reads it next says it
    except Exception as error:
        logger.info("%s can not be opened: %s", path, error)
        return None
    if not levels or levels[0].ndim < 2:
        return None
    return HugeFile(levels, has_colours(levels[0].shape), is_ngff)


def has_colours(shape: tuple[int, ...]) -> bool:
    """Return whether the last axis of an image without metadata is taken for colour."""
    return len(shape) > 2 and int(shape[-1]) in _COLOURS


def _open_zarr(path: Path) -> tuple[list[Any], bool]:
    """Return the levels, and whether they are those of an OME-Zarr image."""
    import zarr

    found = zarr.open(path, mode="r")
    if isinstance(found, zarr.Array):
        return [found], False
    attributes = dict(found.attrs)
    ngff: Any = attributes.get("ome", attributes)
    datasets = ngff["multiscales"][0]["datasets"]
    return [found[dataset["path"]] for dataset in datasets], True


def _open_tiff(path: Path) -> list[Any]:
    import tifffile
    import zarr

    file = tifffile.TiffFile(path)
    series = file.series[0]
    if series.dataoffset is not None and len(series.levels) == 1:
        file.close()
        return [tifffile.memmap(path, mode="r")]
    store = series.aszarr()
    # the arrays hold the store, and it needs the file
    weakref.finalize(store, file.close)
    found = zarr.open(store, mode="r")
    if isinstance(found, zarr.Array):
        return [found]
    datasets: Any = found.attrs["multiscales"]
    return [found[dataset["path"]] for dataset in datasets[0]["datasets"]]


def bands(array: Any, axis: int = 0, n_planes: int = 1) -> Iterator[slice]:
    """Yield the rows of an array in bands of at most 16 million values.

    They end where chunks do, so that none is decoded twice; a band is no smaller than
    a chunk.

    Parameters
    ----------
    array
        Anything with a shape, and perhaps ``chunks``.
    axis
        Of the rows; those before it are not counted.
    n_planes
        So many are read at once.
    """
    height, *rest = map(int, array.shape[axis:])
    chunks = getattr(array, "chunks", None)
    chunk = max(1, int(chunks[axis])) if chunks else 1
    fitting = _BAND // max(1, math.prod(rest) * n_planes)
    step = max(chunk, fitting // chunk * chunk)
    for row in range(0, height, step):
        yield slice(row, min(row + step, height))
