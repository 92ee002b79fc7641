"""The class of the next object: which one, its name and colour, and a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QColorDialog, QHBoxLayout, QWidget

from napari_infosam._napari.keys import shown
from napari_infosam._napari.small_widgets import (
    NameField,
    allow,
    button,
    choice,
    silently,
    swatch,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_infosam._napari.session import Session

_NO_PROJECT = "Accept an object first: classes are kept in the project."
_BUTTON_PIXELS = 28


class ClassWidget(QWidget):
    """Chooses, adds, renames and colours classes; the project keeps them.

    A name is typed where the choice is otherwise, so that nothing below moves.

    Parameters
    ----------
    session
        Whose class it is.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.choice = choice(
            "The class of the next object you accept or paint, and of those that you "
            f"point at ({shown('relabel')})",
            n_letters=5,  # three buttons are beside it
        )
        self.choice.activated.connect(self._on_chosen)
        self.name = NameField()
        self._take_name: Callable[[str], bool] = self._add
        self.name.setToolTip("Type a name and press Enter; Esc leaves it")
        self.name.returnPressed.connect(self._finish)
        self.name.escaped.connect(self._leave)
        self.name.hide()
        self.color = button("", "Change the colour of the class", self._ask_color)
        self.color.setIconSize(QSize(12, 12))
        self.rename = button(
            "\N{LOWER RIGHT PENCIL}",
            "Rename the class, and with it all its objects",
            self._begin_rename,
        )
        self.add = button("+", "Add a class", self._begin_new)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.choice, 1)
        layout.addWidget(self.name, 1)
        for made in (self.color, self.rename, self.add):
            made.setFixedWidth(_BUTTON_PIXELS)
            layout.addWidget(made)
        session.desk.changed.connect(self.show_classes)
        self.show_classes()

    def close_down(self) -> None:
        """Stop listening."""
        self._session.desk.changed.disconnect(self.show_classes)

    def show_classes(self) -> None:
        """Show which classes there are, and which one is chosen."""
        desk = self._session.desk
        colors = {record.name: record.color for record in desk.class_records()}
        with silently(self.choice):
            self.choice.clear()
            for name in desk.classes():
                if name in colors:
                    self.choice.addItem(swatch(colors[name]), name)
                else:
                    self.choice.addItem(name)
            self.choice.setCurrentText(self._session.class_name)
        self._show_color()

    def _show_color(self) -> None:
        self.color.setIcon(swatch(self._session.objects.next_color()))
        for made in (self.color, self.rename):
            allow(made, "" if self._session.desk.project else _NO_PROJECT)

    def _on_chosen(self, number: int) -> None:
        self._session.class_name = self.choice.itemText(number)
        self._show_color()

    # ------------------------------------------------------------------ name
    def _begin_new(self) -> None:
        self._begin(self._add, "New class, then Enter", "")

    def _begin_rename(self) -> None:
        name = self._session.class_name
        self._begin(self._rename, "New name, then Enter", name)

    def _begin(self, take: Callable[[str], bool], asks: str, name: str) -> None:
        self._take_name = take
        self.name.setPlaceholderText(asks)
        self.name.setText(name)
        self.name.selectAll()
        self.choice.hide()
        self.name.show()
        self.name.setFocus()

    def _add(self, name: str) -> bool:
        if not self._session.desk.add_class(name):
            return False
        self._session.class_name = name
        return True

    def _rename(self, name: str) -> bool:
        return self._session.objects.rename_class(name)

    def _finish(self) -> None:
        if self._take_name(self.name.text().strip()):
            self.show_classes()
            self._leave()

    def _leave(self) -> None:
        self.name.clear()
        self.name.hide()
        self.choice.show()

    # ---------------------------------------------------------------- colour
    def _ask_color(self) -> None:
        now = QColor(self._session.objects.next_color())
        title = f"Colour of the class {self._session.class_name}"
        chosen = QColorDialog.getColor(now, self.color, title)
        if chosen.isValid():
            self._session.desk.set_class_color(self._session.class_name, chosen.name())
            self._session.objects.changed.emit()
