"""What a person prefers is remembered, and is done."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from napari.settings import get_plugin_settings
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_infosam._napari import commands, preferences
from napari_infosam._napari.preferences import SECTIONS, Preferences
from napari_infosam._napari.preferences_dialog import PreferencesDialog
from napari_infosam.models import weights

from .helpers import DISCS, picture
from .window import Window

OpenWindow = Callable[..., Window]
Key = Qt.Key


def open_dialog(window: Window) -> PreferencesDialog:
    window.press(window.panel.annotate.preferences)
    (dialog,) = window.panel.findChildren(PreferencesDialog)
    return dialog


def choose(dialog: PreferencesDialog, name: str, value: str) -> None:
    box = dialog.fields[name]
    place = box.findData(value)
    box.setCurrentIndex(place)
    box.activated.emit(place)


def test_the_overlap_is_remembered(open_window: OpenWindow) -> None:
    window = open_window(("discs", picture()))
    box = window.panel.annotate.objects.overlap
    box.setCurrentIndex(2)
    box.activated.emit(2)
    window.panel.link.objects.toggle_colors()
    window.panel.close_down()
    file = Path(get_plugin_settings(preferences.PLUGIN).config_path)
    kept = yaml.safe_load(file.read_text())
    assert kept["work"] == {"overlap": "replace", "colors": "class"}

    again = open_window(("discs", picture()))
    assert again.session.objects.overlap == "replace"
    assert again.panel.annotate.objects.overlap.currentIndex() == 2
    assert again.panel.link.objects.by_class


def test_the_dialog_changes_what_the_window_does(
    window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("INFOSAM_PROJECTS")
    monkeypatch.delenv("INFOSAM_MODELS", raising=False)
    dialog = open_dialog(window)
    choose(dialog, "overlap", "keep")
    assert window.panel.annotate.objects.overlap.currentIndex() == 1
    choose(dialog, "colors", "class")
    assert window.panel.annotate.objects.colors.buttons[1].isChecked()
    choose(dialog, "device", "cpu")
    window.wait(lambda: window.session.engine.answers_to.device == "cpu")

    line = dialog.fields["projects"]
    line.setFocus()
    window.qtbot.keyClicks(line, str(tmp_path / "mine"))
    window.key(Key.Key_Return, at=line)
    downloads = dialog.fields["downloads"]
    monkeypatch.setattr(
        QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "models")
    )
    browse = downloads.parentWidget().layout().itemAt(1).widget()
    window.press(browse)
    assert downloads.text() == str(tmp_path / "models")
    assert weights.weights_folder() == tmp_path / "models"
    window.accept_at(DISCS[0])
    assert window.session.desk.path == tmp_path / "mine" / "discs.infosam"

    # the other way round: what is changed elsewhere is seen here
    window.panel.link.objects.toggle_colors()
    assert dialog.fields["colors"].currentData() == "each"
    window.press(dialog.restore)
    assert window.session.objects.overlap == "allow"
    assert window.panel.preferences.get("device") == "auto"
    assert weights.FOLDER_VARIABLE not in os.environ
    commands.show_preferences()
    assert window.panel.findChildren(PreferencesDialog) == [dialog]
    dialog.close()
    window.wait(lambda: not window.panel.findChildren(PreferencesDialog))
    window.panel.preferences.set("overlap", "keep")  # nobody is left to show it


def test_a_folder_that_can_not_be_is_not_taken(window: Window, tmp_path: Path) -> None:
    dialog = open_dialog(window)
    line = dialog.fields["projects"]
    (tmp_path / "notes.txt").touch()
    for text, why in (
        (str(tmp_path / "notes.txt"), "is a file"),
        ("cells", "root of a disk"),
    ):
        line.setText(text)
        window.key(Key.Key_Return, at=line)
        assert why in dialog.below.text()
        assert window.panel.preferences.get("projects") == ""
    line.setText(str(tmp_path / "new"))
    window.key(Key.Key_Return, at=line)
    assert "take effect at once" in dialog.below.text()
    assert window.panel.preferences.get("projects") == str(tmp_path / "new")


@pytest.mark.parametrize("key", [Key.Key_Return, Key.Key_Escape])
def test_a_key_closes_the_dialog_and_browses_for_no_folder(
    window: Window, monkeypatch: pytest.MonkeyPatch, key: Qt.Key
) -> None:
    browsed: list[object] = []
    monkeypatch.setattr(
        QFileDialog, "getExistingDirectory", lambda *_: browsed.append(_) or ""
    )
    dialog = open_dialog(window)
    dialog.fields["device"].setFocus()
    window.key(key, at=dialog.fields["device"])
    window.wait(lambda: not window.panel.findChildren(PreferencesDialog))
    assert not browsed


def test_preferences_stand_back_where_something_else_was_decided(
    window: Window, tmp_path: Path, projects: Path
) -> None:
    chosen = window.panel.preferences
    chosen.set("projects", str(tmp_path / "other"))
    assert window.session.desk.path == projects / "discs.infosam"  # the environment
    window.accept_at(DISCS[0])
    chosen.set("model", "vit_b")
    assert window.session.desk.model_name == "vit_t"  # a project keeps its own


def test_every_preference_is_on_a_page_of_napari() -> None:
    known = Preferences()
    for name, section in SECTIONS.items():
        assert known.title(name)
        assert known.says(name)
        assert hasattr(getattr(get_plugin_settings("napari-infosam"), section), name)
    known.close()
    assert preferences._DOWNLOADS == weights.FOLDER_VARIABLE
