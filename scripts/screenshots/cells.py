"""A fluorescence image that is made, not taken: cells in two channels, on black."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

SIDE = (260, 320)
CELLS = ((58, 58), (54, 158), (60, 258), (134, 104), (132, 210), (206, 56), (208, 160))
"""(row, column) of the middles."""

_CELL, _NUCLEUS = 36, 14
"""Radii in pixels."""
_LIGHT, _DARK = 2600, 110
"""Counts of the camera."""


def stained_cells() -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Return nuclei and cell bodies, each ``(260, 320)`` uint16."""
    rng = np.random.default_rng(7)
    texture = 1 + 0.25 * _smooth(rng, 3)
    bodies, nuclei = np.zeros(SIDE), np.zeros(SIDE)
    for row, column in CELLS:
        bodies = np.maximum(bodies, rng.uniform(0.25, 0.6) * _blob(rng, row, column))
        at = rng.normal((row, column), 4)
        nuclei = np.maximum(nuclei, rng.uniform(0.5, 1.0) * _blob(rng, *at, _NUCLEUS))
    bodies *= texture * (1 - 0.6 * nuclei)
    return _counts(rng, nuclei * texture), _counts(rng, bodies)


def _blob(
    rng: np.random.Generator, row: float, column: float, radius: float = _CELL
) -> NDArray[np.float64]:
    """Return an irregular disc, from 1 inside to 0 outside."""
    rows, columns = np.mgrid[: SIDE[0], : SIDE[1]]
    far = np.hypot(rows - row, columns - column) + radius / 9 * _smooth(rng, 9)
    return gaussian_filter((far < radius).astype(float), 1.2)


def _smooth(rng: np.random.Generator, sigma: float) -> NDArray[np.float64]:
    """Return smooth noise, mean 0 and standard deviation 1."""
    noise = gaussian_filter(rng.standard_normal(SIDE), sigma)
    return np.asarray(noise / noise.std())


def _counts(rng: np.random.Generator, light: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Return what a camera counts, with its noise."""
    return rng.poisson(_DARK + _LIGHT * light.clip(0)).astype(np.uint16)
