"""Accepted objects, changed in the window by mouse, keys and the list."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QPersistentModelIndex, Qt, QTimer
from qtpy.QtGui import QColor, QCursor
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QColorDialog

from napari_infosam._napari import commands, layers
from napari_infosam._napari.objects_model import AREA, CLASS, IOU, NUMBER, ObjectsModel
from napari_infosam._napari.overlap_question import OverlapQuestion
from napari_infosam.project import ObjectSummary, Project

from .helpers import DISCS, picture
from .window import Button, Modifier, Window

if TYPE_CHECKING:
    import pytest
    from numpy.typing import NDArray

    from napari_infosam._napari.objects_widget import ObjectsWidget

OpenWindow = Callable[..., Window]
Key = Qt.Key


def stored(window: Window) -> np.ndarray:
    """Return the label image on disk, after a look that it is the one in sight."""
    session = window.session
    assert session.desk.project is not None
    assert session.objects.image_id is not None
    labels = session.desk.project.label_image(session.objects.image_id)
    np.testing.assert_array_equal(window.layer(layers.OBJECTS).data, labels)
    return labels


def brush(window: Window, mode: str, value: int | None = None, size: int = 6) -> Any:
    """Take one of napari's tools into the hand."""
    layer = window.layer(layers.OBJECTS)
    QApplication.processEvents()  # the first accept made the project
    window.viewer.layers.selection.active = layer
    layer.mode = mode
    layer.brush_size = size
    if value is not None:
        layer.selected_label = value
    return layer


def listed(window: Window) -> ObjectsWidget:
    """Return the list, unfolded and up to date."""
    objects = window.panel.annotate.objects
    objects.section.is_open = True
    window.wait(lambda: objects.delete.height() > 10)
    number = window.session.objects_here()
    window.wait(lambda: objects.model.rowCount() == number)
    return objects


def click_row(
    window: Window, row: int, modifier: Modifier = Modifier.NoModifier
) -> None:
    window.click_row(window.panel.annotate.objects.table, row, 1, modifier)


def click_title(window: Window, column: int) -> None:
    header = window.panel.annotate.objects.table.horizontalHeader()
    x = header.sectionViewportPosition(column) + header.sectionSize(column) // 2
    where = header.viewport().rect().center()
    where.setX(x)
    window.qtbot.mouseClick(header.viewport(), Button.LeftButton, pos=where)


# --------------------------------------------------------------------- paint
def test_a_stroke_of_the_brush_is_on_disk_when_the_mouse_is_released(
    window: Window, projects: Any
) -> None:
    window.accept_at(*DISCS)
    before = stored(window)
    brush(window, "paint", 1)
    window.drag((10, 20), (10, 70))
    window.wait(lambda: window.session.labels[10, 40] == 1)
    after = stored(window)
    assert (after[10, 25:65] == 1).all()
    assert not window.session.prompts
    with Project.open(projects / "discs.infosam", lock=False) as reader:
        assert (reader.label_image(1) == after).all()
        assert reader.n_objects() == 3
    # napari's own undo would forget the project: ours has the key
    window.key(Key.Key_Z, Modifier.ControlModifier)
    np.testing.assert_array_equal(stored(window), before)
    assert "stroke" in window.panel.status.text()
    window.key(Key.Key_Z, Modifier.ControlModifier | Modifier.ShiftModifier)
    np.testing.assert_array_equal(stored(window), after)


def test_a_new_label_is_a_new_object_and_each_stroke_a_step(window: Window) -> None:
    window.accept_at(DISCS[0])
    layer = brush(window, "paint")
    assert layer.selected_label == 2  # the brush does not go on with object 1
    window.drag((100, 10), (100, 40))
    assert window.session.objects_here() == 2
    window.wait_still()
    window.drag((110, 10), (110, 40))
    window.wait_still()
    assert stored(window)[110, 20] == 2
    assert window.session.objects.summaries()[1].model_version == "painted"
    window.key(Key.Key_Z, Modifier.ControlModifier)
    labels = stored(window)
    assert labels[100, 20] == 2
    assert labels[110, 20] == 0
    window.key(Key.Key_Z, Modifier.ControlModifier)
    assert window.shown_objects() == {1}
    window.key(Key.Key_M)  # napari's own key goes on to work
    assert layer.selected_label == 2


