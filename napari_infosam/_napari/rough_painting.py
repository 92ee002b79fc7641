"""A rough mask is painted with napari's own brush, and the model refines it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QTimer

from napari_infosam.core.rough_mask import RoughMask

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget

    from napari_infosam._napari.layers import PromptLayers
    from napari_infosam._napari.session import Session

_COLOR = (0.0, 0.83, 1.0, 0.35)
_BRUSH_PART = 25
"""The brush begins as this part of the longer side of the picture."""


def make_rough_layer(
    name: str, shape: tuple[int, int], on_paint: Callable[[], None]
) -> Labels:
    """Return a layer to paint a rough mask on.

    Parameters
    ----------
    shape
        (height, width) in pixels.
    on_paint
        Called when a stroke ends, at times before it is in the data.
    """
    layer = Labels(
        np.zeros(shape, np.uint8),
        name=name,
        opacity=1.0,
        colormap=DirectLabelColormap(
            color_dict={0: "transparent", 1: _COLOR, None: _COLOR}
        ),
    )
    layer.brush_size = max(1, round(max(shape) / _BRUSH_PART))
    layer.events.paint.connect(lambda: on_paint())
    return layer


class RoughPainting:
    """Keeps the rough layer and the rough mask among the prompts in step.

    Brush, eraser, bucket and polygon of napari work on the layer; every stroke is a
    step of undo, and is answered as a click is.

    Parameters
    ----------
    layers, session
        Who makes the layer, and who gets the mask.
    parent
        The panel.
    """

    def __init__(self, layers: PromptLayers, session: Session, parent: QWidget) -> None:
        self._layers = layers
        self._session = session
        self._layer: Any = None
        self._known: RoughMask | None = None
        self._soon = QTimer(parent)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self._take)

    def close(self) -> None:
        """Take no more strokes."""
        self._soon.stop()

    def on_paint(self) -> None:
        """Note that a stroke ended."""
        self._soon.start()

    def begin(self) -> None:
        """Put napari's brush into the hand."""
        layer = self._layers.rough
        if layer is not None:
            layer.mode = "paint"
            layer.selected_label = 1

    def show(self) -> None:
        """Show the rough mask of the object in work.

        What is known already is left alone: a stroke may be on its way.
        """
        rough = self._session.prompts.rough
        if rough is not None and self._layers.rough is None:
            self._layers.make_rough()  # it comes from an earlier window
        layer = self._layers.rough
        if layer is None:
            return
        shape = self._layers.shape
        is_same = self._layer is layer and layer.data.shape == shape
        if is_same and rough == self._known:
            return
        empty = np.zeros(shape, np.uint8)
        layer.data = empty if rough is None else rough.mask().astype(np.uint8)
        self._layer, self._known = layer, rough

    def _take(self) -> None:
        layer, prompts = self._layers.rough, self._session.prompts
        if layer is None or self._session.source is None:
            return
        painted = np.asarray(layer.data) > 0
        self._known = RoughMask.of(painted) if painted.any() else None
        self._session.set_prompts(replace(prompts, rough=self._known))
