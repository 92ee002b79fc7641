"""The edge of each object that is chosen, in the list or by key."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QTimer

from napari_infosam._napari.layers import CHOSEN
from napari_infosam._napari.outlines import dashes
from napari_infosam._napari.placing import seen_at
from napari_infosam.core.placed import Place, PlacedMask

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Image
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QWidget

    from napari_infosam._napari.accepted import Accepted
    from napari_infosam._napari.layers import PromptLayers
    from napari_infosam.project import ObjectRecord

_DASH_PIXELS, _WIDTH_PIXELS = 8.0, 3.0
"""On the screen."""
_MOST_OBJECTS = 50
"""Of more than these the first ones have an edge: all of thousands say nothing."""
_LARGEST = 2048
"""Rows or columns of an object: more are not read from a huge picture for its edge."""


class ChosenView:
    """Draws a line around the chosen objects, which goes with the choice.

    Parameters
    ----------
    viewer, layers
        Where it is drawn.
    objects
        Of the picture, and which of them are chosen.
    image
        Returns the layer that is annotated.
    parent
        The panel.
    """

    def __init__(
        self,
        viewer: Viewer,
        layers: PromptLayers,
        objects: Accepted,
        image: Callable[[], Image | None],
        parent: QWidget,
    ) -> None:
        self._viewer = viewer
        self._layers = layers
        self._objects = objects
        self._image = image
        self._is_empty = True
        self._shown: tuple[object, ...] = ()
        # a merge changes objects and choice, one after the other
        self._soon = QTimer(parent)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self._show)
        objects.chosen_changed.connect(self._later)
        objects.changed.connect(self._later)

    def close(self) -> None:
        """Follow the choice no longer."""
        with suppress(RuntimeError):  # the panel, and the timer with it, may be gone
            self._soon.stop()
        self._objects.chosen_changed.disconnect(self._later)
        self._objects.changed.disconnect(self._later)

    def _later(self) -> None:
        if self._objects.chosen or not self._is_empty:
            self._soon.start()

    def _show(self) -> None:
        image, numbers = self._image(), self._objects.chosen[:_MOST_OBJECTS]
        if image is None:
            return
        pixel = seen_at(self._viewer, image)
        # a choice changes with its objects, and both are told of
        shown = self._objects.stamp, numbers, pixel
        if shown == self._shown:
            return
        self._shown = shown
        edges = [
            dashes(mask, _DASH_PIXELS * pixel)
            for record in self._objects.find_all(numbers).values()
            if (mask := self._seen(record)) is not None
        ]
        self._is_empty = not edges
        self._layers.show_dashes(
            CHOSEN, np.concatenate(edges) if edges else None, _WIDTH_PIXELS * pixel
        )

    def _seen(self, record: ObjectRecord) -> PlacedMask | None:
        """Return the part of an object that is not hidden by others, in its place."""
        box = record.box
        rows = range(int(box.y0), int(box.y1) + 1)
        columns = range(int(box.x0), int(box.x1) + 1)
        labels = self._objects.labels
        if labels is not None:
            part = labels[rows.start : rows.stop, columns.start : columns.stop]
        elif max(len(rows), len(columns)) > _LARGEST:
            return None
        else:
            part = self._objects.window(rows, columns)
        return PlacedMask(
            part == record.instance_id, Place(rows.start, columns.start, record.shape)
        )
