"""Opens the images of the list in the viewer, and puts the one before away."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QTimer

from napari_infosam._napari.channels import CHOICE, choice_of
from napari_infosam._napari.image_source import (
    LISTED,
    LISTED_PATH,
    path_of,
    slice_axes,
    source_of,
)
from napari_infosam._napari.listed_pixels import Pixels, read_listed
from napari_infosam._napari.placing import state_size
from napari_infosam.core.errors import InfosamError

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QWidget

    from napari_infosam._napari.engine import Executor
    from napari_infosam._napari.image_list import ImageList
    from napari_infosam._napari.image_source import ImageSource
    from napari_infosam._napari.prefetch import Prefetch
    from napari_infosam._napari.session import Session
    from napari_infosam._napari.viewer_link import ViewerLink
    from napari_infosam.project import Project
    from napari_infosam.project.listing import ListedImage

logger = logging.getLogger(__name__)

_SAVE_MS = 1000


class ImageOpening:
    """Keeps the list of images and the viewer in step.

    Only the image that is annotated is in the viewer; layers that a person has opened
    stay. How an image was left (slice and camera) is written a second after it has
    changed, so that also a killed window goes on there; `UnfinishedNotes` has prompts.

    Parameters
    ----------
    viewer, session, link
        The window's.
    images
        The list.
    prefetch
        Who reads the next image ahead.
    executor
        Where files are read and notes are written.
    parent
        The panel.
    """

    def __init__(
        self,
        viewer: Viewer,
        session: Session,
        link: ViewerLink,
        images: ImageList,
        prefetch: Prefetch,
        executor: Executor,
        parent: QWidget,
    ) -> None:
        self._viewer = viewer
        self._session = session
        self._link = link
        self._images = images
        self._prefetch = prefetch
        self._executor = executor
        self._wanted: int | None = None
        self._failed: tuple[int, int | None] | None = None
        self._token: object = None
        self._saved: tuple[int, dict[str, Any]] | None = None
        self._is_restoring = False
        self._save_soon = QTimer(parent)
        self._save_soon.setSingleShot(True)
        self._save_soon.setInterval(_SAVE_MS)
        self._save_soon.timeout.connect(self._save)
        images.open_wanted.connect(self.open)
        images.entered.connect(self._on_entered)
        images.current_changed.connect(self._later)
        session.image_changed.connect(self._find)
        session.objects.changed.connect(self._find)
        viewer.scene.camera.events.connect(self._later)
        viewer.dims.events.current_step.connect(self._later)
        images.load()
        self._find()
        if session.desk.project is not None and not link.images():
            self._resume()

    def close(self) -> None:
        """Note how the image is left, and let go of the viewer."""
        with suppress(RuntimeError):  # its window, and the timer with it, may be gone
            self._save_soon.stop()
        note = self._note()
        if note is not None and note != self._saved and self._project is not None:
            with self._session.voice.guard("noting how the image was left"):
                self._project.listing.leave(*note)
        self._images.open_wanted.disconnect(self.open)
        self._images.entered.disconnect(self._on_entered)
        self._images.current_changed.disconnect(self._later)
        self._session.image_changed.disconnect(self._find)
        self._session.objects.changed.disconnect(self._find)
        self._viewer.scene.camera.events.disconnect(self._later)
        self._viewer.dims.events.current_step.disconnect(self._later)
        self._executor.close()

    @property
    def _project(self) -> Project | None:
        return self._session.desk.project

    # ------------------------------------------------------------------- go
    def step(self, step: int) -> None:
        """Open the next shown image (1) or the one before (-1)."""
        # a key that is held down does not wait for the images on the way
        start = current = self._images.current
        if self._wanted is not None:
            start = self._wanted
        elif self._failed is not None and self._failed[1] == current:
            start = self._failed[0]  # what could not be opened from here
        following = self._images.neighbour(step, start)
        if not self._images.rows:
            self._session.voice.say(
                "The list of images is empty: add a folder, files or open layers."
            )
        elif following is None:
            what = "last" if step > 0 else "first"
            rest = "" if len(self._images.shown) == len(self._images.rows) else " shown"
            self._session.voice.say(f"This is the {what} image{rest} of the list.")
        else:
            self._images.go(following)

    def follow_on(self) -> bool:
        """Open the next image if this one came from the list; False if it did not."""
        if self._listed_id(self._link.image) is None or len(self._images.rows) < 2:
            return False
        self.step(1)
        return True

    def open(self, listed_id: int) -> None:
        """Read an image in the background and annotate it."""
        project, row = self._project, self._images.rows.get(listed_id)
        if project is None or row is None:
            return
        self._token = token = object()
        self._failed = None
        there = self._layer_of(listed_id)
        if there is not None:
            self._wanted = None
            if there != self._link.image:
                self._put_away(there)
                self._link.choose(there)
            return
        self._wanted = listed_id
        ready = self._prefetch.take(listed_id)
        if ready is not None:
            self._show(listed_id, project, ready)
            return
        if self._link.image is not None:  # or else it could be taken for the new one
            self._session.voice.say(f"Opening {row.name} …")

        def done(pixels: Pixels) -> None:
            if token is self._token and project is self._project:
                self._show(listed_id, project, pixels)

        def failed(error: Exception) -> None:
            if token is self._token and project is self._project:
                self._wanted, self._failed = None, (listed_id, self._images.current)
                self._session.voice.report(error, f"opening {row.name}")
                self._images.load()

        def report(part: float) -> None:
            self._executor.post(lambda: show(part))

        def show(part: float) -> None:
            if token is self._token:
                self._session.voice.say(
                    f"Reading an overview of {row.name}: {part:.0%} … (another image "
                    "of the list ends it)"
                )

        self._executor.submit(
            lambda: read_listed(row, project, report, lambda: token is not self._token),
            done,
            failed,
        )

    def _layer_of(self, listed_id: int) -> Image | None:
        """Return the layer on which an image is open already."""
        path = self._images.rows[listed_id].path
        for layer in self._link.images():
            if self._listed_id(layer) == listed_id:
                return layer
            if path is not None and path_of(layer) == path:
                return layer
        return None

    def _show(self, listed_id: int, project: Project, pixels: Pixels) -> None:
        """Put an image that was read into the viewer, in the place of the one before.

        The one before goes when the new one is there: the viewer is never empty.
        """
        self._wanted, self._failed = None, (listed_id, self._images.current)
        row = self._images.rows.get(listed_id)
        if row is None:
            return
        with self._session.voice.guard(f"opening {row.name}"):
            self._save()
            self._link.objects.take_strokes()
            before = self._link.image
            added = self._added(row, pixels)
            opened = [layer for layer in added if isinstance(layer, Image)]
            if not opened:
                raise InfosamError(f"{row.name} holds no image: take it off the list.")
            for layer in added:
                layer.metadata[LISTED] = (str(project.path), listed_id)
                layer.metadata[LISTED_PATH] = row.path
            self._put_away(*added)
            self._is_restoring = True
            try:
                self._link.choose(opened[0], before)
                self._restore_view(opened[0], project.listing.left(listed_id).view)
            finally:
                self._is_restoring = False
            self._failed = None
            self._find()
            if pixels.is_copy:
                self._session.voice.say(
                    f"The file {row.path} is missing: this is the project's copy."
                )

    def _added(self, row: ListedImage, pixels: Pixels) -> list[Any]:
        """Return the layers of an image, which are in the viewer now."""
        if pixels.levels is None and pixels.array is None:
            added = self._viewer.open([str(row.path)])
            for layer in added:
                if isinstance(layer, Image):
                    state_size(layer, pixels.sizes)
            return list(added)
        layer = Image(
            pixels.array if pixels.levels is None else pixels.levels,
            name=row.name,
            rgb=pixels.rgb,
            axis_labels=pixels.axes or None,
            multiscale=pixels.levels is not None,
        )
        if pixels.choice is not None:
            layer.metadata[CHOICE] = pixels.choice
        state_size(layer, pixels.sizes)
        return [self._viewer.add_layer(layer)]

    def _put_away(self, *kept: Any) -> None:
        """Take the layers out of the viewer that the list has put there before."""
        for layer in list(self._viewer.layers):
            if LISTED in layer.metadata and not any(layer == keep for keep in kept):
                self._viewer.layers.remove(layer)

    def _listed_id(self, layer: Image | None) -> int | None:
        """Return which image of this project's list was opened as a layer."""
        mark = None if layer is None else layer.metadata.get(LISTED)
        if mark is None or self._project is None or mark[0] != str(self._project.path):
            return None
        return int(mark[1])

    def _find(self) -> None:
        self._images.find(self._session.source, self._listed_id(self._link.image))

    def _on_entered(self) -> None:
        """Go on where the project was left, unless a person's image is open."""
        self._saved = self._token = self._wanted = self._failed = None
        self._find()
        if all(LISTED in layer.metadata for layer in self._link.images()):
            self._resume()

    def _resume(self) -> None:
        last = None
        with self._session.voice.guard("looking for the last image"):
            last = self._project.listing.last() if self._project else None
        if last is None:
            last = self._images.neighbour(1, None)
        if last is not None:
            self._images.go(last)

    # ------------------------------------------------------------------ left
    def _later(self, _event: Any = None) -> None:
        if self._images.current is not None and not self._save_soon.isActive():
            self._save_soon.start()

    def _note(self) -> tuple[int, dict[str, Any]] | None:
        """Return which image is annotated and how it is at the moment."""
        source, current = self._session.source, self._images.current
        image = self._link.image
        if source is None or current is None or image is None or self._is_restoring:
            return None
        camera, size = self._viewer.scene.camera, image.scale[-2:]
        view = {
            "slice": list(source.slice_index),
            # in pixels: files may state another size later
            "center": (np.array(camera.center[-2:]) / size).tolist(),
            "zoom": float(camera.zoom * size[-1]),
        }
        return current, view

    def _save(self) -> None:
        """Note in the background how the image is at the moment."""
        project, note = self._project, self._note()
        if project is None or note is None or note == self._saved:
            return
        self._saved = note

        def failed(error: Exception) -> None:
            if project is self._project:  # and was not closed meanwhile
                self._session.voice.report(error, "noting how the image was left")

        self._executor.submit(
            lambda: project.listing.leave(*note), lambda _: None, failed
        )

    def _restore_view(self, layer: Image, view: dict[str, Any] | None) -> None:
        """Bring back slice and camera; what does not fit is left out."""
        try:
            if view is not None:
                self._turn_to(layer, view)
        except (KeyError, TypeError, ValueError, InfosamError) as error:
            logger.warning("Not all of %s came back: %s", layer.name, error)

    def _turn_to(self, layer: Image, view: dict[str, Any]) -> None:
        dims, camera = self._viewer.dims, self._viewer.scene.camera
        first = dims.ndim - layer.ndim
        axes = slice_axes(layer, choice_of(layer, self._link.images()))
        for axis, place in zip(axes, view["slice"], strict=False):
            dims.set_current_step(first + axis, int(place))
        self._link.stepping.forget_moves()
        size = layer.scale[-2:]
        row, column = np.array(view["center"][-2:], float) * size
        camera.center = (camera.center[0], float(row), float(column))
        camera.zoom = float(view["zoom"] / size[-1])
        self._link.choose(layer)


def pictures_of(link: ViewerLink, viewer: Viewer) -> list[ImageSource]:
    """Return the pictures of the open image layers that did not come from the list."""
    found = []
    for layer in link.images():
        if LISTED not in layer.metadata:
            with suppress(InfosamError):
                found.append(source_of(layer, viewer.dims, layers=link.images()))
    return found
