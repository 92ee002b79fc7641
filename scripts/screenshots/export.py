"""Chapter: accepted objects leave for other programs, and come from them."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path

from qtpy.QtTest import QTest

from napari_infosam._napari.objects_dialogs import ExportDialog, ImportDialog
from scripts.screenshots.person import Key, Person, window
from scripts.screenshots.photographs import COINS, coins

_OUT = "coins-coco"


def take(folder: Path, home: Path) -> None:
    """Take the pictures."""
    coin = ("coins", coins())
    # names without the folders that they are in
    with chdir(home), window(folder, coin, size=(470, 400)) as one:
        one.wait_ready()
        one.accept_at(*COINS)
        _export(one)
        _import(one)


def _export(one: Person) -> None:
    """Export as COCO."""
    one.panel.annotate.export_wanted.emit()
    dialog = one.panel.findChild(ExportDialog)
    one.choose(dialog.kind, "COCO")
    dialog.out.selectAll()
    QTest.keyClicks(dialog.out, _OUT)
    one.press(dialog.go)
    one.wait(dialog.outcome.text)
    one.shoot_dialog("export", dialog)
    one.key(Key.Key_Escape, at=dialog)


def _import(one: Person) -> None:
    """Say what would be imported."""
    one.panel.annotate.import_wanted.emit()
    dialog = one.panel.findChild(ImportDialog)
    one.choose(dialog.kind, "COCO")
    QTest.keyClicks(dialog.source, f"{_OUT}/annotations.json")
    one.shoot_dialog("import", dialog)
    one.key(Key.Key_Escape, at=dialog)
