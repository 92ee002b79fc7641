"""The accepted objects of a picture as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt

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
        self.beginResetModel()
        if colors != self._colors:
            self._colors = dict(colors)
            self._swatches = {name: swatch(color) for name, color in colors.items()}
        self._rows = self._sorted(rows)
        self.endResetModel()

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
