"""The table of objects and that of images: how they look, and which keys they keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QAbstractItemModel, QItemSelection, QItemSelectionModel, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qtpy.QtGui import QKeyEvent

_MOVING = (
    *(Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Left, Qt.Key.Key_Right),
    *(Qt.Key.Key_Home, Qt.Key.Key_End, Qt.Key.Key_Tab, Qt.Key.Key_Backtab),
)


class ListTable(QTableView):
    """Whole rows of a model, of which several can be chosen.

    After a click on a row the arrow keys go along the rows, and all others are still
    those of the viewer: Qt would look for a row that begins with a letter, and scroll
    where Page Down is to open the next image.

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
            # of the rows' own, it would ask about each row that is chosen
            columns.setSelectionModel(QItemSelectionModel(model, columns))

    def choose(self, rows: Sequence[int]) -> None:
        """Choose rows and no others, whatever keys are down; the last comes to sight.

        `selectRow` asks for the keys, and takes one row at a time.
        """
        model, chosen = self.model(), self.selectionModel()
        if model is None or chosen is None:
            return
        wanted, flag = QItemSelection(), QItemSelectionModel.SelectionFlag
        for first, last in stretches(rows):
            wanted.select(
                model.index(first, 0), model.index(last, model.columnCount() - 1)
            )
        if rows:
            chosen.setCurrentIndex(model.index(rows[-1], 0), flag.NoUpdate)
        chosen.select(wanted, flag.ClearAndSelect)
        if rows:
            self.scrollTo(model.index(rows[-1], 0))

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Go along the rows; other keys go on to the viewer."""
        if event is not None and _moves(event):
            super().keyPressEvent(event)
        elif event is not None:
            event.ignore()


def _moves(event: QKeyEvent) -> bool:
    """Return whether a key chooses rows."""
    return event.key() in _MOVING or event.matches(QKeySequence.StandardKey.SelectAll)


def stretches(places: Iterable[int]) -> list[tuple[int, int]]:
    """Return first and last of each stretch of rows: Qt is slow with thousands."""
    rows = np.array(list(places), int)
    begins = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
    ends = np.append(begins[1:], rows.size) - 1
    firsts, lasts = rows[begins], rows[ends[: begins.size]]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))
