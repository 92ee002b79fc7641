"""Chapter: what was accepted, its classes, and changes of it."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QTimer

from napari_infosam._napari import layers
from napari_infosam._napari.overlap_question import OverlapQuestion
from scripts.screenshots.person import Key, Person, window
from scripts.screenshots.photographs import COINS, LARGE_COINS, coins

_CANVAS = (470, 440)
_ZOOM = 2.4


def take(folder: Path, _home: Path) -> None:
    """Take the pictures."""
    with window(folder, ("coins", coins()), size=_CANVAS) as one:
        objects = one.panel.annotate.objects
        one.wait_ready()
        one.session.desk.add_class("large coin")
        one.session.desk.add_class("small coin")
        for place in COINS:
            one.session.class_name = f"{_size(place)} coin"
            one.accept_at(place)
        one.wait(lambda: len(one.shown_objects()) == len(COINS))
        objects.section.is_open = True
        one.shoot("objects", objects)
        one.key(Key.Key_Q)
        one.shoot("classes", objects)
        one.key(Key.Key_Q)
        _overlap(one)

        one.zoom_to(52, 185, _ZOOM)
        for place in COINS[1:3]:
            one.point_at(*place)
            one.key(Key.Key_A)
        one.key(Key.Key_J)
        one.wait(lambda: len(one.shown_objects()) == len(COINS) - 1)
        one.point_at(90, 180)
        one.shoot("merge", objects)
        one.point_at(*COINS[1])
        one.key(Key.Key_K)
        one.wait(lambda: len(one.shown_objects()) == len(COINS))
        one.point_at(90, 180)
        one.shoot("split", objects)

        one.point_at(*COINS[1])
        one.key(Key.Key_W)
        one.wait_answer()
        one.shoot("continue", one.panel.annotate.mode)
        one.key(Key.Key_Escape)
        _paint(one, COINS[2])
        one.shoot("correct", objects, whole=True)


def _size(place: tuple[int, int]) -> str:
    return "large" if place in LARGE_COINS else "small"


def _overlap(one: Person) -> None:
    """Accept a coin that was accepted already."""
    one.session.objects.overlap = "ask"
    one.click(*COINS[0])
    one.wait_answer()

    def look() -> None:
        question = one.panel.findChild(OverlapQuestion)
        one.shoot_dialog("overlap", question)
        one.key(Key.Key_Escape, at=question)

    QTimer.singleShot(0, look)
    one.key(Key.Key_C)
    one.key(Key.Key_Escape)
    one.session.objects.overlap = "allow"


def _paint(one: Person, place: tuple[int, int]) -> None:
    """Take napari's brush, and paint beyond the edge of a coin."""
    layer = one.layer(layers.OBJECTS)
    one.show_lists(True)
    one.resize(*_CANVAS)
    one.zoom_to(*place, 4)
    one.viewer.layers.selection.active = layer
    row, column = place
    layer.selected_label = one.session.objects.number_at(row, column)
    layer.mode = "paint"
    layer.brush_size = 8
    one.drag((row - 9, column + 24), (row + 9, column + 24))
    one.wait(lambda: one.session.objects.number_at(row + 10, column + 24))
