"""File > Open Sample > InfoSAM: pictures that need no network."""

from __future__ import annotations

from typing import Any

import numpy as np

LayerData = tuple[Any, dict[str, Any], str]

_N_SYNTHETIC = 8


def coins() -> list[LayerData]:
    """Return Greek coins from Pompeii, ``(303, 384)`` uint8."""
    return _skimage("coins", "coins")


def cell() -> list[LayerData]:
    """Return a cell floating in saline (phase image), ``(660, 550)`` uint8."""
    return _skimage("cell", "cell")


def immunohistochemistry() -> list[LayerData]:
    """Return colonic glands, ``(512, 512, 3)`` uint8."""
    return _skimage("immunohistochemistry", "colonic glands", rgb=True)


def retina() -> list[LayerData]:
    """Return a retina, ``(1411, 1411, 3)`` uint8."""
    return _skimage("retina", "retina", rgb=True)


def hubble() -> list[LayerData]:
    """Return the Hubble deep field, ``(872, 1000, 3)`` uint8."""
    return _skimage("hubble_deep_field", "Hubble deep field", rgb=True)


def synthetic() -> list[LayerData]:
    """Return a stack of stained cells on which the base model fails.

    The true cells come as a hidden Labels layer, to compare with.
    """
    from napari_infosam.synthetic import make_set

    pictures = make_set(_N_SYNTHETIC, seed=0)
    images = np.stack([picture.image for picture in pictures])
    labels = np.stack([picture.labels for picture in pictures])
    return [
        (labels, {"name": "synthetic cells, truth", "visible": False}, "labels"),
        (images, {"name": "synthetic cells", "rgb": True}, "image"),
    ]


def _skimage(function: str, name: str, **settings: bool) -> list[LayerData]:
    from skimage import data

    return [(getattr(data, function)(), {"name": name, **settings}, "image")]
