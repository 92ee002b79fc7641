"""The pointer over the image, and the preview of what a click there would give."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_infosam._napari.layers import PREVIEW
from napari_infosam._napari.placing import seen_at
from napari_infosam._napari.pointer import is_far, reverses
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.geometry import point_from_row_column
from napari_infosam.core.prompts import Box, PromptSet

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer
    from numpy.typing import NDArray
    from qtpy.QtWidgets import QWidget

    from napari_infosam._napari.layers import PromptLayers
    from napari_infosam._napari.pointer import Pointer
    from napari_infosam._napari.preview import Preview
    from napari_infosam._napari.session import Session
    from napari_infosam._napari.tool import Tool

_PAUSE_MS = 30
"""Between two looks at where the pointer is: nobody sees more than thirty a second."""
_LATE_SECONDS = 0.05
"""A move that napari reports so long after the pointer has left is an old one."""
_DASH_PIXELS, _WIDTH_PIXELS = 4.0, 2.0
"""On the screen."""


class Hover:
    """Wants previews while the pointer is over the image, or draws a box.

    While a button is pressed there is no other preview. That in sight goes when the
    mask of the click comes, and there is none before the pointer has left the place.

    Parameters
    ----------
    viewer, session, layers, tool, pointer
        Where the pointer is, what it works on, and what a click would mean.
    preview
        What is wanted.
    image
        Returns the layer that is annotated.
    parent
        Qt parent of the timer.
    """

    def __init__(
        self,
        viewer: Viewer,
        session: Session,
        layers: PromptLayers,
        tool: Tool,
        pointer: Pointer,
        preview: Preview,
        image: Callable[[], Image | None],
        parent: QWidget,
    ) -> None:
        self._viewer = viewer
        self._session = session
        self._layers = layers
        self._tool = tool
        self._pointer = pointer
        self._preview = preview
        self._image = image
        self._is_over = self._is_pressed = self._is_reversed = False
        self._clicked: NDArray[Any] | None = None
        self._box: Box | None = None
        self._left_at = -_LATE_SECONDS
        self._soon = QTimer(parent)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_PAUSE_MS)
        self._soon.timeout.connect(self._look)
        viewer.mouse_move_callbacks.append(self._on_move)
        viewer.mouse_drag_callbacks.append(self._on_press)
        viewer.events.mouse_over_canvas.connect(self._on_border)
        pointer.drawing.connect(self._on_drawing)
        tool.changed.connect(self._later)
        session.prompts_changed.connect(self._anew)
        session.image_changed.connect(self._anew)
        session.engine.changed.connect(self._on_engine)
        preview.changed.connect(self._show)
        preview.switched.connect(self._on_switched)

    def close(self) -> None:
        """Let go of the mouse."""
        with suppress(RuntimeError):  # its window, and the timer with it, may be gone
            self._soon.stop()
        self._viewer.mouse_move_callbacks.remove(self._on_move)
        self._viewer.mouse_drag_callbacks.remove(self._on_press)
        self._viewer.events.mouse_over_canvas.disconnect(self._on_border)
        self._pointer.drawing.disconnect(self._on_drawing)
        self._tool.changed.disconnect(self._later)
        self._session.prompts_changed.disconnect(self._anew)
        self._session.image_changed.disconnect(self._anew)
        self._session.engine.changed.disconnect(self._on_engine)
        self._preview.changed.disconnect(self._show)
        self._preview.switched.disconnect(self._on_switched)

    # ------------------------------------------------------------------- mouse
    def _on_move(self, _viewer: Viewer, event: Any) -> None:
        if time.monotonic() - self._left_at < _LATE_SECONDS:
            return
        self._is_over, self._is_reversed = True, reverses(event)
        if self._clicked is not None and is_far(event.pos, self._clicked):
            self._clicked = None
        self._later()

    def _on_press(self, _viewer: Viewer, event: Any) -> Iterator[None]:
        self._is_pressed = True
        self._preview.stop()
        yield
        while event.type == "mouse_move":
            yield
        self._is_pressed, self._box = False, None
        self._clicked = np.array(event.pos)
        self._preview.stop()
        self._later()

    def _on_drawing(self, box: Box) -> None:
        self._box = box
        self._later()

    def _on_border(self, _event: Any = None) -> None:
        if not self._viewer.mouse_over_canvas:
            self._is_over, self._left_at = False, time.monotonic()
            self._preview.want(None)

    # -------------------------------------------------------------------- want
    def _anew(self) -> None:
        if self._is_awaited():
            self._preview.stop()
        else:  # together with the mask: each change of the window takes its time
            self._preview.want(None)
        self._later()

    def _is_awaited(self) -> bool:
        """Return whether the pointer rests where the mask of a click is to come."""
        waiting = self._session.prompts and not self._session.is_answered
        return bool(waiting) and (self._is_pressed or self._clicked is not None)

    def _on_engine(self) -> None:
        if self._preview.is_on and self._session.engine.is_ready:
            self._layers.begin_preview()
        self._later()

    def _later(self) -> None:
        if self._preview.is_on and not self._soon.isActive():
            self._soon.start()

    def _look(self) -> None:
        if self._is_awaited():
            return
        image = self._image()
        length = 1.0 if image is None else _DASH_PIXELS * seen_at(self._viewer, image)
        self._preview.want(self._prompts(), length)

    def _prompts(self) -> PromptSet | None:
        """Return the prompts as they would be after a click, or the end of a drag."""
        source, where = self._session.source, self._pointer.position()
        if source is None or where is None or self._tool.panning:
            return None
        prompts = self._session.prompts
        if self._box is not None:
            own = PromptSet() if self._tool.box_each else prompts
            return own.add(self._box)
        elsewhere = not self._is_over or self._is_pressed or self._clicked is not None
        if elsewhere or not self._pointer.takes_clicks():
            return None
        negative = self._tool.is_negative(reversed_by_hand=self._is_reversed)
        if self._pointer.decides_at(where) or (negative and not prompts):
            return None
        try:
            point = point_from_row_column(where, not negative, source.shape)
        except InfosamError:
            return None  # beside the image
        return prompts.add(point)

    # -------------------------------------------------------------------- show
    def _on_switched(self) -> None:
        if not self._preview.is_on:
            self._layers.end_preview()
        self._later()

    def _show(self) -> None:
        image, dashes = self._image(), self._preview.dashes
        if image is not None:
            width = _WIDTH_PIXELS * seen_at(self._viewer, image)
            self._layers.show_dashes(PREVIEW, dashes, width)
