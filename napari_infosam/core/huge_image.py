"""A huge image that is read tile by tile, from an array or a pyramid of arrays."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.preprocess import Preprocessing, to_rgb_uint8

if TYPE_CHECKING:
    from napari_infosam.core.tiles import Tile

SAMPLED = "sampled-"
"""Content hashes that are of a sample of the pixels begin so."""

_LIKENESS = len(SAMPLED) + 40
"""So much of such a hash is the same wherever the file lies."""

_BAND = 2**24
"""So many values at most are read at once, 16 MiB of uint8."""

_SAMPLES = 3
"""Blocks that stand for an image without a coarse level, along each axis."""

_BLOCK = 256
"""Side of such a block."""

_COARSE = 2**21
"""A level of at most so many pixels is read in whole for contrast and hash."""

_PER_BLOCK = 4
"""So many pixels along each axis stand for those under a pixel of a tile."""

_KEPT = 12
"""Tiles whose pixels are kept: one, those around it, and a few more."""


class ArrayLike(Protocol):
    """What numpy, dask, zarr and tifffile's stores have in common."""

    shape: tuple[int, ...]
    dtype: Any

    def __getitem__(self, key: Any) -> Any:
        """Return a part, or something that numpy makes an array of."""


class HugeImage:
    """One huge picture; only what is asked for is read.

    Intensities become uint8 with limits that are the same for all tiles: percentiles
    of the coarsest level, or of a few blocks of an image that has one level only.

    Parameters
    ----------
    levels
        Arrays from the finest to the coarsest, the last axes ``(Y, X)`` or
        ``(Y, X, C)``.
    index
        Position on the leading axes, for a slice of a stack.
    rgb
        Whether the last axis are the channels.
    path
        Where it lies, if that is known; tells images apart that are alike.
    seen_at
        Returns how many image pixels are one pixel of the screen at the moment.
    preprocessing
        Contrast and channels.
    digest
        Its `digest`, where a project knows which image it is.

    Attributes
    ----------
    path
        As given.
    shape
        (height, width), or (height, width, channels).
    dtype
        Of the intensities.
    """

    def __init__(
        self,
        levels: Sequence[Any],
        *,
        index: tuple[int, ...] = (),
        rgb: bool = False,
        path: str | None = None,
        seen_at: Callable[[], float] = lambda: 1.0,
        preprocessing: Preprocessing | None = None,
        digest: str = "",
    ) -> None:
        self._levels: list[ArrayLike] = list(levels)
        self._index = index
        self.path = path
        self._n_channels = int(levels[0].shape[-1]) if rgb else 0
        self.seen_at = seen_at
        self.preprocessing = preprocessing or Preprocessing()
        plane = tuple(int(n) for n in levels[0].shape[len(index) :])
        self.shape: tuple[int, ...] = plane
        self.dtype = np.dtype(levels[0].dtype)
        self._factors = [self._factor(level) for level in self._levels]
        self._kept: OrderedDict[Tile, NDArray[np.uint8]] = OrderedDict()
        self._lock = Lock()
        self._limits: list[tuple[float, float]] | None = None
        self._digest = digest
        self._is_prepared = False

    @property
    def ndim(self) -> int:
        """Number of axes of the picture: 2, or 3 with channels."""
        return len(self.shape)

    @property
    def plane(self) -> tuple[int, int]:
        """(height, width)."""
        return self.shape[0], self.shape[1]

    def _factor(self, level: ArrayLike) -> int | None:
        """Return how much coarser a level is; None if that is no whole number."""
        size = level.shape[len(self._index) : len(self._index) + 2]
        factor = round(self.shape[0] / size[0])
        fits = all(
            math.floor(full / factor) <= n <= math.ceil(full / factor)
            for full, n in zip(self.plane, size, strict=True)
        )
        return factor if fits else None

    # ------------------------------------------------------------------ sample
    def prepare(self) -> HugeImage:
        """Read the sample that contrast and hash come from; may take long."""
        if not self._is_prepared:
            sample = self._sample()
            self._limits = _limits(sample, self.preprocessing)
            self._digest = self._digest or self._hash(sample)
            self._is_prepared = True
        return self

    @property
    def digest(self) -> str:
        """What tells this image from others, beginning with ``sampled-``.

        Two parts of SHA-256 values. The first, see `likeness`, is of the position in
        the stack, type, shape and a sample of the pixels: all of the coarsest level if
        that is small, else nine blocks. The second is of the path. Two images at one
        path that differ elsewhere only are taken for one.
        """
        self.prepare()
        return self._digest

    def _sample(self) -> NDArray[Any]:
        """Return ``(N, M)`` or ``(N, M, C)`` pixels that stand for the image."""
        coarsest = self._levels[-1]
        height, width = coarsest.shape[len(self._index) : len(self._index) + 2]
        if height * width <= _COARSE:
            return self._cut(coarsest, slice(0, height), slice(0, width))
        side = min(_BLOCK, height, width)
        blocks = []
        for i in range(_SAMPLES):
            for j in range(_SAMPLES):
                row = round((height - side) * (i + 0.5) / _SAMPLES)
                column = round((width - side) * (j + 0.5) / _SAMPLES)
                rows, columns = slice(row, row + side), slice(column, column + side)
                blocks.append(self._cut(coarsest, rows, columns))
        return np.concatenate(blocks)

    def _hash(self, sample: NDArray[Any]) -> str:
        about = f"{self.dtype.name} {self.shape} {self._index}"
        pixels = hashlib.sha256(about.encode())
        sample = np.ascontiguousarray(sample, sample.dtype.newbyteorder("="))
        pixels.update(sample.reshape(-1).view(np.uint8).data)
        path = hashlib.sha256((self.path or "").encode(errors="backslashreplace"))
        likeness = f"{SAMPLED}{pixels.hexdigest()}"[:_LIKENESS]
        return f"{likeness}{path.hexdigest()[:24]}"

    # ------------------------------------------------------------------- tiles
    def read_tile(self, tile: Tile) -> NDArray[np.uint8]:
        """Return the pixels of a tile as the model is shown them.

        Only the chunks under it are read, from the coarsest level that is fine
        enough, in bands. Each pixel of the tile is the mean of those of the level that
        lie under it, or of 4 x 4 of them where there are more.

        Returns
        -------
        numpy.ndarray
            ``(h, w)`` or ``(h, w, C)`` uint8, where ``(h, w)`` is the tile's shape.
        """
        with self._lock:
            if tile in self._kept:
                self._kept.move_to_end(tile)
                return self._kept[tile]
        self.prepare()
        pixels = self._scaled(self._averaged(tile))
        with self._lock:
            self._kept[tile] = pixels
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return pixels

    def _averaged(self, tile: Tile) -> NDArray[Any]:
        level, factor = self._level_for(tile.stride)
        step = tile.stride // factor
        top, left = tile.row // factor, tile.column // factor
        limits = level.shape[len(self._index) : len(self._index) + 2]
        bottom = min(-(-(tile.row + tile.height) // factor), limits[0])
        right = min(-(-(tile.column + tile.width) // factor), limits[1])
        columns = slice(left, right)
        if step == 1:
            part = self._cut(level, slice(top, bottom), columns)
            return _grown_to(part, tile.shape)
        per_row = (right - left) * max(1, self._n_channels)
        band = max(1, _BAND // (per_row * step)) * step
        bands = []
        for row in range(top, bottom, band):
            part = self._cut(level, slice(row, min(row + band, bottom)), columns)
            bands.append(_block_means(*_thinned(part, step)))
        return _grown_to(np.concatenate(bands), tile.shape)

    def _level_for(self, stride: int) -> tuple[ArrayLike, int]:
        """Return the coarsest level that holds every pixel of this stride."""
        fitting = [
            (factor, level)
            for factor, level in zip(self._factors, self._levels, strict=True)
            if factor is not None and factor <= stride and stride % factor == 0
        ]
        factor, level = max(fitting, key=lambda pair: pair[0])
        return level, factor

    def _cut(self, level: ArrayLike, rows: slice, columns: slice) -> NDArray[Any]:
        try:
            return np.asarray(level[(*self._index, rows, columns)])
        except InfosamError:
            raise
        except Exception as error:  # whatever a store, codec or task graph raises
            raise InfosamError(
                f"A part of {self.path or 'the image'} can not be read ({error}): "
                "look whether the file is complete and within reach."
            ) from error

    def _scaled(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        """Return intensities as uint8, every channel with its own limits."""
        if self._limits is None:
            return to_rgb_uint8(pixels)
        planes = pixels if pixels.ndim == 3 else pixels[..., np.newaxis]
        out = np.empty(planes.shape, np.uint8)
        for c, (low, high) in enumerate(self._limits):
            how = Preprocessing(contrast="fixed", low=low, high=high)
            out[..., c] = to_rgb_uint8(planes[..., c].astype(np.float64), how)[..., 0]
        return out.reshape(pixels.shape)


def _limits(sample: NDArray[Any], how: Preprocessing) -> list[tuple[float, float]]:
    """Return (low, high) of each channel that become black and white."""
    planes = sample if sample.ndim == 3 else sample[..., np.newaxis]
    channels = range(planes.shape[2])
    if how.contrast == "fixed":
        return [(how.low, how.high) for _ in channels]
    if how.contrast == "auto" and sample.dtype == np.uint8:
        return [(0.0, 255.0) for _ in channels]
    if sample.dtype == np.bool_:
        return [(0.0, 1.0) for _ in channels]
    found = []
    for c in channels:
        values = planes[..., c].astype(np.float64)
        values = values[np.isfinite(values)]
        if not values.size:
            found.append((0.0, 1.0))
            continue
        low, high = np.percentile(values, (how.low, how.high))
        if low == high:
            low, high = values.min(), values.max()
        found.append((float(low), float(high if high > low else low + 1)))
    return found


def _thinned(part: NDArray[Any], step: int) -> tuple[NDArray[Any], int]:
    """Return an even choice of the pixels of blocks, and how many a side has then."""
    if step <= _PER_BLOCK:
        return part, step
    every = step // _PER_BLOCK
    return part[every // 2 :: every, every // 2 :: every], _PER_BLOCK


def _block_means(part: NDArray[Any], step: int) -> NDArray[np.float32]:
    """Return the means of ``step`` x ``step`` blocks; those at the end may be cut."""
    rows = np.arange(0, part.shape[0], step)
    columns = np.arange(0, part.shape[1], step)
    # sums of small whole numbers are exact, and quicker
    small = part.dtype.kind in "bu" and part.dtype.itemsize <= 2
    wide: type[Any] = np.uint32 if small else np.float64
    sums = np.add.reduceat(part, rows, axis=0, dtype=wide)
    sums = np.add.reduceat(sums, columns, axis=1, dtype=np.float64)
    heights = np.minimum(step, part.shape[0] - rows)
    widths = np.minimum(step, part.shape[1] - columns)
    counts = np.multiply.outer(heights, widths).reshape(
        len(rows), len(columns), *[1] * (part.ndim - 2)
    )
    means: NDArray[np.float32] = (sums / counts).astype(np.float32)
    return means


def _grown_to(part: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Return a part with its last row or column repeated where a level ends early."""
    missing = [
        (0, max(0, want - have)) for want, have in zip(shape, part.shape, strict=False)
    ]
    if any(after for _, after in missing):
        part = np.pad(part, [*missing, *[(0, 0)] * (part.ndim - 2)], mode="edge")
    return part[: shape[0], : shape[1]]


def likeness(digest: str) -> str:
    """Return the part of a huge image's digest that stays when its file is moved."""
    return digest[:_LIKENESS]
