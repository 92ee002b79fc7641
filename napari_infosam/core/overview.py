"""A pyramid of an image that has one level only: what is not looked at is not read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_SMALLEST = 512
"""The last level is not larger than this, along both axes."""

_SEEN_WHOLE = 2048
"""Of an image that is read for its overview, levels up to this side are kept."""

_BAND = 2**24
"""So many values at most are read at once."""


class CoarseLevel:
    """A level of a pyramid, made of some pixels of the finest one when asked for.

    Parameters
    ----------
    full
        ``(..., Y, X)`` or ``(..., Y, X, C)``; anything that is cut by slices.
    stride
        Every so many pixels, along rows and columns, one is taken.
    rgb
        Whether the last axis are the channels.
    made, made_stride
        A level that was read before, and its stride: this one is cut from it then.
    """

    def __init__(
        self,
        full: Any,
        stride: int,
        *,
        rgb: bool = False,
        made: NDArray[Any] | None = None,
        made_stride: int = 1,
    ) -> None:
        self._from = full if made is None else made
        self._step = stride if made is None else stride // made_stride
        self.ndim = len(full.shape)
        self._plane = (self.ndim - 2 - rgb, self.ndim - 1 - rgb)
        self.dtype = np.dtype(full.dtype)
        self.shape = tuple(
            -(-int(size) // stride) if axis in self._plane else int(size)
            for axis, size in enumerate(full.shape)
        )
        self.size = int(np.prod(self.shape, dtype=np.int64))

    def __getitem__(self, key: Any) -> NDArray[Any]:
        keys = list(key) if isinstance(key, tuple) else [key]
        for axis in self._plane:
            if axis < len(keys):
                keys[axis] = self._spread(keys[axis], self._from.shape[axis])
        keys += [
            slice(None, None, self._step if axis in self._plane else None)
            for axis in range(len(keys), self.ndim)
        ]
        return np.asarray(self._from[tuple(keys)])

    def _spread(self, key: Any, size: int) -> Any:
        """Return which pixels of the finer level a key of this one means."""
        places = range(0, int(size), self._step)
        if not isinstance(key, slice):
            return places[key]
        chosen = places[key]
        return slice(chosen.start, chosen.stop, chosen.step)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[()].astype(dtype or self.dtype, copy=False)


def pyramid(
    full: Any,
    *,
    rgb: bool = False,
    made: NDArray[Any] | None = None,
    made_stride: int = 1,
) -> list[Any]:
    """Return an image and levels of it, each half as fine as the one before.

    Parameters as in `CoarseLevel`.
    """
    levels, stride = [full], 2
    axes = slice(-3, -1) if rgb else slice(-2, None)
    while max(levels[-1].shape[axes]) > _SMALLEST:
        known = made if stride >= made_stride else None
        levels.append(
            CoarseLevel(full, stride, rgb=rgb, made=known, made_stride=made_stride)
        )
        stride *= 2
    return levels


def read_overview(
    full: Any,
    report: Callable[[float], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[NDArray[Any], int] | None:
    """Read all of an image once, in bands; return a coarse level and its stride.

    Parameters
    ----------
    full
        ``(Y, X)`` or ``(Y, X, C)``.
    report
        Called with the part that is read.
    cancelled
        Asked before each band whether to stop; then None is returned.
    """
    stride = 1
    while max(full.shape[:2]) / stride > _SEEN_WHOLE:
        stride *= 2
    per_row = int(np.prod(full.shape[1:], dtype=np.int64))
    band = max(1, _BAND // (per_row * stride)) * stride
    bands = []
    for row in range(0, full.shape[0], band):
        if cancelled():
            return None
        bands.append(np.asarray(full[row : row + band : stride, ::stride]))
        report(min(1.0, (row + band) / full.shape[0]))
    return np.concatenate(bands), stride
