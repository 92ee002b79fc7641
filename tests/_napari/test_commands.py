"""Every button and menu entry of the panel is a command in the palette as well."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from npe2 import PluginManifest
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractButton,
    QColorDialog,
    QFileDialog,
    QMenu,
    QPushButton,
)

from napari_infosam._napari import commands
from napari_infosam._napari.small_widgets import Fold, allow, why_not
from napari_infosam.project import Project

from .helpers import DISCS, picture
from .test_help import inner
from .window import Window

OpenWindow = Callable[..., Window]
Key = Qt.Key

SAME = {
    "annotate.cancel_download": "cancel_download",
    "annotate.other_project": "other_project",
    "annotate.classes.color": "class_color",
    "annotate.classes.rename": "rename_class",
    "annotate.many.cancel": "cancel_proposing",
    "annotate.propagate.cancel": "cancel_following",
    "annotate.propagate.discard": "discard",
    "images_view.remove": "remove_images",
    "images_view.relink": "relink",
    "images_view.cancel": "cancel_list_change",
    "annotate.channels": "channels",
    "annotate.many.accept": "accept_proposals",
    "annotate.many.clear": "reject_proposals",
    "learn.cancel": "cancel",
    "learn.resume": "resume",
    "learn.activate": "use_version",
    "learn.tools.pin": "pin_version",
    "learn.tools.rename": "rename_version",
    "learn.tools.delete": "delete_version",
    "learn.tools.compare": "compare_versions",
    "learn.tools.export": "export_version",
}
"""Buttons whose commands press them."""

BUTTONS = {
    **SAME,
    "annotate.mode.buttons[0]": "segment",
    "annotate.mode.buttons[1]": "box",
    "annotate.mode.buttons[2]": "paint",
    "annotate.mode.buttons[3]": "leave_clicks",
    "annotate.polarity.buttons[0]": "polarity",
    "annotate.polarity.buttons[1]": "polarity",
    "annotate.accept": "accept",
    "annotate.reject": "reject",
    "annotate.undo": "undo",
    "annotate.redo": "redo",
    "annotate.keys": "keys",
    "annotate.preferences": "preferences",
    "annotate.classes.add": "add_class",
    "annotate.meaning.buttons[0]": "meaning",
    "annotate.meaning.buttons[1]": "meaning",
    "annotate.meaning.buttons[2]": "meaning",
    "annotate.propagate.backwards": "backwards",
    "annotate.propagate.forwards": "forwards",
    "annotate.propagate.accept_all": "accept_all",
    "annotate.many.each": "box_each",
    "annotate.many.propose": "propose",
    "annotate.objects.colors.buttons[0]": "colors",
    "annotate.objects.colors.buttons[1]": "colors",
    "annotate.objects.relabel": "relabel",
    "annotate.objects.merge": "merge",
    "annotate.objects.delete": "delete",
    "compare.difference": "difference",
    "images_view.previous": "previous_image",
    "images_view.review": "review",
    "images_view.next": "next_image",
    "images_view.what_next.suggest": "suggest_image",
    "learn.finetune": "finetune",
    "learn.by_itself.box": "continuous",
}
ENTRIES = {
    "New project …": "new_project",
    "Open project …": "open_project",
    "Import objects …": "import",
    "Export objects …": "export",
    "Folder …": "add_folder",
    "Files …": "add_files",
    "Open layers": "add_layers",
}
"""Entries of the menus that buttons open."""


def at(panel: Any, path: str) -> QAbstractButton:
    """Return the button at a path such as ``annotate.mode.buttons[0]``."""
    name, _, number = path.partition("[")
    found = attrgetter(name)(panel)
    return found[int(number[:-1])] if number else found


def is_exception(button: QAbstractButton) -> bool:
    """Return whether a button needs no command: it does nothing but show others."""
    folds = isinstance(button.parentWidget(), Fold)
    opens_a_menu = isinstance(button, QPushButton) and button.menu() is not None
    return folds or opens_a_menu


def run(name: str) -> None:
    """Run a command as the palette does."""
    found = {c.id: c.python_name for c in manifest().contributions.commands or ()}
    module, _, function = str(found[f"napari-infosam.{name}"]).partition(":")
    getattr(import_module(module), function)()


def manifest() -> PluginManifest:
    return PluginManifest.from_distribution("napari-infosam")


def test_every_button_and_entry_has_a_command(window: Window) -> None:
    known = {command.id for command in manifest().contributions.commands or ()}
    for name in (*BUTTONS.values(), *ENTRIES.values()):
        assert f"napari-infosam.{name}" in known
    panel = window.panel
    named = {id(at(panel, path)) for path in BUTTONS}
    buttons = [b for b in panel.findChildren(QAbstractButton) if not inner(b)]
    assert len(buttons) > len(BUTTONS)
    for button in buttons:
        has = id(button) in named or is_exception(button)
        assert has, f"{button.text()!r} has no command: {button.toolTip()}"
    menus = [m for m in panel.findChildren(QMenu) if not inner(m)]
    entries = [a.text() for menu in menus for a in menu.actions() if a.text()]
    assert sorted(entries) == sorted(ENTRIES)


def test_no_command_is_named_twice() -> None:
    titles = [str(command.title) for command in manifest().contributions.commands or ()]
    assert len(set(titles)) == len(titles)


@pytest.fixture
def pressed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[QPushButton]]:
    """Return the buttons that are pressed by commands; nothing else happens."""
    found: list[QPushButton] = []
    with monkeypatch.context() as patch:
        patch.setattr(QPushButton, "click", lambda button: found.append(button))
        yield found


def test_commands_press_their_buttons_or_say_why_not(
    window: Window, pressed: list[QPushButton]
) -> None:
    panel = window.panel
    for path, name in SAME.items():
        button = at(panel, path)
        if name != "export_version":  # the base can be exported, too
            assert not button.isEnabled(), path
            run(name)
            assert not pressed
            assert panel.status.text() == why_not(button)
        allow(button)
        run(name)
        assert pressed == [button]
        pressed.clear()


def test_a_command_of_a_disabled_button_says_something(window: Window) -> None:
    said: list[str] = []
    window.session.voice.said.connect(lambda text, _: said.append(text))
    for path, name in BUTTONS.items():
        button = at(window.panel, path)
        if name not in SAME.values() and not button.isEnabled():
            said.clear()
            run(name)
            assert said, f"{name} says nothing"
            assert said[-1].endswith(".")


def test_commands_ask_for_what_menus_ask_for(
    window: Window, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skimage.io import imsave

    made = tmp_path / "made.infosam"

    def answer(kind: str, path: Path) -> None:
        files = [str(path)] if kind == "getOpenFileNames" else str(path)
        found = files if kind == "getExistingDirectory" else (files, "")
        monkeypatch.setattr(QFileDialog, kind, lambda *_, **__: found)

    answer("getSaveFileName", made)
    commands.new_project()
    desk, images = window.session.desk, window.panel.images
    assert desk.path == made
    answer("getSaveFileName", tmp_path / "other.infosam")
    commands.new_project()
    answer("getExistingDirectory", made)
    commands.open_project()
    assert desk.path == made

    folder = tmp_path / "folder"
    folder.mkdir()
    for place in (folder / "one.png", folder / "two.png", tmp_path / "three.png"):
        imsave(place, picture(), check_contrast=False)
    answer("getExistingDirectory", folder)
    commands.add_folder()
    window.wait(lambda: len(images.rows) == 2)
    answer("getOpenFileNames", tmp_path / "three.png")
    commands.add_files()
    window.wait(lambda: len(images.rows) == 3)
    window.panel.images_view.table.choose([2])
    commands.remove_images()
    window.wait(lambda: len(images.rows) == 2)


def test_classes_by_commands(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    classes = window.panel.annotate.classes
    commands.add_class()
    assert window.panel.window().focusWidget() is classes.name
    assert classes.name.isVisible()
    window.qtbot.keyClicks(classes.name, "nucleus")
    window.key(Key.Key_Return, at=classes.name)
    assert window.session.class_name == "nucleus"
    commands.class_color()
    assert "Accept an object first" in window.panel.status.text()
    window.accept_at(DISCS[0])
    monkeypatch.setattr(QColorDialog, "getColor", lambda *_: QColor("#123456"))
    commands.class_color()
    assert window.session.objects.next_color() == "#123456"
    commands.rename_class()
    assert classes.name.text() == "nucleus"
    window.qtbot.keyClicks(classes.name, "object")  # the old one is selected
    window.key(Key.Key_Return, at=classes.name)
    assert "class 'object' already" in window.panel.status.text()
    classes.name.selectAll()
    window.qtbot.keyClicks(classes.name, "mitosis")
    window.key(Key.Key_Return, at=classes.name)
    assert not classes.name.isVisible()
    assert classes.choice.currentText() == "mitosis"
    assert [o.class_name for o in window.session.objects.summaries()] == ["mitosis"]
    assert window.session.objects.next_color() == "#123456"
    window.accept_at(DISCS[1])
    path = window.session.desk.project.path
    classes.choice.setCurrentText("object")
    classes.choice.activated.emit(0)
    commands.rename_class()
    window.qtbot.keyClicks(classes.name, "cell")
    window.key(Key.Key_Return, at=classes.name)
    assert window.session.desk.classes() == ["cell", "mitosis"]
    with Project.open(path, lock=False) as project:
        assert [o.class_name for o in project.objects()] == ["mitosis"] * 2


def test_clicks_are_left_to_napari_by_a_command(window: Window) -> None:
    commands.leave_clicks()
    assert window.panel.annotate.mode.buttons[-1].isChecked()
    window.click(*DISCS[0])
    assert not window.session.prompts
