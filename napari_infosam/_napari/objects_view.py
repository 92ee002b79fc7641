"""The layer of the accepted objects: shows them, and takes what is painted on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_infosam._napari.filling import fill
from napari_infosam._napari.layers import OBJECTS
from napari_infosam._napari.object_colors import class_colormap
from napari_infosam._napari.saved_picture import KEPT_IN

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
        self._colors: tuple[dict[int, str], str] | None = None
        self._colored: Labels | None = None
        self._own_colors: Any = None
        self._layer: Labels | None = None
        self._shown: NDArray[Any] | None = None
        self._window: Any = None
        self._tool: tuple[Labels, str] | None = None
        self._is_new = True
        self._offered = 0
        self._is_waiting = self._is_closed = False
        # a fill or polygon is reported before it is in the data
        self._soon = QTimer(parent)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self._on_soon)

    def close(self) -> None:
        """Take what was painted last, and no more; the layer stays as a picture."""
        self.take_strokes()
        self._soon.stop()
        self._is_closed, self._shown = True, None
        if self._layers.objects is not None:
            self._layers.objects.editable = False

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

    def toggle_colors(self) -> None:
        """Colour objects by class, or each with a colour of its own again."""
        self.by_class = not self.by_class

    # ------------------------------------------------------------------- show
    def show(self) -> None:
        """Show what was accepted in the picture."""
        layer = self._layers.objects
        if layer is None:
            return
        if layer.multiscale:
            self._show_in_window(layer)
            return
        if self._objects.labels is None:
            return
        if layer != self._layer or not self._is_shown():
            self.take_strokes()
            labels = self._objects.labels
            # 16 bit are painted several times faster than 32
            small = labels.max(initial=0) < np.iinfo(np.uint16).max
            self._shown = labels.astype(np.uint16 if small else np.int32)
            fill(layer, self._shown)
        top = int(self._objects.labels.max(initial=0))
        layer.metadata[KEPT_IN] = self._objects.kept_in
        self._let_paint(layer)
        self._offer_label(layer, top)
        self._color(layer)
        self._layer = layer

    def _let_paint(self, layer: Labels) -> None:
        """Take strokes as soon as all objects of the picture are known.

        napari puts the brush away meanwhile; whoever paints in slice after slice gets
        it back.
        """
        may = self._objects.can_paint
        if layer.editable == may:
            return
        tool = str(layer.mode)
        layer.editable = may
        if not may:
            self._tool = (layer, tool) if tool in _TOOLS else None
        elif self._tool is not None and self._tool[0] is layer:
            layer.mode = self._tool[1]
            self._tool = None

    def _show_in_window(self, layer: Labels) -> None:
        """Show the objects of a huge picture, of which parts are read when seen."""
        objects = self._objects
        # brush strokes are taken from other pictures only
        self._shown = None
        if layer != self._layer or self._window != objects.stamp:
            self._window = objects.stamp
            self._layers.windows[OBJECTS].show(layer, objects.window)
        layer.metadata[KEPT_IN] = objects.kept_in
        self._color(layer)
        self._layer = layer

    def _is_shown(self) -> bool:
        """Return whether there is nothing new; a stroke is best left to its end."""
        shown, labels = self._shown, self._objects.labels
        if shown is None or labels is None:
            return False
        return bool(np.array_equal(shown, labels))

    def _offer_label(self, layer: Labels, top: int) -> None:
        """Let a brush begin a new object, unless the person chose another label."""
        taken = layer.selected_label == self._offered and self._offered <= top
        if self._layer != layer or self._is_new or taken:
            self._offered = layer.selected_label = top + 1
        self._is_new = False

    def begin_picture(self) -> None:
        """Let the brush begin a new object in the next picture that is shown."""
        self._is_new = True

    def _color(self, layer: Labels) -> None:
        """Set the colours anew if they are others: that paints all of the layer."""
        colors: tuple[dict[int, str], str] | None = None
        if self._by_class:
            # a number without an object is about to be painted
            colors = self._objects.colors(), self._objects.next_color()
        if (layer, colors) == (self._colored, self._colors):
            return
        is_ours = self._colors is not None and self._colored is layer
        if colors is not None:
            if not is_ours:
                self._own_colors = layer.colormap
            layer.colormap = class_colormap(*colors)
        elif is_ours:
            layer.colormap = self._own_colors
        self._colored, self._colors = layer, colors

    # ------------------------------------------------------------------ paint
    def on_paint(self) -> None:
        """Note that a stroke ended."""
        if self._is_closed:
            return
        self._is_waiting = True
        if not self.take_strokes():
            self._is_waiting = True
            self._soon.start()

    def _on_soon(self) -> None:
        self.take_strokes()

    def take_strokes(self) -> bool:
        """Hand on what was painted since the objects were shown last.

        Returns
        -------
        bool
            Whether there was something.
        """
        waiting, self._is_waiting = self._is_waiting, False
        layer, shown = self._layers.objects, self._shown
        if layer is None or shown is None or layer != self._layer:
            return False
        # with a tool in hand, a stroke may not have ended yet
        if not waiting and str(layer.mode) not in _TOOLS:
            return False
        painted: NDArray[Any] = np.asarray(layer.data)
        places = np.unravel_index(np.flatnonzero(painted != shown), shown.shape)
        values = shown[places] = painted[places]
        if (values == self._offered).any():
            self._offered = 0  # further strokes go on with what was begun
        self._objects.paint(np.stack(places, axis=1), values.astype(np.int64))
        return values.size > 0
