"""The question that is asked where a new object lies on earlier ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QMessageBox, QWidget

from napari_infosam._napari.legible import without_icons
from napari_infosam._napari.overlap import TITLES

if TYPE_CHECKING:
    from napari_infosam.project.records import Overlap


class OverlapQuestion(QMessageBox):
    """Asks who gets the pixels.

    Parameters
    ----------
    laid
        How it lies, as `Laid.sentence` says it.
    parent
        The panel.
    """

    def __init__(self, laid: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Who gets the pixels?")
        self.setText(f"{laid}. Who gets the pixels?")
        self.setInformativeText(
            "Undo takes it back. Overlap, beside the list of objects, says whether you "
            "are asked."
        )
        self._answers = {
            self.addButton(title, QMessageBox.ButtonRole.AcceptRole): overlap
            for overlap, title in TITLES.items()
        }
        self.setDefaultButton(next(iter(self._answers)))
        cancel = self.addButton(QMessageBox.StandardButton.Cancel)
        self.setEscapeButton(cancel)
        without_icons(self)

    def ask(self) -> Overlap | None:
        """Wait for an answer, and return it; None if there is none."""
        self.exec()
        try:
            overlap = self._answers.get(self.clickedButton())
            self.deleteLater()
        except RuntimeError:  # a script has closed the window meanwhile
            return None
        return overlap
