"""Which picture of the viewer is annotated: a layer, or the slice of it in view."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_infosam._napari.channels import CHOICE, choice_of, finest, reader_of
from napari_infosam.core.channels import PLAIN, ChannelChoice
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.huge_image import HugeImage
from napari_infosam.core.overview import CoarseLevel
from napari_infosam.core.preprocess import Preprocessing
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
    choice
        What of the layer is a channel, and which of them the model sees.
    is_chosen
        Whether a person chose that, so that the project takes it over.
    """

    key: Hashable
    layer: str
    name: str
    shape: tuple[int, int]
    slice_index: tuple[int, ...]
    source: str | None
    read: Callable[[], NDArray[Any] | HugeImage]
    choice: ChannelChoice = PLAIN
    is_chosen: bool = False

    @property
    def preprocessing(self) -> Preprocessing:
        """How the model sees the pixels."""
        return Preprocessing(channels=self.choice.seen)

    @property
    def is_huge(self) -> bool:
        """Whether it is looked at tile by tile."""
        return is_huge(self.shape)


def source_of(
    layer: Image,
    dims: Dims,
    seen_at: Callable[[], float] = lambda: 1.0,
    layers: Sequence[Image] = (),
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
    layers
        All image layers: some may be channels of this one.

    Raises
    ------
    InfosamError
        If something else than a plane of rows and columns is in view.
    """
    _check_view(layer, dims)
    choice = choice_of(layer, layers)
    return source_at(layer, _slice_index(layer, dims, choice), seen_at, choice, layers)


def source_at(
    layer: Image,
    slice_index: tuple[int, ...],
    seen_at: Callable[[], float] = lambda: 1.0,
    choice: ChannelChoice = PLAIN,
    layers: Sequence[Image] = (),
) -> ImageSource:
    """Return the picture at a position on the leading axes of an image layer.

    An axis of channels is none of these.
    """
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
            image = HugeImage(
                levels,
                index=slice_index,
                rgb=bool(layer.rgb),
                path=path,
                seen_at=seen_at,
                digest=known_as,
                preprocessing=Preprocessing(channels=choice.seen),
            )
            return image.prepare()
        # a copy: what was clicked on must be what is stored
        return np.array(data[slice_index])

    of_what: Hashable = layer.metadata.get(LISTED, id(layer))
    if choice.is_own_picture:
        of_what = (choice.layers or of_what, choice.axis)
    return ImageSource(
        key=(of_what, slice_index),
        layer=layer.name,
        name=name,
        shape=(shape[0], shape[1]),
        slice_index=slice_index,
        source=path,
        read=(
            reader_of(layer, layers, choice, slice_index)
            if choice.is_own_picture
            else read
        ),
        choice=choice,
        is_chosen=CHOICE in layer.metadata,
    )


def path_of(layer: Image) -> str | None:
    """Return where a layer was read from, as text, or None."""
    path = layer.metadata.get(LISTED_PATH) or layer.source.path
    return None if path is None else str(path)


def slices_beyond(
    layer: Image,
    dims: Dims,
    step: int,
    axis: int | None = None,
    layers: Sequence[Image] = (),
) -> list[ImageSource]:
    """Return the slices that follow the one in view, the nearest first.

    Parameters
    ----------
    layer
        A stack; a single picture has none.
    dims
        The viewer's dims.
    step
        1 forwards, -1 backwards.
    axis
        Of the layer, along which they follow; the last axis of slices if it is none.
    layers
        As of `source_of`.
    """
    choice = choice_of(layer, layers)
    here = _slice_index(layer, dims, choice)
    if not here:
        return []
    axes = slice_axes(layer, choice)
    at = axes.index(axis) if axis in axes else len(axes) - 1
    data = finest(layer)
    places = range(int(data.shape[axes[at]]))
    beyond = places[here[at] + 1 :] if step > 0 else places[: here[at]][::-1]
    return [
        source_at(
            layer,
            (*here[:at], place, *here[at + 1 :]),
            choice=choice,
            layers=layers,
        )
        for place in beyond
    ]


def slice_axes(layer: Image, choice: ChannelChoice) -> list[int]:
    """Return the leading axes of a layer that hold slices, and no channels."""
    return [axis for axis in range(layer.ndim - 2) if axis != choice.axis]


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


def _slice_index(layer: Image, dims: Dims, choice: ChannelChoice) -> tuple[int, ...]:
    """Return where on its axes of slices the viewer cuts the layer."""
    axes = slice_axes(layer, choice)
    if not axes:
        return ()
    position = layer.world_to_data(dims.point)
    limits = finest(layer).shape
    return tuple(
        int(np.clip(round(float(position[axis])), 0, limits[axis] - 1)) for axis in axes
    )
