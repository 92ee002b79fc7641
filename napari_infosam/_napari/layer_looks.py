"""How the InfoSAM layers look: their colours, and the signs of the prompts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Points, Shapes
from napari.utils.colormaps import DirectLabelColormap

from napari_infosam._napari.difference import COLORS
from napari_infosam._napari.filling import drawn_once
from napari_infosam._napari.object_colors import vivid_colormap
from napari_infosam.core.geometry import box_to_corners, point_to_row_column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_infosam.core.prompts import Box, Point

_POSITIVE, _NEGATIVE = "#2bd96b", "#ff3b5c"
_FILL, _EDGE = (1.0, 0.85, 0.0, 0.3), (1.0, 0.9, 0.1, 1.0)
_PROPOSAL_COLORS: dict[int | None, Any] = {
    **{0: "transparent", 1: _FILL, 2: _EDGE, None: _EDGE},
    **COLORS,
}
_OFFER_COLORS: dict[int | None, Any] = {
    **{0: "transparent", 1: (*_EDGE[:3], 0.12), 2: _EDGE},
    **{3: (0.0, 0.0, 0.0, 1.0), None: _EDGE},
}
"""Hardly filled and dashed: what is offered is told from what is accepted."""
_BOX = "#00d5ff"
_POINT_PIXELS = 16
_SAME_PIXELS = 0.01
"""Corners so near each other are the same."""


def make_points_layer(name: str) -> Points:
    """Return an empty layer for the points of the object in work."""
    return Points(
        ndim=2,
        name=name,
        # the same size on the screen however far one has zoomed in
        canvas_size_limits=(2, _POINT_PIXELS),
        border_color="black",
        border_width=0.1,
        features={"positive": np.zeros(0, bool)},
        feature_defaults={"positive": True},
    )


def fill_points(layer: Points, prompts: Sequence[Point], size: float) -> None:
    """Show other points, so many pixels of the picture wide; nothing if it does."""
    positive = np.array([p.positive for p in prompts], bool)
    where = [point_to_row_column(p) for p in prompts]
    data = np.array(where, float).reshape(-1, 2)
    is_same = np.array_equal(layer.data, data) and np.all(layer.size == size)
    if is_same and np.array_equal(layer.features["positive"], positive):
        return
    with drawn_once(layer):
        layer.data = data
        layer.features = {"positive": positive}
        layer.size = size
        if len(positive):
            layer.symbol = np.where(positive, "disc", "x")
            layer.face_color = np.where(positive, _POSITIVE, _NEGATIVE)
        layer.selected_data = set()


def make_boxes_layer(name: str) -> Shapes:
    """Return an empty layer for boxes."""
    return Shapes(ndim=2, name=name, edge_color=_BOX, face_color="transparent")


def fill_boxes(layer: Shapes, boxes: Sequence[Box], width: float) -> None:
    """Show other boxes, with edges so many pixels wide; nothing if it does.

    napari takes some forty milliseconds to lay a single one out.
    """
    corners = [box_to_corners(box) for box in boxes]
    # napari keeps single floats
    close = partial(np.allclose, rtol=0, atol=_SAME_PIXELS)
    is_same = len(layer.data) == len(corners) and all(map(close, layer.data, corners))
    if is_same and all(width == its for its in layer.edge_width):
        return
    if not is_same:
        layer.data = corners
    layer.edge_width = width


def make_proposal_layer(name: str, data: Any) -> Labels:
    """Return a layer for the mask of the object in work; values of `outlined`."""
    colors = DirectLabelColormap(color_dict=_PROPOSAL_COLORS)
    return Labels(data, name=name, opacity=1.0, colormap=colors)


def make_offers_layer(name: str, picture: Any) -> Labels:
    """Return a layer for masks of many objects; values of `dash_outlined`."""
    colors = DirectLabelColormap(color_dict=_OFFER_COLORS)
    layer = Labels(picture, name=name, opacity=1.0, colormap=colors)
    layer.editable = False
    return layer


def make_objects_layer(name: str, data: Any) -> Labels:
    """Return a layer for the label image of what was accepted."""
    return Labels(data, name=name, opacity=0.5, colormap=vivid_colormap())
