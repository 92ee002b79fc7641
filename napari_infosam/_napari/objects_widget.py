"""The part of the panel about accepted objects: colours, overlap, list, changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QItemSelection, QModelIndex, Qt, QTimer
from qtpy.QtWidgets import QFormLayout, QVBoxLayout, QWidget

from napari_infosam._napari.keys import shown
from napari_infosam._napari.list_table import ListTable
from napari_infosam._napari.objects_model import (
    AREA,
    CLASS,
    IOU,
    NUMBER,
    VERSION,
    ObjectsModel,
)
from napari_infosam._napari.overlap import ALL_TITLES
from napari_infosam._napari.small_widgets import (
    Fold,
    Toggles,
    allow,
    button,
    choice,
    row,
)

if TYPE_CHECKING:
    from qtpy.QtGui import QHideEvent, QShowEvent

    from napari_infosam._napari.session import Session
    from napari_infosam._napari.viewer_link import ViewerLink

_TABLE_PIXELS = 170
_WIDTHS = {NUMBER: 40, AREA: 68, IOU: 42, VERSION: 56}
_NOTHING_CHOSEN = (
    f"Choose objects in the list first, or with {shown('choose')} over them."
)


class ObjectsWidget(QWidget):
    """Shows what was accepted in the picture, and changes it.

    Parameters
    ----------
    session
        What decides.
    link
        The session's hold on the viewer.
    """

    def __init__(self, session: Session, link: ViewerLink) -> None:
        super().__init__()
        self._session = session
        self._link = link
        self.model = ObjectsModel()
        self._is_filling = False
        self._build()
        # the list is read once for all that happens in one go, and only in sight
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self._show_list)
        session.objects.changed.connect(self._show_later)
        session.objects.chosen_changed.connect(self._show_chosen)
        session.objects_changed.connect(self._show_buttons)
        session.desk.changed.connect(self._show_buttons)
        session.objects.overlap_changed.connect(self._show_overlap)
        link.objects.changed.connect(self._show_colors)
        self._show_overlap()
        self._show_colors()
        self._show_chosen()

    def close_down(self) -> None:
        """Stop listening."""
        self._soon.stop()
        self._session.objects.changed.disconnect(self._show_later)
        self._session.objects.chosen_changed.disconnect(self._show_chosen)
        self._session.objects_changed.disconnect(self._show_buttons)
        self._session.desk.changed.disconnect(self._show_buttons)
        self._session.objects.overlap_changed.disconnect(self._show_overlap)
        self._link.objects.changed.disconnect(self._show_colors)

    # ----------------------------------------------------------------- build
    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._body = body = QWidget()
        inner = QVBoxLayout(body)
        inner.setContentsMargins(0, 2, 0, 2)
        inner.setSpacing(4)
        inner.addLayout(self._settings())
        inner.addWidget(self._list())
        inner.addWidget(self._changes())
        self.section = Fold(
            "Objects", "The list of the accepted objects, and changes of them", body
        )
        self.section.folded.connect(self._show_later)
        layout.addWidget(self.section)

    def _settings(self) -> QFormLayout:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(4)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self.colors = Toggles(
            (
                ("Each", f"Every object has a colour of its own ({shown('colors')})"),
                ("By class", f"Objects have their class's colour ({shown('colors')})"),
            ),
            self._on_colors_chosen,
        )
        form.addRow("Colours", self.colors)
        self.overlap = choice(
            "Where a proposal that you accept lies on earlier objects: both have the "
            "pixels, the earlier object keeps them, or the new one takes them; or you "
            "are asked. Undo brings back what was taken. It is remembered."
        )
        for name, title in ALL_TITLES.items():
            self.overlap.addItem(title, name)
        self.overlap.activated.connect(self._on_overlap_chosen)
        form.addRow("Overlap", self.overlap)
        return form

    def _list(self) -> ListTable:
        self.table = table = ListTable(self.model, CLASS, 22, _TABLE_PIXELS)
        table.setToolTip(
            "The objects of this picture. A click goes to one, Ctrl and Shift choose "
            "several, a click on a title sorts."
        )
        table.setSortingEnabled(True)
        table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        columns = table.horizontalHeader()
        if columns is not None:
            columns.setMinimumSectionSize(30)
        for column, width in _WIDTHS.items():
            table.setColumnWidth(column, width)
        table.clicked.connect(self._on_clicked)
        chosen = table.selectionModel()
        if chosen is not None:
            chosen.selectionChanged.connect(self._on_chosen)
        return table

    def _changes(self) -> QWidget:
        self.relabel = button("Set class", "", self._on_relabel)
        self.merge = button(
            "Merge",
            f"Make one object of the chosen ones ({shown('merge')})",
            self._link.actions["merge"],
        )
        self.delete = button(
            "Delete",
            f"Delete the chosen objects; {shown('delete')} deletes the one under the "
            "pointer",
            self._on_delete,
        )
        return row(self.relabel, self.merge, self.delete, stretch=(1, 1, 1))

    # ------------------------------------------------------------------ fold
    def fit(self, n_free: int) -> None:
        """Unfold if there is room, until the person has folded or unfolded it.

        Parameters
        ----------
        n_free
            Height in pixels that the panel does not need.
        """
        self.section.fit(n_free)

    # ------------------------------------------------------------------ show
    def showEvent(self, event: QShowEvent | None) -> None:
        """Read the list, which rests while it is out of sight."""
        super().showEvent(event)
        self._show_later()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Let the list rest."""
        super().hideEvent(event)
        self._soon.stop()

    def _show_later(self) -> None:
        self._show_title()
        if self.isVisible() and self.section.is_open:
            self._soon.start()

    def _show_title(self) -> None:
        number = self._session.objects.count()
        self.section.set_title(f"Objects ({number})" if number else "Objects")

    def _show_list(self) -> None:
        objects, desk = self._session.objects, self._session.desk
        colors = {record.name: record.color for record in desk.class_records()}
        self._is_filling = True
        self.model.show(objects.summaries(), colors)
        self._is_filling = False
        self._show_chosen()

    def _show_chosen(self) -> None:
        """Select the rows of the chosen objects."""
        chosen = self._session.objects.chosen
        if set(chosen) != set(self._selected()):
            wanted = set(chosen)
            numbers = enumerate(self.model.numbers())
            self.table.choose([place for place, n in numbers if n in wanted])
        self._show_buttons()

    def _show_buttons(self) -> None:
        n, name = len(self._session.objects.chosen), self._session.class_name
        self.relabel.setToolTip(
            f"Give the chosen objects the class {name}, which is chosen above; "
            f"{shown('relabel')} does it to the object under the pointer"
        )
        allow(self.relabel, "" if n else _NOTHING_CHOSEN)
        two = _NOTHING_CHOSEN.replace("objects", "two objects or more")
        allow(self.merge, "" if n > 1 else two)
        allow(self.delete, "" if n else _NOTHING_CHOSEN)

    def _show_colors(self) -> None:
        self.colors.show_choice(int(self._link.objects.by_class))

    def _show_overlap(self) -> None:
        place = self.overlap.findData(self._session.objects.overlap)
        self.overlap.setCurrentIndex(place)

    # ---------------------------------------------------------------- choose
    def _selected(self) -> list[int]:
        model = self.table.selectionModel()
        # by ranges: there may be thousands of rows
        ranges = list(model.selection()) if model is not None else []
        rows = {row for part in ranges for row in range(part.top(), part.bottom() + 1)}
        return [self.model.number(row) for row in sorted(rows)]

    def _on_chosen(self, *_: QItemSelection) -> None:
        if self._is_filling:
            return  # rows that go are no choice of the person
        selected, objects = self._selected(), self._session.objects
        # the order in which they were chosen matters, and is not that of the rows
        there = set(selected)
        kept = [number for number in objects.chosen if number in there]
        objects.choose([*kept, *selected])

    def _on_clicked(self, index: QModelIndex) -> None:
        self._link.stepping.jump_to(self.model.number(index.row()))

    def _on_colors_chosen(self, number: int) -> None:
        self._link.objects.by_class = bool(number)

    def _on_overlap_chosen(self, number: int) -> None:
        self._session.objects.overlap = self.overlap.itemData(number)

    def _on_relabel(self) -> None:
        self._link.objects.take_strokes()
        self._session.objects.relabel(self._session.objects.chosen)

    def _on_delete(self) -> None:
        self._link.objects.take_strokes()
        self._session.objects.delete(self._session.objects.chosen)
