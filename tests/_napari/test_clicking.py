from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt
from vispy.scene import SceneCanvas

from napari_infosam._napari import layers
from napari_infosam.core.metrics import iou
from napari_infosam.project import Project

from .helpers import DISCS, disc, picture
from .window import Button, Modifier, Window

OpenWindow = Callable[..., Window]
Key = Qt.Key


def test_a_proposal_of_the_whole_picture_says_what_helps(window: Window) -> None:
    window.click(*DISCS[0])
    window.wait_answer()
    assert "expects IoU" in window.panel.status.text()
    answer = window.session.work.answer
    assert answer is not None
    answer.prediction.mask[:] = True
    window.session.engine.changed.emit()
    assert "draw a box (B) or paint (P)" in window.panel.status.text()


def test_click_then_c_makes_an_object(window: Window) -> None:
    window.click(*DISCS[0])
    assert window.n_points == 1
    window.wait_answer()
    shown = np.asarray(window.layer(layers.PROPOSAL).data) > 0
    assert iou(shown, disc(0)) > 0.8

    window.key(Key.Key_C)

    assert window.shown_objects() == {1}
    assert window.proposal_area() == 0
    assert window.n_points == 0
    project = window.session.desk.project
    assert project is not None
    with Project.open(project.path, lock=False) as stored:
        (record,) = stored.objects()
    np.testing.assert_array_equal(
        record.mask(), np.asarray(window.layer(layers.OBJECTS).data) == 1
    )
    # where the click was, in (x, y), within what a pixel of the screen is
    point = record.prompts.points[0]
    assert (point.y, point.x) == pytest.approx(DISCS[0], abs=0.6)
    assert window.panel.annotate.counts.text() == "1 object here, 1 in 1 image"

    undo, redo = window.panel.annotate.undo, window.panel.annotate.redo
    assert (undo.isEnabled(), redo.isEnabled()) == (True, False)
    window.press(undo)
    window.press(undo)  # the accept, then the click
    assert (undo.isEnabled(), redo.isEnabled()) == (False, True)
    assert window.shown_objects() == set()
    window.press(redo)


@pytest.mark.parametrize(
    ("button", "modifier"),
    [
        (Button.RightButton, Modifier.NoModifier),
        (Button.LeftButton, Modifier.ShiftModifier),
        (Button.LeftButton, Modifier.ControlModifier),
    ],
)
def test_a_negative_click_changes_the_mask(
    window: Window, button: Button, modifier: Modifier
) -> None:
    window.drag((18, 20), (64, 146))  # select nothing: this moves the picture
    assert not window.session.prompts
    window.click(*DISCS[0])
    window.wait_answer()
    before = np.asarray(window.layer(layers.PROPOSAL).data).copy()
    window.click(DISCS[0][0], DISCS[0][1] + 9, button, modifier)
    window.wait_answer()
    assert [p.positive for p in window.session.prompts.points] == [True, False]
    assert (np.asarray(window.layer(layers.PROPOSAL).data) != before).any()


def test_t_lets_plain_clicks_be_negative(window: Window) -> None:
    window.click(*DISCS[0])
    window.key(Key.Key_T)
    assert window.panel.annotate.polarity.buttons[1].isChecked()
    window.click(*DISCS[1])
    window.click(*DISCS[2], Button.RightButton)
    signs = [p.positive for p in window.session.prompts.points]
    assert signs == [True, False, True]
    window.wait_answer()
    window.key(Key.Key_C)
    assert not window.panel.link.tool.negative


