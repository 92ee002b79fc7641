"""The layers in which prompts, proposal and objects are seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Points, Shapes
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from napari_infosam._napari.rough_painting import make_rough_layer
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.geometry import (
    box_from_corners,
    box_to_corners,
    point_from_row_column,
    point_to_row_column,
)
from napari_infosam.core.prompts import Box, PromptSet

if TYPE_CHECKING:
    from napari.layers import Image, Layer
    from napari.viewer import Viewer

    from napari_infosam.core.masks import BoolArray

PREFIX = "InfoSAM "
POINTS = f"{PREFIX}points"
BOXES = f"{PREFIX}boxes"
PROPOSAL = f"{PREFIX}proposal"
OBJECTS = f"{PREFIX}objects"
ROUGH = f"{PREFIX}rough mask"
_ORDER = (OBJECTS, ROUGH, PROPOSAL, BOXES, POINTS)
"""From the bottom to the top."""
_ON_DEMAND = (ROUGH,)

_POSITIVE, _NEGATIVE = "#2bd96b", "#ff3b5c"
_FILL, _EDGE = (1.0, 0.85, 0.0, 0.3), (1.0, 0.9, 0.1, 1.0)
_BOX = "#00d5ff"
_POINT_PIXELS = 16


class PromptLayers:
    """Makes, fills and restores the InfoSAM layers of a viewer.

    All are two-dimensional and lie on the picture that is annotated; the slice of a
    stack that is in view decides what they show. Image layers are never changed.

    Parameters
    ----------
    viewer
        Where the layers live.
    on_edit
        Called with the prompts after the person has moved, added or deleted some
        with the tools of napari.
    on_paint
        Called when a stroke on the objects ends, at times before it is in the data.
    on_rough
        Called when a stroke on the rough mask ends.
    """

    def __init__(
        self,
        viewer: Viewer,
        on_edit: Callable[[PromptSet], None],
        on_paint: Callable[[], None],
        on_rough: Callable[[], None],
    ) -> None:
        self._viewer = viewer
        self._on_rough = on_rough
        self._wanted = set(_ORDER) - set(_ON_DEMAND)
        self._on_edit = on_edit
        self._on_paint = on_paint
        self._layers: dict[str, Layer] = {}
        self._image: Image | None = None
        self._shape = (1, 1)
        self._filling = False

    # ------------------------------------------------------------------ which
    @property
    def objects(self) -> Labels | None:
        """The layer of the accepted objects."""
        return self._layers.get(OBJECTS)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the picture in pixels."""
        return self._shape

    @property
    def rough(self) -> Labels | None:
        """The layer of the rough mask; there is none until one is to be painted."""
        return self._layers.get(ROUGH)

    def select_rough(self) -> None:
        """Make the layer of the rough mask if need be, and make it the active one."""
        self._wanted.add(ROUGH)
        if self._image is not None:
            self.put_on(self._image, self._shape)
            self._viewer.layers.selection.active = self._layers[ROUGH]

    def owns(self, layer: Layer | None) -> bool:
        """Return whether a layer is one of these."""
        return any(layer == own for own in self._layers.values())

    def all(self) -> list[Layer]:
        """Return the layers that exist."""
        return list(self._layers.values())

    def select(self) -> None:
        """Make the points layer the active one."""
        layer = self._layers.get(POINTS)
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.selection.active = layer

    # ------------------------------------------------------------------- make
    def put_on(self, image: Image, shape: tuple[int, int]) -> None:
        """Lay all layers on an image; missing ones are made.

        Parameters
        ----------
        image
            The layer that is annotated.
        shape
            (height, width) of the picture in pixels.
        """
        self._image, self._shape = image, shape
        self._layers = {
            name: layer
            for name, layer in self._layers.items()
            if layer in self._viewer.layers
        }
        active = self._viewer.layers.selection.active
        with self._quietly():
            for name in self._names():
                if name not in self._layers:
                    self._layers[name] = self._make(name)
                    self._viewer.add_layer(self._layers[name])
                _place(self._layers[name], image)
            self._raise_above(image)
        if active is not None and active in self._viewer.layers:
            self._viewer.layers.selection.active = active

    def _names(self) -> list[str]:
        return [name for name in _ORDER if name in self._wanted]

    def _raise_above(self, image: Image) -> None:
        """Bring the layers in their order, to the top.

        They are not if the image was opened later, or one was made later.
        """
        layers = self._viewer.layers
        places = [layers.index(self._layers[name]) for name in self._names()]
        if layers.index(image) > places[0] or places != sorted(places):
            for name in self._names():
                layers.move(layers.index(self._layers[name]), len(layers))

    def forget(self, layer: Layer) -> bool:
        """Note that a layer was deleted; True if it was one of these."""
        gone = [name for name, own in self._layers.items() if own == layer]
        for name in gone:
            del self._layers[name]
            if name in _ON_DEMAND:
                self._wanted.discard(name)
        return bool(gone)

    def remove(self, *, keep_objects: bool = False) -> None:
        """Take the layers out of the viewer."""
        layers, self._layers = self._layers, {}
        for name, layer in layers.items():
            kept = keep_objects and name == OBJECTS
            if not kept and layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def _make(self, name: str) -> Layer:
        if name == POINTS:
            layer: Layer = Points(
                ndim=2,
                name=name,
                # the same size on the screen however far one has zoomed in
                canvas_size_limits=(2, _POINT_PIXELS),
                border_color="black",
                border_width=0.1,
                features={"positive": np.zeros(0, bool)},
                feature_defaults={"positive": True},
            )
            layer.events.data.connect(self._on_native_edit)
        elif name == BOXES:
            layer = Shapes(
                ndim=2,
                name=name,
                edge_color=_BOX,
                face_color="transparent",
            )
            layer.events.data.connect(self._on_native_edit)
        elif name == PROPOSAL:
            layer = Labels(
                np.zeros(self._shape, np.uint8),
                name=name,
                opacity=1.0,
                colormap=DirectLabelColormap(
                    color_dict={0: "transparent", 1: _FILL, 2: _EDGE, None: _EDGE}
                ),
            )
        elif name == ROUGH:
            layer = make_rough_layer(name, self._shape, self._on_rough)
        else:
            layer = Labels(np.zeros(self._shape, np.uint16), name=name, opacity=0.5)
            layer.events.paint.connect(lambda: self._on_paint())
        return layer

    # ------------------------------------------------------------------- fill
    def show_prompts(self, prompts: PromptSet) -> None:
        """Show the prompts of the object in work."""
        points, boxes = self._layers.get(POINTS), self._layers.get(BOXES)
        if points is None or boxes is None:
            return
        if prompts.points or len(points.data):
            self._fill_points(points, prompts)
        self.show_box(prompts.box)

    def _fill_points(self, points: Points, prompts: PromptSet) -> None:
        with self._quietly():
            positive = np.array([p.positive for p in prompts.points], bool)
            where = [point_to_row_column(p) for p in prompts.points]
            points.data = np.array(where, float).reshape(-1, 2)
            points.features = {"positive": positive}
            points.size = max(self._shape) / 30
            if len(positive):
                points.symbol = np.where(positive, "disc", "x")
                points.face_color = np.where(positive, _POSITIVE, _NEGATIVE)
            points.selected_data = set()

    def show_box(self, box: Box | None) -> None:
        """Show the box of the object in work, also while it is being drawn."""
        layer = self._layers.get(BOXES)
        if layer is None:
            return
        corners = [] if box is None else [box_to_corners(box)]
        with self._quietly():
            if corners or len(layer.data):
                layer.data = corners
                layer.edge_width = max(self._shape) / 250

    def show_proposal(self, mask: BoolArray | None) -> None:
        """Show a mask, filled and outlined, or none."""
        layer = self._layers.get(PROPOSAL)
        if layer is None:
            return
        is_blank = layer.data.shape == self._shape and not layer.data.any()
        if mask is None and is_blank and not layer.editable:
            return
        picture = np.zeros(self._shape, np.uint8) if mask is None else outlined(mask)
        layer.data = picture
        layer.editable = False

    # ------------------------------------------------------------------- read
    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """Change layers without taking it for an edit of the person."""
        before, self._filling = self._filling, True
        try:
            yield
        finally:
            self._filling = before

    def _on_native_edit(self, event: Any) -> None:
        if self._filling or str(event.action) not in ("added", "removed", "changed"):
            return
        try:
            prompts = self._read_prompts()
        except InfosamError:
            return  # something was drawn outside the image; the session restores it
        self._on_edit(prompts)

    def _read_prompts(self) -> PromptSet:
        points, boxes = self._layers[POINTS], self._layers[BOXES]
        signs = points.features["positive"]
        found = tuple(
            point_from_row_column(position, bool(sign), self._shape)
            for position, sign in zip(points.data, signs, strict=True)
        )
        corners = boxes.data[-1] if len(boxes.data) else None
        box = None if corners is None else box_from_corners(corners, self._shape)
        return PromptSet(found, box)


def outlined(mask: BoolArray) -> NDArray[np.uint8]:
    """Return a picture of a mask: 1 inside, 2 along its edge, 0 outside.

    Parameters
    ----------
    mask
        ``(H, W)`` bool.
    """
    width = max(1, round(max(mask.shape) / 600))
    inner = mask.copy()
    inner[width:] &= mask[:-width]
    inner[:-width] &= mask[width:]
    inner[:, width:] &= mask[:, :-width]
    inner[:, :-width] &= mask[:, width:]
    return mask.astype(np.uint8) * 2 - inner


def _place(layer: Layer, image: Image) -> None:
    """Give a layer the position of an image's last two axes in the world."""
    affine = image.affine.affine_matrix
    plane = np.eye(3)
    plane[:2, :2] = affine[-3:-1, -3:-1]
    plane[:2, 2] = affine[-3:-1, -1]
    layer.scale = image.scale[-2:]
    layer.translate = image.translate[-2:]
    layer.rotate = image.rotate[-2:, -2:]
    layer.shear = image.shear[-1:]
    layer.affine = plane
    layer.units = image.units[-2:]
