"""What the pictures show: photographs that scikit-image has in its wheel.

Coins of Pompeii (Brooklyn Museum, no known copyright restrictions), colonic glands
(CMMI, no known copyright restrictions), a retina (M. Häggström, CC0) and the Hubble
eXtreme Deep Field (NASA, public domain).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage import color, data, filters, io, measure, morphology

U8 = NDArray[np.uint8]
Mask = NDArray[np.bool_]

COINS = ((43, 335), (51, 154), (51, 215), (52, 276), (119, 271), (124, 205), (126, 102))
"""(row, column) of the middles of some of the coins."""

LARGE_COINS = ((43, 335), (186, 347))
GLAND = (410, 318)
"""A place in a gland that is wholly in the picture."""

_VESSEL_PIXELS = 300
_SIDE = 208
_TISSUE_SIDE = 128
_RADIUS = 630
"""Of the round field of the retina, in pixels."""

_N_STEPS, _STEP = 10, (2, 10)


def coins() -> U8:
    """Return ``(303, 384)``."""
    return np.asarray(data.coins())


def glands() -> U8:
    """Return ``(512, 512, 3)``."""
    return np.asarray(data.immunohistochemistry())


def passing_coins() -> U8:
    """Return ``(Z, Y, X)``: the coins as a camera sees them that moves over them."""
    picture = coins()
    return np.stack(
        [picture[n * _STEP[0] :, n * _STEP[1] :][:150, :200] for n in range(_N_STEPS)]
    )


def sky(times: int) -> tuple[U8, ...]:
    """Return three levels of a huge picture: the deep field, side by side."""
    one = np.asarray(data.hubble_deep_field())
    finest = np.tile(one, (times, times, 1))
    return finest, finest[::4, ::4], finest[::16, ::16]


def vessels(retina: U8) -> Mask:
    """Return where the larger vessels of a retina are: thin, and darker than around."""
    green = filters.gaussian(retina[..., 1].astype(float), 1.5)
    depth = morphology.black_tophat(green, morphology.disk(11))
    found = filters.apply_hysteresis_threshold(depth, 11, 20)
    labels = measure.label(found)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray((sizes > _VESSEL_PIXELS)[labels])


def retina_parts() -> list[tuple[str, U8, Mask]]:
    """Return squares of the retina that have vessels: name, pixels, vessels."""
    whole = np.asarray(data.retina())
    truth = vessels(whole)
    middle = whole.shape[0] // 2
    corners = [middle + _SIDE * n - 3 * _SIDE for n in range(6)]
    made = []
    for top in corners:
        for left in corners:
            far = max(
                np.hypot(row - middle, column - middle)
                for row in (top, top + _SIDE)
                for column in (left, left + _SIDE)
            )
            cut = np.s_[top : top + _SIDE, left : left + _SIDE]
            if far < _RADIUS and truth[cut].mean() > 0.03:
                name = f"retina {len(made) + 1:02}"
                made.append((name, whole[cut].copy(), truth[cut].copy()))
    return made


def gland_parts() -> list[tuple[str, U8, Mask]]:
    """Return squares of the tissue at the edge of glands: name, pixels, glands."""
    whole = glands()
    stain = filters.gaussian(color.rgb2hed(whole)[..., 2], 4)  # the brown one, DAB
    truth = np.asarray(stain > filters.threshold_otsu(stain))
    made = []
    for top in range(0, whole.shape[0], _TISSUE_SIDE):
        for left in range(0, whole.shape[1], _TISSUE_SIDE):
            cut = np.s_[top : top + _TISSUE_SIDE, left : left + _TISSUE_SIDE]
            if 0.08 < truth[cut].mean() < 0.8:
                name = f"tissue {len(made) + 1:02}"
                made.append((name, whole[cut].copy(), truth[cut].copy()))
    return made


def write(folder: Path, parts: Sequence[tuple[str, U8, Mask]]) -> dict[str, Mask]:
    """Write squares as PNG files; return what is to be found, by names of files."""
    folder.mkdir(parents=True)
    for name, pixels, _ in parts:
        io.imsave(folder / f"{name}.png", pixels, check_contrast=False)
    return {f"{name}.png": truth for name, _, truth in parts}
