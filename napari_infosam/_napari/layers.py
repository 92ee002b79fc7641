"""The layers in which prompts, proposal and objects are seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from napari_infosam._napari import dashes_layer
from napari_infosam._napari.filling import fill
from napari_infosam._napari.huge_picture import (
    Read,
    WindowedPicture,
    blank,
    reader_of_crop,
)
from napari_infosam._napari.layer_looks import (
    fill_boxes,
    fill_points,
    make_boxes_layer,
    make_objects_layer,
    make_offers_layer,
    make_points_layer,
    make_proposal_layer,
)
from napari_infosam._napari.outlines import outlined
from napari_infosam._napari.placing import Companions, place, seen_at
from napari_infosam._napari.rough_painting import make_rough_layer
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.geometry import (
    box_from_corners,
    point_from_row_column,
)
from napari_infosam.core.placed import place_of
from napari_infosam.core.prompts import Box, PromptSet
from napari_infosam.core.tiles import is_huge

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

    from napari_infosam.core.masks import BoolArray

PREFIX = "InfoSAM "
POINTS = f"{PREFIX}points"
BOXES = f"{PREFIX}boxes"
PROPOSAL = f"{PREFIX}proposal"
PREVIEW = f"{PREFIX}preview"
OBJECTS = f"{PREFIX}objects"
CHOSEN = f"{PREFIX}chosen"
PROPOSALS = f"{PREFIX}proposals"
ROUGH = f"{PREFIX}rough mask"
_ORDER = (OBJECTS, CHOSEN, ROUGH, PROPOSAL, PREVIEW, BOXES, POINTS)
_DASHED = {PREVIEW: dashes_layer.PREVIEWED, CHOSEN: dashes_layer.CHOSEN}
_ON_DEMAND = (ROUGH, *_DASHED)
_STACK = (OBJECTS, CHOSEN, PROPOSALS, ROUGH, PROPOSAL, PREVIEW, BOXES, POINTS)
"""From the bottom to the top."""

_EDGE_PIXELS = 3


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

    Attributes
    ----------
    windows
        By the names of the layers, what they show of a huge picture.
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
        self._companions = Companions(self.all)
        self._image: Image | None = None
        self._shape = (1, 1)
        self._filling = False
        self._many: tuple[Box, ...] = ()
        self.on_boxes: Callable[[list[Box]], None] | None = None
        """Takes the boxes after an edit while each is for an object of its own."""
        self.windows: dict[str, WindowedPicture] = {}
        self._shown: ref[BoolArray] | None = None

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
        self.make_rough()
        if self._image is not None:
            self._viewer.layers.selection.active = self._layers[ROUGH]

    def make_rough(self) -> None:
        """Make the layer of the rough mask if there is none."""
        self._wanted.add(ROUGH)
        if self._image is not None:
            self.put_on(self._image, self._shape)

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
        self._remove_of_other_kind()
        with self._quietly(), self._keeping_active():
            for name in self._names():
                if name not in self._layers:
                    self._insert(name, self._make(name))
            self._companions.follow(image)
            self._raise_above(image)

    def _remove_of_other_kind(self) -> None:
        """Take out what can not show this picture: huge ones need other layers."""
        for name in (OBJECTS, PROPOSAL, PROPOSALS):
            layer = self._layers.get(name)
            if layer is None:
                continue
            same = layer.data.shape == self._shape or not layer.multiscale
            if layer.multiscale != is_huge(self._shape) or not same:
                del self._layers[name]
                self._viewer.layers.remove(layer)

    def _names(self) -> list[str]:
        return [name for name in _ORDER if name in self._wanted]

    def _insert(self, name: str, layer: Layer) -> None:
        """Put a layer below those of ours that lie above it: moving it costs more."""
        layers = self._viewer.layers
        above = [
            layers.index(self._layers[other])
            for other in _STACK[_STACK.index(name) + 1 :]
            if other in self._layers
        ]
        self._layers[name] = layer
        layers.insert(min(above, default=len(layers)), layer)

    def _raise_above(self, image: Image) -> None:
        """Bring the layers in their order, to the top.

        They are not if the image was opened later, or one was made later.
        """
        layers = self._viewer.layers
        ours = [self._layers[name] for name in _STACK if name in self._layers]
        places = [layers.index(layer) for layer in ours]
        if layers.index(image) > places[0] or places != sorted(places):
            for layer in ours:
                layers.move(layers.index(layer), len(layers))

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
        self._companions.follow(None)
        layers, self._layers = self._layers, {}
        for name, layer in layers.items():
            kept = keep_objects and name == OBJECTS
            if not kept and layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def _make(self, name: str) -> Layer:
        layer: Layer
        if name in (POINTS, BOXES):
            make = make_points_layer if name == POINTS else make_boxes_layer
            layer = make(name)
            layer.events.data.connect(self._on_native_edit)
        elif name == PROPOSAL:
            self._shown = None
            layer = make_proposal_layer(name, self._empty(name, np.uint8))
        elif name in _DASHED:
            layer = dashes_layer.make_dashes_layer(name)
        elif name == ROUGH:
            layer = make_rough_layer(name, self._shape, self._on_rough)
        else:
            layer = make_objects_layer(name, self._empty(name, np.uint16))
            layer.events.paint.connect(lambda: self._on_paint())
        return layer

    def _empty(self, name: str, dtype: type[np.unsignedinteger[Any]]) -> Any:
        if is_huge(self._shape):
            self.windows[name] = WindowedPicture(self._shape)
            return self.windows[name].levels
        return np.zeros(self._shape, dtype)

    # ------------------------------------------------------------------- fill
    def show_prompts(self, prompts: PromptSet) -> None:
        """Show the prompts of the object in work."""
        points, boxes = self._layers.get(POINTS), self._layers.get(BOXES)
        if points is None or boxes is None:
            return
        if prompts.points or len(points.data):
            with self._quietly():
                fill_points(points, prompts.points, max(self._shape) / 30)
        self.show_box(prompts.box)

    def show_box(self, box: Box | None) -> None:
        """Show the box of the object in work, also while it is being drawn."""
        layer = self._layers.get(BOXES)
        if layer is None:
            return
        boxes = self._many if box is None else (*self._many, box)
        with self._quietly():
            fill_boxes(layer, boxes, self._edge_width())

    def _edge_width(self) -> float:
        """Return the width of a box's edge, in pixels of the picture."""
        if is_huge(self._shape) and self._image is not None:
            return _EDGE_PIXELS * seen_at(self._viewer, self._image)
        return max(self._shape) / 250

    def show_many(
        self,
        boxes: Sequence[Box],
        picture: NDArray[np.uint8] | Read | None,
        box: Box | None,
    ) -> None:
        """Show boxes that are for an object each, and the proposals.

        Parameters
        ----------
        boxes
            The boxes; `show_box` leaves them in sight.
        picture
            ``(H, W)`` values of `napari_infosam._napari.outlines.dash_outlined`, or
            what reads parts of it, or None: there is a layer for them only while there
            are some.
        box
            The box of the object in work, which is shown besides.
        """
        self._many = tuple(boxes)
        self.show_box(box)
        layer = self._layers.get(PROPOSALS)
        if picture is None:
            self._take_out(PROPOSALS)
        elif layer is None:
            self._make_offers(picture)
        elif callable(picture):
            self.windows[PROPOSALS].show(layer, picture)
        else:
            layer.data = picture

    def _make_offers(self, picture: NDArray[np.uint8] | Read) -> None:
        """Put the layer of the proposals on top of the objects."""
        if self._image is None or OBJECTS not in self._layers:
            return
        data: Any = picture
        if callable(picture):
            data = self._empty(PROPOSALS, np.uint8)
            self.windows[PROPOSALS].read = picture
        layer = self._layers[PROPOSALS] = make_offers_layer(PROPOSALS, data)
        layers = self._viewer.layers
        with self._keeping_active():
            layers.insert(layers.index(self._layers[OBJECTS]) + 1, layer)
        place(layer, self._image)

    def show_dashes(
        self, name: str, dashes: NDArray[np.float32] | None, width: float
    ) -> None:
        """Show the edge of a preview, or those of the chosen objects, or none.

        Parameters
        ----------
        name
            Of the layer; it is made as soon as there are dashes.
        dashes
            ``(N, 2, 2)`` begin and direction, N even.
        width
            In pixels of the picture.
        """
        if dashes is not None:
            self._make_dashes(name)
        layer = self._layers.get(name)
        if layer is not None:
            dashes_layer.fill_dashes(layer, dashes, width, _DASHED[name])

    def _make_dashes(self, name: str) -> None:
        image = self._image
        if name not in self._layers and image is not None:
            if image not in self._viewer.layers:
                return  # it was removed a moment ago
            self._wanted.add(name)
            self.put_on(image, self._shape)

    def begin_preview(self) -> None:
        """Make the layer of previews, before the first one is waited for."""
        self._make_dashes(PREVIEW)

    def end_preview(self) -> None:
        """Take the layer of previews out of the viewer."""
        self._wanted.discard(PREVIEW)
        self._take_out(PREVIEW)

    def _take_out(self, name: str) -> None:
        layer = self._layers.pop(name, None)
        if layer is not None and layer in self._viewer.layers:
            if layer is self._viewer.layers.selection.active:
                self._viewer.layers.remove(layer)
                return
            with self._keeping_active():
                self._viewer.layers.remove(layer)

    @contextmanager
    def _keeping_active(self) -> Iterator[None]:
        """Add layers, or remove one that is not active, with the same one active.

        Nobody is told that others were meanwhile: each would get its controls, and
        lose them again.
        """
        selection = self._viewer.layers.selection
        active = selection.active
        if active is None:
            yield
            return
        with selection.events.blocker_all():
            try:
                yield
            finally:
                selection.active = active

    def show_proposal(self, mask: BoolArray | None) -> None:
        """Show a mask, filled and outlined, or none."""
        layer = self._layers.get(PROPOSAL)
        shown = None if self._shown is None else self._shown()
        if layer is None or (mask is not None and shown is mask):
            return
        if layer.multiscale:
            self._show_in_window(layer, mask)
        elif mask is not None:
            self.show_picture(outlined(mask))
        elif layer.editable or layer.data.shape != self._shape or layer.data.any():
            self.show_picture(np.zeros(self._shape, np.uint8))
        self._shown = None if mask is None else ref(mask)

    def show_picture(
        self, picture: NDArray[np.uint8], corner: tuple[int, int] = (0, 0)
    ) -> None:
        """Show ``(H, W)`` values of the proposal's colours in place of a mask.

        Of a huge picture they are a part that begins at ``corner``.
        """
        layer = self._layers.get(PROPOSAL)
        self._shown = None
        if layer is not None and layer.multiscale:
            self.windows[PROPOSAL].show(layer, reader_of_crop(picture, *corner))
        elif layer is not None:
            fill(layer, picture)
            layer.editable = False

    def _show_in_window(self, layer: Labels, mask: BoolArray | None) -> None:
        """Show a crop of a huge picture."""
        place = None if mask is None else place_of(mask)
        read: Read = blank
        if mask is not None and place is not None and mask.size:
            read = reader_of_crop(outlined(np.asarray(mask)), place.row, place.column)
        if self.windows[PROPOSAL].read is not read:
            self.windows[PROPOSAL].show(layer, read)

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
            if self.on_boxes is not None:
                self.on_boxes(self._read_boxes())
                return
            prompts = self._read_prompts()
        except InfosamError:
            return  # something was drawn outside the image; the session restores it
        self._on_edit(prompts)

    def _read_boxes(self) -> list[Box]:
        data = self._layers[BOXES].data
        return [box_from_corners(corners, self._shape) for corners in data]

    def _read_prompts(self) -> PromptSet:
        points, boxes = self._layers[POINTS], self._layers[BOXES]
        signs = points.features["positive"]
        found = tuple(
            point_from_row_column(position, bool(sign), self._shape)
            for position, sign in zip(points.data, signs, strict=True)
        )
        own = boxes.data[len(self._many) :]
        corners = own[-1] if len(own) else None
        box = None if corners is None else box_from_corners(corners, self._shape)
        return PromptSet(found, box)