def test_the_brush_stays_in_the_hand_from_slice_to_slice(
    open_window: Callable[..., Window],
) -> None:
    window = open_window(("stack", np.stack([picture(200), picture(180)])))
    window.viewer.dims.set_current_step(0, 0)
    window.wait_ready()
    window.accept_at(DISCS[0])
    layer = brush(window, "paint")
    window.drag((100, 10), (100, 40))
    assert window.session.objects_here() == 2
    for place in (1, 0, 1):
        window.viewer.dims.set_current_step(0, place)
        window.wait(lambda at=place: window.session.source.slice_index == (at,))
        window.wait_ready()
        window.wait(lambda: layer.mode == "paint")
    before = window.session.objects_here()
    window.drag((100, 60), (100, 90))
    assert window.session.objects_here() == before + 1
    assert not window.session.prompts
    # whoever puts it away does not get it back
    layer.mode = "pan_zoom"
    window.viewer.dims.set_current_step(0, 0)
    window.wait(lambda: window.session.source.slice_index == (0,))
    window.wait_ready()
    assert layer.mode == "pan_zoom"


def test_the_bucket_takes_an_object_away(window: Window) -> None:
    window.accept_at(*DISCS)
    brush(window, "fill", 0)
    window.click(*DISCS[1])
    window.wait(lambda: window.session.objects_here() == 2)
    assert stored(window)[DISCS[1]] == 0
    window.key(Key.Key_Z, Modifier.ControlModifier)
    assert window.shown_objects() == {1, 2, 3}


def test_the_eraser_corrects(window: Window) -> None:
    window.accept_at(DISCS[0])
    brush(window, "erase", size=10)
    area = int((stored(window) > 0).sum())
    row, column = DISCS[0]
    window.drag((row, column - 30), (row, column + 30))
    window.wait(lambda: window.session.labels[row, column] == 0)
    assert 0 < (stored(window) > 0).sum() < area


def test_a_polygon_is_ended_by_napari_s_key(window: Window) -> None:
    window.accept_at(DISCS[0])
    layer = brush(window, "polygon", 9)
    for place in ((90, 10), (90, 60), (120, 60)):
        # a single click of napari's waits for a second one
        window.click(*place)
        QApplication.processEvents()
    window.key(Key.Key_Enter)
    window.wait(lambda: window.session.objects_here() == 2)
    assert window.shown_objects() == {1, 9}
    assert layer.mode == "polygon"
    stored(window)


def test_an_action_right_after_a_stroke_does_not_get_ahead_of_it(
    window: Window,
) -> None:
    window.accept_at(*DISCS[:2])
    layer = brush(window, "fill", 7)
    layer.fill((100, 100), 7)  # reported before it is in the data
    commands.undo()
    assert window.session.objects_here() == 2
    assert 7 not in stored(window)
    commands.redo()
    assert (stored(window) == 7).any()


def test_painting_and_then_another_image(open_window: OpenWindow) -> None:
    stack = np.stack([picture(), picture(120)])
    window = open_window(("stack", stack))
    window.wait_ready()
    window.accept_at(DISCS[0])
    layer = brush(window, "paint")
    # while the new project is looked at in the background, and before it is taken
    layer.paint((100, 100), 5)
    window.viewer.dims.set_current_step(0, 1)
    window.wait(lambda: window.session.source.slice_index == (1,))
    assert window.session.desk.project.n_objects() == 2
    assert window.shown_objects() == set()
    window.viewer.dims.set_current_step(0, 0)
    window.wait(lambda: window.shown_objects() == {1, 5})


def test_what_is_painted_last_is_kept_when_the_panel_closes(
    window: Window, projects: Any
) -> None:
    window.accept_at(DISCS[0])
    layer = brush(window, "paint")
    layer.paint((100, 100), 5)
    window.panel.close_down()
    with Project.open(projects / "discs.infosam") as project:
        assert project.n_objects() == 2
        assert not layer.editable  # nobody would take a stroke any more
        layer.paint((20, 100), 6)
        QApplication.processEvents()
        assert project.n_objects() == 2


