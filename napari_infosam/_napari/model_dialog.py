"""The window that asks which form a version of the model is exported in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from napari_infosam._napari.small_widgets import choice
from napari_infosam._napari.transfer_dialog import OutDialog

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_infosam._napari.session import Session
    from napari_infosam._napari.transfer import Transfer
    from napari_infosam.core.options import ExportFormat


class _Kind(NamedTuple):
    """A form, the ending of its file, and what is to be known about it."""

    title: str
    ending: str
    explained: str


_KINDS: dict[ExportFormat, _Kind] = {
    "onnx": _Kind(
        "ONNX",
        ".onnx",
        "Encoder and decoder for ONNX Runtime and labelling tools, compared with the "
        "model before they get their names, which takes a while.",
    ),
    "safetensors": _Kind(
        "safetensors, with its card",
        ".safetensors",
        "All weights, to begin another project from: Model > Weights file.",
    ),
    "state-dict": _Kind(
        "Segment Anything",
        ".pth",
        "A plain checkpoint for segment_anything or MobileSAM, where the method can be "
        "merged into it: decoder, BitFit and LoRA.",
    ),
    "published": _Kind(
        "InfoSAM", ".infosam.pth", "A checkpoint for the code of InfoSAM's authors."
    ),
}


class ModelExportDialog(OutDialog):
    """Asks where a version is to be exported to, and how.

    Parameters
    ----------
    transfer
        Who does it.
    session
        Whose versions these are.
    version
        The one that is chosen at first.
    parent
        The panel.
    """

    def __init__(
        self, transfer: Transfer, session: Session, version: str, parent: QWidget
    ) -> None:
        kinds = {kind: (about.title, about.explained) for kind, about in _KINDS.items()}
        super().__init__(transfer, "export the model", kinds, parent)
        self._session = session
        self.version = choice("The version that is exported")
        self.version.addItems(["base", *(r.id for r in session.desk.versions())])
        self.version.setCurrentText(version or session.desk.active_version)
        self.version.currentIndexChanged.connect(self._on_kind)
        self.form.insertRow(0, "Version", self.version)
        self.add_out("The file that is written; ONNX makes two of it")
        self.overwrite.setText("Replace files that are there")
        self.form.addRow("", self.overwrite)
        self.setTabOrder(self.version, self.kind)
        self.setTabOrder(self.kind, self.out)
        self.lead_from(self.overwrite)
        self.go.clicked.connect(self._start)
        self._on_kind()

    def _start(self) -> None:
        self._transfer.export_model(
            self.version.currentText(),
            self.chosen,
            self.out_path,
            overwrite=self.overwrite.isChecked(),
        )

    def why_not(self) -> str:
        """Return why it can not begin yet, '' if it can."""
        if self._session.desk.project is None:
            return "There is no project yet: accept an object first."
        return super().why_not()

    def usual(self) -> Path:
        """Return where the export goes if nobody says otherwise."""
        project = self._session.desk.path
        ending = _KINDS[self.chosen].ending
        return project.with_name(f"{project.stem}-{self.version.currentText()}{ending}")
