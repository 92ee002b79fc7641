"""Prompts: the points and the box a person places for one object.

Coordinates are pixel coordinates of the image in (x, y) order, with pixel
centres at integers; boxes are XYXY with both corners included.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_infosam.core.errors import InfosamError

if TYPE_CHECKING:
    from napari_infosam.core.rough_mask import RoughMask


@dataclass(frozen=True, slots=True)
class Point:
    """A click: on the object (positive) or on the background (negative)."""

    x: float
    y: float
    positive: bool = True

    def __post_init__(self) -> None:
        if not (math.isfinite(self.x) and math.isfinite(self.y)):
            raise InfosamError(
                f"A point needs finite coordinates, not ({self.x}, {self.y})."
            )


@dataclass(frozen=True, slots=True)
class Box:
    """A box around the object, corners in any order; stored with x0 <= x1, y0 <= y1."""

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        corners = (self.x0, self.y0, self.x1, self.y1)
        if not all(map(math.isfinite, corners)):
            raise InfosamError(f"A box needs finite coordinates, not {corners}.")
        x0, x1 = sorted((self.x0, self.x1))
        y0, y1 = sorted((self.y0, self.y1))
        for name, value in zip(("x0", "y0", "x1", "y1"), (x0, y0, x1, y1), strict=True):
            object.__setattr__(self, name, value)

    def as_array(self) -> NDArray[np.float32]:
        """Return the corners as ``(4,)`` float32, XYXY."""
        return np.array([self.x0, self.y0, self.x1, self.y1], np.float32)


Prompt = Point | Box

CHOICES = ("part", "object", "whole")
"""What a single click may mean: the smallest, middle and largest of three masks."""


@dataclass(frozen=True, slots=True)
class PromptSet:
    """All prompts of one object, in the order in which they were placed.

    Attributes
    ----------
    points, box
        Clicks, and a box around the object.
    rough
        A roughly painted mask of the object.
    choice
        Which of `CHOICES` the first click means, by number; None leaves it to the
        model.
    """

    points: tuple[Point, ...] = ()
    box: Box | None = None
    rough: RoughMask | None = None
    choice: int | None = None

    def __post_init__(self) -> None:
        if self.choice is not None and self.choice not in range(len(CHOICES)):
            raise InfosamError(
                f"A click means number 0, 1 or 2 of {', '.join(CHOICES)}, "
                f"not {self.choice}."
            )

    def __bool__(self) -> bool:
        return len(self) > 0

    def __len__(self) -> int:
        areas = (self.box is not None) + (self.rough is not None)
        return len(self.points) + areas

    @property
    def is_ambiguous(self) -> bool:
        """Whether this is a single click, which may mean a part or the whole."""
        return len(self) == len(self.points) == 1

    def add(self, prompt: Prompt) -> PromptSet:
        """Return a set with one more point, or with another box."""
        if isinstance(prompt, Box):
            return replace(self, box=prompt)
        return replace(self, points=(*self.points, prompt))

    def steps(self) -> Iterator[PromptSet]:
        """Yield the sets that grew into this one.

        The rough mask comes first, then the box, then a point at a time.
        """
        if self.rough is not None:
            yield replace(self, points=(), box=None)
        if self.box is not None:
            yield replace(self, points=())
        for number in range(1, len(self.points) + 1):
            yield replace(self, points=self.points[:number])

    def coordinates(self) -> NDArray[np.float32]:
        """Return the points as ``(N, 2)`` float32 in (x, y) order."""
        points = [(p.x, p.y) for p in self.points]
        return np.array(points, np.float32).reshape(-1, 2)

    def labels(self) -> NDArray[np.int64]:
        """Return ``(N,)`` labels of the points: 1 positive, 0 negative."""
        return np.array([int(p.positive) for p in self.points], np.int64)