# ---------------------------------------------------------------------- keys
def test_keys_change_the_object_under_the_pointer(window: Window) -> None:
    session, status = window.session, window.panel.status
    window.accept_at(*DISCS)
    session.desk.add_class("nucleus")
    window.panel.annotate.classes.choice.setCurrentText("nucleus")
    window.panel.annotate.classes.choice.activated.emit(1)
    window.point_at(*DISCS[1])
    window.key(Key.Key_R)
    assert [o.class_name for o in session.objects.summaries()] == [
        "object",
        "nucleus",
        "object",
    ]
    assert status.text() == "Object 2: the class is nucleus now."

    for place in (DISCS[2], DISCS[1]):
        window.point_at(*place)
        window.key(Key.Key_A)
    window.key(Key.Key_J)
    assert window.shown_objects() == {1, 3}
    window.key(Key.Key_K)
    window.wait(lambda: window.shown_objects() == {1, 3, 4})
    stored(window)

    window.point_at(*DISCS[0])
    window.key(Key.Key_W)
    window.wait_answer()
    assert window.n_points == 1
    assert status.text().startswith("New mask for object 1; ")
    window.key(Key.Key_C)
    assert window.shown_objects() == {1, 3, 4}
    assert status.text() == "Object 1 (object) has its new mask."
    for _ in range(3):  # the new mask, its prompts, the split
        window.key(Key.Key_Z, Modifier.ControlModifier)
        stored(window)
    assert status.text() == "Took back the last split; redo does it again."


def test_objects_are_coloured_by_class(window: Window) -> None:
    session, layer = window.session, window.layer(layers.OBJECTS)
    window.accept_at(*DISCS)
    session.desk.add_class("nucleus")
    session.class_name = "nucleus"
    session.objects.relabel([2])

    def colors() -> np.ndarray:
        return np.round([layer.get_color(number) for number in (1, 2, 3)], 2)

    own = colors()
    assert len(np.unique(own, axis=0)) == 3
    window.key(Key.Key_Q)
    first, second, third = colors()
    np.testing.assert_array_equal(first, third)
    assert (first != second).any()
    objects = window.panel.annotate.objects
    assert objects.colors.buttons[1].isChecked()
    window.key(Key.Key_Z, Modifier.ControlModifier)
    np.testing.assert_array_equal(colors(), [first] * 3)
    # what is painted next has the colour of the chosen class
    np.testing.assert_array_equal(np.round(layer.get_color(77), 2), second)
    listed(window)
    window.press(objects.colors.buttons[0])
    np.testing.assert_array_equal(colors(), own)


