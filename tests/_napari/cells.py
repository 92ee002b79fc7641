"""Pictures of six cells each, and what a mask of each is to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CENTRES = tuple((row, column) for row in (50, 150) for column in (50, 150, 250))
"""(row, column) of the cells."""
RADIUS = 26
LAYERS = (10, 20, 32)
"""Radii of the nucleus, of the cell, and of what is around it."""
BESIDE = (100, 100)
"""A place of the ground between the cells."""
_SHAPE = (200, 300)


def disc(cell: int, radius: int = RADIUS) -> NDArray[np.bool_]:
    """Return what is nearer to the centre of a cell than ``radius``."""
    rows, columns = np.indices(_SHAPE)
    row, column = CENTRES[cell]
    return np.hypot(rows - row, columns - column) < radius


def plain(seed: int) -> NDArray[np.uint8]:
    """Return ``(200, 300)`` with cells of which each has a grey of its own."""
    image = _ground(seed)
    for cell in range(len(CENTRES)):
        image[disc(cell)] = 150 + 15 * cell
    return image


def faint(seed: int) -> NDArray[np.uint8]:
    """Return ``(200, 300)`` with a row that is hardly brighter than the ground."""
    image, ground = plain(seed), _ground(seed)
    for cell in (3, 4, 5):
        image[disc(cell)] = ground[disc(cell)] + 12
    return image


def nested(seed: int) -> NDArray[np.uint8]:
    """Return ``(200, 300)`` with cells with a nucleus, and something around them."""
    image = _ground(seed)
    for cell in range(len(CENTRES)):
        for radius, grey in zip(reversed(LAYERS), (80, 160, 240), strict=True):
            image[disc(cell, radius)] = grey
    return image


def _ground(seed: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(25, 45, _SHAPE)
    return noise.astype(np.uint8)
