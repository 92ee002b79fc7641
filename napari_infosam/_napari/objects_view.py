"""The layer of the accepted objects: shows them, and takes what is painted on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap
from psygnal import Signal
from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from napari.layers import Labels
    from numpy.typing import NDArray
    from qtpy.QtWidgets import QWidget

    from napari_infosam._napari.accepted import Accepted
    from napari_infosam._napari.layers import PromptLayers

_TOOLS = ("paint", "erase", "fill", "polygon")


class ObjectsView:
    """Keeps the objects layer and the accepted objects in step, both ways.

    napari's own brush, eraser, bucket and polygon work on the layer; when a stroke
    ends, what it changed is handed on.

    Parameters
    ----------
    layers
        Who makes the layer.
    objects
        What is shown, and who takes the strokes.
    parent
        The panel.
    """

    changed = Signal()
    """The way objects are coloured."""

    def __init__(
        self, layers: PromptLayers, objects: Accepted, parent: QWidget
    ) -> None:
        self._layers = layers
        self._objects = objects
        self._by_class = False
        self._colors: dict[int | None, str] | None = None
        self._colored: Labels | None = None
        self._own_colors: Any = None
        self._drawn: Labels | None = None
        # a fill or polygon is reported before it is in the data
        self._soon = QTimer(parent)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self.take_strokes)

    def close(self) -> None:
        """Take what was painted last, and no more."""
        self.take_strokes()
        self._soon.stop()

    @property
    def by_class(self) -> bool:
        """Whether objects have the colour of their class, and not one of their own."""
        return self._by_class

    @by_class.setter
    def by_class(self, value: bool) -> None:
        if value != self._by_class:
            self._by_class = value
            self.show()
            self.changed.emit()

    # ------------------------------------------------------------------- show
    def show(self) -> None:
        """Show what was accepted in the picture."""
        layer, labels = self._layers.objects, self._objects.labels
        if layer is None or labels is None:
            return
        self._soon.stop()
        top = int(labels.max(initial=0))
        # 16 bit are painted several times faster than 32
        kind = np.uint16 if top < np.iinfo(np.uint16).max else np.int32
        drawn: NDArray[Any] = np.asarray(layer.data)
        if drawn.dtype != kind or not np.array_equal(drawn, labels):
            layer.data = labels.astype(kind)
        if layer.editable != self._objects.can_paint:
            layer.editable = self._objects.can_paint
        if self._drawn is not layer:
            # a brush begins a new object, and does not go on with the first one
            layer.selected_label = top + 1
            self._drawn = layer
        self._color(layer)

    def begin_picture(self) -> None:
        """Let the brush begin a new object in the next picture that is shown."""
        self._drawn = None

    def _color(self, layer: Labels) -> None:
        """Set the colours anew if they are others: that paints all of the layer."""
        colors: dict[int | None, str] | None = None
        if self._by_class:
            # a number without an object is about to be painted
            colors = {0: "transparent", None: self._objects.next_color()}
            colors.update(self._objects.colors().items())
        if (layer, colors) == (self._colored, self._colors):
            return
        is_ours = self._colors is not None and self._colored is layer
        if colors is not None:
            if not is_ours:
                self._own_colors = layer.colormap
            layer.colormap = DirectLabelColormap(color_dict=colors)
        elif is_ours:
            layer.colormap = self._own_colors
        self._colored, self._colors = layer, colors

    # ------------------------------------------------------------------ paint
    def on_paint(self) -> None:
        """Note that a stroke ended."""
        self._soon.start()

    def take_strokes(self) -> None:
        """Hand on what was painted since the objects were shown last."""
        layer, labels = self._layers.objects, self._objects.labels
        waiting = self._soon.isActive()
        self._soon.stop()
        if layer is None or labels is None or layer.data.shape != labels.shape:
            return
        # with a tool in hand, a stroke may not have ended yet
        if not waiting and str(layer.mode) not in _TOOLS:
            return
        painted: NDArray[Any] = np.asarray(layer.data)
        pixels = np.argwhere(painted != labels)
        self._objects.paint(pixels, painted[tuple(pixels.T)].astype(np.int64))
