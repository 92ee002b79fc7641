"""Chapter: the model learns the glands of a tissue while they are annotated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from qtpy.QtTest import QTest

from napari_infosam._napari import layers
from napari_infosam.core.clicks import next_click
from scripts.screenshots.person import SHIFT, Key, Person, window
from scripts.screenshots.photographs import gland_parts, write

Mask = NDArray[np.bool_]

_CANVAS = (520, 560)
_N_ANNOTATED, _N_AFTER = 6, 3
_PASSES = 60
_N_CLICKS = 2


def take(folder: Path, home: Path) -> None:
    """Take the pictures."""
    images = home / "images"
    truths = write(images, gland_parts())
    with window(folder, size=_CANVAS) as one:
        panel, learning = one.panel, one.session.learning
        panel.images_view.changes.add([images], opens=True)
        one.wait(lambda: panel.images.current is not None)
        one.wait_ready()
        first = _truth(one, truths)
        _click(one, first)
        one.shoot("loop_base", panel.annotate.mode)
        one.key(Key.Key_Escape)
        _annotate(one, _truth(one, truths))
        one.press(panel.learn.by_itself.box)
        one.wait(lambda: panel.continuous.reason)
        one.shoot("loop_itself", panel.learn)
        one.press(panel.learn.by_itself.box)
        _next(one)
        for _ in range(_N_ANNOTATED - 1):
            _annotate(one, _truth(one, truths))
            _next(one)

        panel.learn.advanced.is_open = True
        one.shoot("loop_advanced", panel.learn.advanced)
        panel.learn.advanced.is_open = False
        desk = one.session.desk
        desk.trainer.options = desk.trainer.options.model_copy(
            update={"max_epochs": _PASSES}
        )
        one.press(panel.learn.by_itself.box)
        one.wait(lambda: learning.is_running)
        _click(one, _truth(one, truths))
        one.wait(lambda: len(learning.ious) >= 3 or not learning.is_running)
        one.shoot("loop_training", panel.learn)
        one.press(panel.learn.by_itself.box)
        one.wait(lambda: not learning.is_running)
        one.key(Key.Key_Escape)
        one.wait(lambda: not one.session.engine.loading and one.session.engine.is_ready)
        if one.session.desk.active_version == "base":
            raise RuntimeError(f"there is no student to show: {learning.outcome}")

        _click(one, _truth(one, truths))
        one.shoot("loop_swapped", panel.learn)
        QTest.keyPress(one.canvas, Key.Key_O)
        one.wait(lambda: panel.versus.is_shown)
        one.shoot("loop_base_held", panel.compare)
        QTest.keyRelease(one.canvas, Key.Key_O)
        one.wait(lambda: not panel.versus.held)
        one.key(Key.Key_O, SHIFT)
        one.wait(lambda: panel.versus.is_shown)
        one.shoot("loop_difference", panel.compare)
        one.key(Key.Key_O, SHIFT)
        one.key(Key.Key_Escape)

        for n in range(_N_AFTER):
            _annotate(one, _truth(one, truths))
            if n < _N_AFTER - 1:
                _next(one)
        figures = panel.improvement
        one.wait(lambda: figures.figures and figures.figures.now)
        one.wait(lambda: figures.figures.now.n >= _N_AFTER)
        one.shoot("loop_gain", panel.learn)

        _look_after_versions(one)
        versions = panel.learn.versions
        versions.setCurrentRow(versions.count() - 1)
        one.press(panel.learn.activate)
        one.wait(lambda: one.session.desk.active_version == "base")
        one.wait_ready()
        one.shoot("loop_rollback", panel.learn.comparison)


def _look_after_versions(one: Person) -> None:
    """Name and pin the student, and compare it with the base by figures."""
    learn = one.panel.learn
    one.press(learn.tools.rename)
    QTest.keyClicks(learn.tools.name, "glands")
    one.key(Key.Key_Return, at=learn.tools.name)
    one.press(learn.tools.pin)
    one.shoot("loop_versions", learn.comparison)
    one.press(learn.tools.compare)
    one.shoot_dialog("loop_compare", learn.tools.comparison)
    one.key(Key.Key_Escape, at=learn.tools.comparison)


def _truth(one: Person, truths: dict[str, Mask]) -> Mask:
    """Return the glands of the image that is open."""
    images = one.panel.images
    return truths[Path(images.rows[images.current].name).name]


def _next(one: Person) -> None:
    """Open the next image of the list."""
    before = one.panel.images.current
    one.key(Key.Key_PageDown)
    one.wait(lambda: one.panel.images.current != before)
    one.wait_ready()


def _click(one: Person, truth: Mask) -> None:
    """Click where the answer is wrong most, as a person would."""
    session = one.session
    answer = session.proposal
    seen = np.zeros_like(truth) if answer is None else answer.prediction.mask
    point = next_click(truth, seen, session.prompts.points)
    if point is not None:
        how = {} if point.positive else {"modifier": SHIFT}
        one.click_and_wait(point.y, point.x, **how)


def _annotate(one: Person, truth: Mask) -> None:
    """Click some times, accept, and paint right what is not."""
    for _ in range(_N_CLICKS):
        _click(one, truth)
    one.key(Key.Key_C)
    one.wait(lambda: one.session.objects.count() == 1)
    layer = one.layer(layers.OBJECTS)
    one.wait(lambda: layer.data.any())
    for wrong, value in ((layer.data.astype(bool) & ~truth, 0), (truth, 1)):
        layer.data_setitem(np.nonzero(wrong), value)
        QTest.qWait(200)
    mask = one.session.objects.find(1).mask()
    if not np.array_equal(mask, truth):
        raise RuntimeError("what was painted is not what is kept")
