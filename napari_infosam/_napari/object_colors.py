"""Colours of objects that can be told from a grey picture."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping

import numpy as np
from napari.utils.colormaps import CyclicLabelColormap, DirectLabelColormap

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


def class_colormap(
    colors: Mapping[int, str], other: str
) -> CyclicLabelColormap | DirectLabelColormap:
    """Return the colours of a label image whose objects have those of their classes.

    Parameters
    ----------
    colors
        Colour by number, #rrggbb.
    other
        Colour of numbers that no object has yet, #rrggbb.
    """
    longest = np.iinfo(np.uint16).max  # one more, and napari counts in floats
    if max(colors, default=0) >= longest:
        direct: dict[int | None, str] = {0: "transparent", None: other}
        direct.update(colors.items())
        return DirectLabelColormap(color_dict=direct)
    # a cycle so long that it never comes round: napari looks the numbers of the other
    # kind up one by one, 65,536 of them at every change
    table = np.tile(_rgba(other), (longest, 1))
    numbers = np.fromiter(colors, int, len(colors))
    names = np.array(list(colors.values()))
    for name in np.unique(names):
        table[numbers[names == name]] = _rgba(name)
    return CyclicLabelColormap(colors=table, controls=np.linspace(0, 1, len(table) + 1))


def _rgba(name: str) -> tuple[float, ...]:
    """Return a colour, #rrggbb, as numbers from 0 to 1."""
    return (*(part / 255 for part in bytes.fromhex(name[1:])), 1.0)
