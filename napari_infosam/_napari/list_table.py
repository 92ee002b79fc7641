"""The table of objects and that of images: how they look, and which keys they keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QAbstractItemModel, Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

if TYPE_CHECKING:
    from qtpy.QtGui import QKeyEvent


class ListTable(QTableView):
    """Whole rows of a model, of which several can be chosen.

    After a click on a row the arrow keys go along the rows, and letters and digits are
    still those of the viewer: Qt would look for a row that begins with them.

    Parameters
    ----------
    model
        What is listed.
    stretched
        The column that takes the room that is left.
    row_height, height
        Of a row, and of the whole table, in pixels.
    """

    def __init__(
        self, model: QAbstractItemModel, stretched: int, row_height: int, height: int
    ) -> None:
        super().__init__()
        self.setModel(model)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setFixedHeight(height)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        rows, columns = self.verticalHeader(), self.horizontalHeader()
        if rows is not None and columns is not None:
            rows.hide()
            rows.setDefaultSectionSize(row_height)
            rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
            columns.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
            columns.setSectionResizeMode(stretched, QHeaderView.ResizeMode.Stretch)
            columns.setHighlightSections(False)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Leave letters and digits to the viewer."""
        if event is not None and _is_typed(event):
            event.ignore()
        else:
            super().keyPressEvent(event)


def _is_typed(event: QKeyEvent) -> bool:
    """Return whether a key stands for a character that can be seen."""
    text = event.text().strip()
    shift = Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.KeypadModifier
    return bool(text) and text.isprintable() and not event.modifiers() & ~shift
