"""Export and import from the window."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import psutil
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QFileDialog, QPushButton, QWidget
from skimage.io import imread, imsave

from napari_infosam._napari import commands
from napari_infosam._napari.command_process import run_command
from napari_infosam._napari.image_list import ImageList
from napari_infosam._napari.model_dialog import ModelExportDialog
from napari_infosam._napari.objects_dialogs import ExportDialog, ImportDialog
from napari_infosam._napari.transfer import NOTHING_TO_EXPORT, Transfer
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.options import ExportFormat
from napari_infosam.core.prompts import Point
from napari_infosam.project.formats.export import FORMATS, MARKER
from napari_infosam.project.image_files import CancelledError

from .helpers import DISCS, AtOnce, disc, picture

if TYPE_CHECKING:
    from napari_infosam._napari.session import Session

    from .window import Window

Key = Qt.Key


def open_by_menu(window: Window, title: str) -> Any:
    """Choose an entry of the menu beside the project; return the dialog."""
    window.choose_in_menu(window.panel.annotate.project_menu.menu(), title)
    kind = ExportDialog if title.startswith("Export") else ImportDialog
    (dialog,) = window.panel.findChildren(kind)
    window.wait(dialog.isVisible)
    return dialog


def choose_format(dialog: ExportDialog | ImportDialog, kind: str) -> None:
    dialog.kind.setCurrentIndex(dialog.kind.findData(kind))


def finish(window: Window, dialog: ExportDialog | ImportDialog) -> str:
    """Press the button, wait for the end, and return what is said."""
    window.press(dialog.go)
    window.wait(lambda: dialog.outcome.text())
    assert dialog.go.isEnabled()
    assert not dialog.bar.isVisible()
    return str(dialog.outcome.text())


def test_out_and_in_again(window: Window, tmp_path: Path) -> None:
    window.accept_at(*DISCS)
    stored = window.session.objects.labels.copy()
    dialog = open_by_menu(window, "Export objects …")
    choose_format(dialog, "coco")
    dialog.out.setText("")
    assert "where to export" in dialog.go.toolTip()
    out = tmp_path / "cells-coco"
    dialog.out.setText(str(out))
    window.key(Key.Key_Return, at=dialog.out)  # as a press of the button
    window.wait(lambda: dialog.outcome.text())
    assert dialog.outcome.text() == f"3 objects in 1 image exported to {out}."
    written = json.loads((out / "annotations.json").read_text())
    assert len(written["annotations"]) == 3

    window.key(Key.Key_Return, at=dialog.kind)
    window.wait(lambda: "exists already" in dialog.outcome.text())
    window.key(Key.Key_Space, at=dialog.overwrite)
    assert finish(window, dialog).startswith("3 objects")
    exporting = dialog

    window.session.objects.delete([1, 2, 3])
    window.wait(lambda: window.shown_objects() == set())
    dialog = open_by_menu(window, "Import objects …")
    choose_format(dialog, "coco")
    assert "what to import" in dialog.go.toolTip()
    dialog.source.setText(str(out))
    assert finish(window, dialog) == "3 objects in 1 image imported."
    assert "exported to" in exporting.outcome.text()  # each says its own
    window.key(Key.Key_Escape, at=exporting)
    window.wait(lambda: not window.panel.findChildren(ExportDialog))
    window.wait(lambda: window.shown_objects() == {4, 5, 6})  # undo has the others
    labels = window.session.objects.labels
    np.testing.assert_array_equal(np.maximum(labels - 3, 0), stored)
    assert finish(window, dialog).startswith("Nothing new")
    # what is known stays while the picture is looked at again
    assert window.shown_objects() == {4, 5, 6}
    window.session.objects.delete([5])
    window.wait(lambda: window.shown_objects() == {4, 6})
    assert finish(window, dialog) == (
        "1 object in 1 image imported. 2 objects left out: in the project already."
    )
    window.wait(lambda: window.shown_objects() == {4, 6, 7})
    window.session.undo()
    said = window.panel.status.text()
    assert said.endswith("Took back the last import of 1 object; redo does it again.")
    window.wait(lambda: window.shown_objects() == {4, 6})
    window.session.redo()
    window.wait(lambda: window.shown_objects() == {4, 6, 7})

    (out / "annotations.json").write_text("{")
    said = finish(window, dialog)
    assert "annotations.json can not be imported" in said
    assert window.panel.status.text().endswith(said)
    window.press(dialog.leave)
    window.wait(lambda: not window.panel.findChildren(ImportDialog))


@pytest.mark.parametrize("title", ["Export objects …", "Import objects …"])
def test_another_format_leaves_everything_in_its_place(
    window: Window, title: str
) -> None:
    window.accept_at(DISCS[0])
    dialog = open_by_menu(window, title)
    for _ in range(3):  # until it is laid out
        QApplication.processEvents()
    lines = [w for w in dialog.findChildren(QWidget) if w.isVisible()]
    places = [line.mapTo(dialog, QPoint()) for line in lines]
    for place in range(dialog.kind.count()):
        dialog.kind.setCurrentIndex(place)
        QApplication.processEvents()
        assert [line.mapTo(dialog, QPoint()) for line in lines] == places
        assert all(line.isVisible() for line in lines)


def test_what_comes_of_it_leaves_everything_above_in_its_place(
    window: Window, tmp_path: Path
) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        for number in range(6):
            long = f"a rather long name {number}.png"
            imsave(tmp_path / name / long, picture(), check_contrast=False)
    dialog = open_by_menu(window, "Import objects …")
    dialog.source.setText(str(tmp_path / "masks"))
    dialog.images.setText(str(tmp_path / "images"))
    for _ in range(3):  # until it is laid out
        QApplication.processEvents()
    lines = [w for w in dialog.findChildren(QWidget) if w.isVisible()]
    lines = [w for w in lines if w.y() <= dialog.outcome.y()]
    places = [line.mapTo(dialog, QPoint()) for line in lines]
    assert dialog.outcome in lines
    finish(window, dialog)
    for _ in range(3):
        QApplication.processEvents()
    assert [line.mapTo(dialog, QPoint()) for line in lines] == places
    outcome = dialog.outcome
    assert outcome.height() >= outcome.heightForWidth(outcome.width())
    assert dialog.leave.isVisible()


def test_the_images_of_the_project_need_not_be_named(
    window: Window, tmp_path: Path
) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    paths = [tmp_path / "images" / f"{name}.png" for name in "abc"]
    for number, path in enumerate(paths):
        imsave(path, picture(180 + number), check_contrast=False)
    mask = disc(0).astype(np.uint8)
    imsave(tmp_path / "masks" / "b.tif", mask, check_contrast=False)
    window.session.desk.require().listing.add((p.name, str(p)) for p in paths)
    window.panel.images.load()
    dialog = open_by_menu(window, "Import objects …")
    assert dialog.images.placeholderText() == str(tmp_path / "images")
    dialog.source.setText(str(tmp_path / "masks" / "b.tif"))
    said = finish(window, dialog)
    assert said == (
        "1 object in 1 image imported. Skipped 2 images without a mask of the same "
        "name."
    )
    choose_format(dialog, "coco")
    assert dialog.images.placeholderText() == ""


def test_label_images_make_a_project(
    window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    imsave(tmp_path / "images" / "discs.png", picture(), check_contrast=False)
    mask = disc(0).astype(np.uint8)
    imsave(tmp_path / "masks" / "discs.png", mask, check_contrast=False)
    commands.import_objects()
    (dialog,) = window.panel.findChildren(ImportDialog)
    assert dialog.chosen == "labels"
    dialog.source.setText(str(tmp_path / "masks"))
    assert "where the images" in dialog.go.toolTip()
    found = str(tmp_path / "images")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: found)
    buttons = dialog.images.parentWidget().findChildren(type(dialog.go))
    window.press(buttons[0])
    assert dialog.images.text() == found
    assert finish(window, dialog) == "1 object in 1 image imported."
    window.wait(lambda: window.shown_objects() == {1})
    assert window.panel.annotate.counts.text().startswith("1 object here")


def test_tab_goes_down_the_form_and_then_to_the_buttons(window: Window) -> None:
    window.accept_at(DISCS[0])
    dialog = open_by_menu(window, "Export objects …")
    dialog.out.setFocus()
    seen = []
    for _ in range(5):
        window.key(Key.Key_Tab, at=dialog.focusWidget())
        seen.append(dialog.focusWidget())
    assert isinstance(seen[0], QPushButton)
    assert seen[0].text() == "Folder …"
    assert seen[1:] == [dialog.png, dialog.overwrite, dialog.go, dialog.leave]


def test_there_is_nothing_to_export_yet(window: Window) -> None:
    commands.export_objects()
    commands.export_objects()  # brings the one that is open to the front
    (dialog,) = window.panel.findChildren(ExportDialog)
    assert not dialog.go.isEnabled()
    assert NOTHING_TO_EXPORT in dialog.go.toolTip()
    window.accept_at(DISCS[0])
    for kind in FORMATS:
        choose_format(dialog, kind)
        assert dialog.go.isEnabled()
        assert dialog.explained.text()
        assert Path(dialog.out.text()).name == f"discs-{kind}"
        assert dialog.png.isEnabled() == (kind in ("labels", "semantic"))


def accept(session: Session) -> None:
    """Accept the first disc."""
    row, column = DISCS[0]
    session.add_prompt(Point(column, row))
    session.accept()


@pytest.mark.parametrize("kind", FORMATS)
def test_cancelled_exports_leave_nothing(
    session: Session, executor: AtOnce, tmp_path: Path, kind: Any
) -> None:
    transfer = Transfer(session, ImageList(session, executor), executor)
    accept(session)
    executor.holds = True
    transfer.export(kind, tmp_path / "out")
    assert transfer.working
    transfer.cancel()
    executor.release()
    assert not transfer.working
    assert transfer.outcome == "Cancelled; nothing was changed."
    assert not list(tmp_path.glob("*out*"))
    executor.holds = False
    transfer.export(kind, tmp_path / "out")
    assert transfer.outcome.startswith("1 object in 1 image exported")
    assert (tmp_path / "out" / MARKER).is_file()
    if kind == "labels":
        (file,) = (tmp_path / "out").glob("*.tif")
        assert np.count_nonzero(imread(file)) > 100


def test_a_version_is_exported(window: Window, tmp_path: Path) -> None:
    window.accept_at(DISCS[0])
    window.press(window.panel.learn.tools.export)
    (dialog,) = window.panel.findChildren(ModelExportDialog)
    assert dialog.version.currentText() == "base"
    dialog.version.setFocus()
    window.key(Key.Key_Tab, at=dialog.version)
    assert dialog.focusWidget() is dialog.kind
    for kind in get_args(ExportFormat):
        choose_format(dialog, kind)
        assert dialog.explained.text()
        assert Path(dialog.out.text()).name.startswith("discs-base.")
    choose_format(dialog, "safetensors")
    out = tmp_path / "cells.safetensors"
    dialog.out.setText(str(out))
    said = finish(window, dialog)
    assert said == f"base is in {out.with_suffix('.card.json')} and {out}."
    assert out.stat().st_size > 10_000_000
    assert "--overwrite" in finish(window, dialog)
    window.press(dialog.leave)
    window.wait(lambda: not window.panel.findChildren(ModelExportDialog))


def test_a_command_fails_with_its_own_sentence(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.infosam")
    with pytest.raises(InfosamError, match=r"gone\.infosam"):
        run_command(["versions", gone, "--json"], lambda: None)


def test_a_command_that_is_called_off_ends(tmp_path: Path) -> None:
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        if looks > 10:
            raise CancelledError

    out = tmp_path / "demo"
    before = psutil.Process().children()
    with pytest.raises(CancelledError):
        run_command(["demo", "--headless", "--out", str(out), "--json"], look)
    assert [p for p in psutil.Process().children() if p not in before] == []
