"""Many objects at once, by mouse and keyboard."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication

from napari_infosam._napari import commands, layers
from napari_infosam.core.metrics import iou

from .helpers import DISCS, disc, picture
from .window import Button, Modifier, Window

Key = Qt.Key


@pytest.fixture
def proposing(window: Window) -> Window:
    """Return a window in which discs 1 and 2 are proposed; disc 0 is accepted."""
    window.panel.proposals.points_per_side = 6
    window.viewer.fit_to_view()  # what is not in view is not proposed
    window.accept_at(DISCS[0])
    many = window.panel.annotate.many
    many.fold.is_open = True
    window.press(many.propose)
    assert window.panel.proposals.progress is not None
    assert many.cancel.isEnabled()
    assert not many.propose.isEnabled()
    assert "looks for everything in view" in window.panel.status.text()
    window.wait(lambda: window.panel.proposals.offered)
    return window


def test_proposing_leaves_everything_in_its_place(window: Window) -> None:
    window.panel.proposals.points_per_side = 6
    many = window.panel.annotate.many
    many.fold.is_open = True
    shown = (many.propose, many.score, many.accept, many.clear, many.fold)
    below = window.panel.annotate.counts

    def moved(before: list[QPoint]) -> int:
        """Return by how many pixels something has moved at most."""
        pairs = zip(places(), before, strict=True)
        return max((now - then).manhattanLength() for now, then in pairs)

    def places() -> list[QPoint]:
        for _ in range(3):  # until it is laid out
            QApplication.processEvents()
        return [w.mapTo(window.panel, QPoint()) for w in (*shown, below)]

    window.wait_ready()
    before = places()
    window.press(many.propose)
    assert many.progress.isVisible()
    assert moved(before) == 0
    window.wait(lambda: window.panel.proposals.offered)
    assert not many.progress.isVisible()
    assert moved(before) < 3  # a button that can be pressed has another frame


def test_it_is_said_that_another_picture_ends_the_proposals(
    open_window: Callable[..., Window],
) -> None:
    window = open_window(("stack", np.stack([picture(200), picture(180)])))
    window.viewer.dims.set_current_step(0, 0)
    window.wait_ready()
    window.press(window.panel.annotate.many.propose)
    assert window.panel.proposals.progress is not None
    window.viewer.dims.set_current_step(0, 1)
    window.wait(lambda: "nothing more is proposed" in window.panel.status.text())
    assert window.panel.proposals.progress is None


def test_boxes_for_an_object_each(window: Window) -> None:
    proposals, many = window.panel.proposals, window.panel.annotate.many
    window.key(Key.Key_B, Modifier.ShiftModifier)
    assert many.each.isChecked()
    assert window.panel.annotate.mode.buttons[1].isChecked()
    for row, column in DISCS:
        window.drag((row - 19, column - 19), (row + 19, column + 19))
    assert len(window.layer(layers.BOXES).data) == 3
    window.wait(lambda: len(proposals.offered) == 3)
    shown = np.asarray(window.layer(layers.PROPOSALS).data)
    assert iou(shown > 0, disc(0) | disc(1) | disc(2)) > 0.8
    for number in range(3):
        # dashed along the edge in two colours, hardly filled inside
        assert set(shown[disc(number) & (shown > 0)].tolist()) == {1, 2, 3}
        assert shown[DISCS[number]] == 1
    assert many.accept.text() == "Accept 3"

    window.key(Key.Key_Z, Modifier.ControlModifier)
    assert len(window.layer(layers.BOXES).data) == 2
    window.key(Key.Key_Z, Modifier.ControlModifier | Modifier.ShiftModifier)
    window.wait(lambda: len(proposals.offered) == 3)
    window.key(Key.Key_C)

    assert window.shown_objects() == {1, 2, 3}
    assert len(window.layer(layers.BOXES).data) == 0
    assert layers.PROPOSALS not in window.viewer.layers
    window.key(Key.Key_Z, Modifier.ControlModifier)
    assert window.shown_objects() == set()
    assert len(window.layer(layers.BOXES).data) == len(proposals.offered) == 3
    window.key(Key.Key_Escape)
    assert proposals.is_empty

    # a rectangle of napari's own tool is one more box
    boxes = window.layer(layers.BOXES)
    boxes.add_rectangles([[20, 24], [20, 64], [60, 64], [60, 24]])
    window.wait(lambda: len(proposals.offered) == 1)
    window.key(Key.Key_B, Modifier.ShiftModifier)
    assert not many.each.isChecked()
    assert window.panel.link.tool.boxing
    # a box is for the object in work again, beside the others
    row, column = DISCS[1]
    window.drag((row - 19, column - 19), (row + 19, column + 19))
    window.wait_answer()
    assert len(boxes.data) == 2
    window.key(Key.Key_C)
    assert len(window.shown_objects()) == 1
    assert len(proposals.offered) == 1


def test_proposals_are_clicked_on(proposing: Window) -> None:
    window, proposals = proposing, proposing.panel.proposals
    shown = window.layer(layers.PROPOSALS)
    active = window.viewer.layers.selection.active
    assert active is not None
    assert active.name == layers.POINTS  # the keys stay with the prompts
    assert proposals.number_at(*DISCS[1])
    assert not proposals.number_at(*DISCS[0])
    assert not window.panel.annotate.many.progress.isVisible()

    window.click(*DISCS[1])
    assert len(window.shown_objects()) == 2
    assert not window.session.prompts
    window.click(*DISCS[2], Button.RightButton)
    assert not proposals.number_at(*DISCS[2])
    assert len(window.shown_objects()) == 2
    # what is not proposed is prompted, as always
    window.click(*DISCS[2])
    assert window.n_points == 1
    window.wait_answer()
    window.key(Key.Key_C)
    assert len(window.shown_objects()) == 3
    window.key(Key.Key_Escape)
    assert proposals.is_empty
    assert shown not in window.viewer.layers


def test_proposals_have_keys_a_slider_and_commands(proposing: Window) -> None:
    window, proposals = proposing, proposing.panel.proposals
    many = window.panel.annotate.many
    window.point_at(*DISCS[1])
    window.key(Key.Key_I)
    assert not proposals.number_at(*DISCS[1])
    window.point_at(*DISCS[2])
    window.key(Key.Key_Y)
    assert len(window.shown_objects()) == 2
    window.key(Key.Key_G)
    window.wait(lambda: proposals.progress is None and proposals.number_at(*DISCS[1]))

    n_offered = len(proposals.offered)
    many.score.setValue(100)
    assert many.score_text.text() == "IoU \N{GREATER-THAN OR EQUAL TO} 1.00"
    above = [o for o in proposals.offered.values() if o.small.score >= 1]
    assert len(proposals.offered) == len(above) <= n_offered
    many.score.setValue(88)
    # a layer that is deleted comes back
    window.viewer.layers.remove(window.layer(layers.PROPOSALS))
    window.wait(lambda: layers.PROPOSALS in window.viewer.layers)
    commands.accept_proposals()
    assert len(window.shown_objects()) == 2 + n_offered
    assert not many.accept.isEnabled()
    window.key(Key.Key_Z, Modifier.ControlModifier)
    assert len(window.shown_objects()) == 2
    assert len(proposals.offered) == n_offered
    window.key(Key.Key_Escape)

    proposals.points_per_side = 32
    commands.propose()
    window.wait(lambda: proposals.progress not in (None, (0, 1)))
    window.press(many.cancel)
    assert proposals.progress is None
    assert layers.PROPOSALS not in window.viewer.layers
    # what is in sight is asked about: here a disc
    window.viewer.scene.camera.zoom *= 4
    row, column = DISCS[1]
    window.viewer.scene.camera.center = (row, column)
    in_view = window.panel.link.many.in_view

    def is_around_the_disc() -> bool:
        seen = in_view()
        if seen is None or seen.x1 - seen.x0 > 100:
            return False
        return abs(seen.x0 + seen.x1 - 2 * column) < 8

    window.wait(is_around_the_disc)
