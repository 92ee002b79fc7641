"""The preferences in a window of their own, with folders to be browsed for."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from napari_infosam._napari.legible import without_icons
from napari_infosam._napari.overlap import ALL_TITLES
from napari_infosam._napari.preferences import MODELS, SECTIONS
from napari_infosam._napari.small_widgets import (
    NameField,
    button,
    choice,
    row,
    sentence,
    silently,
)
from napari_infosam.project.files import why_not_a_folder

if TYPE_CHECKING:
    from qtpy.QtWidgets import QComboBox

    from napari_infosam._napari.preferences import Preferences

_TITLES = {
    "auto": "auto · the GPU if there is one",
    "cpu": "cpu",
    "cuda": "cuda · NVIDIA GPU",
    "mps": "mps · Apple GPU",
    **MODELS,
    **ALL_TITLES,
    "each": "Each object its own",
    "class": "By class",
    "show": "Under the pointer",
    "hide": "None",
}
_EXPLAINED = (
    "Changes take effect at once and are remembered. The same values are in napari's "
    "own preferences, on the page InfoSAM."
)
_USUAL = "the usual place"


class PreferencesDialog(QDialog):
    """Shows the preferences and changes them; one can go on working beside it.

    Parameters
    ----------
    preferences
        What is shown.
    parent
        The panel.

    Attributes
    ----------
    fields
        A combo box or a line to type in for every preference, by its name.
    below
        What there is to be said of them, and why a folder is not taken.
    """

    def __init__(self, preferences: Preferences, parent: QWidget) -> None:
        super().__init__(parent)
        self._preferences = preferences
        self.setWindowTitle("InfoSAM: preferences")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(460)
        self.fields: dict[str, QComboBox | QLineEdit] = {}
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        for name in SECTIONS:
            form.addRow(preferences.title(name), self._field(name))
        self.below = sentence("explained")
        self.below.setText(_EXPLAINED)
        standard = QDialogButtonBox.StandardButton
        buttons = QDialogButtonBox(standard.Close)
        buttons.rejected.connect(self.reject)
        self.restore = buttons.addButton(standard.RestoreDefaults)
        if self.restore is not None:
            self.restore.clicked.connect(preferences.restore)
        without_icons(buttons)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.below)
        layout.addWidget(buttons)
        close = buttons.button(standard.Close)
        if close is not None:
            close.setDefault(True)  # else Enter would browse for a folder
        for name in SECTIONS:
            self._show(name)
        preferences.changed.connect(self._show)
        self.destroyed.connect(lambda *_: preferences.changed.disconnect(self._show))

    def _field(self, name: str) -> QWidget:
        says, choices = self._preferences.says(name), self._preferences.choices(name)
        if choices:
            box = choice(says)
            for value in choices:
                box.addItem(_TITLES[value], value)
            box.activated.connect(partial(self._on_chosen, name))
            self.fields[name] = box
            return box
        # Enter would press a button of the dialog
        line = NameField()
        line.escaped.connect(self.reject)
        line.setToolTip(says)
        line.setPlaceholderText(_USUAL)
        line.editingFinished.connect(partial(self._on_typed, name))
        self.fields[name] = line
        browse = button("Browse …", f"Choose a folder. {says}")
        browse.clicked.connect(partial(self._browse, name))
        return row(line, browse, stretch=(1, 0))

    def _show(self, name: str) -> None:
        field, value = self.fields[name], self._preferences.get(name)
        with silently(field):
            if isinstance(field, QLineEdit):
                field.setText(value)
            else:
                field.setCurrentIndex(field.findData(value))

    def _on_chosen(self, name: str, number: int) -> None:
        self._preferences.set(name, self._preferences.choices(name)[number])

    def _on_typed(self, name: str) -> None:
        field = self.fields[name]
        if isinstance(field, QLineEdit):
            self._take_folder(name, field.text().strip())

    def _browse(self, name: str) -> None:
        title = self._preferences.title(name)
        at = self._preferences.get(name)
        path = QFileDialog.getExistingDirectory(self, f"{title}: choose a folder", at)
        if path:
            self._take_folder(name, path)

    def _take_folder(self, name: str, text: str) -> None:
        """Remember a folder if something can be written there, else say why not."""
        fault = why_not_a_folder(Path(text).expanduser()) if text else ""
        if fault:
            title = self._preferences.title(name)
            self.below.setText(
                f"\N{WARNING SIGN} {text} is not taken as “{title}”: {fault}. "
                "Choose another folder, or leave it empty for the usual place."
            )
        else:
            self.below.setText(_EXPLAINED)
            self._preferences.set(name, text)
            self._show(name)
