from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QWidget,
)

from napari_infosam._napari import commands, layers
from napari_infosam._napari.small_widgets import TallArea
from napari_infosam._napari.trainer import NOTHING_ACCEPTED
from napari_infosam.project import Project

from .helpers import DISCS, picture
from .window import Modifier, Window

OpenWindow = Callable[..., Window]
Key = Qt.Key


@pytest.mark.parametrize(
    "name", [layers.POINTS, layers.BOXES, layers.PROPOSAL, layers.OBJECTS]
)
def test_a_deleted_layer_comes_back_with_its_content(window: Window, name: str) -> None:
    window.click(*DISCS[0])
    window.wait_answer()
    window.key(Key.Key_C)
    window.key(Key.Key_B)
    window.drag((20, 100), (60, 140))
    window.click(*DISCS[1])
    window.wait_answer()

    window.viewer.layers.remove(name)
    window.wait(lambda: name in window.viewer.layers)

    assert window.n_points == 1
    assert len(window.layer(layers.BOXES).data) == 1
    assert window.proposal_area() > 0
    assert window.shown_objects() == {1}
    window.viewer.layers.selection.active = window.layer(name)
    window.key(Key.Key_C)
    assert window.shown_objects() == {1, 2}


def test_closing_the_image_loses_nothing(window: Window, projects: Path) -> None:
    window.click(*DISCS[0])
    window.wait_answer()
    window.key(Key.Key_C)
    window.viewer.layers.clear()
    window.wait(lambda: window.session.source is None)
    QApplication.processEvents()
    assert len(window.viewer.layers) == 0
    assert "Open an image" in window.panel.status.text()

    window.viewer.add_image(picture(), name="discs")
    window.wait(lambda: layers.OBJECTS in window.viewer.layers)
    window.wait(lambda: window.shown_objects() == {1})


@pytest.mark.parametrize("name", ["discs", layers.OBJECTS, layers.PROPOSAL])
def test_keys_work_whichever_layer_is_selected(window: Window, name: str) -> None:
    window.viewer.layers.selection.active = window.layer(name)
    limits = list(window.layer("discs").contrast_limits)
    window.click(*DISCS[0])
    window.wait_answer()
    window.key(Key.Key_C)
    assert window.shown_objects() == {1}
    assert list(window.layer("discs").contrast_limits) == limits


def test_keys_do_not_reach_into_text_fields(window: Window) -> None:
    window.click(*DISCS[0])
    window.wait_answer()
    annotate = window.panel.annotate
    height = annotate.height()
    window.press(annotate.classes.add)
    field: QLineEdit = annotate.classes.name
    field.activateWindow()
    field.setFocus()
    window.wait(field.hasFocus)
    for letter in ("n", "u", "c", "T"):
        window.qtbot.keyClicks(field, letter)
    assert field.text() == "nucT"
    assert annotate.height() == height  # nothing moves under the pointer
    assert window.shown_objects() == set()
    window.key(Key.Key_Return, at=field)
    assert window.shown_objects() == set()
    assert window.session.class_name == "nucT"
    assert annotate.classes.choice.currentText() == "nucT"

    window.press(annotate.classes.add)
    window.wait(field.hasFocus)
    window.key(Key.Key_Escape, at=field)
    assert not field.isVisible()
    assert window.n_points == 1  # the proposal was not rejected

    window.key(Key.Key_C)
    project = window.session.desk.project
    assert project is not None
    assert project.objects()[0].class_name == "nucT"


def test_the_wheel_scrolls_the_panel_and_changes_nothing(window: Window) -> None:
    panel = window.panel
    panel.annotate.many.fold.is_open = panel.learn.advanced.is_open = True
    panel.learn.curves.show()
    area = panel.findChild(TallArea)
    bar = area.verticalScrollBar()
    window.wait(lambda: bar.maximum() > 0)
    stage = panel.learn.advanced.findChildren(QComboBox)[0]
    passed = (
        panel.annotate.model,
        panel.annotate.many.score,
        panel.learn.curves.viewport(),
        stage,
        panel.learn.advanced.findChildren(QAbstractSpinBox)[0],
    )
    values = (panel.annotate.model.currentText, panel.annotate.many.score.value)
    before = [value() for value in values]
    stages = stage.currentText()
    for widget in passed:
        bar.setValue(0)
        turn_wheel(widget)
        assert bar.value() > 0, widget
    assert [value() for value in values] == before
    assert stage.currentText() == stages


