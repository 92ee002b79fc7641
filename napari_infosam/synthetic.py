"""A seeded synthetic set: stained amoeboid cells with known masks.

The object to segment is the whole cell: a pale, foamy, irregular cytoplasm around
a dark, sharp nucleus and granules. A model that goes for contrast takes the nucleus
and needs many clicks; the set shows what fine-tuning on a few images is worth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label
from skimage.draw import ellipse

from napari_infosam.core.errors import InfosamError

SIDE = 288
"""Height and width of a synthetic image in pixels."""

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_BACKGROUND = (233, 222, 212)
_CYTOPLASM = (171, 168, 206)
_NUCLEUS = (84, 52, 128)
_GRANULE = (122, 58, 120)
_VACUOLE = (240, 236, 236)
_ERYTHROCYTE = (222, 164, 158)


@dataclass(frozen=True, slots=True)
class SyntheticImage:
    """One image and what is truly in it.

    Attributes
    ----------
    name
        Unique within a set, for example ``synthetic_003``.
    image
        ``(288, 288, 3)`` uint8 RGB.
    labels
        ``(288, 288)`` uint16 label image: 0 is background, cells are 1, 2, ...
    """

    name: str
    image: NDArray[np.uint8]
    labels: NDArray[np.uint16]


def make_set(n_images: int, seed: int = 0) -> list[SyntheticImage]:
    """Return a synthetic set; image k is the same for every ``n_images`` above k.

    Raises
    ------
    InfosamError
        If ``n_images`` is below 1 or the seed is negative.
    """
    if n_images < 1:
        raise InfosamError(f"A set needs at least 1 image, not {n_images}.")
    if seed < 0:
        raise InfosamError(f"The seed must be 0 or more, not {seed}.")
    return [_make_image(index, seed) for index in range(n_images)]


def _make_image(index: int, seed: int) -> SyntheticImage:
    rng = np.random.default_rng([seed, index])
    canvas = _background(rng)
    labels = np.zeros((SIDE, SIDE), np.uint16)
    centres = _place_cells(rng)
    _add_erythrocytes(canvas, rng, centres)
    _add_granules(canvas, rng, np.ones((SIDE, SIDE), bool), int(rng.integers(10, 25)))
    for value, (row, column, radius) in enumerate(centres, start=1):
        mask = _add_cell(canvas, rng, (row, column), radius, labels)
        labels[mask] = value
    noisy = gaussian_filter(canvas, (0.6, 0.6, 0)) + rng.normal(0, 4.0, canvas.shape)
    image = np.round(np.clip(noisy, 0, 255)).astype(np.uint8)
    return SyntheticImage(f"synthetic_{index:03d}", image, labels)


def _noise(rng: np.random.Generator, sigma: float) -> FloatArray:
    """Return ``(288, 288)`` smooth noise, mean 0 and standard deviation 1."""
    field: FloatArray = gaussian_filter(rng.standard_normal((SIDE, SIDE)), sigma)
    field -= field.mean()
    field /= field.std()
    return field


def _background(rng: np.random.Generator) -> FloatArray:
    canvas = np.empty((SIDE, SIDE, 3))
    canvas[:] = _BACKGROUND
    canvas += rng.normal(0, 4, 3)
    rows, columns = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    gradient = 7 * (rows * np.sin(angle) + columns * np.cos(angle))
    stain = _noise(rng, 22)[..., np.newaxis] * (-7, -6, -1)
    speckle = _noise(rng, 2.5)[..., np.newaxis] * (3.5, 3.5, 2)
    canvas += gradient[..., np.newaxis] + stain + speckle
    return canvas


def _place_cells(rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """Return (row, column, radius) of 3 to 6 cells that may touch, not cover."""
    wanted = int(rng.integers(3, 7))
    cells: list[tuple[float, float, float]] = []
    for _ in range(400):
        radius = rng.uniform(26, 40)
        row, column = rng.uniform(radius + 4, SIDE - radius - 4, 2)
        if all(np.hypot(row - r, column - c) > 0.9 * (radius + q) for r, c, q in cells):
            cells.append((row, column, radius))
        if len(cells) == wanted:
            break
    return cells


def _blend(canvas: FloatArray, alpha: FloatArray, colour: tuple[int, int, int]) -> None:
    canvas += alpha[..., np.newaxis] * (np.array(colour, np.float64) - canvas)


def _blob(
    rng: np.random.Generator,
    centre: tuple[float, float],
    radius: float,
    lobes: float,
    warp: float,
) -> FloatArray:
    """Return the depth in pixels below an irregular outline, negative outside."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    rows, columns = rows - centre[0], columns - centre[1]
    angle = np.arctan2(rows, columns)
    outline = np.ones_like(angle)
    for order in range(2, 7):
        weight = rng.normal(0, lobes / order**0.7)
        outline += weight * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    outline = np.clip(outline, 0.45, 1.6)
    depth: FloatArray = radius * outline - np.hypot(rows, columns)
    depth += warp * _noise(rng, 5)
    return depth


