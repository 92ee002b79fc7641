"""The button that shows, and changes, the colour of the chosen class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QColorDialog, QPushButton

from napari_infosam._napari.small_widgets import allow, button, swatch

if TYPE_CHECKING:
    from napari_infosam._napari.session import Session

_NO_PROJECT = "Accept an object first: colours of classes are kept in the project."


def class_color_button(session: Session) -> QPushButton:
    """Return a button with the colour of the class that is chosen for the next object.

    A person who presses it chooses another colour, which the project keeps.
    """

    def press() -> None:
        now = QColor(session.objects.next_color())
        title = f"Colour of the class {session.class_name}"
        chosen = QColorDialog.getColor(now, made, title)
        if chosen.isValid():
            session.desk.set_class_color(session.class_name, chosen.name())
            session.objects.changed.emit()

    made = button("", "Change the colour of the class", press)
    made.setFixedWidth(28)
    made.setMinimumWidth(28)
    made.setIconSize(QSize(12, 12))
    return made


def show_class_color(made: QPushButton, session: Session) -> None:
    """Let the button show the colour as it is now."""
    made.setIcon(swatch(session.objects.next_color()))
    allow(made, "" if session.desk.project else _NO_PROJECT)
