"""Tiles of huge images: where they lie, how coarse they are, and what lies in them.

Everything is in pixels of the full image, pixel centres at integers, but for what is
said to be in pixels of a tile. Pixel ``t`` of a tile with stride ``s`` stands for the
``s`` image pixels from ``origin + t s`` on, so that its centre is at
``origin + (t + 0.5) s - 0.5``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from napari_infosam.core.geometry import MODEL_SIDE
from napari_infosam.core.prompts import Box, Point, PromptSet

HUGE_PIXELS = 2**25
"""Images of more pixels than this are looked at tile by tile."""

_AROUND_POINTS = 1 / 4
"""Free space around prompts and mask in a new tile, over the tile's side."""

_STILL_INSIDE = 1 / 8
"""Free space that lets an earlier tile be used again, over the tile's side."""

_GRID = 1 / 4
"""Tiles begin at multiples of this part of their side, so that they meet again."""


def is_huge(shape: tuple[int, ...]) -> bool:
    """Return whether a picture of (height, width, ...) is looked at tile by tile."""
    return shape[0] * shape[1] > HUGE_PIXELS


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of an image, seen at a stride.

    Attributes
    ----------
    row, column
        Its first pixel in the image.
    height, width
        Its size in pixels of the image; it lies wholly inside.
    stride
        So many image pixels, along each axis, are one pixel of the tile.
    """

    row: int
    column: int
    height: int
    width: int
    stride: int

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels of the tile; the last ones may be cut."""
        return -(-self.height // self.stride), -(-self.width // self.stride)

    @property
    def box(self) -> Box:
        """What it covers, corners at pixel centres."""
        bottom, right = self.row + self.height - 1, self.column + self.width - 1
        return Box(self.column, self.row, right, bottom)

    def holds(self, box: Box, margin: float, shape: tuple[int, int]) -> bool:
        """Return whether a box lies inside, with a margin except at image borders.

        Parameters
        ----------
        box
            In the image; what sticks out of the image does not count.
        margin
            In pixels of the image.
        shape
            (height, width) of the image.
        """
        ends = (
            (box.y0, box.y1, self.row, self.height, shape[0]),
            (box.x0, box.x1, self.column, self.width, shape[1]),
        )
        return all(
            max(low - margin, 0) >= start
            and min(high + margin, limit - 1) <= start + size - 1
            for low, high, start, size, limit in ends
        )

    def point_inside(self, x: float, y: float) -> tuple[float, float]:
        """Return the position, in (x, y) pixels of the tile, of one in the image."""
        return (
            (x - self.column + 0.5) / self.stride - 0.5,
            (y - self.row + 0.5) / self.stride - 0.5,
        )

    def point_outside(self, x: float, y: float) -> tuple[float, float]:
        """Return the position in the image of one in the tile: the way back."""
        return (
            self.column + (x + 0.5) * self.stride - 0.5,
            self.row + (y + 0.5) * self.stride - 0.5,
        )

    def prompts_inside(self, prompts: PromptSet) -> PromptSet:
        """Return prompts in pixels of the tile; they are kept within its borders."""
        points = tuple(
            Point(*self._clipped(p.x, p.y), p.positive) for p in prompts.points
        )
        box = prompts.box
        if box is not None:
            box = Box(*self._clipped(box.x0, box.y0), *self._clipped(box.x1, box.y1))
        return PromptSet(points, box)

    def _clipped(self, x: float, y: float) -> tuple[float, float]:
        x, y = self.point_inside(x, y)
        height, width = self.shape
        return min(max(x, -0.5), width - 0.5), min(max(y, -0.5), height - 0.5)


def choose_tile(
    shape: tuple[int, int],
    prompts: PromptSet,
    *,
    mask: Box | None = None,
    last: Tile | None = None,
    seen_at: float = 1.0,
    recent: Iterable[Tile] = (),
    side: int = MODEL_SIDE,
) -> Tile:
    """Return the tile in which prompts are best answered.

    A box, or a mask to be corrected, says how large the object is, and the tile is
    just coarse enough to hold it with what lies around. A point does not say it: then
    the picture is taken as coarse as the person sees it.

    Parameters
    ----------
    shape
        (height, width) of the image.
    prompts
        At least one.
    mask
        Box of the mask that is corrected.
    last
        The tile in which it was found: it is kept while it holds everything.
    seen_at
        How many image pixels are one pixel of the screen.
    recent
        Tiles whose embeddings are at hand; one that suits is taken.
    side
        Of the tile, in its own pixels.
    """
    needed = around(prompts, mask)
    if last is not None:
        if last.holds(needed, _STILL_INSIDE * side * last.stride, shape):
            return last
        seen_at = last.stride
    extent = max(needed.x1 - needed.x0, needed.y1 - needed.y0) + 1
    sized = prompts.box is not None or mask is not None
    wanted = _power_of_two(max(1.0, extent / (side * (1 - 2 * _AROUND_POINTS))))
    if not sized:
        wanted = max(wanted, _power_of_two(max(1.0, seen_at / math.sqrt(2))))
    # no coarser than it takes to have the whole image in the tile
    stride = min(wanted, _power_of_two(max(shape) / side))
    for tile in recent:
        fits = tile.holds(needed, _STILL_INSIDE * side * tile.stride, shape)
        if tile.stride == stride and fits:
            return tile
    row, height = _along(needed.y0, needed.y1, shape[0], stride, side)
    column, width = _along(needed.x0, needed.x1, shape[1], stride, side)
    return Tile(row, column, height, width, stride)


def tile_of_view(shape: tuple[int, int], view: Box, side: int = MODEL_SIDE) -> Tile:
    """Return the finest tile that shows all that is in view.

    Parameters
    ----------
    shape
        (height, width) of the image.
    view
        What of it is in view.
    side
        Of the tile, in its own pixels.
    """
    extent = max(view.x1 - view.x0, view.y1 - view.y0)
    stride = _power_of_two(max(1.0, min(extent, max(shape)) / side))
    length = side * stride
    (row, height), (column, width) = (
        _within(round(((low + high) / 2 - length / 2) / stride) * stride, *of)
        for low, high, of in (
            (view.y0, view.y1, (shape[0], stride, side)),
            (view.x0, view.x1, (shape[1], stride, side)),
        )
    )
    return Tile(row, column, height, width, stride)


def neighbours(
    tile: Tile, shape: tuple[int, int], near: Point, side: int = MODEL_SIDE
) -> list[Tile]:
    """Return the tiles around one, in which further objects will be prompted.

    They begin where `choose_tile` takes this one no more; at the border of the image
    there are fewer.

    Parameters
    ----------
    shape
        (height, width) of the image.
    near
        The nearest tiles to this place come first.
    side
        Of a tile, in its own pixels.
    """
    # a pixel less: clicks lie between pixels, too
    step = (int((1 - 2 * _STILL_INSIDE) * side) - 1) * tile.stride
    found: list[Tile] = []
    for down in (-step, 0, step):
        for right in (-step, 0, step):
            row, height = _within(tile.row + down, shape[0], tile.stride, side)
            column, width = _within(tile.column + right, shape[1], tile.stride, side)
            other = Tile(row, column, height, width, tile.stride)
            if other != tile and other not in found:
                found.append(other)

    def away(other: Tile) -> float:
        x, y = other.column + other.width / 2, other.row + other.height / 2
        return math.hypot(x - near.x, y - near.y)

    return sorted(found, key=away)


def around(prompts: PromptSet, mask: Box | None = None) -> Box:
    """Return the box around prompts and a mask."""
    xs = [p.x for p in prompts.points]
    ys = [p.y for p in prompts.points]
    for box in (prompts.box, mask):
        if box is not None:
            xs += [box.x0, box.x1]
            ys += [box.y0, box.y1]
    return Box(min(xs), min(ys), max(xs), max(ys))


def around_all(prompts: Iterable[PromptSet]) -> Box:
    """Return the box around the prompts of several objects; of one at least."""
    boxes = [around(one) for one in prompts]
    return Box(
        min(box.x0 for box in boxes),
        min(box.y0 for box in boxes),
        max(box.x1 for box in boxes),
        max(box.y1 for box in boxes),
    )


def _power_of_two(least: float) -> int:
    """Return the smallest power of two that is not less."""
    return 1 << max(0, math.ceil(math.log2(least)))


def _along(
    low: float, high: float, size: int, stride: int, side: int
) -> tuple[int, int]:
    """Return where a tile begins on one axis and how far it goes."""
    length = side * stride
    step = int(_GRID * length)
    start = round(((low + high) / 2 - length / 2) / step) * step
    return _within(start, size, stride, side)


def _within(start: int, size: int, stride: int, side: int) -> tuple[int, int]:
    """Return where a tile begins and how far it goes, once it is moved inside."""
    length = side * stride
    if length >= size:
        return 0, size
    # the last tile is moved back into the image, in whole pixels of its own
    last = -(-(size - length) // stride) * stride
    start = min(max(start, 0), last)
    return start, min(length, size - start)
