"""Chapter: the list of images, and what leaves the program."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtTest import QTest

from scripts.screenshots.person import SHIFT, Key, window
from scripts.screenshots.photographs import retina_parts, write

_CANVAS = (470, 480)
_VESSEL = (49, 110)


def take(folder: Path, home: Path) -> None:
    """Take the pictures."""
    images = home / "images"
    write(images, retina_parts())
    with window(folder, size=_CANVAS) as one:
        panel = one.panel
        panel.images_view.changes.add([images], opens=True)
        one.wait(lambda: panel.images.current is not None)
        one.wait_ready()
        panel.images_view.section.is_open = True
        one.accept_at((30, 100))
        one.key(Key.Key_R, SHIFT)
        first = panel.images.current
        one.key(Key.Key_PageDown)
        one.wait(lambda: panel.images.current != first)
        one.wait_ready()
        second = panel.images.current
        one.click_and_wait(*_VESSEL)
        one.key(Key.Key_E)
        one.wait_answer()
        one.wait(lambda: panel.images.rows[second].state == "in work")
        one.shoot("images")
        one.key(Key.Key_Escape)
        search = panel.images_view.search
        QTest.keyClicks(search, "retina 1")
        one.wait(lambda: len(panel.images.shown) < len(panel.images.rows))
        one.shoot("filter")
        one.key(Key.Key_Escape, at=search)
        one.press(panel.images_view.what_next.suggest)
        one.wait(lambda: panel.images.current != second)
        one.wait_ready()
        one.shoot("suggestion")
