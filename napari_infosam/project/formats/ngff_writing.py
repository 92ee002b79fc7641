"""Images in OME-Zarr (NGFF 0.4) that are written plane by plane, with their levels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.project.formats.blocks import SIDE

if TYPE_CHECKING:
    import zarr
    from numpy.typing import NDArray

    from napari_infosam.project.formats.ngff import Place
    from napari_infosam.project.formats.pixel_size import Sizes

VERSION = "0.4"

_KINDS = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
_RGB = (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))


class Levels:
    """The levels of an image, each half as fine as the one before in its planes.

    They are empty at first: what is never written is zero and takes no space.

    Parameters
    ----------
    group
        To be filled.
    name
        Of the image.
    axes
        Such as ``tczyx``, in that order.
    shape
        Sizes of the axes.
    dtype
        Of the values.
    sizes
        Of the pixels, as far as they are known.

    Attributes
    ----------
    arrays
        From the finest to the coarsest.
    """

    def __init__(
        self,
        group: zarr.Group,
        name: str,
        axes: str,
        shape: tuple[int, ...],
        dtype: Any,
        sizes: Sizes,
    ) -> None:
        self._axes = axes
        n_levels = max(0, math.ceil(math.log2(max(shape[-2:]) / SIDE))) + 1
        self.arrays = [
            _new_array(group, number, shape, dtype) for number in range(n_levels)
        ]
        group.attrs["multiscales"] = [
            {
                "version": VERSION,
                "name": name,
                "axes": [_axis(axis, sizes) for axis in axes],
                "datasets": [
                    {
                        "path": str(number),
                        "coordinateTransformations": [_scale(axes, number, sizes)],
                    }
                    for number in range(n_levels)
                ],
            }
        ]

    def index(self, place: Place) -> tuple[int | slice, ...]:
        """Return what picks a plane of the arrays, with all its channels."""
        return tuple(place.get(axis, slice(None)) for axis in self._axes)

    def write(self, place: Place, plane: NDArray[Any]) -> None:
        """Write a plane ``(Y, X)`` or ``(C, Y, X)`` into every level."""
        for number, array in enumerate(self.arrays):
            # every second pixel: labels and any type of intensities stay what they are
            step = 2**number
            array[self.index(place)] = plane[..., ::step, ::step]


def _new_array(
    group: zarr.Group, number: int, shape: tuple[int, ...], dtype: Any
) -> zarr.Array[Any]:
    """Make the array of a level, the finest is number 0: a chunk is of one plane."""
    import numcodecs

    plane = [-(-side // 2**number) for side in shape[-2:]]
    return group.create_array(
        str(number),
        shape=(*shape[:-2], *plane),
        dtype=dtype,
        chunks=(1,) * (len(shape) - 2) + tuple(min(side, SIDE) for side in plane),
        compressors=numcodecs.Blosc(cname="zstd", clevel=3),
        fill_value=0,
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )


def _axis(name: str, sizes: Sizes) -> dict[str, str]:
    axis = {"name": name, "type": _KINDS[name]}
    return axis | {"unit": "micrometer"} if name in sizes else axis


def _scale(axes: str, number: int, sizes: Sizes) -> dict[str, Any]:
    """Return how far apart the pixels of a level are; 1 where it is not known."""
    steps = [sizes.get(axis, 1.0) * (2**number if axis in "yx" else 1) for axis in axes]
    return {"type": "scale", "scale": steps}


def channels(n: int, dtype: np.dtype[Any], highest: float) -> dict[str, Any]:
    """Return how viewers show the channels of an image: RGB in its colours.

    Parameters
    ----------
    n
        How many there are.
    dtype
        Of the values.
    highest
        Of the values that are finite.
    """
    shown = _RGB if n in (3, 4) else ()
    high = 255.0 if dtype == np.uint8 else highest or 1.0
    window = {"min": 0.0, "max": high, "start": 0.0, "end": high}
    found: list[dict[str, Any]] = [
        {"label": label, "color": colour, "window": window, "active": True}
        for label, colour in shown
    ]
    found += [
        {"label": str(c), "color": "FFFFFF", "window": window, "active": not shown}
        for c in range(len(shown), n)
    ]
    return {"version": VERSION, "channels": found}
