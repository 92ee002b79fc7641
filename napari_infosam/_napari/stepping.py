"""On to the next picture, along a stack, or to an object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_infosam._napari.image_source import slice_axes, slices_beyond
from napari_infosam._napari.placing import covers

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_infosam._napari.pointer import Pointer
    from napari_infosam._napari.session import Session
    from napari_infosam._napari.viewer_link import ViewerLink
    from napari_infosam.core.prompts import Box


class Stepping:
    """Goes elsewhere in the viewer, and takes an object along.

    Parameters
    ----------
    viewer, session
        Where one is, and what one works on.
    link
        Who knows the image.
    pointer
        Knows what the mouse is over.
    """

    def __init__(
        self, viewer: Viewer, session: Session, link: ViewerLink, pointer: Pointer
    ) -> None:
        self._viewer = viewer
        self._session = session
        self._link = link
        self._pointer = pointer
        self._position = tuple(viewer.dims.current_step)
        self._moved: int | None = None
        viewer.dims.events.current_step.connect(self._on_moved)

    def close(self) -> None:
        """Stop listening."""
        self._viewer.dims.events.current_step.disconnect(self._on_moved)

    def forget_moves(self) -> None:
        """Take what was moved so far for nobody's choice."""
        self._moved = None

    def _on_moved(self, _event: object = None) -> None:
        """Note which slider was moved; napari says the first one where none was."""
        before, now = self._position, tuple(self._viewer.dims.current_step)
        self._position = now
        if len(before) != len(now):
            self._moved = None
            return
        moved = [axis for axis in range(len(now)) if before[axis] != now[axis]]
        if len(moved) == 1:
            self._moved = moved[0]

    def next_picture(self) -> None:
        """Go to the next slice of a stack, or to the next image layer."""
        image = self._link.image
        if image is None:
            self._session.voice.say("Open an image first.")
            return
        if axes := slice_axes(image, self._link.channels):
            axis = self._viewer.dims.ndim - image.ndim + axes[-1]
            step = self._viewer.dims.current_step[axis]
            if step < self._viewer.dims.nsteps[axis] - 1:
                self._viewer.dims.set_current_step(axis, step + 1)
                return
        if self._link.follow_on():
            return
        images = self._link.images()
        if len(images) < 2:
            self._session.voice.say("This is the last picture.")
            return
        place = next(i for i, layer in enumerate(images) if layer == image)
        # downwards in the layer list, whose first line is the last layer
        following = images[place - 1]
        if covers(image, following):
            image.visible = False
        self._link.choose(following)

    def propagate(self, step: int) -> None:
        """Follow the object in sight through the next slices of a stack.

        They are those of the slider that was moved last, or else of the last one: of t
        and z it is z.

        Parameters
        ----------
        step
            1 forwards, -1 backwards.
        """
        session, link, where = self._session, self._link, self._pointer.position()
        image = link.image
        if image is None or not slice_axes(image, link.channels):
            session.voice.say("This image is no stack: it has no slices to go through.")
            return
        chosen = session.objects.chosen
        number = chosen[0] if len(chosen) == 1 else 0
        if not number and where is not None:
            number = session.objects.number_at(*where)
        dims, moved = self._viewer.dims, self._moved
        axis = None if moved is None else moved - (dims.ndim - image.ndim)
        sources = slices_beyond(image, dims, step, axis, link.images())
        session.propagation.start(sources, number)

    def jump_to(self, number: int) -> None:
        """Bring an object into view, and select its label for the brush."""
        record, layer = self._session.objects.find(number), self._link.objects_layer
        if record is None or layer is None:
            return
        layer.selected_label = number
        box = record.box
        seen = self._link.many.in_view()
        if seen is not None and _holds(seen, box):
            return
        middle = ((box.y0 + box.y1) / 2, (box.x0 + box.x1) / 2)
        displayed = list(self._viewer.dims.displayed[-2:])
        world = list(self._viewer.dims.point)
        for axis, value in zip(displayed, layer.data_to_world(middle), strict=True):
            world[axis] = value
        depth = self._viewer.scene.camera.center[0]
        self._viewer.scene.camera.center = (depth, *(world[axis] for axis in displayed))


def _holds(outer: Box, inner: Box) -> bool:
    """Return whether a box lies in another, but for a pixel."""
    reaches_in = outer.y0 <= inner.y0 + 1 and outer.x0 <= inner.x0 + 1
    return reaches_in and inner.y1 <= outer.y1 + 1 and inner.x1 <= outer.x1 + 1
