"""Keeps the collection of garbage short: it passes over what stays."""

from __future__ import annotations

import gc
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from qtpy.QtCore import QTimer

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QWidget

    from napari_infosam._napari.engine import Engine

_LARGE_BYTES = 2**26


class LongLived:
    """Sets aside what is there once the model is: torch, napari, the window.

    Python looks through all of it now and then, and napari has it do so for each layer
    that it removes; the window stands still meanwhile, whatever thread does it.

    Parameters
    ----------
    viewer
        Large layers that are there by then are freed all the same after they are
        removed.
    engine
        Who has the model.
    parent
        The panel.
    """

    def __init__(self, viewer: Viewer, engine: Engine, parent: QWidget) -> None:
        self._layers = viewer.layers
        self._engine = engine
        self._large: WeakSet[Layer] | None = None
        # by then whoever is told of a removal has let go of the layer
        self._soon = QTimer(parent)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self._look_through)
        engine.changed.connect(self._on_engine)
        self._layers.events.removed.connect(self._on_removed)

    def close(self) -> None:
        """Let all of it be collected again; the window may be garbage soon."""
        self._engine.changed.disconnect(self._on_engine)
        self._layers.events.removed.disconnect(self._on_removed)
        with suppress(RuntimeError):  # the panel, and the timer with it, may be gone
            self._soon.stop()
        if self._large is not None:
            self._large = None
            gc.unfreeze()

    def _on_engine(self) -> None:
        if self._large is None and self._engine.is_ready:
            self._set_aside()

    def _on_removed(self, event: Any) -> None:
        if self._large is not None and event.value in self._large:
            self._soon.start()

    def _look_through(self) -> None:
        """Free what a large layer had, which is in a circle of references."""
        gc.unfreeze()
        gc.collect()
        self._set_aside()

    def _set_aside(self) -> None:
        sizes = ((layer, getattr(layer.data, "nbytes", 0)) for layer in self._layers)
        self._large = WeakSet(layer for layer, size in sizes if size > _LARGE_BYTES)
        gc.freeze()
