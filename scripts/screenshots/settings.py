"""Chapter: the list of keys, and what is remembered."""

from __future__ import annotations

from pathlib import Path

from napari._app_model import get_app_model
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QListWidget

from napari_infosam._napari.help_dialog import HelpDialog
from napari_infosam._napari.preferences_dialog import PreferencesDialog
from scripts.screenshots.person import Key, window
from scripts.screenshots.photographs import coins

_NAPARI = "napari.window.file.show_preferences_dialog"


def take(folder: Path, _home: Path) -> None:
    """Take the pictures."""
    with window(folder, ("coins", coins()), size=(470, 400)) as one:
        one.wait_ready()
        one.key(Key.Key_H)  # as it is at first
        one.key(Key.Key_F1)
        one.shoot_dialog("help", one.panel.findChild(HelpDialog))
        one.press(one.panel.annotate.preferences)
        one.shoot_dialog("preferences", one.panel.findChild(PreferencesDialog))
        own = get_app_model().commands.execute_command(_NAPARI).result()
        pages = own.findChild(QListWidget)
        (page,) = pages.findItems("InfoSAM", Qt.MatchFlag.MatchExactly)
        pages.setCurrentItem(page)
        one.shoot_dialog("napari_preferences", own)
        own.reject()
