"""The accepted objects of a picture as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt

from napari_infosam._napari.list_table import stretches
from napari_infosam._napari.small_widgets import swatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qtpy.QtGui import QIcon

    from napari_infosam.project import ObjectSummary

Role = Qt.ItemDataRole
_Column = tuple[str, str, Callable[["ObjectSummary"], Any]]

COLUMNS: tuple[_Column, ...] = (
    ("#", "Number of the object: its value in the layer", lambda o: o.instance_id),
    ("Class", "Class of the object", lambda o: o.class_name),
    ("Area", "Number of pixels", lambda o: o.area),
    (
        "IoU",
        "IoU with the true mask that the model expected; empty where no model answered",
        lambda o: -1.0 if o.score is None else min(o.score, 1.0),
    ),
    (
        "Version",
        "Version of the model that answered, or import, or painted",
        lambda o: o.model_version,
    ),
)
NUMBER, CLASS, AREA, IOU, VERSION = range(len(COLUMNS))
_RIGHT = (NUMBER, AREA, IOU)
_MOST_STRETCHES = 32
"""Of rows that come or go one by one; with more it is quicker to begin anew."""


class ObjectsModel(QAbstractTableModel):
    """One row an object, sorted by any column; nothing is made for rows out of sight.

    It sorts by itself: a proxy would ask for every cell through Qt.
    """

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[ObjectSummary] = []
        self._swatches: dict[str, QIcon] = {}
        self._colors: Mapping[str, str] = {}
        self._column, self._order = NUMBER, Qt.SortOrder.AscendingOrder

    def show(self, rows: Sequence[ObjectSummary], colors: Mapping[str, str]) -> None:
        """Take other rows.

        Parameters
        ----------
        rows
            The objects, in any order.
        colors
            Colour of every class by its name, #rrggbb.
        """
        ordered, old = self._sorted(rows), {row.instance_id: row for row in self._rows}
        gone = old.keys() - {row.instance_id for row in ordered}
        kept = [row for row in ordered if row.instance_id in old]
        leave = stretches(i for i, o in enumerate(self._rows) if o.instance_id in gone)
        come = stretches(i for i, o in enumerate(ordered) if o.instance_id not in old)
        stay = [row.instance_id for row in self._rows if row.instance_id not in gone]
        in_order = stay == [row.instance_id for row in kept]
        if not in_order or len(leave) + len(come) > _MOST_STRETCHES:
            self.beginResetModel()
            self._take_colors(colors)
            self._rows = ordered
            self.endResetModel()
            return
        for first, last in reversed(leave):
            self.beginRemoveRows(QModelIndex(), first, last)
            del self._rows[first : last + 1]
            self.endRemoveRows()
        changed = [i for i, o in enumerate(kept) if o != old[o.instance_id]]
        self._rows = kept
        if self._take_colors(colors):
            changed = [0, len(kept) - 1] if kept else []
        if changed:
            top, bottom = self.index(changed[0], 0), self.index(changed[-1], VERSION)
            self.dataChanged.emit(top, bottom)
        for first, last in come:
            self.beginInsertRows(QModelIndex(), first, last)
            self._rows[first:first] = ordered[first : last + 1]
            self.endInsertRows()

    def _take_colors(self, colors: Mapping[str, str]) -> bool:
        """Make the swatches of the classes; return whether they are others."""
        if colors == self._colors:
            return False
        self._colors = dict(colors)
        self._swatches = {name: swatch(color) for name, color in colors.items()}
        return True

    def numbers(self) -> list[int]:
        """Return the numbers of the objects from top to bottom."""
        return [row.instance_id for row in self._rows]

    def number(self, row: int) -> int:
        """Return the number of the object in a row."""
        return self._rows[row].instance_id

    def sort(
        self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder
    ) -> None:
        """Sort by a column; equal ones by number."""
        self.layoutAboutToBeChanged.emit()
        self._column, self._order = column, order
        held = self.persistentIndexList()
        numbers = [self._rows[index.row()].instance_id for index in held]
        self._rows = self._sorted(self._rows)
        places = {row.instance_id: place for place, row in enumerate(self._rows)}
        moved = [
            self.index(places[number], index.column())
            for number, index in zip(numbers, held, strict=True)
        ]
        self.changePersistentIndexList(held, moved)
        self.layoutChanged.emit()

    def _sorted(self, rows: Sequence[ObjectSummary]) -> list[ObjectSummary]:
        value = COLUMNS[self._column][2]
        ordered = sorted(rows, key=lambda row: row.instance_id)
        down = self._order == Qt.SortOrder.DescendingOrder
        return sorted(ordered, key=value, reverse=down)

    # ------------------------------------------------------------- as Qt asks
    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of objects."""
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of columns."""
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole
    ) -> Any:
        """Return the title of a column and what it means."""
        if orientation == Qt.Orientation.Horizontal:
            title, tip, _ = COLUMNS[section]
            return {Role.DisplayRole: title, Role.ToolTipRole: tip}.get(Role(role))
        return None

    def data(self, index: QModelIndex, role: int = Role.DisplayRole) -> Any:
        """Return what a cell shows."""
        row, column = self._rows[index.row()], index.column()
        if role == Role.DisplayRole:
            value = COLUMNS[column][2](row)
            if column == IOU:
                return "" if row.score is None else f"{value:.2f}"
            return str(value)
        if role == Role.DecorationRole and column == CLASS:
            return self._swatches.get(row.class_name)
        if role == Role.TextAlignmentRole and column in _RIGHT:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None
