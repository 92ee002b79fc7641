"""Somebody who labels cells, by mouse and keys only."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QWidget

from napari_infosam._napari import layers
from napari_infosam._napari.objects_model import NUMBER
from napari_infosam.core.prompts import CHOICES

from .cells import CENTRES, LAYERS, RADIUS, disc
from .window import Button, Modifier, Window

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from numpy.typing import NDArray
    from pytestqt.qtbot import QtBot

Key = Qt.Key
CONTROL, SHIFT = Modifier.ControlModifier, Modifier.ShiftModifier
Cells: TypeAlias = "dict[int, tuple[str, NDArray[np.bool_]]]"
"""Class and mask of each cell that is labelled."""
_THIN = 3
"""Pixels; of a brush for scribbles."""


class Annotator(Window):
    """A window, and what is done in it to the cells of a picture.

    Attributes
    ----------
    meant
        What is to be in the project, by the name of the picture.
    """

    def __init__(self, qtbot: QtBot, viewer: Viewer) -> None:
        super().__init__(qtbot, viewer)
        self.annotate = self.panel.annotate
        self.proposals = self.panel.proposals
        self.images = self.panel.images_view
        self.meant: dict[str, Cells] = {}
        self._accepts: cycle[Callable[[], None]] = cycle(
            (
                lambda: self.key(Key.Key_C),
                lambda: self.key(Key.Key_Return),
                lambda: self.press(self.annotate.accept),
            )
        )

    # ------------------------------------------------------------------- see
    @property
    def name(self) -> str:
        """Name of the picture that is annotated."""
        return self.annotate.image.currentText()

    @property
    def here(self) -> Cells:
        """What is to be in the project of this picture."""
        return self.meant.setdefault(self.name, {})

    def labels(self) -> NDArray[Any]:
        """Return the label image in sight, after a look that it is on disk."""
        QApplication.processEvents()
        project, image = self.session.desk.project, self.session.objects.image_id
        assert project is not None
        assert image is not None
        stored = project.label_image(image)
        np.testing.assert_array_equal(self.layer(layers.OBJECTS).data, stored)
        return stored

    def number(self, cell: int) -> int:
        """Return the number of the object that is seen on a cell, or 0."""
        return int(self.labels()[CENTRES[cell]])

    def wait_objects(self, number: int) -> None:
        """Wait until so many objects are in this picture."""
        self.wait(lambda: self.session.objects_here() == number)

    # ------------------------------------------------------------------- use
    def press(self, button: QWidget) -> None:
        """Press a button that can be pressed, in the panel once it is in sight."""
        area = self.panel._area
        if area.isAncestorOf(button):
            area.ensureWidgetVisible(button)
        self.wait(button.isVisible, 10)
        assert button.isEnabled(), button.toolTip()
        super().press(button)

    def undo(self) -> None:
        self.key(Key.Key_Z, CONTROL)

    def redo(self) -> None:
        self.key(Key.Key_Z, CONTROL | SHIFT)

    def over(self, cell: int, key: Qt.Key) -> None:
        """Press a key with the pointer over a cell."""
        self.point_at(*CENTRES[cell])
        self.key(key)

    def add_class(self, name: str) -> None:
        """Make a class, which is the one of the next objects."""
        classes = self.annotate.classes
        self.press(classes.add)
        self.qtbot.keyClicks(classes.name, name)
        self.key(Key.Key_Return, at=classes.name)
        assert classes.choice.currentText() == name

    def choose_class(self, name: str) -> None:
        self.choose(self.annotate.classes.choice, name)

    def list_row(self, cell: int, modifier: Modifier = Modifier.NoModifier) -> None:
        """Click on the row of a cell's object in the list."""
        objects, number = self.annotate.objects, self.number(cell)
        if not objects.section.is_open:
            self.press(objects.section.button)
        self.panel._area.ensureWidgetVisible(objects.table)
        self.wait(lambda: number in objects.model.numbers())
        row = objects.model.numbers().index(number)
        self.click_row(objects.table, row, NUMBER, modifier)

    def take_brush(self, key: Qt.Key) -> None:
        """Click on the layer of the objects, and take one of napari's tools by key."""
        rows = self.viewer.window._qt_viewer.layers
        names = [
            rows.model().index(n, 0).data() for n in range(len(self.viewer.layers))
        ]
        self.click_row(rows, names.index(layers.OBJECTS))
        active = self.viewer.layers.selection.active
        assert active is self.layer(layers.OBJECTS)
        self.key(key)

    def go(self, step: Callable[[], None]) -> None:
        """Go to another image of the list, and wait until it can be clicked in."""
        before = self.name
        step()
        self.wait(lambda: self.name != before and self.session.source is not None)
        self.wait_ready()

    # ------------------------------------------------------- one cell's prompts
    def click_on(self, cell: int) -> None:
        self.click(*CENTRES[cell])

    def click_twice(self, cell: int) -> None:
        row, column = CENTRES[cell]
        self.click(row - 8, column - 8)
        self.wait_answer()
        self.click(row + 10, column + 10)

    def click_and_exclude(self, cell: int) -> None:
        row, column = CENTRES[cell]
        self.click(row, column)
        self.wait_answer()
        self.click(row, column + RADIUS + 14, Button.RightButton)

    def exclude_by_polarity(self, cell: int) -> None:
        row, column = CENTRES[cell]
        self.click(row, column)
        self.wait_answer()
        self.key(Key.Key_T)
        self.click(row - RADIUS - 14, column)
        self.key(Key.Key_T)

    def look_and_click(self, cell: int) -> None:
        """Click where the preview is around the cell."""
        self.point_at(*CENTRES[cell])
        self.wait(self.n_dashes)
        middle = self.layer(layers.PREVIEW).data[:, 0].mean(axis=0)
        assert np.abs(middle - CENTRES[cell]).max() < 4
        self.click(*CENTRES[cell])

    def box(self, cell: int) -> None:
        self.key(Key.Key_B)
        self.drag(*_around(cell))
        self.key(Key.Key_S)

    def box_and_click(self, cell: int) -> None:
        self.box(cell)
        self.wait_answer()
        self.click(*CENTRES[cell])

    def paint(self, cell: int) -> None:
        """Paint nearly all of a cell."""
        row, column = CENTRES[cell]
        self.key(Key.Key_P)
        for down in (-10, 0, 10):
            self._stroke((row + down, column - 14), (row + down, column + 14))
        self.key(Key.Key_S)

    def scribble(self, cell: int) -> None:
        """Draw a line through a cell."""
        row, column = CENTRES[cell]
        self.key(Key.Key_P)
        brush = self.layer(layers.ROUGH)
        size = brush.brush_size
        while brush.brush_size > _THIN:
            self.key(Key.Key_BracketLeft)
        self._stroke((row, column - 18), (row, column + 18))
        while brush.brush_size < size:
            self.key(Key.Key_BracketRight)
        self.key(Key.Key_S)

    def _stroke(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        before = self.session.prompts.rough
        self.drag(start, end)
        self.wait(lambda: self.session.prompts.rough != before)
        self.wait_answer()

    def mean(self, cell: int, choice: str, *, by_key: bool) -> None:
        """Click on a nucleus, and say whether it, the cell, or all is meant."""
        self.click(*CENTRES[cell])
        self.wait_answer()
        wanted = self.annotate.meaning.buttons[CHOICES.index(choice)]
        if not by_key:
            self.press(wanted)
        while not wanted.isChecked():
            self.key(Key.Key_E)
            self.wait_answer()

    # ------------------------------------------------------------------ accept
    def label(self, prompt: Callable[[int], None], *cells: int) -> None:
        """Prompt for each cell, and accept it: by keys and the button in turn."""
        for cell in cells:
            prompt(cell)
            self.accept(cell, disc(cell))

    def accept(self, cell: int, mask: NDArray[np.bool_]) -> None:
        """Accept what is proposed, which is to be this mask."""
        self.wait_answer()
        next(self._accepts)()
        self.note(cell, mask)

    def note(self, cell: int, mask: NDArray[np.bool_]) -> None:
        """Note what is labelled now, and wait until it is."""
        self.here[cell] = self.annotate.classes.choice.currentText(), mask
        self.wait_objects(len(self.here))

    def label_meanings(self) -> None:
        """Label two nuclei, two cells, and two cells with what is around them."""
        for cell in range(len(CENTRES)):
            size = cell // 2
            self.mean(cell, CHOICES[size], by_key=cell % 2 == 0)
            self.accept(cell, disc(cell, LAYERS[size]))

    # ------------------------------------------------------------ many at once
    @property
    def n_offered(self) -> int:
        """How many objects are proposed."""
        return len(self.proposals.offered)

    def label_in_boxes(self, *cells: int) -> None:
        """Draw a box around each, undo and redo the last one, and accept all."""
        self.key(Key.Key_B, SHIFT)
        for cell in cells:
            self.drag(*_around(cell))
        self.wait(lambda: self.n_offered == len(cells))
        self.undo()
        self.wait(lambda: self.n_offered == len(cells) - 1)
        self.redo()
        self.wait(lambda: self.n_offered == len(cells))
        self.key(Key.Key_C)
        self.note_all(*cells)
        self.key(Key.Key_B, SHIFT)
        self.key(Key.Key_S)

    def propose(self) -> None:
        """Let everything in view be proposed."""
        self.key(Key.Key_G)
        assert self.proposals.progress is not None
        self.wait(lambda: self.proposals.progress is None)
        assert self.n_offered

    def note_all(self, *cells: int) -> None:
        """Note what is labelled now, all at once."""
        name = self.annotate.classes.choice.currentText()
        self.here.update({cell: (name, disc(cell)) for cell in cells})
        self.wait_objects(len(self.here))


def _around(cell: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return two corners of a box around a cell."""
    (row, column), reach = CENTRES[cell], RADIUS + 3
    return (row - reach, column - reach), (row + reach, column + reach)