def test_no_drawing_to_find_out_what_was_clicked_on(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vispy would draw the scene twice for each press, and let its camera follow."""
    searched: list[object] = []
    monkeypatch.setattr(
        SceneCanvas, "visual_at", lambda _canvas, where: searched.append(where)
    )
    window.click(*DISCS[0])
    window.key(Key.Key_B)
    row, column = DISCS[0]
    window.drag((row - 20, column - 20), (row + 20, column + 20))
    assert len(window.session.prompts) == 2
    assert searched == []
    window.panel.link.tool.active = False
    window.click(*DISCS[0])  # napari's again
    assert len(searched) == 1


def test_a_box_is_drawn_by_dragging_in_box_mode(window: Window) -> None:
    center = np.array(window.viewer.scene.camera.center)
    window.key(Key.Key_B)
    row, column = DISCS[1]
    window.drag((row - 20, column - 20), (row + 20, column + 20))
    box = window.session.prompts.box
    assert box is not None
    assert (box.x0, box.y0) == pytest.approx((column - 20, row - 20), abs=0.6)
    assert (box.x1, box.y1) == pytest.approx((column + 20, row + 20), abs=0.6)
    assert len(window.layer(layers.BOXES).data) == 1
    np.testing.assert_allclose(window.viewer.scene.camera.center, center)
    window.wait_answer()
    assert iou(np.asarray(window.layer(layers.PROPOSAL).data) > 0, disc(1)) > 0.8

    window.click(row, column)  # a click corrects in box mode as well
    assert len(window.session.prompts) == 2


@pytest.mark.parametrize(
    ("orientation", "sign"), [(("down", "right"), -1), (("up", "left"), 1)]
)
def test_a_drag_moves_the_picture_in_point_mode(
    window: Window, orientation: tuple[str, str], sign: int
) -> None:
    camera = window.viewer.scene.camera
    camera.orientation2d = orientation
    center = np.array(camera.center)
    window.drag((60, 60), (70, 100))
    assert not window.session.prompts
    moved = np.array(camera.center) - center
    np.testing.assert_allclose(moved[-2:], (10 * sign, 40 * sign), atol=1 / camera.zoom)


def test_a_drag_moves_nothing_where_the_camera_is_held(window: Window) -> None:
    camera = window.viewer.scene.camera
    camera.mouse_pan = False
    center = camera.center
    window.drag((60, 60), (70, 100))
    assert camera.center == center
    assert not window.session.prompts


def test_undo_and_redo_by_key(window: Window) -> None:
    control, shift = Modifier.ControlModifier, Modifier.ShiftModifier
    window.click(*DISCS[0])
    window.wait_answer()
    window.key(Key.Key_Return)
    assert window.shown_objects() == {1}
    window.click(*DISCS[1])
    window.key(Key.Key_Z, control)
    assert window.n_points == 0
    window.key(Key.Key_Z, control)
    assert window.shown_objects() == set()
    assert window.n_points == 1
    window.key(Key.Key_Z, control | shift)
    assert window.shown_objects() == {1}
    assert window.n_points == 0


@pytest.mark.parametrize("key", [Key.Key_Escape, Key.Key_C])
def test_a_proposal_is_rejected_by_key(window: Window, key: Qt.Key) -> None:
    window.click(*DISCS[0])
    window.wait_answer()
    shift = Modifier.ShiftModifier if key == Key.Key_C else Modifier.NoModifier
    window.key(key, shift)
    assert window.n_points == 0
    assert window.proposal_area() == 0
    assert window.shown_objects() == set()


def test_the_object_under_the_pointer_is_deleted(window: Window) -> None:
    window.click(*DISCS[0])
    window.wait_answer()
    window.key(Key.Key_C)
    window.click(*DISCS[0])  # the pointer is there, whatever was clicked
    window.key(Key.Key_Escape)
    window.key(Key.Key_D)
    assert window.shown_objects() == set()


def test_a_double_click_is_one_prompt_and_does_not_zoom(window: Window) -> None:
    zoom = window.viewer.scene.camera.zoom
    where = window.pixel(*DISCS[0])
    window.qtbot.mouseClick(window.canvas, Button.LeftButton, pos=where)
    window.qtbot.mouseDClick(window.canvas, Button.LeftButton, pos=where)
    assert window.n_points == 1
    assert window.viewer.scene.camera.zoom == zoom


def test_a_click_beside_the_image_is_no_prompt(window: Window) -> None:
    window.click(-20, 40)
    assert not window.session.prompts
    assert "inside the image" in window.panel.status.text()


def test_a_complaint_does_not_outlive_its_project(
    window: Window, tmp_path: Path
) -> None:
    window.click(-20, 40)
    assert "inside the image" in window.panel.status.text()
    window.session.desk.new(tmp_path / "other.infosam")
    assert "inside the image" not in window.panel.status.text()
    (tmp_path / "no.infosam").mkdir()
    window.session.desk.open(tmp_path / "no.infosam")
    assert "\N{WARNING SIGN}" in window.panel.status.text()


def test_clicks_before_the_model_is_there_are_kept(open_window: OpenWindow) -> None:
    window = open_window(("discs", picture()))
    assert not window.session.engine.is_ready
    window.click(*DISCS[0])
    assert window.n_points == 1
    assert "kept" in window.panel.status.text()
    window.wait_answer()
    assert window.proposal_area() > 0


def test_off_leaves_clicks_to_napari(window: Window) -> None:
    window.press(window.panel.annotate.mode.buttons[-1])
    window.click(*DISCS[0])
    assert not window.session.prompts
    window.key(Key.Key_C)
    window.press(window.panel.annotate.mode.buttons[0])
    window.click(*DISCS[0])
    assert window.n_points == 1


def test_clicks_in_a_layer_of_the_person_are_left_alone(window: Window) -> None:
    own = window.viewer.add_labels(np.zeros((128, 160), int), name="mine")
    own.mode = "paint"
    window.click(*DISCS[0])
    assert not window.session.prompts
    assert own.data.any()
    window.viewer.layers.selection.active = window.layer("discs")
    window.click(*DISCS[0])
    assert window.n_points == 1


def test_points_can_be_moved_and_removed_with_the_tools_of_napari(
    window: Window,
) -> None:
    window.click(*DISCS[0])
    window.click(*DISCS[1])
    window.wait_answer()
    points = window.layer(layers.POINTS)
    points.selected_data = {0}
    points.remove_selected()
    assert len(window.session.prompts.points) == 1
    assert window.session.prompts.points[0].x == pytest.approx(DISCS[1][1], abs=0.6)
    window.wait_answer()
    points.add([DISCS[2]])
    assert len(window.session.prompts.points) == 2
    window.key(Key.Key_Z, Modifier.ControlModifier)
    assert window.n_points == 1


def test_a_scaled_and_shifted_image_is_clicked_where_it_is(
    open_window: OpenWindow,
) -> None:
    window = open_window(("discs", picture()), scale=(0.5, 0.25), translate=(30, -7))
    window.wait_ready()
    for name in (layers.POINTS, layers.PROPOSAL, layers.OBJECTS, layers.BOXES):
        np.testing.assert_allclose(window.layer(name).scale, (0.5, 0.25))
        np.testing.assert_allclose(window.layer(name).translate, (30, -7))
    window.click(*DISCS[2])
    window.wait_answer()
    assert iou(np.asarray(window.layer(layers.PROPOSAL).data) > 0, disc(2)) > 0.8


def test_a_box_holds_all_that_was_dragged_over_on_a_turned_image(
    open_window: OpenWindow,
) -> None:
    window = open_window(("discs", picture()), rotate=45)
    window.wait_ready()
    window.key(Key.Key_B)
    image = window.panel.link.image
    assert image is not None
    middle = np.array(image.data_to_world(DISCS[0]))
    start, end = (image.world_to_data(middle + side) for side in (-25, 25))
    window.drag(tuple(start[-2:]), tuple(end[-2:]))
    box = window.session.prompts.box
    assert box is not None
    row, column = DISCS[0]
    reach = 25 * np.sqrt(2)  # half the diagonal of what was dragged over
    assert (box.x0, box.x1) == pytest.approx((column - reach, column + reach), abs=1.5)
    assert (box.y0, box.y1) == pytest.approx((row - reach, row + reach), abs=1.5)


def test_of_a_stack_the_slice_in_view_is_annotated(open_window: OpenWindow) -> None:
    stack = np.stack([picture(), picture(120), picture(90)])
    window = open_window(("stack", stack))
    window.viewer.dims.set_current_step(0, 1)
    window.wait(lambda: window.session.source.slice_index == (1,))
    window.wait_ready()
    window.click(*DISCS[0])
    window.wait_answer()
    window.key(Key.Key_C)
    assert window.shown_objects() == {1}
    window.key(Key.Key_N)
    window.wait(lambda: window.session.source.slice_index == (2,))
    assert window.shown_objects() == set()
    window.viewer.dims.set_current_step(0, 1)
    window.wait(lambda: window.shown_objects() == {1})
    project = window.session.desk.project
    assert project is not None
    assert project.path.name == "stack.infosam"
    assert [image.name for image in project.images()] == ["stack [1]"]


def test_a_single_image_is_chosen_beside_a_stack(open_window: OpenWindow) -> None:
    stack = np.stack([picture()[:90, :90]] * 2)
    window = open_window(("single", picture()), ("stack", stack))
    window.panel.annotate.image.activated.emit(0)
    window.wait(lambda: window.session.source.name == "single")
    assert window.layer("single").visible
    window.panel.annotate.image.activated.emit(1)
    window.wait(lambda: window.session.source.layer == "stack")


def test_what_is_seen_is_what_is_annotated(open_window: OpenWindow) -> None:
    window = open_window(("below", picture(120)), ("above", picture()))
    assert window.panel.link.image.name == "above"
    window.key(Key.Key_N)
    assert window.panel.link.image.name == "below"
    assert window.layer("below").visible
    assert not window.layer("above").visible
    window.viewer.layers.selection.active = window.layer("above")
    assert window.layer("above").visible
    window.wait(lambda: window.session.source.name == "above")
