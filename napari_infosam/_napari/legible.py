"""What napari's style leaves hard to read: disabled text, and icons of dialogs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.theme import get_theme
from qtpy.QtGui import QIcon

if TYPE_CHECKING:
    from qtpy.QtWidgets import QDialogButtonBox, QMessageBox, QWidget

_DISABLED = 0.62
"""Opacity of disabled text: napari's 0.35 is below a contrast of 3 to 1."""


def make_legible(widget: QWidget, theme: str) -> None:
    """Let disabled controls in a widget, and in its dialogs, be read.

    A style sheet, as napari's own would win over a palette.

    Parameters
    ----------
    widget
        The panel.
    theme
        Name of napari's theme.
    """
    red, green, blue = get_theme(theme).text.as_rgb_tuple(alpha=False)
    widget.setStyleSheet(
        "QPushButton:disabled, QComboBox:disabled, QCheckBox:disabled {"
        f"color: rgba({red}, {green}, {blue}, {round(255 * _DISABLED)}); }}"
    )


def without_icons(box: QDialogButtonBox | QMessageBox) -> None:
    """Take the icons off standard buttons: Qt draws them black on any theme."""
    for made in box.buttons():
        made.setIcon(QIcon())
