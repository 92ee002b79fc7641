"""The windows that ask which objects are to be exported, or imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from qtpy.QtWidgets import QCheckBox, QWidget

from napari_infosam._napari.small_widgets import Roomy, allow
from napari_infosam._napari.transfer import NOTHING_TO_EXPORT
from napari_infosam._napari.transfer_dialog import OutDialog, TransferDialog
from napari_infosam.project.formats.export import LABEL_IMAGES

if TYPE_CHECKING:
    from napari_infosam._napari.session import Session
    from napari_infosam._napari.transfer import Transfer
    from napari_infosam.project.formats.export import Format


_HAS_IMAGES = "No images are asked for: the store has its own."
_ONLY_LABELS = "Label images only."
_ONLY_IMAGES = "Label images and semantic labels only."
_ONLY_COCO = "COCO only."


class _Kind(NamedTuple):
    """A format, and what is to be known about it."""

    title: str
    out: str
    source: str
    """What there is to be read."""
    images: str
    """What the folder of images is for, or that there is none."""


_KINDS: dict[Format, _Kind] = {
    "labels": _Kind(
        "Label images",
        "A TIFF for each image, each object one value, and a table of the classes. Of "
        "objects that overlap the smaller one is kept whole.",
        "A label image, or a folder of them: 0 is background, each other value one "
        "object.",
        "The images, with the same file names as the label images.",
    ),
    "semantic": _Kind(
        "Semantic labels",
        "A TIFF for each image, each pixel the number of its class, and a legend. "
        "Objects of one class that touch are no longer apart.",
        "A label image, or a folder of them: 0 is background, each other value a "
        "class, each connected piece an object.",
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
        _HAS_IMAGES,
    ),
}


class ExportDialog(OutDialog):
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
        kinds = {kind: (about.title, about.out) for kind, about in _KINDS.items()}
        super().__init__(transfer, "export objects", kinds, parent)
        self.add_out("The folder that is made for the export")
        self.png = QCheckBox("PNG instead of TIFF files")
        self.polygons = QCheckBox("Polygons instead of run lengths")
        self.overwrite.setText("Replace an earlier export")
        for box, tip in (
            (self.png, "For programs that read no TIFF; slices become single files"),
            (self.polygons, "Objects with holes are cut into pieces that touch"),
            (self.overwrite, "Only a folder that is an export is ever replaced"),
        ):
            box.setToolTip(tip)
            self.form.addRow("", box)
        self.lead_from(self.overwrite)
        self.go.clicked.connect(self._start)
        session.objects_changed.connect(self._show)
        self.destroyed.connect(
            lambda *_: session.objects_changed.disconnect(self._show)
        )
        self._on_kind()

    def _start(self) -> None:
        self._transfer.export(
            self.chosen,
            self.out_path,
            overwrite=self.overwrite.isChecked(),
            polygons=self.polygons.isChecked() and self.chosen == "coco",
            png=self.png.isChecked() and self.chosen in LABEL_IMAGES,
        )

    def why_not(self) -> str:
        """Return why it can not begin yet, '' if it can."""
        project = self._session.desk.project
        if project is None or not project.n_objects():
            return NOTHING_TO_EXPORT
        return super().why_not()

    def usual(self) -> Path:
        """Return where the export goes if nobody says otherwise."""
        project = self._session.desk.path
        return project.with_name(f"{project.stem}-{self.chosen}")

    def _on_kind(self, *_: object) -> None:
        # nothing appears or goes, so that what is below stays where it is
        allow(self.png, "" if self.chosen in LABEL_IMAGES else _ONLY_IMAGES)
        allow(self.polygons, "" if self.chosen == "coco" else _ONLY_COCO)
        super()._on_kind()


class ImportDialog(TransferDialog):
    """Asks what is to be imported.

    Parameters
    ----------
    transfer
        Who does it.
    parent
        The panel.
    """

    def __init__(self, transfer: Transfer, parent: QWidget) -> None:
        kinds = {kind: (about.title, about.source) for kind, about in _KINDS.items()}
        super().__init__(transfer, "import objects", "Import", kinds, parent)
        # an import writes to the project all the while
        self.setModal(True)
        self.source, line = self.place(
            "What holds the objects",
            browse="Import objects from",
            files="Objects (*.tif *.tiff *.png *.json *.geojson *.yaml);;All files (*)",
        )
        self.form.addRow("From", line)
        self.images, line = self.place(
            "The folder of the images", browse="Images of the objects"
        )
        self.form.addRow("Images", line)
        self.needed = Roomy("needed", (about.images for about in _KINDS.values()))
        self.form.addRow("", self.needed)
        self.binary = QCheckBox("All of a mask is one object")
        self.binary.setToolTip("Everything that is not 0, whatever its value")
        self.form.addRow("", self.binary)
        self.lead_from(self.binary)
        self.go.clicked.connect(self._start)
        self._images_line = line
        self._usual_images = transfer.folder_of_images()
        self._on_kind()

    def _start(self) -> None:
        self._transfer.import_files(
            self.chosen,
            Path(self.source.text().strip()).expanduser(),
            self._images_path() if self._takes_images() else None,
            binary=self.binary.isChecked() and self.chosen == "labels",
        )

    def _images_path(self) -> Path | None:
        images = self.images.text().strip() or self.images.placeholderText()
        return Path(images).expanduser() if images else None

    def why_not(self) -> str:
        """Return why it can not begin yet, '' if it can."""
        if not self.source.text().strip():
            return "Say what to import first."
        if self.chosen in LABEL_IMAGES and self._images_path() is None:
            return "Say where the images of the label images are first."
        return ""

    def _takes_images(self) -> bool:
        return _KINDS[self.chosen].images != _HAS_IMAGES

    def _on_kind(self, *_: object) -> None:
        about = _KINDS[self.chosen]
        # the other formats look for the images in the project itself
        usual = self._usual_images if self.chosen in LABEL_IMAGES else None
        self.images.setPlaceholderText(str(usual or ""))
        self.needed.setText(about.images)
        allow(self._images_line, "" if self._takes_images() else _HAS_IMAGES)
        allow(self.binary, "" if self.chosen == "labels" else _ONLY_LABELS)
        super()._on_kind()
