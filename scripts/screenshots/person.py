"""Somebody who uses the window by mouse and keys, and takes pictures of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import napari
import numpy as np
from PIL import Image
from qtpy.QtCore import QPoint, QRect, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QApplication,
    QDockWidget,
    QScrollArea,
    QWidget,
)

from tests._napari.window import Modifier, Window

Key = Qt.Key
CTRL, SHIFT = Modifier.ControlModifier, Modifier.ShiftModifier
PANEL_WIDTH = 330
_COLORS = 200

_SETTLE_MS = 400
_PATIENCE = 600.0
"""Seconds."""


class Hands:
    """Presses and waits, as pytest-qt does for the tests."""

    mouseClick = staticmethod(QTest.mouseClick)
    keyClick = staticmethod(QTest.keyClick)
    wait = staticmethod(QTest.qWait)

    @staticmethod
    def waitUntil(condition: Callable[[], bool], timeout: int) -> None:
        """Let the window work until something is so; ``timeout`` in ms."""
        end = time.monotonic() + timeout / 1000
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"waited {timeout} ms")
            QApplication.processEvents()
            time.sleep(0.005)


class Person(Window):
    """A window with the panel and without napari's lists at the left.

    What a click would give is not shown: the pointer is where the last key was
    pressed, and `H` shows it where it is what the picture is about.

    Parameters
    ----------
    viewer
        The viewer.
    folder
        Where pictures go.
    size
        (width, height) of the canvas in pixels.
    """

    def __init__(
        self, viewer: napari.Viewer, folder: Path, size: tuple[int, int]
    ) -> None:
        super().__init__(Hands(), viewer)
        self._folder = folder
        self._main = self.panel.window()
        self.panel.link.preview.is_on = False
        self.show_lists(False)
        self.resize(*size)

    def show_lists(self, shown: bool) -> None:
        """Show or hide napari's layer list and the tools of a layer."""
        for dock in self._main.findChildren(QDockWidget):
            if dock.windowTitle() in ("layer list", "layer controls"):
                dock.setVisible(shown)

    def resize(self, width: int, height: int) -> None:
        """Give the canvas a size in pixels, as nearly as the window allows."""
        dock = self._dock()
        for _ in range(3):
            self._main.resizeDocks([dock], [PANEL_WIDTH], Qt.Orientation.Horizontal)
            frame = self._main.size() - self.canvas.size()
            self._main.resize(width + frame.width(), height + frame.height())
            QTest.qWait(100)
        self.viewer.reset_view()

    def _dock(self) -> QDockWidget:
        return next(
            dock
            for dock in self._main.findChildren(QDockWidget)
            if dock.isAncestorOf(self.panel)
        )

    # ------------------------------------------------------------------ use
    def wait(self, condition: Callable[[], Any], seconds: float = _PATIENCE) -> None:
        """Wait in the event loop until something is so, also on a busy machine."""
        super().wait(condition, seconds)

    def click_and_wait(self, row: float, column: float, **how: Any) -> None:
        """Place a point and wait for its answer."""
        self.click(row, column, **how)
        self.wait_answer()

    def go_to_slice(self, number: int) -> None:
        """Look at one slice of a stack."""
        self.viewer.dims.set_current_step(0, number)
        self.wait(lambda: self.session.source.slice_index == (number,))
        self.wait_ready()

    def zoom_to(self, row: float, column: float, zoom: float) -> None:
        """Bring a place of the picture to the middle of the canvas."""
        self.viewer.camera.center = (0, row, column)
        self.viewer.camera.zoom = zoom
        QTest.qWait(100)

    def scroll_to(self, widget: QWidget | None) -> None:
        """Bring a part of the panel to its top; None: the top of all."""
        QTest.qWait(50)
        area = self.panel.findChild(QScrollArea)
        place = 0 if widget is None else widget.mapTo(area.widget(), QPoint(0, 0)).y()
        area.verticalScrollBar().setValue(place - 4)

    # ----------------------------------------------------------------- look
    def shoot(
        self, name: str, top: QWidget | None = None, *, whole: bool = False
    ) -> None:
        """Take a picture of canvas and panel, or of the whole window.

        Parameters
        ----------
        name
            Of the picture.
        top
            The part of the panel that is to be seen; it is scrolled to.
        whole
            Menus and lists of napari as well.
        """
        self.scroll_to(top)
        QTest.qWait(_SETTLE_MS)
        for widget in self._main.findChildren(QWidget):
            if type(widget).__name__ == "NapariQtNotification":
                widget.close()
        pixels = self.viewer.screenshot(canvas_only=False, flash=False)[..., :3]
        if not whole:
            seen = self._rectangle(self.canvas) | self._rectangle(self._dock())
            pixels = pixels[seen.top() : seen.bottom(), seen.left() : seen.right()]
        save(pixels, self._folder / f"{name}.png")

    def shoot_dialog(self, name: str, dialog: QWidget) -> None:
        """Take a picture of a dialog."""
        QTest.qWait(_SETTLE_MS)
        image = dialog.grab().toImage()
        image = image.convertToFormat(image.Format.Format_RGBA8888)
        bits = image.constBits()
        bits.setsize(image.height() * image.bytesPerLine())
        rows = np.frombuffer(bits, np.uint8).reshape(image.height(), -1, 4)
        save(rows[:, : image.width(), :3], self._folder / f"{name}.png")

    def _rectangle(self, widget: QWidget) -> QRect:
        return QRect(widget.mapTo(self._main, QPoint(0, 0)), widget.size())


def save(pixels: np.ndarray, path: Path) -> None:
    """Save ``(H, W, 3)`` uint8 as a small file: few colours, without dither."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    # also the colours of a few pixels count: points, boxes and edges
    cover, none = Image.Quantize.MAXCOVERAGE, Image.Dither.NONE
    picture = picture.quantize(_COLORS, cover, kmeans=1, dither=none)
    picture.save(path, optimize=True)
    print(f"{path} {picture.size} {path.stat().st_size // 1024} KiB", flush=True)


@contextmanager
def window(
    folder: Path, *images: tuple[str, Any], size: tuple[int, int], **settings: Any
) -> Iterator[Person]:
    """Open a window on images, given as (name, pixels), and close it in the end."""
    viewer = napari.Viewer()
    for name, pixels in images:
        viewer.add_image(pixels, name=name, **settings)
    person = Person(viewer, folder, size)
    try:
        yield person
    finally:
        person.panel.close_down()
        viewer.close()
        QTest.qWait(_SETTLE_MS)
