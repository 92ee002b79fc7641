"""Which picture of the viewer is annotated: a layer, or the slice of it in view."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.huge_image import HugeImage
from napari_infosam.core.overview import CoarseLevel
from napari_infosam.core.tiles import is_huge

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Image

LISTED = "infosam listed"
"""In the metadata of a layer from the list of images: which project and which image."""
LISTED_PATH = "infosam path"
"""In the same place: the path of its file, or None."""
KNOWN_AS = "infosam content hash"
"""In the metadata of a huge image that was opened from a project: which one it is."""


@dataclass(frozen=True, slots=True)
class ImageSource:
    """One two-dimensional picture, read when it is needed.

    A slice of a stack is a picture of its own, also in the project: what is stored
    is what was seen.

    Attributes
    ----------
    key
        Equal for the same picture of the same layer, or of the same listed image.
    layer
        Name of the layer.
    name
        Shown to people: the layer, and which slice of it.
    shape
        (height, width) in pixels.
    slice_index
        Position on the leading axes, for a slice of a stack.
    source
        Where it came from, as text, or None.
    read
        Returns the pixels, ``(Y, X)`` or ``(Y, X, C)``, or a huge image that is read
        tile by tile; may take long.
    """

    key: Hashable
    layer: str
    name: str
    shape: tuple[int, int]
    slice_index: tuple[int, ...]
    source: str | None
    read: Callable[[], NDArray[Any] | HugeImage]

    @property
    def is_huge(self) -> bool:
        """Whether it is looked at tile by tile."""
        return is_huge(self.shape)


def source_of(
    layer: Image, dims: Dims, seen_at: Callable[[], float] = lambda: 1.0
) -> ImageSource:
    """Return the picture of an image layer that is in view.

    Parameters
    ----------
    layer
        Any image layer: YX, RGB, a stack, multiscale, lazy.
    dims
        The viewer's dims, which say which slice of a stack is in view.
    seen_at
        Returns how many pixels of the image are one pixel of the screen.

    Raises
    ------
    InfosamError
        If something else than a plane of rows and columns is in view.
    """
    _check_view(layer, dims)
    return source_at(layer, _slice_index(layer, dims), seen_at)


def source_at(
    layer: Image,
    slice_index: tuple[int, ...],
    seen_at: Callable[[], float] = lambda: 1.0,
) -> ImageSource:
    """Return the picture at a position on the leading axes of an image layer."""
    levels = list(layer.data) if layer.multiscale else [layer.data]
    # what was only made to be seen adds nothing
    levels = [level for level in levels if not isinstance(level, CoarseLevel)]
    data = levels[0]
    n_leading = layer.ndim - 2
    shape = tuple(int(n) for n in data.shape[n_leading : n_leading + 2])
    name = layer.name
    if slice_index:
        name += f" [{', '.join(map(str, slice_index))}]"

    path = path_of(layer)
    known_as = str(layer.metadata.get(KNOWN_AS, ""))

    def read() -> NDArray[Any] | HugeImage:
        if is_huge(shape):
            rgb = bool(layer.rgb)
            image = HugeImage(
                levels,
                index=slice_index,
                rgb=rgb,
                path=path,
                seen_at=seen_at,
                digest=known_as,
            )
            return image.prepare()
        # a copy: what was clicked on must be what is stored
        return np.array(data[slice_index])

    return ImageSource(
        key=(layer.metadata.get(LISTED, id(layer)), slice_index),
        layer=layer.name,
        name=name,
        shape=(shape[0], shape[1]),
        slice_index=slice_index,
        source=path,
        read=read,
    )


def path_of(layer: Image) -> str | None:
    """Return where a layer was read from, as text, or None."""
    path = layer.metadata.get(LISTED_PATH) or layer.source.path
    return None if path is None else str(path)


def slices_beyond(layer: Image, dims: Dims, step: int) -> list[ImageSource]:
    """Return the slices that follow the one in view, the nearest first.

    Parameters
    ----------
    layer
        A stack; a single picture has none.
    dims
        The viewer's dims. The axis is that of the slider that was used last.
    step
        1 forwards, -1 backwards.
    """
    here = _slice_index(layer, dims)
    if not here:
        return []
    used = dims.last_used - (dims.ndim - layer.ndim)
    axis = used if 0 <= used < len(here) else len(here) - 1
    data = layer.data[0] if layer.multiscale else layer.data
    places = range(int(data.shape[axis]))
    beyond = places[here[axis] + 1 :] if step > 0 else places[: here[axis]][::-1]
    return [
        source_at(layer, (*here[:axis], place, *here[axis + 1 :])) for place in beyond
    ]


def _check_view(layer: Image, dims: Dims) -> None:
    if dims.ndisplay != 2:
        raise InfosamError(
            "Prompts go on a plane: switch the viewer from 3D to 2D (Ctrl+Y)."
        )
    if layer.ndim < 2:
        raise InfosamError(f"{layer.name} is no picture: it has {layer.ndim} axis.")
    if tuple(dims.displayed) != (dims.ndim - 2, dims.ndim - 1):
        raise InfosamError(
            "Prompts go on the last two axes: put the axes of the viewer back in "
            "their order (the buttons below the layer list)."
        )


def _slice_index(layer: Image, dims: Dims) -> tuple[int, ...]:
    """Return where on its leading axes the viewer cuts the layer."""
    if layer.ndim == 2:
        return ()
    position = layer.world_to_data(dims.point)
    limits = (layer.data[0] if layer.multiscale else layer.data).shape
    return tuple(
        int(np.clip(round(float(value)), 0, size - 1))
        for value, size in zip(position[: layer.ndim - 2], limits, strict=False)
    )