def test_what_is_unfolded_comes_to_sight(window: Window) -> None:
    panel, area = window.panel, window.panel.findChild(TallArea)
    panel.annotate.many.fold.is_open = panel.annotate.objects.section.is_open = True
    window.wait(lambda: area.verticalScrollBar().maximum() > 0)
    area.verticalScrollBar().setValue(0)
    fold = panel.learn.advanced
    window.press(fold.button)
    window.wait(lambda: area.verticalScrollBar().value() > 0)
    top = fold.button.mapTo(area, QPoint(0, 0)).y()
    assert 0 <= top < area.height()
    scrolled = area.verticalScrollBar().value()
    window.press(fold.button)
    window.wait(lambda: not fold.is_open)
    assert area.verticalScrollBar().value() <= scrolled


def turn_wheel(widget: QWidget) -> None:
    """Turn the wheel of a mouse towards oneself, over a widget."""
    middle = QPointF(widget.rect().center())
    event = QWheelEvent(
        middle,
        QPointF(widget.mapToGlobal(widget.rect().center())),
        QPoint(),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Modifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)


def test_keys_work_after_a_button_was_pressed(window: Window) -> None:
    window.press(window.panel.annotate.polarity.buttons[0])
    window.click(*DISCS[0])
    window.wait_answer()
    window.key(Key.Key_C, at=window.panel.annotate.accept)
    assert window.shown_objects() == {1}


def test_fine_tuning_nothing_says_why_in_tooltip_and_line(window: Window) -> None:
    learn = window.panel.learn
    assert not learn.finetune.isEnabled()
    assert learn.finetune.toolTip().startswith(NOTHING_ACCEPTED)
    assert learn.reason.isVisible()
    assert learn.reason.text() == NOTHING_ACCEPTED
    for number in (0, 1):
        window.click(*DISCS[number])
        window.wait_answer()
        window.key(Key.Key_C)
    assert learn.finetune.isEnabled()
    assert not learn.reason.isVisible()


def test_a_broken_model_path_is_one_sentence_and_can_be_mended(
    window: Window, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"PK\x03\x04 nothing")
    window.session.desk.set_model(str(broken))
    window.wait(lambda: window.session.engine.load_error)
    assert str(broken) in window.panel.status.text()
    assert "Traceback" not in window.panel.status.text()
    combo = window.panel.annotate.model
    assert combo.currentText() == "broken.pt"
    combo.setCurrentIndex(combo.findData("vit_t"))
    combo.activated.emit(combo.findData("vit_t"))
    window.wait(lambda: not window.session.engine.load_error)
    window.wait_ready()
    window.click(*DISCS[0])
    window.wait_answer()


def test_a_locked_project_leads_to_another_one(
    open_window: OpenWindow, projects: Path
) -> None:
    projects.mkdir()
    with Project.create(projects / "discs.infosam") as project:
        project.add_image(picture(), "discs")
        window = open_window(("discs", picture()))
        button = window.panel.annotate.other_project
        window.wait(button.isVisible)
        assert "open in another window" in window.panel.status.text()
        window.wait_ready()
        window.click(*DISCS[0])
        window.wait_answer()
        window.key(Key.Key_C)
        assert window.proposal_area() > 0
        window.press(button)
        window.key(Key.Key_C)
    assert window.session.desk.path == projects / "discs 2.infosam"
    assert window.shown_objects() == {1}


def test_a_hidden_panel_leaves_clicks_alone(window: Window) -> None:
    dock = window.panel.parentWidget()
    assert dock is not None
    dock.hide()
    window.click(*DISCS[0])
    assert not window.session.prompts
    dock.show()
    window.click(*DISCS[0])
    assert window.n_points == 1


def test_a_closed_panel_gives_everything_back(window: Window, projects: Path) -> None:
    viewer = window.viewer
    window.click(*DISCS[0])
    window.wait_answer()
    window.key(Key.Key_C)
    viewer.window.remove_dock_widget(window.panel)
    assert [layer.name for layer in viewer.layers] == ["discs", layers.OBJECTS]
    assert not viewer.mouse_drag_callbacks or all(
        "infosam" not in callback.__module__ for callback in viewer.mouse_drag_callbacks
    )
    assert {c.__name__ for c in viewer.mouse_double_click_callbacks} == {
        "double_click_to_zoom"
    }
    assert not window.layer("discs").keymap
    with Project.open(projects / "discs.infosam") as project:  # it is not locked
        assert project.n_objects() == 1


