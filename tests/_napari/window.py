"""A napari window with the panel, used as a person does: by mouse and keyboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QCursor, QMouseEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QComboBox,
    QFileDialog,
    QMenu,
    QWidget,
)

from napari_infosam._napari import layers

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from napari.layers import Layer
    from napari.viewer import Viewer
    from pytestqt.qtbot import QtBot

    from napari_infosam._napari.session import Session
    from napari_infosam._napari.widget import InfoSAMWidget

Button, Modifier = Qt.MouseButton, Qt.KeyboardModifier
SECONDS = 1000
MOVE_MS = 20


class Window:
    """A viewer and its panel.

    Parameters
    ----------
    qtbot
        Presses and waits.
    viewer
        The viewer; the panel is opened as a plugin's dock widget.
    """

    def __init__(self, qtbot: QtBot, viewer: Viewer) -> None:
        self.qtbot = qtbot
        self.viewer = viewer
        viewer.window.resize(1000, 600)
        _, widget = viewer.window.add_plugin_dock_widget("napari-infosam", "InfoSAM")
        self.panel: InfoSAMWidget = widget
        self.canvas = next(
            child
            for child in self.panel.window().findChildren(QWidget)
            if type(child).__name__.startswith("CanvasBackend")
        )
        # over the panel, it would keep folds as they are
        QCursor.setPos(QApplication.primaryScreen().geometry().bottomRight())
        self.wait(lambda: self.canvas.width() > 200)

    @property
    def session(self) -> Session:
        return self.panel.session

    def close(self) -> None:
        self.panel.close_down()
        self.viewer.close()

    # ----------------------------------------------------------------- wait
    def wait(self, condition: Callable[[], Any], seconds: float = 60) -> None:
        """Wait in the event loop until something is so."""
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=int(seconds * SECONDS))

    def wait_ready(self) -> None:
        """Wait until a click would be answered at once."""
        self.wait(lambda: self.session.engine.is_ready)

    def wait_answer(self) -> None:
        """Wait until all prompts are answered."""
        self.wait(lambda: self.session.is_answered)

    # ------------------------------------------------------------------ see
    def layer(self, name: str) -> Layer:
        return self.viewer.layers[name]

    @property
    def n_points(self) -> int:
        """Points that are shown, once those are that were placed."""
        shown = self.layer(layers.POINTS)
        self.wait(lambda: len(shown.data) == len(self.session.prompts.points))
        return len(shown.data)

    def proposal_area(self) -> int:
        """Return how many pixels of the proposal are shown."""
        return int(np.count_nonzero(self.layer(layers.PROPOSAL).data))

    def n_dashes(self) -> int:
        """Return of how many dashes the preview is."""
        names = [layer.name for layer in self.viewer.layers]
        return len(self.layer(layers.PREVIEW).data) if layers.PREVIEW in names else 0

    def shown_objects(self) -> set[int]:
        """Return the values in the objects layer."""
        return set(np.unique(self.layer(layers.OBJECTS).data).tolist()) - {0}

    # ------------------------------------------------------------------ use
    def pixel(self, row: float, column: float) -> QPoint:
        """Return where on the canvas a (row, column) of the image is."""
        image = self.panel.link.image
        assert image is not None
        data = np.zeros(image.ndim)
        data[-2:] = row, column
        world = np.asarray(image.data_to_world(data))[-2:]
        camera = self.viewer.scene.camera
        offset = (world - np.asarray(camera.center)[-2:]) * camera.zoom
        return QPoint(
            round(self.canvas.width() / 2 + offset[1]),
            round(self.canvas.height() / 2 + offset[0]),
        )

    def click(
        self,
        row: float,
        column: float,
        button: Button = Button.LeftButton,
        modifier: Modifier = Modifier.NoModifier,
    ) -> None:
        self.qtbot.mouseClick(self.canvas, button, modifier, self.pixel(row, column))

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press, move in steps and release the left button."""
        self.drag_on(start, end)
        self.release_at(*end)

    def drag_on(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press and move in steps; the left button stays down."""
        places = [
            self.pixel(
                start[0] + (end[0] - start[0]) * part,
                start[1] + (end[1] - start[1]) * part,
            )
            for part in np.linspace(0, 1, 6)
        ]
        left, none = Button.LeftButton, Button.NoButton
        self._mouse(QEvent.Type.MouseButtonPress, places[0], left, left)
        for place in places[1:]:
            self._mouse(QEvent.Type.MouseMove, place, none, left)
            # napari lets go of moves that follow each other more quickly
            self.qtbot.wait(MOVE_MS)

    def release_at(self, row: float, column: float) -> None:
        """Release the left button."""
        left, none = Button.LeftButton, Button.NoButton
        at = self.pixel(row, column)
        self._mouse(QEvent.Type.MouseButtonRelease, at, left, none)

    def point_at(self, row: float, column: float) -> None:
        """Move the pointer without a button."""
        at, none = self.pixel(row, column), Button.NoButton
        image = self.panel.link.image
        assert image is not None

        def is_there() -> bool:
            # napari lets go of moves that follow each other too quickly
            self._mouse(QEvent.Type.MouseMove, at, none, none)
            seen = image.world_to_data(self.viewer.cursor.position)
            return bool(np.abs(np.subtract(seen[-2:], (row, column))).max() < 2)

        self.wait(is_there, 10)

    def accept_at(self, *places: tuple[float, float]) -> None:
        """Click on objects and accept each."""
        for place in places:
            self.click(*place)
            self.wait_answer()
            self.key(Qt.Key.Key_C)

    def wait_still(self) -> None:
        """Wait until napari has looked at the last move of the mouse."""
        self.point_at(2, 2)

    def _mouse(self, kind: QEvent.Type, at: QPoint, button: Button, held: Any) -> None:
        event = QMouseEvent(
            kind,
            QPointF(at),
            QPointF(self.canvas.mapToGlobal(at)),
            button,
            held,
            Modifier.NoModifier,
        )
        QApplication.sendEvent(self.canvas, event)

    def key(
        self,
        key: Qt.Key,
        modifier: Modifier = Modifier.NoModifier,
        at: QWidget | None = None,
    ) -> None:
        self.qtbot.keyClick(at or self.canvas, key, modifier)

    def press(self, button: QWidget) -> None:
        self.qtbot.mouseClick(button, Button.LeftButton)

    def choose(self, box: QComboBox, title: str) -> None:
        """Go along a list of choices by the arrow keys."""
        steps = box.findText(title) - box.currentIndex()
        for _ in range(abs(steps)):
            self.key(Qt.Key.Key_Down if steps > 0 else Qt.Key.Key_Up, at=box)
        assert box.currentText() == title

    def choose_in_menu(self, menu: QMenu, title: str) -> None:
        """Open a menu and click on one of its lines."""
        # a menu that its button opens would not return before something is chosen
        menu.popup(self.panel.mapToGlobal(QPoint(0, 20)))
        self.wait(menu.isVisible)
        (action,) = [one for one in menu.actions() if one.text() == title]
        place = menu.actionGeometry(action).center()
        self.qtbot.mouseClick(menu, Button.LeftButton, pos=place)

    def add_folder(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        """Unfold the list of images, press Add and choose Folder …, and a folder."""
        choose_folder(folder, patch)
        images = self.panel.images_view
        if not images.section.is_open:
            self.press(images.section.button)
        self.choose_in_menu(images.add.menu(), "Folder …")

    def click_row(
        self,
        table: QAbstractItemView,
        row: int,
        column: int = 0,
        modifier: Modifier = Modifier.NoModifier,
    ) -> None:
        """Click on a row of a list."""
        index = table.model().index(row, column)
        table.scrollTo(index)
        at = table.visualRect(index).center()
        self.qtbot.mouseClick(table.viewport(), Button.LeftButton, modifier, at)


def choose_folder(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Have a folder chosen whenever the system's dialog would ask for one."""
    patch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))


def reopen(window: Window, open_window: Callable[..., Window]) -> Window:
    """Close the window and open its project in another one."""
    project = window.session.desk.path
    window.panel.close_down()
    window.viewer.close()
    again = open_window()
    again.session.desk.open(project)
    return again
