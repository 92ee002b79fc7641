"""Clicks and drags in the viewer become prompts; one gesture is one prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.geometry import box_from_corners, point_from_row_column

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

    from napari_infosam._napari.layers import PromptLayers
    from napari_infosam._napari.proposals import Proposals
    from napari_infosam._napari.session import Session
    from napari_infosam._napari.tool import Tool

LEFT, RIGHT = 1, 2
_STILL_PIXELS = 4
"""A press that moves less than this on the screen is a click."""


class Pointer:
    """Listens to the mouse while the tool is active.

    A click places a point: left for the object, right, or left with Shift or Ctrl,
    for what does not belong to it. In box mode dragging draws a box, otherwise it
    moves the picture as always.

    Parameters
    ----------
    viewer
        Whose canvas is clicked on.
    session, layers, tool, proposals
        Who gets the prompts, who shows a box while it is drawn, what a click means,
        and what is proposed: a click on that accepts or rejects it.
    image
        Returns the layer that is annotated.
    """

    drawing = Signal(object)
    """A box while it is drawn; it is not placed before the button is released."""

    def __init__(
        self,
        viewer: Viewer,
        session: Session,
        layers: PromptLayers,
        tool: Tool,
        proposals: Proposals,
        image: Callable[[], Image | None],
    ) -> None:
        self._viewer = viewer
        self._session = session
        self._layers = layers
        self._tool = tool
        self._proposals = proposals
        self._image = image
        self._double_click = list(viewer.mouse_double_click_callbacks)
        viewer.mouse_double_click_callbacks[:] = [self._on_double_click]
        viewer.mouse_drag_callbacks.append(self._on_press)

    def detach(self) -> None:
        """Give the mouse back to napari."""
        if self._on_press in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_press)
            others = [
                callback
                for callback in self._viewer.mouse_double_click_callbacks
                if callback != self._on_double_click
            ]
            self._viewer.mouse_double_click_callbacks[:] = self._double_click + others

    def takes_clicks(self) -> bool:
        """Return whether a click now would be a prompt.

        It is not while the person works in a layer of their own, or with one of
        napari's tools.
        """
        image, active = self._image(), self._viewer.layers.selection.active
        if not self._tool.active or image is None or self._session.source is None:
            return False
        if self._viewer.dims.ndisplay != 2:
            return False
        if active is None:
            return True
        ours = active == image or self._layers.owns(active)
        return ours and str(active.mode) == "pan_zoom"

    def position(self) -> tuple[float, float] | None:
        """Return the (row, column) under the mouse pointer."""
        image = self._image()
        if image is None:
            return None
        return _row_column(image, self._viewer.cursor.position)

    def _on_double_click(self, viewer: Viewer, event: Any) -> None:
        # the first click of the two was the prompt; zooming as well would lose it
        if not self.takes_clicks():
            for callback in self._double_click:
                callback(viewer, event)

    def _on_press(self, _viewer: Viewer, event: Any) -> Iterator[None]:
        image = self._image()
        if image is None or not self.takes_clicks():
            return
        if event.button not in (LEFT, RIGHT) or "Alt" in event.modifiers:
            return
        by_hand = event.button == RIGHT or reverses(event)
        boxing = self._tool.boxing and event.button == LEFT and not self._tool.panning
        start, grabbed = np.array(event.pos), np.array(event.position)
        anchor = _row_column(image, grabbed)
        dragged = False
        # not on to vispy: it would draw the scene twice to find out what was clicked
        # on, and its camera would move with the slightest move of a click
        event.handled = event.handled or event.button == LEFT
        yield
        while event.type == "mouse_move":
            dragged |= is_far(event.pos, start)
            if boxing and dragged:
                self._preview(_corners(image, grabbed, event))
            elif dragged and event.button == LEFT:
                self._pan(grabbed, event)
            event.handled = event.handled or not dragged
            yield
        dragged |= is_far(event.pos, start)  # a quick drag may have had no move
        if boxing and dragged:
            self._place_box(_corners(image, grabbed, event))
        elif not dragged and self.decides_at(anchor):
            self._decide(anchor, rejected=by_hand)
        elif not dragged:
            negative = self._tool.is_negative(reversed_by_hand=by_hand)
            self._place_point(anchor, positive=not negative)

    def _pan(self, grabbed: NDArray[Any], event: Any) -> None:
        """Move the picture so that what was grabbed is under the mouse again."""
        camera = self._viewer.scene.camera
        if camera.mouse_pan:
            way = (grabbed - event.position)[list(event.dims_displayed)]
            centre = np.array(camera.center, float)
            centre[-len(way) :] += way
            camera.center = tuple(centre)

    def decides_at(self, where: tuple[float, float]) -> bool:
        """Return whether a click decides about a proposal, and is no prompt."""
        return not self._session.prompts and bool(self._proposals.number_at(*where))

    def _decide(self, where: tuple[float, float], *, rejected: bool) -> None:
        if rejected:
            self._proposals.reject_at(*where)
        else:
            self._proposals.accept_at(*where)

    def _place_point(self, where: tuple[float, float], *, positive: bool) -> None:
        source = self._session.source
        if source is None:
            return
        try:
            prompt = point_from_row_column(where, positive, source.shape)
        except InfosamError as error:
            self._session.voice.say(str(error))
        else:
            self._session.add_prompt(prompt)

    def _preview(self, corners: list[tuple[float, float]]) -> None:
        source = self._session.source
        if source is None:
            return
        try:
            box = box_from_corners(corners, source.shape)
        except InfosamError:
            return  # still outside the image
        self._layers.show_box(box)
        self.drawing.emit(box)

    def _place_box(self, corners: list[tuple[float, float]]) -> None:
        source = self._session.source
        if source is None:
            return
        try:
            prompt = box_from_corners(corners, source.shape)
        except InfosamError as error:
            self._session.voice.say(str(error))
            self._layers.show_box(self._session.prompts.box)
        else:
            if self._tool.box_each:
                self._layers.show_box(self._session.prompts.box)
                self._proposals.add_box(prompt)
            else:
                self._session.add_prompt(prompt)


def reverses(event: Any) -> bool:
    """Return whether a key is held that makes a click say the opposite."""
    return bool({"Shift", "Control"} & set(event.modifiers))


def is_far(position: Any, start: NDArray[Any]) -> bool:
    """Return whether the mouse has moved so much on the screen that it is a drag."""
    return bool(np.abs(np.array(position) - start).max() > _STILL_PIXELS)


def _corners(
    image: Image, grabbed: NDArray[Any], event: Any
) -> list[tuple[float, float]]:
    """Return where the corners of a drag on the screen are in the picture.

    All four of them: on the screen, a picture may be turned.
    """
    end = np.array(event.position)
    *_, down, across = event.dims_displayed
    found = []
    for row, column in product((grabbed, end), repeat=2):
        corner = end.copy()
        corner[down], corner[across] = row[down], column[across]
        found.append(_row_column(image, corner))
    return found


def _row_column(image: Image, world: Any) -> tuple[float, float]:
    """Return where in the picture a world position is."""
    position = image.world_to_data(world)
    return float(position[-2]), float(position[-1])
