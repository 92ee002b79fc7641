"""Colours of objects that can be told from a grey picture."""

from __future__ import annotations

import colorsys

import numpy as np
from napari.utils.colormaps import CyclicLabelColormap

_N_COLORS = 48
_HUE_STEP = 0.618034
"""Of the circle: neighbours in number are far apart in hue (golden ratio)."""

_FIRST_HUE = 0.75
_YELLOW = (0.11, 0.2)
"""From and to: hues that no object has, as proposals are yellow."""
_SHADES = ((0.85, 1.0), (0.6, 0.95), (0.95, 0.75))
"""Saturation and value, in turn."""


def vivid_colormap() -> CyclicLabelColormap:
    """Return colours for label images: none is grey, as some of napari's, or yellow."""
    rows = [(0.0, 0.0, 0.0)]  # of the background, which is transparent
    for number in range(_N_COLORS):
        saturation, value = _SHADES[number % len(_SHADES)]
        turn = (_FIRST_HUE + number * _HUE_STEP) % 1
        hue = (_YELLOW[1] + turn * (1 - _YELLOW[1] + _YELLOW[0])) % 1
        rows.append(colorsys.hsv_to_rgb(hue, saturation, value))
    colors = np.column_stack([rows, np.ones(len(rows))])
    return CyclicLabelColormap(
        colors=colors, controls=np.linspace(0, 1, len(colors) + 1)
    )