def test_a_second_panel_takes_the_place_of_the_first(window: Window) -> None:
    from napari_infosam._napari.widget import InfoSAMWidget

    window.click(*DISCS[0])
    window.wait_answer()
    window.key(Key.Key_C)
    second = InfoSAMWidget(window.viewer)
    window.viewer.window.add_dock_widget(second, name="again")
    panels = [
        panel
        for panel in window.viewer.window.dock_widgets.values()
        if isinstance(panel, InfoSAMWidget)
    ]
    assert panels == [second]
    assert second.session.desk.path == window.session.desk.path
    window.wait(lambda: second.session.objects_here() == 1)
    second.close_down()


def test_every_action_is_a_command(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert commands.panel() is window.panel
    window.click(*DISCS[0])
    window.wait_answer()
    commands.accept()
    commands.undo()
    commands.redo()
    assert window.shown_objects() == {1}
    commands.box()
    assert window.panel.link.tool.boxing
    commands.segment()
    assert not window.panel.link.tool.boxing
    commands.polarity()
    assert window.panel.link.tool.negative
    commands.finetune()
    assert "two objects" in window.panel.status.text()
    commands.continuous()
    assert window.panel.learn.by_itself.box.isChecked()


def test_commands_open_the_panel(make_napari_viewer: Callable[..., object]) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(picture())  # type: ignore[attr-defined]
    panel = commands.panel()
    assert commands.panel() is panel
    panel.close_down()


def test_nothing_in_the_panel_is_cut(window: Window) -> None:
    area = window.panel.findChild(TallArea)
    assert area is not None
    content = area.widget()
    assert content is not None
    assert content.minimumSizeHint().width() <= 300
    window.panel.learn.advanced.is_open = True
    window.panel.annotate.objects.section.is_open = True
    # both with and without the scroll bar the content is as wide as what is seen
    for height in (1000, 300):
        window.panel.resize(window.panel.minimumSizeHint().width(), height)
        QApplication.processEvents()
        assert content.width() <= area.viewport().width()
    assert window.panel.width() < 340


QUIT = """
import napari, numpy as np, sys
from qtpy.QtCore import QTimer
viewer = napari.Viewer()
viewer.add_image(np.random.default_rng(0).integers(0, 255, (200, 200), np.uint8))
_, panel = viewer.window.add_plugin_dock_widget("napari-infosam", "InfoSAM")
engine = panel.session.engine

def look():
    if {condition}:
        timer.stop()
        {close}

timer = QTimer()
timer.timeout.connect(look)
timer.start(5)
napari.run()
print("closed", flush=True)
"""


@pytest.mark.parametrize(
    ("condition", "close"),
    [
        pytest.param(
            "engine.loading", "viewer.close()", id="loading", marks=pytest.mark.slow
        ),
        pytest.param(
            "engine.activity.startswith('Looking')", "viewer.close()", id="embedding"
        ),
        # as by a click on its cross: the panel goes after the canvas
        pytest.param(
            "engine.is_ready",
            "viewer.window._qt_window.close()",
            id="idle",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_quitting_during_work_neither_hangs_nor_crashes(
    qtbot: object, condition: str, close: str, projects: Path, tmp_path: Path
) -> None:
    program = tmp_path / "quit.py"
    program.write_text(QUIT.format(condition=condition, close=close))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(program)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "closed" in done.stdout
    assert "Traceback" not in done.stderr


def test_another_kind_of_image_replaces_the_layers_content(window: Window) -> None:
    window.click(*DISCS[0])
    window.wait_answer()
    window.viewer.add_image(np.dstack([picture()[:60, :90]] * 3), name="rgb")
    window.wait(lambda: window.session.source.name == "rgb")
    assert window.layer(layers.OBJECTS).data.shape == (60, 90)
    assert window.n_points == 0
    window.viewer.layers.selection.active = window.layer("discs")
    window.wait(lambda: window.n_points == 1)
    assert window.layer(layers.PROPOSAL).data.shape == (128, 160)
    assert window.proposal_area() > 0
    window.key(Key.Key_Z, Modifier.ControlModifier)
    assert window.n_points == 0


def test_the_line_below_says_what_to_do_in_each_mode(window: Window) -> None:
    status, mode = window.panel.status, window.panel.annotate.mode
    assert status.text().startswith("Click on an object")
    window.press(mode.buttons[-1])
    assert "press Points" in status.text()
    window.press(mode.buttons[0])
    window.key(Key.Key_B)
    assert status.text() == "Drag a box around an object."
    window.key(Key.Key_B, Modifier.ShiftModifier)
    assert status.text() == "Drag a box around each object."
    row, column = DISCS[0]
    window.drag((row - 20, column - 20), (row + 20, column + 20))
    window.wait(lambda: status.text().startswith("1 object is proposed."))
