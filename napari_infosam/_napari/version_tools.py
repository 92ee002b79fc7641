"""The buttons below the list of versions, and two versions side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QFont
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QMessageBox,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_infosam._napari.legible import without_icons
from napari_infosam._napari.small_widgets import (
    NameField,
    allow,
    button,
    choice,
    row,
    sentence,
    silently,
)
from napari_infosam._napari.version_actions import VersionActions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_infosam._napari.session import Session
    from napari_infosam.project.comparison import Figure

_PIN_TIP = (
    "A pinned version is never deleted, and while it answers, no training replaces it: "
    "better students are kept beside it"
)
NONE_TRAINED = "There is no trained version yet: fine-tune first."


class VersionTools(QWidget):
    """What can be done with the version that is chosen in the list.

    Parameters
    ----------
    session
        Whose versions these are.
    """

    export_wanted = Signal(str)
    """Of the version that is chosen, '' for none."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._actions = VersionActions(session)
        self._chosen = ""
        self.question: QMessageBox | None = None
        self.comparison: ComparisonDialog | None = None
        self.pin = button("Pin", _PIN_TIP, self._pin)
        self.rename = button("Rename", "Give the version a name", self._begin_name)
        self.delete = button(
            "Delete", "Delete the version and its files for good", self._ask_delete
        )
        self.compare = button(
            "Compare …", "Two versions side by side, by held-out figures", self._compare
        )
        self.export = button(
            "Export …",
            "Write the version for other programs: ONNX, safetensors, checkpoints",
            lambda: self.export_wanted.emit(self._chosen),
        )
        self.name = NameField()
        self.name.setPlaceholderText("Name of the version, then Enter")
        self.name.setToolTip("Type a name and press Enter; Esc leaves it")
        self.name.returnPressed.connect(self._finish_name)
        self.name.escaped.connect(self.name.hide)
        self.name.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(row(self.pin, self.rename, self.delete))
        layout.addWidget(row(self.compare, self.export, stretch=(1, 1)))
        layout.addWidget(self.name)

    def show_chosen(self, version_id: str) -> None:
        """Take in which version is chosen in the list; '' where there is no choice."""
        if version_id != self._chosen:
            self.name.hide()
        self._chosen = version_id
        is_trained = version_id not in ("", "base")
        pinned = self._actions.is_pinned(version_id)
        for made in (self.pin, self.compare):
            allow(made, "" if version_id else NONE_TRAINED)
        self.pin.setText("Unpin" if pinned else "Pin")
        allow(self.rename, "" if is_trained else "Only a trained version has a name.")
        reason = self._actions.why_not_delete(version_id)
        allow(self.delete, reason)

    def _pin(self) -> None:
        self._actions.toggle_pin(self._chosen)

    # ---------------------------------------------------------------- rename
    def _begin_name(self) -> None:
        self.name.setText(self._actions.name_of(self._chosen))
        self.name.show()
        self.name.setFocus()
        self.name.selectAll()

    def _finish_name(self) -> None:
        if self._actions.rename(self._chosen, self.name.text()):
            self.name.hide()

    # ---------------------------------------------------------------- delete
    def _ask_delete(self) -> None:
        version_id = self._chosen
        name = self._actions.name_of(version_id)
        named = f"{version_id} ({name})" if name else version_id
        question = QMessageBox(self)
        question.setWindowTitle("Delete a version")
        question.setText(f"Delete {named} and its files for good?")
        question.setInformativeText(
            "Objects that it proposed stay. This can not be undone."
        )
        for answer in (QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.No):
            question.addButton(answer)
        without_icons(question)
        question.setDefaultButton(QMessageBox.StandardButton.No)
        question.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)

        def finish(result: int) -> None:
            self.question = None
            if result == QMessageBox.StandardButton.Yes:
                self._actions.delete(version_id)

        question.finished.connect(finish)
        self.question = question
        question.open()

    # --------------------------------------------------------------- compare
    def _compare(self) -> None:
        desk = self._session.desk
        ids = ["base", *(record.id for record in desk.versions())]
        active = desk.active_version
        chosen = self._chosen or active
        other = active if chosen != active else "base" if active != "base" else ids[-1]
        dialog = ComparisonDialog(self._actions, ids, (other, chosen), self)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.finished.connect(self._forget_comparison)
        self.comparison = dialog
        dialog.open()

    def _forget_comparison(self) -> None:
        self.comparison = None


class ComparisonDialog(QDialog):
    """Two versions side by side.

    Parameters
    ----------
    actions
        What compares.
    ids
        The versions there are.
    shown
        The two that are shown at first.
    parent
        Qt parent.
    """

    def __init__(
        self,
        actions: VersionActions,
        ids: Sequence[str],
        shown: tuple[str, str],
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self._actions = actions
        self.setWindowTitle("Compare versions")
        self.a, self.b = choice("One version"), choice("Another version")
        for box, chosen in zip((self.a, self.b), shown, strict=True):
            with silently(box):
                for version_id in ids:
                    name = actions.name_of(version_id)
                    box.addItem(f"{version_id} {name}".rstrip(), version_id)
                box.setCurrentIndex(ids.index(chosen))
            box.currentIndexChanged.connect(self._show)
        self.table = QTableWidget(0, 4)
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QTableWidget.SelectionMode.NoSelection)
        self.table.setTabKeyNavigation(False)  # Tab leads on to the button
        self.table.setSizePolicy(
            QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding
        )
        self.note = sentence("comparison_note")
        layout = QVBoxLayout(self)
        layout.addWidget(row(self.a, self.b, stretch=(1, 1)))
        layout.addWidget(self.table)
        layout.addWidget(self.note)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        without_icons(buttons)
        buttons.rejected.connect(self.reject)
        layout.addWidget(buttons)
        self.resize(480, 360)
        self._show()

    def _show(self) -> None:
        a, b = str(self.a.currentData()), str(self.b.currentData())
        found = self._actions.compare(a, b)
        figures = () if found is None else found.figures
        self.table.setHorizontalHeaderLabels(["", a, b, "difference"])
        self.table.setRowCount(len(figures))
        for line, figure in enumerate(figures):
            self._show_line(line, figure, (a, b))
        header, side = self.table.horizontalHeader(), self.table.verticalHeader()
        if header is not None and side is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
            side.hide()
        self.note.setText("Choose two versions." if found is None else found.note)

    def _show_line(self, line: int, figure: Figure, ids: tuple[str, str]) -> None:
        """Show a figure; the better of the two is bold."""
        digits = 2 if figure.key.startswith("noc") else 3
        cells = [figure.words]
        for value, sign in ((figure.a, ""), (figure.b, ""), (figure.difference, "+")):
            cells.append("-" if value is None else f"{value:{sign}.{digits}f}")
        for column, text in enumerate(cells):
            item = QTableWidgetItem(text)
            if column in (1, 2) and figure.better == ids[column - 1]:
                font = QFont()
                font.setBold(True)
                item.setFont(font)
            self.table.setItem(line, column, item)
