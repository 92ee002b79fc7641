"""Chapter: say what is meant, by points, a box, a size or rough paint; accept it."""

from __future__ import annotations

from pathlib import Path

from napari_infosam._napari import layers
from scripts.screenshots.person import CTRL, Key, window
from scripts.screenshots.photographs import COINS, GLAND, coins, glands

_CANVAS = (470, 400)


def take(folder: Path, _home: Path) -> None:
    """Take the pictures."""
    row, column = GLAND
    with window(folder, ("colonic glands", glands()), size=_CANVAS, rgb=True) as one:
        annotate = one.panel.annotate
        one.wait_ready()
        one.click_and_wait(row, column)
        one.shoot("meaning", annotate.mode)
        one.key(Key.Key_E)
        one.wait_answer()
        one.click_and_wait(row - 70, column - 20)
        one.click_and_wait(row - 130, column - 60, modifier=CTRL)
        one.shoot("points", annotate.mode)
        one.key(Key.Key_C)
        one.wait(lambda: one.shown_objects())
        one.shoot("accept", annotate.mode)
        one.key(Key.Key_Z, CTRL)
        one.wait(lambda: not one.shown_objects())
        one.shoot("undo", annotate.mode)
        one.key(Key.Key_Escape)

        one.key(Key.Key_B)
        one.drag((row - 110, column - 75), (row + 98, column + 70))
        one.wait_answer()
        one.shoot("box", annotate.mode)
        one.key(Key.Key_Escape)
        one.key(Key.Key_B)

        one.key(Key.Key_P)
        rough = one.layer(layers.ROUGH)
        rough.brush_size = 60
        one.drag((row - 60, column - 20), (row + 55, column + 5))
        one.wait(lambda: one.session.prompts.rough is not None)
        one.wait_answer()
        first = one.session.prompts.rough
        one.drag((row - 40, column + 15), (row + 55, column + 20))
        one.wait(lambda: one.session.prompts.rough != first)
        one.wait_answer()
        one.shoot("paint", annotate.mode)

    with window(folder, ("coins", coins()), size=_CANVAS) as one:
        one.wait_ready()
        one.zoom_to(51, 240, 3.0)
        one.key(Key.Key_H)
        one.point_at(*COINS[2])
        one.wait(lambda: layers.PREVIEW in one.viewer.layers)
        one.wait(lambda: len(one.layer(layers.PREVIEW).data))
        one.shoot("preview", one.panel.annotate.mode)
