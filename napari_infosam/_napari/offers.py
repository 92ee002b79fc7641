"""Proposed objects that wait to be accepted or rejected, by number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_infosam._napari.outlines import dash_outlined, edge_width
from napari_infosam.core.tiles import is_huge

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_infosam._napari.image_source import ImageSource
    from napari_infosam.core.prompts import Box
    from napari_infosam.core.small_masks import SmallMask


@dataclass(frozen=True, eq=False)
class Offer:
    """A proposed object, equal to itself alone.

    Attributes
    ----------
    small
        Its mask and predicted IoU.
    box
        The box it was asked for with, or None.
    version
        Which model version proposed it.
    """

    small: SmallMask
    box: Box | None
    version: str

    @cached_property
    def drawn(self) -> NDArray[np.uint8]:
        """Its mask as of `dash_outlined`, made once: ``(h, w)`` like the part.

        In a huge picture its edge is as wide as in the tile in which it was found.
        """
        tile, shape = self.small.tile, self.small.shape
        if tile is not None:
            width = tile.stride * edge_width(tile.shape)
        else:
            width = 1 if is_huge(shape) else edge_width(shape)
        return dash_outlined(self.small.part, width)

    def draw(self) -> None:
        """Spare the window's thread `drawn`; for a worker."""
        _ = self.drawn


def likeness(one: Offer | Box) -> object:
    """Return what one that is read again has in common with the one that was kept."""
    if not isinstance(one, Offer):
        return one
    small = one.small
    return one.box, one.version, small.score, small.corner, small.part.shape


class Pending(NamedTuple):
    """What is undecided in a picture.

    Attributes
    ----------
    source
        The picture.
    boxes
        The boxes that were drawn, each for an object.
    offers
        What is proposed, by number.
    """

    source: ImageSource
    boxes: tuple[Box, ...]
    offers: dict[int, Offer]

    def each(self) -> list[Offer | Box]:
        """Return the offers, and the boxes that have none yet."""
        answered = {offer.box for offer in self.offers.values()}
        return [
            *self.offers.values(),
            *(box for box in self.boxes if box not in answered),
        ]


class Offers:
    """Offers of one picture; a number is never given twice.

    Attributes
    ----------
    min_score
        Least predicted IoU of what is shown; objects of boxes always are.
    """

    def __init__(self, min_score: float) -> None:
        self.min_score = min_score
        self._offers: dict[int, Offer] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._offers)

    def add(self, offers: Iterable[Offer]) -> None:
        """Take up offers, in this order."""
        self._offers.update(self.numbered(offers))

    def numbered(self, offers: Iterable[Offer]) -> dict[int, Offer]:
        """Give offers, in this order, the numbers with which they are put back."""
        numbered = dict(enumerate(offers, self._last + 1))
        self._last += len(numbered)
        return numbered

    def keep(self, wanted: Callable[[Offer], bool]) -> None:
        """Let go of all others."""
        self._offers = {n: o for n, o in self._offers.items() if wanted(o)}

    def all(self) -> dict[int, Offer]:
        """Return what is shown and what is below the score, by number."""
        return dict(self._offers)

    def put_back(self, offers: Mapping[int, Offer]) -> None:
        """Take offers up again with the numbers that they had."""
        self._offers = dict(sorted({**self._offers, **offers}.items()))

    def pop(self, numbers: Iterable[int]) -> list[Offer]:
        """Let go of some and return them; numbers that nobody has are left out."""
        return [self._offers.pop(n) for n in numbers if n in self._offers]

    def boxes(self) -> set[Box]:
        """Return the boxes that have an offer."""
        return {o.box for o in self._offers.values() if o.box is not None}

    def shown(self) -> dict[int, Offer]:
        """Return what is shown, and can be accepted, by number."""
        return {
            number: offer
            for number, offer in self._offers.items()
            if offer.box is not None or offer.small.score >= self.min_score
        }

    def picture(self, shape: tuple[int, int]) -> NDArray[np.uint8] | None:
        """Return ``(H, W)`` values of `dash_outlined` masks; None without any."""
        shown = self.shown()
        if not shown:
            return None
        image = np.zeros(shape, np.uint8)
        for offer in shown.values():
            small = offer.small
            np.copyto(image[small.place], offer.drawn, where=small.part)
        return image

    def crops(self) -> Iterator[tuple[NDArray[np.uint8], int, int]]:
        """Yield what is drawn of a huge picture, with row and column of each."""
        for offer in self.shown().values():
            row, column = offer.small.corner
            yield offer.drawn, row, column

    def number_at(self, row: float, column: float) -> int:
        """Return the number of what is shown at a pixel, the one on top; or 0."""
        r, c = round(row), round(column)
        for number, offer in reversed(self.shown().items()):
            rows, columns = offer.small.place
            inside = rows.start <= r < rows.stop and columns.start <= c < columns.stop
            if inside and offer.small.part[r - rows.start, c - columns.start]:
                return number
        return 0
