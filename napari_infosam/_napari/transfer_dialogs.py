"""The windows that ask what is to be exported or imported, and show how far it is."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

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
    allow,
    button,
    choice,
    row,
    sentence,
)
from napari_infosam._napari.transfer import NOTHING_TO_EXPORT

if TYPE_CHECKING:
    from napari_infosam._napari.session import Session
    from napari_infosam._napari.transfer import Transfer
    from napari_infosam.project.formats.export import Format

_STEPS = 1000
_WIDTH = 520


class _Kind(NamedTuple):
    """A format, and what is to be known about it."""

    title: str
    out: str
    source: str
    """What there is to be read."""
    needs_images: str
    """What the folder of images is for; '' if there is none."""


_KINDS: dict[Format, _Kind] = {
    "labels": _Kind(
        "Label images",
        "A TIFF for each image, each object one value, and a table of the classes. Of "
        "objects that overlap the smaller one is kept whole.",
        "A folder of label images: 0 is background, each other value one object.",
        "The images, with the same file names as the label images.",
    ),
    "coco": _Kind(
        "COCO",
        "One JSON file with run-length masks; overlaps and holes are kept.",
        "A JSON file of annotations.",
        "Where the images are that the file names; without it those of the same names "
        "in the project.",
    ),
    "yolo": _Kind(
        "YOLO segmentation",
        "A data set to train from: images, polygons, and the project's split. Numbers "
        "of objects are lost.",
        "The folder with data.yaml.",
        "Other images than those of the data set; usually left out.",
    ),
    "geojson": _Kind(
        "GeoJSON (QuPath)",
        "A file of polygons for each image; overlaps and holes are kept.",
        "A GeoJSON file, or a folder of them named as the images.",
        "Where the images are; without it those of the same names in the project.",
    ),
    "ome-zarr": _Kind(
        "OME-Zarr",
        "A store for each image, with its pixels and its objects as labels.",
        "An OME-Zarr image with labels, or a folder of them.",
        "",
    ),
}


class _TransferDialog(QDialog):
    """What both windows have: format, places, progress, and what came of it.

    Parameters
    ----------
    transfer
        Who does it.
    title, verb
        Of the window, and of the button that begins.
    parent
        The panel.
    """

    def __init__(
        self, transfer: Transfer, title: str, verb: str, parent: QWidget
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
        for kind, about in _KINDS.items():
            self.kind.addItem(about.title, kind)
        self.form.addRow("Format", self.kind)
        self.explained = sentence("explained")
        self.form.addRow("", self.explained)
        self.bar = QProgressBar()
        self.bar.setRange(0, _STEPS)
        self.outcome = sentence("outcome")
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        self.go = button(verb, "Begin; there is a bar and a Cancel", self.start)
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
        transfer.forget()
        transfer.changed.connect(self._show)
        self.destroyed.connect(lambda *_: transfer.changed.disconnect(self._show))
        self.kind.currentIndexChanged.connect(self._on_kind)

    @property
    def chosen(self) -> Format:
        """The format that is chosen."""
        kind: Format = self.kind.currentData()
        return kind

    def lead_from(self, last: QWidget) -> None:
        """Let Tab lead from the last line of the form to the buttons."""
        self.setTabOrder(last, self.go)
        if self.leave is not None:
            self.setTabOrder(self.go, self.leave)

    def start(self) -> None:
        """Begin."""
        raise NotImplementedError

    def why_not(self) -> str:
        """Return why it can not begin yet, '' if it can."""
        raise NotImplementedError

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

    def _on_kind(self, *_: object) -> None:
        self._show()

    def _show(self, *_: object) -> None:
        working = self._transfer.working
        self.bar.setVisible(working)
        self.bar.setValue(round(self._transfer.share * _STEPS))
        self.outcome.setText(self._transfer.outcome)
        self.outcome.setVisible(bool(self._transfer.outcome))
        allow(self.go, "It is being done." if working else self.why_not())
        if self.leave is not None:
            self.leave.setText("Cancel" if working else "Close")


class ExportDialog(_TransferDialog):
    """Asks what is to be exported, and where to.

    Parameters
    ----------
    transfer
        Who does it.
    session
        Whose project it is.
    parent
        The panel.
    """

    def __init__(self, transfer: Transfer, session: Session, parent: QWidget) -> None:
        self._session = session
        super().__init__(transfer, "export objects", "Export", parent)
        self.out, line = self.place(
            "The folder that is made for the export", browse="Export into this folder"
        )
        self.form.addRow("To", line)
        self.png = QCheckBox("PNG instead of TIFF files")
        self.polygons = QCheckBox("Polygons instead of run lengths")
        self.overwrite = QCheckBox("Replace an earlier export")
        for box, tip in (
            (self.png, "For programs that read no TIFF; slices become single files"),
            (self.polygons, "Objects with holes are cut into pieces that touch"),
            (self.overwrite, "Only a folder that is an export is ever replaced"),
        ):
            box.setToolTip(tip)
            self.form.addRow("", box)
        self.lead_from(self.overwrite)
        session.objects_changed.connect(self._show)
        self.destroyed.connect(
            lambda *_: session.objects_changed.disconnect(self._show)
        )
        self._on_kind()

    def start(self) -> None:
        """Begin to export."""
        self._transfer.export(
            self.chosen,
            Path(self.out.text()).expanduser(),
            overwrite=self.overwrite.isChecked(),
            polygons=self.polygons.isChecked() and self.chosen == "coco",
            png=self.png.isChecked() and self.chosen == "labels",
        )

    def why_not(self) -> str:
        """Return why it can not begin yet, '' if it can."""
        project = self._session.desk.project
        if project is None or not project.n_objects():
            return NOTHING_TO_EXPORT
        return "" if self.out.text().strip() else "Say where to export to first."

    def path_found(self, path: str) -> str:
        """Return a folder within the one that was chosen, which has other files."""
        return str(Path(path) / self._usual().name)

    def _usual(self) -> Path:
        """Return where the export goes if nobody says otherwise."""
        project = self._session.desk.path
        return project.with_name(f"{project.stem}-{self.chosen}")

    def _on_kind(self, *_: object) -> None:
        before = Path(self.out.text())
        at = before.parent if self.out.text() else self._usual().parent
        self.out.setText(str(at / self._usual().name))
        self.explained.setText(_KINDS[self.chosen].out)
        self.png.setVisible(self.chosen == "labels")
        self.polygons.setVisible(self.chosen == "coco")
        super()._on_kind()


class ImportDialog(_TransferDialog):
    """Asks what is to be imported.

    Parameters
    ----------
    transfer
        Who does it.
    parent
        The panel.
    """

    def __init__(self, transfer: Transfer, parent: QWidget) -> None:
        super().__init__(transfer, "import objects", "Import", parent)
        # an import writes to the project all the while
        self.setModal(True)
        self.source, line = self.place(
            "What holds the objects",
            browse="Import objects from",
            files="Objects (*.json *.geojson *.yaml);;All files (*)",
        )
        self.form.addRow("From", line)
        self.images, line = self.place(
            "The folder of the images", browse="Images of the objects"
        )
        self.form.addRow("Images", line)
        self.needed = sentence("needed")
        self.form.addRow("", self.needed)
        self.binary = QCheckBox("All of a mask is one object")
        self.binary.setToolTip("Everything that is not 0, whatever its value")
        self.form.addRow("", self.binary)
        self.lead_from(self.binary)
        self._images_line = line
        self._on_kind()

    def start(self) -> None:
        """Begin to import."""
        images = self.images.text().strip()
        self._transfer.import_files(
            self.chosen,
            Path(self.source.text().strip()).expanduser(),
            Path(images).expanduser() if images and self._takes_images() else None,
            binary=self.binary.isChecked() and self.chosen == "labels",
        )

    def why_not(self) -> str:
        """Return why it can not begin yet, '' if it can."""
        if not self.source.text().strip():
            return "Say what to import first."
        if self.chosen == "labels" and not self.images.text().strip():
            return "Say where the images of the label images are first."
        return ""

    def _takes_images(self) -> bool:
        return bool(_KINDS[self.chosen].needs_images)

    def _on_kind(self, *_: object) -> None:
        about = _KINDS[self.chosen]
        self.explained.setText(about.source)
        self.needed.setText(about.needs_images)
        for widget in (self._images_line, self.needed):
            widget.setVisible(self._takes_images())
        label = self.form.labelForField(self._images_line)
        if label is not None:
            label.setVisible(self._takes_images())
        self.binary.setVisible(self.chosen == "labels")
        super()._on_kind()
