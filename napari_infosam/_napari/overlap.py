"""What becomes of pixels that earlier objects have: as is set, or as a person says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from napari_infosam._napari.object_text import named
from napari_infosam.core.words import counted
from napari_infosam.project.records import Overlap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_infosam.core.small_masks import SmallMask

OverlapPolicy: TypeAlias = Overlap | Literal["ask"]

Settle: TypeAlias = Callable[[str], Overlap | None]
"""Asks a person; None accepts nothing."""

TITLES: dict[Overlap, str] = {
    "allow": "Both have them",
    "keep": "Earlier object keeps them",
    "replace": "New object takes them",
}

ALL_TITLES: dict[str, str] = {str(k): v for k, v in TITLES.items()}
ALL_TITLES["ask"] = "Ask each time"

MUCH = 0.5
"""Who accepts so much of an object a second time may not have meant to."""


@dataclass(frozen=True, slots=True)
class Laid:
    """How new masks lie on earlier objects.

    Attributes
    ----------
    numbers
        Of the objects below.
    share
        Of the pixels of all masks.
    n_masks, n_on
        The masks, and those of them that lie on others.
    """

    numbers: tuple[int, ...]
    share: float
    n_masks: int
    n_on: int

    @classmethod
    def of(
        cls,
        masks: Sequence[SmallMask],
        labels_below: Iterable[NDArray[np.int32]],
    ) -> Laid | None:
        """Return how masks lie on earlier objects; None if they are beside them.

        Parameters
        ----------
        masks
            The new ones.
        labels_below
            For each of them the labels where its part is, as high and wide.
        """
        below = [
            labels[mask.part & (labels > 0)]
            for mask, labels in zip(masks, labels_below, strict=True)
        ]
        n_pixels = sum(map(len, below))
        if not n_pixels:
            return None
        return cls(
            tuple(map(int, np.unique(np.concatenate(below)))),
            n_pixels / sum(mask.area for mask in masks),
            len(masks),
            sum(1 for labels in below if len(labels)),
        )

    def sentence(self, it: str = "it") -> str:
        """Say it, without a stop; ``it`` is a single mask."""
        if self.n_masks > 1:
            verb = "lies" if self.n_on == 1 else "lie"
            new = counted(self.n_masks, "new object")
            return f"{self.n_on} of {new} {verb} on {named(self.numbers)}"
        return f"{self._percent} of {it} is on {named(self.numbers)}"

    def sentence_of_slices(self) -> str:
        """Say it of one new object, of which each mask is in a slice of its own."""
        if self.n_masks == 1:
            return self.sentence("the new object")
        where = f"In {self.n_on} of {counted(self.n_masks, 'slice')}"
        return (
            f"{where} the new object lies on "
            f"{named(self.numbers)}, with {self._percent} of all its pixels"
        )

    @property
    def _percent(self) -> str:
        return f"{max(self.share, 0.01):.0%}"
