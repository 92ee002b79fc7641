"""What the windows for import and export have in common."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from napari_infosam._napari.legible import without_icons
from napari_infosam._napari.small_widgets import (
    NameField,
    Roomy,
    allow,
    button,
    choice,
    keep_room,
    row,
    sentence,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_infosam._napari.transfer import Transfer

_STEPS = 1000
_WIDTH = 520
_LINES = 3
"""What comes of it takes so many lines, rarely more."""


class TransferDialog(QDialog):
    """Asks for a format and places; shows progress, and what came of it.

    Parameters
    ----------
    transfer
        Who does it.
    title, verb
        Of the window, and of the button that begins, which is `go`.
    kinds
        The formats: title, and what is to be known of each.
    parent
        The panel.
    """

    def __init__(
        self,
        transfer: Transfer,
        title: str,
        verb: str,
        kinds: Mapping[Any, tuple[str, str]],
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self._transfer = transfer
        self.setWindowTitle(f"InfoSAM: {title}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(_WIDTH)
        self.form = QFormLayout()
        # sentences as well
        self.form.setFieldGrowthPolicy(
            QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow
        )
        self.kind = choice("The format of the files")
        for kind, (name, _) in kinds.items():
            self.kind.addItem(name, kind)
        self._explanations = {kind: about for kind, (_, about) in kinds.items()}
        self.form.addRow("Format", self.kind)
        self.explained = Roomy("explained", self._explanations.values())
        self.form.addRow("", self.explained)
        self.bar = QProgressBar()
        self.outcome = sentence("outcome")
        # their room stays free, so that the buttons stay where they are
        keep_room(self.bar)
        self.outcome.setMinimumHeight(_LINES * self.fontMetrics().lineSpacing())
        self.outcome.setAlignment(Qt.AlignmentFlag.AlignTop)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        self.go = button(verb, "Begin; there is a bar and a Cancel")
        buttons.addButton(self.go, QDialogButtonBox.ButtonRole.ActionRole)
        self.leave = buttons.button(QDialogButtonBox.StandardButton.Close)
        without_icons(buttons)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(self.form)
        layout.addWidget(self.bar)
        layout.addWidget(self.outcome)
        layout.addStretch(1)
        layout.addWidget(buttons)
        self.go.setDefault(True)  # of the dialog, which it belongs to only now
        self._has_begun = False
        self.go.clicked.connect(self._begin)
        transfer.changed.connect(self._show)
        self.destroyed.connect(lambda *_: transfer.changed.disconnect(self._show))
        self.kind.currentIndexChanged.connect(self._on_kind)

    @property
    def chosen(self) -> Any:
        """The format that is chosen."""
        return self.kind.currentData()

    def lead_from(self, last: QWidget) -> None:
        """Let Tab lead from the last line of the form to the buttons."""
        self.setTabOrder(last, self.go)
        if self.leave is not None:
            self.setTabOrder(self.go, self.leave)

    def why_not(self) -> str:
        """Return why it can not begin yet, '' if it can."""
        return ""

    def reject(self) -> None:
        """Cancel what is being done, or else close the window."""
        if self._transfer.working:
            self._transfer.cancel()
        else:
            super().reject()

    def place(
        self, tip: str, *, browse: str, files: str = ""
    ) -> tuple[NameField, QWidget]:
        """Return a line for a path, and it beside buttons to look for one.

        Parameters
        ----------
        tip
            What the path is for.
        browse
            Title of the window that is opened.
        files
            Pattern of files that may be chosen besides folders, '' for none.
        """
        line = NameField()
        line.setToolTip(tip)
        line.escaped.connect(self.reject)
        line.returnPressed.connect(self.go.click)
        line.textChanged.connect(self._show)
        folder, file = (partial(self._browse, line, browse, f) for f in ("", files))
        looking = [button("Folder …", f"Choose a folder. {tip}", folder)]
        if files:
            looking.append(button("File …", f"Choose a file. {tip}", file))
        return line, row(line, *looking, stretch=(1, *(0 for _ in looking)))

    def _browse(self, line: QLineEdit, title: str, files: str) -> None:
        at = line.text()
        if files:
            path, _ = QFileDialog.getOpenFileName(self, title, at, files)
        else:
            path = QFileDialog.getExistingDirectory(self, title, at)
        if path:
            line.setText(self.path_found(path))

    def path_found(self, path: str) -> str:
        """Return what to write into the line once a person has chosen a path."""
        return path

    def _begin(self) -> None:
        self._has_begun = True

    def _on_kind(self, *_: object) -> None:
        self.explained.setText(self._explanations[self.chosen])
        self.outcome.setText("")  # it was about another format
        self._show()

    def _show(self, *_: object) -> None:
        working = self._transfer.working
        share = self._transfer.share
        self.bar.setVisible(working)
        self.bar.setRange(0, 0 if share is None else _STEPS)
        if share is not None:
            self.bar.setValue(round(share * _STEPS))
        if self._has_begun:  # what other dialogs began is not this one's
            self.outcome.setText(self._transfer.outcome)
            self._make_room()
            self._has_begun = working
        allow(self.go, "It is being done." if working else self.why_not())
        if self.leave is not None:
            self.leave.setText("Cancel" if working else "Close")

    def _make_room(self) -> None:
        """Grow downwards rather than take the lines above their room."""
        layout = self.layout()
        needed = 0 if layout is None else layout.totalHeightForWidth(self.width())
        self.resize(self.width(), max(self.height(), needed))


class OutDialog(TransferDialog):
    """Asks where to export to as well, and has a usual place for each format.

    Parameters
    ----------
    transfer, title, kinds, parent
        As for `TransferDialog`.
    """

    def __init__(
        self,
        transfer: Transfer,
        title: str,
        kinds: Mapping[Any, tuple[str, str]],
        parent: QWidget,
    ) -> None:
        super().__init__(transfer, title, "Export", kinds, parent)
        self.overwrite = QCheckBox()

    def add_out(self, tip: str) -> None:
        """Add the line for the place to the form."""
        self.out, line = self.place(tip, browse="Export into this folder")
        self.form.addRow("To", line)

    @property
    def out_path(self) -> Path:
        """Where it is exported to."""
        return Path(self.out.text().strip()).expanduser()

    def usual(self) -> Path:
        """Return where the export goes if nobody says otherwise."""
        return Path(str(self.chosen))

    def why_not(self) -> str:
        """Return why it can not begin yet, '' if it can."""
        return "" if self.out.text().strip() else "Say where to export to first."

    def path_found(self, path: str) -> str:
        """Return the usual name in the folder that was chosen, which has others."""
        return str(Path(path) / self.usual().name)

    def _on_kind(self, *_: object) -> None:
        usual = self.usual()
        at = Path(self.out.text()).parent if self.out.text() else usual.parent
        self.out.setText(str(at / usual.name))
        super()._on_kind()
