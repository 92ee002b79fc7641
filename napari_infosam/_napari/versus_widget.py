"""The line of the panel that compares the answer with that of another version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QVBoxLayout, QWidget

from napari_infosam._napari.difference import BOTH_COLOR, OTHER_COLOR, OWN_COLOR
from napari_infosam._napari.keys import shown
from napari_infosam._napari.small_widgets import (
    button,
    choice,
    row,
    sentence,
    silently,
)
from napari_infosam._napari.versus import BASE, PREVIOUS

if TYPE_CHECKING:
    from napari_infosam._napari.versus import Versus

_SQUARE = "\N{BLACK SQUARE}"


class VersusWidget(QWidget):
    """Chooses what is compared with, and says what the colours mean.

    It is in sight while a trained version answers.

    Parameters
    ----------
    versus
        What compares.
    """

    def __init__(self, versus: Versus) -> None:
        super().__init__()
        self._versus = versus
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        self.against = choice(
            "What the answer is compared with: hold the key "
            f"({shown('compare')}) to see its mask for the same prompts"
        )
        self.against.addItem("Compare with the base", BASE)
        self.against.addItem("Compare with the previous version", PREVIOUS)
        self.against.activated.connect(self._on_chosen)
        self.difference = button(
            "Difference",
            "Colour where the two masks differ "
            f"({shown('difference')}); what is accepted stays the same",
            self._on_pressed,
        )
        self.difference.setCheckable(True)
        layout.addWidget(row(self.against, self.difference, stretch=(1, 0)))
        self.legend = sentence("legend")
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        layout.addWidget(self.legend)
        versus.changed.connect(self._show)
        application = QApplication.instance()
        if isinstance(application, QApplication):
            application.focusChanged.connect(self._on_focus)
        self._show()

    def close_down(self) -> None:
        """Stop listening."""
        self._versus.changed.disconnect(self._show)
        application = QApplication.instance()
        if isinstance(application, QApplication):
            application.focusChanged.disconnect(self._on_focus)

    # ------------------------------------------------------------------ show
    def _show(self) -> None:
        versus = self._versus
        self.setVisible(versus.own != BASE)
        with silently(self.against, self.difference):
            self.against.setCurrentIndex(self.against.findData(versus.against))
            self.difference.setChecked(versus.overlaid)
        text = legend(versus)
        self.legend.setText(text)
        self.legend.setVisible(bool(text))

    # ---------------------------------------------------------------- choose
    def _on_chosen(self, number: int) -> None:
        self._versus.against = self.against.itemData(number)

    def _on_pressed(self) -> None:
        self._versus.toggle_overlay()
        self._show()

    def _on_focus(self, _old: QWidget | None, _new: QWidget | None) -> None:
        # the release of a key that is held down goes where the focus is then
        self._versus.hold(False)


def legend(versus: Versus) -> str:
    """Return what the colours mean and how alike the masks are; '' if none is shown."""
    if not (versus.held or versus.overlaid):
        return ""
    if versus.activity:
        return versus.activity
    similarity = versus.iou()
    alike = "" if similarity is None else f" · IoU of both {similarity:.2f}"
    if not versus.is_shown:
        return versus.why_not()
    if versus.held:
        return f"{_square(OTHER_COLOR)} {versus.other}{alike}"
    return (
        f"{_square(OWN_COLOR)} only {versus.own} {_square(OTHER_COLOR)} only "
        f"{versus.other} {_square(BOTH_COLOR)} both{alike}"
    )


def _square(color: str) -> str:
    return f"<font color='{color}'>{_SQUARE}</font>"