def test_the_colour_of_a_class_is_changed_and_kept(
    window: Window, projects: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    color = window.panel.annotate.classes.color
    assert not color.isEnabled()
    window.accept_at(DISCS[0])
    window.panel.link.objects.by_class = True
    monkeypatch.setattr(QColorDialog, "getColor", lambda *_: QColor())
    window.press(color)  # nothing was chosen
    before = window.session.objects.colors()
    monkeypatch.setattr(QColorDialog, "getColor", lambda *_: QColor("#0a141e"))
    window.press(color)
    assert before[1] != "#0a141e"
    assert window.session.objects.colors() == {1: "#0a141e"}
    shown = window.layer(layers.OBJECTS).get_color(1)
    np.testing.assert_allclose(shown[:3], np.array((10, 20, 30)) / 255, atol=0.01)
    assert color.icon().pixmap(12).toImage().pixelColor(5, 5).name() == "#0a141e"
    with Project.open(projects / "discs.infosam", lock=False) as reader:
        assert reader.classes()[0].color == "#0a141e"


def test_changes_of_classes_are_taken_back_by_key(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    window.accept_at(*DISCS[:2])
    objects, classes = listed(window), window.panel.annotate.classes
    first = window.session.objects.next_color()

    def seen() -> tuple[list[str], str, str, set[str]]:
        names = [classes.choice.itemText(n) for n in range(classes.choice.count())]
        model = objects.model
        listed_as = {
            str(model.data(model.index(row, CLASS))) for row in range(model.rowCount())
        }
        image = classes.color.icon().pixmap(12, 12).toImage()
        swatch = image.pixelColor(image.width() // 2, image.height() // 2).name()
        return names, classes.choice.currentText(), swatch, listed_as

    def typed(name: str) -> None:
        window.qtbot.keyClicks(classes.name, name)  # the old one is selected
        window.key(Key.Key_Return, at=classes.name)

    states = [(["object"], "object", first, {"object"})]
    assert seen() == states[0]
    window.press(classes.rename)
    typed("cell")
    states.append((["cell"], "cell", first, {"cell"}))
    window.wait(lambda: seen() == states[1])
    monkeypatch.setattr(QColorDialog, "getColor", lambda *_: QColor("#123456"))
    window.press(classes.color)
    states.append((["cell"], "cell", "#123456", {"cell"}))
    window.wait(lambda: seen() == states[2])
    window.press(classes.add)
    typed("nucleus")
    nucleus = window.session.objects.next_color()
    states.append((["cell", "nucleus"], "nucleus", nucleus, {"cell"}))
    window.wait(lambda: seen() == states[3])

    taken_back = ("addition of the class nucleus", "change of colour of the class cell")
    for what, state in zip(
        (*taken_back, "rename of the class object to cell"), states[2::-1], strict=True
    ):
        window.key(Key.Key_Z, Modifier.ControlModifier)
        window.wait(lambda state=state: seen() == state)
        assert f"Took back the {what}; redo" in window.panel.status.text()
    assert window.session.objects_here() == 2
    again = Modifier.ControlModifier | Modifier.ShiftModifier
    for state in states[1:]:
        window.key(Key.Key_Z, again)
        window.wait(lambda state=state: seen() == state)
    assert window.panel.status.text() == "Did the addition of the class nucleus again."


def test_every_change_is_a_command(window: Window) -> None:
    window.accept_at(*DISCS)
    session = window.session
    session.desk.add_class("nucleus")
    session.class_name = "nucleus"
    session.objects.choose([1, 2])
    commands.relabel()
    assert [o.class_name for o in session.objects.summaries()][:2] == ["nucleus"] * 2
    commands.merge()
    assert window.shown_objects() == {1, 3}
    window.point_at(*DISCS[0])
    commands.split()
    window.wait(lambda: window.shown_objects() == {1, 3, 4})
    commands.continue_object()
    window.wait_answer()
    commands.reject()
    before = window.panel.link.objects.by_class  # remembered between windows
    commands.colors()
    assert window.panel.link.objects.by_class is not before
    under = session.objects.number_at(*DISCS[0])
    session.objects.choose({1, 3, 4} - {under})
    commands.delete()
    assert window.shown_objects() == {under}
    commands.delete()  # nothing is chosen: the one under the pointer
    assert window.shown_objects() == set()


# ------------------------------------------------------------------- overlap
def test_the_setting_decides_about_overlap(window: Window) -> None:
    brush(window, "paint", 1, size=24)
    window.click(*DISCS[0])
    window.wait(lambda: window.session.objects_here() == 1)
    painted = stored(window) == 1
    objects = listed(window)
    window.layer(layers.OBJECTS).mode = "pan_zoom"
    objects.overlap.setCurrentIndex(1)
    objects.overlap.activated.emit(1)
    window.accept_at(DISCS[0])
    assert (stored(window)[painted] == 1).all()
    assert window.shown_objects() == {1, 2}
    assert "earlier objects kept" in window.panel.status.text()


def test_a_question_comes_where_objects_overlap(window: Window) -> None:
    objects = listed(window)
    objects.overlap.setCurrentIndex(3)
    objects.overlap.activated.emit(3)
    window.accept_at(DISCS[0])
    shown: list[str] = []

    def answer(title: str) -> None:
        (question,) = window.panel.findChildren(OverlapQuestion)
        shown.append(question.text())
        (wanted,) = [b for b in question.buttons() if b.text() == title]
        QTest.mouseClick(wanted, Qt.MouseButton.LeftButton)

    def cancel() -> None:
        (question,) = window.panel.findChildren(OverlapQuestion)
        QTest.keyClick(question, Qt.Key.Key_Escape)

    window.click(*DISCS[0])
    window.wait_answer()
    QTimer.singleShot(300, cancel)
    window.key(Qt.Key.Key_C)
    assert window.shown_objects() == {1}
    assert window.session.proposal is not None
    QTimer.singleShot(300, partial(answer, "New object takes them"))
    window.key(Qt.Key.Key_C)
    assert shown[0].endswith("% of the new object is on object 1. Who gets the pixels?")
    window.wait(lambda: window.shown_objects() == {2})
    assert not window.panel.findChildren(OverlapQuestion)


def test_a_choice_leaves_the_active_layer_alone(window: Window) -> None:
    """Its layer comes and goes; controls that do, too, hold the window up."""
    window.accept_at(*DISCS)
    selection = window.viewer.layers.selection
    active, told = selection.active, []
    for events in (selection.events.active, selection.events.changed):
        events.connect(lambda event: told.append(event.type))
    window.session.objects.choose((1, 2))
    window.wait(lambda: layers.CHOSEN in window.viewer.layers)
    assert selection.active == active
    assert set(selection) == {active}
    assert not told
    window.viewer.layers.remove(layers.CHOSEN)
    told.clear()
    window.session.objects.choose((3,))
    window.wait(lambda: layers.CHOSEN in window.viewer.layers)
    assert not told
    # and the list of layers at the left knows which one is active
    window.viewer.layers.selection.active = window.layer(layers.CHOSEN)
    assert told


# ---------------------------------------------------------------------- list
def test_the_list_shows_sorts_and_jumps(window: Window) -> None:
    window.accept_at(*DISCS)
    row, column = DISCS[1]
    brush(window, "paint", 2)
    window.drag((row, column), (row + 30, column))
    window.wait(lambda: window.session.labels[row + 25, column] == 2)
    window.layer(layers.OBJECTS).mode = "pan_zoom"
    objects = listed(window)
    model = objects.model
    assert [model.data(model.index(0, c)) for c in (NUMBER, CLASS)] == ["1", "object"]
    assert float(model.data(model.index(0, IOU))) > 0.5
    assert objects.section.button.text().endswith("Objects (3)")
    click_title(window, AREA)
    click_title(window, AREA)
    assert model.numbers()[0] == 2

    camera = window.viewer.scene.camera
    image, box = window.layer("discs"), window.session.objects.find(2).box
    camera.zoom = 1
    window.wait(lambda: image.corner_pixels[1, 1] > box.x1)
    center = tuple(camera.center)
    click_row(window, 0)
    assert tuple(camera.center) == center  # it is in view
    camera.zoom = 8
    window.wait(lambda: image.corner_pixels[1, 1] < box.x1)
    click_row(window, 0)
    middle = [(box.y0 + box.y1) / 2, (box.x0 + box.x1) / 2]
    np.testing.assert_allclose(camera.center[-2:], middle)
    assert camera.zoom == 8
    assert window.layer(layers.OBJECTS).selected_label == 2
    assert window.session.objects.chosen == (2,)
    window.key(Key.Key_C)  # the keyboard does not stay in the list for good
    window.click(row, column)
    assert window.session.prompts


def edges_of_chosen(window: Window) -> NDArray[np.float32]:
    """Return where the dashes around the chosen objects begin, ``(N, 2)``."""
    QApplication.processEvents()  # they are drawn once the action is over
    return np.asarray(window.layer(layers.CHOSEN).data)[:, 0]


def test_chosen_objects_have_an_edge_in_the_picture(window: Window) -> None:
    window.accept_at(*DISCS)
    objects = listed(window)
    click_row(window, 0)
    box = window.session.objects.find(1).box
    edge = edges_of_chosen(window)
    np.testing.assert_allclose(edge.min(axis=0), (box.y0, box.x0), atol=1)
    np.testing.assert_allclose(edge.max(axis=0), (box.y1, box.x1), atol=1)
    click_row(window, 2, Modifier.ControlModifier)
    assert len(edges_of_chosen(window)) > len(edge)
    np.testing.assert_array_equal(edges_of_chosen(window)[: len(edge)], edge)
    click_row(window, 1)
    assert not np.isin(edges_of_chosen(window), edge).all()
    window.press(objects.delete)
    window.wait(lambda: not len(edges_of_chosen(window)))
    window.key(Key.Key_Z, Modifier.ControlModifier)
    window.wait(lambda: window.shown_objects() == {1, 2, 3})


def test_most_keys_pressed_in_the_list_are_those_of_the_viewer(window: Window) -> None:
    window.accept_at(*DISCS)
    objects = listed(window)
    click_row(window, 0)
    before = window.panel.link.objects.by_class
    window.qtbot.keyClick(objects.table, Key.Key_Q)
    assert window.panel.link.objects.by_class is not before
    painted = window.viewer.layers.selection.active = window.layer(layers.OBJECTS)
    window.qtbot.keyClick(objects.table, Key.Key_1)  # a key of napari
    assert painted.mode == "erase"
    window.qtbot.keyClick(objects.table, Key.Key_Down)
    assert window.session.objects.chosen == (2,)
    window.qtbot.keyClick(objects.table, Key.Key_A, Modifier.ControlModifier)
    assert window.session.objects.chosen == (2, 1, 3)


def test_chosen_rows_are_merged_relabelled_and_deleted(window: Window) -> None:
    window.accept_at(*DISCS)
    objects = listed(window)
    buttons = (objects.relabel, objects.merge, objects.delete)
    assert not any(button.isEnabled() for button in buttons)
    assert "two objects or more in the list" in objects.merge.toolTip()
    click_row(window, 0)
    assert [button.isEnabled() for button in buttons] == [True, False, True]
    click_row(window, 2, Modifier.ControlModifier)
    assert window.session.objects.chosen == (1, 3)
    window.press(objects.merge)
    assert window.shown_objects() == {1, 2}
    window.wait(lambda: objects.model.numbers() == [1, 2])
    assert window.session.objects.chosen == (1,)
    click_row(window, 1)
    window.session.desk.add_class("nucleus")
    window.session.class_name = "nucleus"
    assert "the class nucleus" in objects.relabel.toolTip()
    window.press(objects.relabel)
    window.wait(lambda: objects.model.data(objects.model.index(1, CLASS)) == "nucleus")
    assert window.session.objects.chosen == (2,)
    window.press(objects.delete)
    assert window.shown_objects() == {1}
    assert not objects.delete.isEnabled()


def test_objects_chosen_by_key_are_chosen_in_the_list(window: Window) -> None:
    window.accept_at(*DISCS)
    objects = listed(window)
    for place in (DISCS[2], DISCS[0]):
        window.point_at(*place)
        window.key(Key.Key_A)
    rows = {index.row() for index in objects.table.selectionModel().selectedRows()}
    assert rows == {0, 2}
    assert window.session.objects.chosen == (3, 1)
    window.key(Key.Key_J)
    assert window.shown_objects() == {2, 3}


def test_the_list_unfolds_where_there_is_room(window: Window) -> None:
    section = window.panel.annotate.objects.section
    window.viewer.window.resize(1000, 500)
    window.wait(lambda: not section.is_open)
    window.viewer.window.resize(1000, 1500)
    window.wait(lambda: section.is_open)
    window.viewer.window.resize(1000, 500)
    window.wait(lambda: not section.is_open)
    window.press(section.button)  # what a person does is left alone
    assert section.is_open
    window.viewer.window.resize(1000, 600)
    QApplication.processEvents()
    assert section.is_open


def test_the_list_makes_room_for_the_curves_of_a_training(window: Window) -> None:
    section = window.panel.annotate.objects.section
    window.viewer.window.resize(1000, 940)
    window.wait(lambda: section.is_open)
    learning = window.panel.session.learning
    learning.losses.extend([(1, 1.0), (2, 0.5)])
    learning.changed.emit()
    window.wait(lambda: not section.is_open)
    window.wait(lambda: not window.panel.learn.curves.visibleRegion().isEmpty())


def test_nothing_is_moved_from_below_the_pointer(window: Window) -> None:
    panel, section = window.panel, window.panel.annotate.objects.section
    window.viewer.window.resize(1000, 940)
    window.wait(lambda: section.is_open)
    QCursor.setPos(panel.mapToGlobal(panel.rect().center()))
    window.wait(panel.underMouse)
    panel.session.learning.losses.extend([(1, 1.0), (2, 0.5)])
    panel.session.learning.changed.emit()
    window.qtbot.wait(200)
    assert section.is_open
    QCursor.setPos(window.canvas.mapToGlobal(window.canvas.rect().center()))
    window.wait(lambda: not section.is_open)


def summary(number: int) -> ObjectSummary:
    rng = np.random.default_rng(number)
    return ObjectSummary(
        id=number,
        instance_id=number,
        class_name=f"class {number % 3}",
        area=int(rng.integers(1, 10_000)),
        score=None if number % 7 == 0 else float(rng.random()),
        model_version="base",
    )


def test_the_model_keeps_its_rows_together(qtmodeltester: Any) -> None:
    model = ObjectsModel()
    model.show([summary(number) for number in range(1, 30)], {"class 1": "#112233"})
    qtmodeltester.check(model)
    held = model.index(4, AREA)
    persistent, text = QPersistentModelIndex(held), model.data(held)
    for column in range(model.columnCount()):
        for order in (Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder):
            model.sort(column, order)
            now = model.index(persistent.row(), persistent.column())
            assert model.data(now) == text
            assert sorted(model.numbers()) == list(range(1, 30))
    model.sort(AREA, Qt.SortOrder.DescendingOrder)
    areas = [int(model.data(model.index(row, AREA))) for row in range(29)]
    assert areas == sorted(areas, reverse=True)


def test_the_model_takes_in_what_changed_and_no_more(qtmodeltester: Any) -> None:
    model, colors = ObjectsModel(), {"class 1": "#112233"}
    qtmodeltester.check(model)
    resets: list[None] = []
    model.modelReset.connect(lambda: resets.append(None))
    numbers = set(range(1, 60))
    model.show([summary(number) for number in numbers], colors)
    held = QPersistentModelIndex(model.index(30, AREA))
    came, gone = {70, 71, 80}, {1, 2, 9, 59}
    numbers = numbers - gone | came
    rows = {number: summary(number) for number in numbers}
    rows[20] = rows[20]._replace(class_name="class 1", area=7)
    resets.clear()
    model.show(list(rows.values()), colors)
    assert not resets
    assert model.numbers() == sorted(numbers)
    row = model.numbers().index(20)
    assert model.data(model.index(row, AREA)) == "7"
    assert model.number(held.row()) == 31
    # what changes places, and what is scattered, is shown as well
    model.sort(AREA)
    rows[20] = rows[20]._replace(area=99_999)
    model.show(list(rows.values()), colors)
    assert model.number(len(numbers) - 1) == 20
    model.show([rows[number] for number in numbers if number % 2], colors)
    assert sorted(model.numbers()) == sorted(n for n in numbers if n % 2)


def test_five_thousand_objects_are_listed_at_once(
    open_window: OpenWindow, projects: Any
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (1000, 1000), np.uint8)
    projects.mkdir()
    with Project.create(projects / "many.infosam") as project:
        image = project.add_image(pixels, "many")
        rows, columns = np.mgrid[0:1000, 0:1000]
        labels = (rows // 14) * 71 + columns // 14 + 1
        labels[(rows % 14 > 9) | (columns % 14 > 9) | (rows >= 994)] = 0
        labels[(columns >= 994) | (labels > 5000)] = 0
        places = np.argwhere(labels)
        project.edits.paint(image.id, places, labels[tuple(places.T)])
        assert project.n_objects() == 4970 + (5000 - 4970)
    window = open_window(("many", pixels))
    window.wait(lambda: window.session.objects_here() == 5000)
    objects = window.panel.annotate.objects
    start = time.perf_counter()
    listed(window)
    QApplication.processEvents()
    assert time.perf_counter() - start < 1
    assert objects.model.numbers()[-1] == 5000
    start = time.perf_counter()
    click_title(window, AREA)
    assert time.perf_counter() - start < 1


def test_no_object_is_grey(window: Window) -> None:
    layer = window.layer(layers.OBJECTS)
    for number in range(1, 50):
        color = layer.get_color(number)[:3]
        assert max(color) - min(color) > 0.3
