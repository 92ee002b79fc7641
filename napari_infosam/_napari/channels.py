"""The channels of layers: what there is to choose from, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_infosam.core.channels import MOST_SEEN, PLAIN, ChannelChoice
from napari_infosam.core.tiles import is_huge

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_infosam.project import Project

CHOICE = "infosam channels"
"""In the metadata of a layer: its `ChannelChoice`."""

_MOST_CHANNELS = 64
"""An axis with more places than that holds no channels."""
_AXIS_NAMES = ("c", "ch", "channel", "channels")
COLORS = ("Red", "Green", "Blue")


@dataclass(frozen=True, slots=True)
class Kind:
    """One way in which a layer may have channels.

    Attributes
    ----------
    title
        Shown to people.
    names
        Of the channels; empty where there are none.
    choice
        What it is when it is chosen, before other channels are.
    """

    title: str
    names: tuple[str, ...]
    choice: ChannelChoice


def kinds_of(layer: Image, layers: Sequence[Image]) -> list[Kind]:
    """Return the ways in which a layer may have channels, the plainest first.

    Parameters
    ----------
    layer
        That is annotated.
    layers
        All image layers of the viewer; those that lie exactly on this one may be its
        further channels.
    """
    if layer.rgb:
        return [Kind("Colours of the image", COLORS, PLAIN)]
    data = finest(layer)
    plain = "Slices of a stack" if layer.ndim > 2 else "This layer alone"
    found = [Kind(plain, (), PLAIN)]
    if is_huge(tuple(data.shape[-2:])):
        return found
    for axis in range(layer.ndim - 2):
        number = int(data.shape[axis])
        if 2 <= number <= _MOST_CHANNELS:
            names = tuple(map(str, range(number)))
            label = str(layer.axis_labels[axis])
            own = f", {label}" if label.isidentifier() else ""
            title = f"Axis {axis}{own} ({number} channels)"
            choice = ChannelChoice(axis=axis, seen=_first(number))
            found.append(Kind(title, names, choice))
    alike = [other.name for other in layers if _lies_on(other, layer)]
    if 2 <= len(alike) <= _MOST_CHANNELS:
        seen = _first(len(alike))
        choice = ChannelChoice(layers=tuple(alike), seen=seen)
        found.append(Kind(f"{len(alike)} layers", tuple(alike), choice))
    return found


def choice_of(layer: Image, layers: Sequence[Image]) -> ChannelChoice:
    """Return what was chosen for a layer as far as it is possible, or what is usual.

    An axis that the layer itself calls a channel is one.
    """
    kinds = kinds_of(layer, layers)
    chosen = layer.metadata.get(CHOICE)
    if isinstance(chosen, ChannelChoice):
        kind = kind_of(chosen, kinds)
        numbers = range(len(kind.names)) if kind else ()
        if kind and all(c in numbers for c in chosen.seen or ()):
            return chosen
    if chosen is None and len(kinds) > 1:
        return usual_choice(tuple(finest(layer).shape), layer.axis_labels)
    return PLAIN


def usual_choice(shape: tuple[int, ...], names: Sequence[str]) -> ChannelChoice:
    """Return what is taken for channels where nobody has chosen: an axis named so.

    Parameters
    ----------
    shape
        ``(..., Y, X)`` of an image that has no colours on its last axis.
    names
        Of its axes; empty where they have none.
    """
    for axis, (number, name) in enumerate(zip(shape[:-2], names, strict=False)):
        if str(name).lower() in _AXIS_NAMES and 2 <= number <= _MOST_CHANNELS:
            return ChannelChoice(axis=axis, seen=_first(int(number)))
    return PLAIN


def kind_of(choice: ChannelChoice, kinds: Sequence[Kind]) -> Kind | None:
    """Return of which kind a choice is, or None."""
    for kind in kinds:
        if (kind.choice.axis, kind.choice.layers) == (choice.axis, choice.layers):
            return kind
    return None


def choose(layer: Image, layers: Sequence[Image], choice: ChannelChoice) -> None:
    """Let a choice be that of a layer, and of the layers that are its channels."""
    for other in (layer, *layers):
        if other == layer or other.name in choice.layers:
            other.metadata[CHOICE] = choice


def recall(
    layer: Image, layers: Sequence[Image], path: str | None, project: Project | None
) -> None:
    """Take up what was chosen for the file of a layer, unless a person chose anew."""
    if project is None or path is None or CHOICE in layer.metadata:
        return
    choice = project.channels.get(path)
    if choice is not None:
        choose(layer, layers, choice)


def reader_of(
    layer: Image,
    layers: Sequence[Image],
    choice: ChannelChoice,
    slice_index: tuple[int, ...],
) -> Callable[[], NDArray[Any]]:
    """Return what reads ``(Y, X, C)`` pixels, all channels of a picture.

    Parameters
    ----------
    layer, layers
        As of `kinds_of`.
    choice
        An axis or layers.
    slice_index
        Position on the leading axes that hold no channels.
    """
    if choice.axis is not None:
        axis, data = choice.axis, finest(layer)
        place = (*slice_index[:axis], slice(None), *slice_index[axis:])
        return lambda: np.moveaxis(np.array(data[place]), 0, -1).copy()
    by_name = {other.name: finest(other) for other in layers}
    parts = [by_name[name] for name in choice.layers]
    return lambda: np.stack([np.asarray(p[slice_index]) for p in parts], axis=-1)


def finest(layer: Image) -> Any:
    """Return the pixels of a layer at full size."""
    return layer.data[0] if layer.multiscale else layer.data


def _first(number: int) -> tuple[int, ...]:
    return tuple(range(min(number, MOST_SEEN)))


def _lies_on(other: Image, layer: Image) -> bool:
    """Return whether a layer may be a further channel of another one."""
    if other.rgb or other.ndim != layer.ndim:
        return False
    same_shape = tuple(finest(other).shape) == tuple(finest(layer).shape)
    return same_shape and bool(np.allclose(other.extent.world, layer.extent.world))
