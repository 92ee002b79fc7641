"""The list of mouse and keys, beside which one can go on working."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_infosam._napari.keys import KEYS, MOUSE, shown
from napari_infosam._napari.legible import without_icons

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QShowEvent

_GROUPS = (
    ("Prompts", "points box paint polarity preview meaning clear"),
    ("Many at once", "box_each propose take drop"),
    ("Objects", "accept choose merge split delete relabel continue colors"),
    ("Images and slices", "next next_image previous_image review"),
    ("Stacks", "forwards backwards accept_all"),
    ("All the time", "undo redo compare difference go_back help"),
)
"""Titles, and the actions below them in their order."""

_REST = "More"
_ALWAYS_BELOW = (
    "Keys work while the image or a layer of InfoSAM is selected. Every action, and "
    "every button of the panel, is also in napari's command palette (Ctrl+Shift+P)."
)
_COLUMN, _HEIGHT = 580, 690
_Row = tuple[str, str]


def groups() -> list[tuple[str, list[_Row]]]:
    """Return title and rows (keys, what they do) of each group; no key is left out."""
    says = {key.action: key.says for key in KEYS}
    parts = [(title, actions.split()) for title, actions in _GROUPS]
    named = {action for _, actions in parts for action in actions}
    parts.append((_REST, [action for action in says if action not in named]))
    made: list[tuple[str, list[_Row]]] = [("Mouse", list(MOUSE))]
    made += [
        (title, [(shown(action), says[action]) for action in actions])
        for title, actions in parts
        if actions
    ]
    return made


class HelpDialog(QDialog):
    """Shows what mouse and keys do, in two columns; one can go on working beside it.

    Parameters
    ----------
    parent
        The panel.
    """

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("InfoSAM: mouse and keys")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        content = QWidget()
        side_by_side = QHBoxLayout(content)
        side_by_side.setSpacing(24)
        self.columns: list[QLabel] = []
        for part in _halves(groups()):
            label = QLabel(_html(part))
            label.setTextFormat(Qt.TextFormat.RichText)
            label.setAlignment(Qt.AlignmentFlag.AlignTop)
            label.setWordWrap(True)
            label.setFixedWidth(_COLUMN)
            side_by_side.addWidget(label, 1, Qt.AlignmentFlag.AlignTop)
            self.columns.append(label)
        # a screen may be lower than all of it
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setWidget(content)
        below = QLabel(_ALWAYS_BELOW)
        below.setWordWrap(True)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        without_icons(buttons)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(self.area, 1)
        layout.addWidget(below)
        layout.addWidget(buttons)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Be as large as the text, whose fonts are known only now."""
        super().showEvent(event)
        height = max(label.heightForWidth(_COLUMN) for label in self.columns)
        around = self.sizeHint().height() - self.area.sizeHint().height()
        self.resize(2 * _COLUMN + 100, min(height + around + 40, _HEIGHT))

    def text(self) -> str:
        """Return all that it shows, as HTML."""
        return "".join(label.text() for label in self.findChildren(QLabel))


def _halves(
    parts: Sequence[tuple[str, list[_Row]]],
) -> tuple[Sequence[tuple[str, list[_Row]]], Sequence[tuple[str, list[_Row]]]]:
    """Return two columns that are about equally high."""
    heights = list(accumulate(len(rows) + 1 for _, rows in parts))
    first = min(
        range(1, len(parts)), key=lambda n: abs(heights[n - 1] - heights[-1] / 2)
    )
    return parts[:first], parts[first:]


def _html(parts: Sequence[tuple[str, list[_Row]]]) -> str:
    lines = []
    for title, rows in parts:
        lines.append(f"<tr><td colspan='2'><b><u>{title}</u></b></td></tr>")
        lines += [
            f"<tr><td width='28%'><b>{keys}</b></td><td>{says}</td></tr>"
            for keys, says in rows
        ]
    return f"<table cellpadding='1' width='100%'>{''.join(lines)}</table>"