def _add_cell(
    canvas: FloatArray,
    rng: np.random.Generator,
    centre: tuple[float, float],
    radius: float,
    taken: NDArray[np.uint16],
) -> BoolArray:
    """Paint one cell, return its mask."""
    depth = _blob(rng, centre, radius, lobes=0.13, warp=2.0)
    mask = _largest_part((depth > 0) & (taken == 0))
    inside = gaussian_filter(mask.astype(np.float64), 1.5)
    foam = np.clip(1 + 0.35 * _noise(rng, 1.6) + 0.25 * _noise(rng, 5), 0.1, 2)
    _blend(canvas, np.clip(inside * foam * rng.uniform(0.5, 0.65), 0, 1), _CYTOPLASM)
    _add_vacuoles(canvas, rng, mask, int(rng.integers(3, 9)))
    offset = rng.uniform(-0.3, 0.3, 2) * radius
    nucleus_centre = (centre[0] + offset[0], centre[1] + offset[1])
    nucleus = _blob(rng, nucleus_centre, radius * rng.uniform(0.32, 0.42), 0.16, 0.8)
    alpha = np.clip(nucleus / 1.2 + 0.5, 0, 1) * mask
    chromatin = np.clip(0.9 + 0.1 * _noise(rng, 1.8), 0, 1)
    _blend(canvas, alpha * chromatin, _NUCLEUS)
    _add_granules(canvas, rng, mask & (nucleus < 0), int(rng.integers(15, 45)))
    return mask


def _largest_part(mask: BoolArray) -> BoolArray:
    parts, n_parts = label(mask)
    sizes = np.bincount(parts.ravel(), minlength=n_parts + 1)
    sizes[0] = 0
    part: BoolArray = parts == sizes.argmax()
    return part


def _add_vacuoles(
    canvas: FloatArray, rng: np.random.Generator, where: BoolArray, count: int
) -> None:
    alpha = 0.75 * _discs(rng, where, count, radii=(2, 5))
    _blend(canvas, alpha * where, _VACUOLE)


def _add_granules(
    canvas: FloatArray, rng: np.random.Generator, where: BoolArray, count: int
) -> None:
    _blend(canvas, 0.85 * _discs(rng, where, count, radii=(1.2, 2.9)), _GRANULE)


def _discs(
    rng: np.random.Generator,
    where: BoolArray,
    count: int,
    radii: tuple[float, float],
) -> FloatArray:
    """Return how much of each pixel small discs cover, their centres in a mask."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    cover = np.zeros((SIDE, SIDE))
    for row, column in rng.choice(np.argwhere(where), count):
        near = np.s_[max(row - 7, 0) : row + 8, max(column - 7, 0) : column + 8]
        distance = np.hypot(rows[near] - row, columns[near] - column)
        disc = np.clip(rng.uniform(*radii) - distance + 0.5, 0, 1)
        cover[near] = np.maximum(cover[near], disc)
    return cover


def _add_erythrocytes(
    canvas: FloatArray,
    rng: np.random.Generator,
    cells: list[tuple[float, float, float]],
) -> None:
    """Paint sharp, round distractors between the cells."""
    for _ in range(int(rng.integers(4, 9))):
        radius = rng.uniform(13, 19)
        row, column = rng.uniform(0, SIDE, 2)
        if any(np.hypot(row - r, column - c) < radius + q for r, c, q in cells):
            continue
        alpha = np.zeros((SIDE, SIDE))
        a, b = radius * rng.uniform(0.85, 1.1, 2)
        alpha[ellipse(row, column, a, b, shape=alpha.shape)] = 0.75
        pale = ellipse(row, column, 0.45 * a, 0.45 * b, shape=alpha.shape)
        alpha[pale] = 0.45
        _blend(canvas, gaussian_filter(alpha, 1.2), _ERYTHROCYTE)
