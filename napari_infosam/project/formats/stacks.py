"""Slices that are images of their own in a project, seen as the stack they are of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_infosam.project.formats.items import Picture

Position = tuple[int, ...]
"""On the leading axes of a stack, the slowest first."""

MOST_PLANES = 1 << 16
"""Of a stack: a name such as ``plate [20240131]`` is not that of a slice."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack of which some slices have objects, or one picture.

    Attributes
    ----------
    name
        Without the position of a slice.
    slices
        Pictures of one size and type by their position; that of a picture which is no
        slice is ().
    """

    name: str
    slices: dict[Position, Picture]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of the leading axes, up to the last slice that there is."""
        return tuple(max(axis) + 1 for axis in zip(*self.slices, strict=True))

    @property
    def first(self) -> Picture:
        """The first of the slices, as they come."""
        return next(iter(self.slices.values()))

    @property
    def source(self) -> str | None:
        """Where its pixels came from, as text, or None."""
        record = self.first.record
        return record.source if record else None


def alone(picture: Picture) -> Stack:
    """Return a picture by itself, whether it is a slice or not."""
    return Stack(picture.name, {(): picture})


def gather(pictures: Iterable[Picture]) -> list[Stack]:
    """Put the slices of each stack together, in the order of the first ones."""
    pictures = tuple(pictures)
    # napari numbers layers of equal names just as slices are numbered here
    plain = {picture.name for picture in pictures}
    found: dict[tuple[object, ...], Stack] = {}
    for number, picture in enumerate(pictures):
        name, position = _place(picture)
        kind = None
        if picture.record:
            record = picture.record
            kind = record.source, record.shape, record.axes, record.dtype
        key: tuple[object, ...] = (name, len(position), picture.shape, kind)
        if not position or name in plain:
            found[number,] = alone(picture)
            continue
        # the same slice may be there twice, with other contrast
        if key in found and position in found[key].slices:
            key = (number,)
        found.setdefault(key, Stack(name, {})).slices[position] = picture
    return list(found.values())


def _place(picture: Picture) -> tuple[str, Position]:
    """Return the stack of a picture, and where it is in it: () if it is no slice."""
    name, position = picture.stack or (picture.name, ())
    if math.prod(index + 1 for index in position) > MOST_PLANES:
        return picture.name, ()
    return name, position
