"""The list of images in a real window, with mouse and keys."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QApplication, QComboBox, QFileDialog

from napari_infosam._napari import commands, image_opening, layers, list_changes
from napari_infosam._napari.image_source import slice_axes
from napari_infosam._napari.images_model import NAME, OBJECTS, SIDE, STATE
from napari_infosam.project.image_files import CancelledError

from .helpers import DISCS, picture
from .window import Modifier, Window, reopen

if TYPE_CHECKING:
    from napari_infosam._napari.images_widget import ImagesWidget

OpenWindow = Callable[..., Window]
Key = Qt.Key


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of three pictures."""
    made = tmp_path / "day 1"
    made.mkdir()
    for number in range(3):
        np.save(made / f"{number}.npy", picture(200 - 20 * number))
    return made


@pytest.fixture
def listed(
    open_window: OpenWindow, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Window:
    """Return a window in which the folder was added with the mouse."""
    window = open_window()
    window.add_folder(folder, monkeypatch)
    window.wait(lambda: names(window) == ["0.npy"])
    window.wait_ready()
    return window


def view(window: Window) -> ImagesWidget:
    return window.panel.images_view


def test_page_down_works_after_a_click_beside_the_buttons(listed: Window) -> None:
    window = listed
    window.press(window.panel.annotate.accept)  # it is disabled: the area is clicked
    area = window.panel._area
    area.activateWindow()
    area.setFocus()
    window.wait(area.hasFocus)
    window.key(Key.Key_PageDown, at=area)
    window.wait(lambda: names(window) == ["1.npy"])


@pytest.mark.parametrize("held", [Modifier.ShiftModifier, Modifier.ControlModifier])
def test_the_image_that_opens_is_chosen_alone_whatever_key_is_down(
    listed: Window, held: Modifier
) -> None:
    window = listed
    window.click(*DISCS[0], modifier=held)  # it stays down for Qt
    assert QApplication.keyboardModifiers() == held
    window.panel.images.go(window.panel.images.shown[2])
    window.wait(lambda: names(window) == ["2.npy"])
    chosen = view(window).table.selectionModel().selectedRows()
    assert [index.row() for index in chosen] == [2]


def test_the_brush_stays_in_the_hand_for_the_next_image(listed: Window) -> None:
    window = listed
    window.key(Key.Key_P)
    window.key(Key.Key_PageDown)
    window.wait(lambda: names(window) == ["1.npy"])
    window.wait_ready()
    assert window.panel.annotate.mode.buttons[2].isChecked()
    row, column = DISCS[0]
    window.drag((row, column - 10), (row, column + 10))
    window.wait(lambda: window.session.prompts.rough is not None)
    window.key(Key.Key_S)
    window.key(Key.Key_PageUp)
    window.wait(lambda: names(window) == ["0.npy"])
    assert window.panel.annotate.mode.buttons[0].isChecked()


def test_undo_names_the_image_and_counts_those_with_objects(listed: Window) -> None:
    window = listed
    window.accept_at(DISCS[0])
    window.key(Key.Key_PageDown)
    window.wait(lambda: names(window) == ["1.npy"])
    window.wait_ready()
    window.accept_at(DISCS[0])
    counts = window.panel.annotate.counts
    assert counts.text() == "1 object here, 2 in 2 images"
    for _ in range(3):  # the accept, its click, and the accept in the image before
        window.key(Key.Key_Z, Modifier.ControlModifier)
    said = window.panel.status.text()
    assert said == "Took back the last accept in 0.npy; redo does it again."
    assert counts.text() == "Nothing accepted yet."
    for _ in range(2):  # prompts of the object in work come first
        window.key(Key.Key_Z, Modifier.ControlModifier | Modifier.ShiftModifier)
    assert counts.text() == "0 objects here, 1 in 1 image"


def names(window: Window) -> list[str]:
    """Return the names of the image layers."""
    return [layer.name for layer in window.panel.link.images()]


def cells(window: Window, column: int) -> list[str]:
    """Return what a column of the table says."""
    model = view(window).model
    return [model.index(row, column).data() for row in range(model.rowCount())]


def double_click(window: Window, row: int) -> None:
    """Double-click on a row of the table, as a person does."""
    table = view(window).table
    window.panel._area.ensureWidgetVisible(table)
    port = table.viewport()
    place = table.visualRect(table.model().index(row, NAME)).center()
    window.qtbot.mouseClick(port, Qt.MouseButton.LeftButton, pos=place)
    window.qtbot.mouseDClick(port, Qt.MouseButton.LeftButton, pos=place)


def to_slice(window: Window, place: int) -> None:
    """Go to a slice of a stack, and wait until it can be clicked in."""
    window.viewer.dims.set_current_step(0, place)
    window.wait(lambda: window.session.source.slice_index == (place,))
    window.wait_ready()


def test_a_folder_is_worked_through(listed: Window, projects: Path) -> None:
    """Add, accept, mark, go on by key and button, and come back."""
    window = listed
    assert window.session.desk.path == projects / "day 1.infosam"
    assert cells(window, NAME) == ["0.npy", "1.npy", "2.npy"]
    assert cells(window, STATE) == ["new"] * 3
    assert not view(window).previous.isEnabled()
    assert "No previous image" in view(window).previous.toolTip()

    window.accept_at(DISCS[0], DISCS[1])
    assert cells(window, OBJECTS) == ["2", "", ""]
    window.key(Key.Key_R, Modifier.ShiftModifier)
    assert cells(window, STATE) == ["reviewed", "new", "new"]
    assert view(window).review.isChecked()
    assert "1 of 3 reviewed" in view(window).section.button.text()

    window.key(Key.Key_PageDown)
    window.wait(lambda: names(window) == ["1.npy"])
    assert window.shown_objects() == set()
    assert not view(window).review.isChecked()
    window.wait_ready()
    window.accept_at(DISCS[2])
    assert cells(window, STATE) == ["reviewed", "in work", "new"]
    window.press(view(window).next)
    window.wait(lambda: names(window) == ["2.npy"])
    assert not view(window).next.isEnabled()
    window.key(Key.Key_PageDown)
    assert "last image" in window.panel.status.text()

    double_click(window, 0)
    window.wait(lambda: names(window) == ["0.npy"])
    window.wait(lambda: window.shown_objects() == {1, 2})
    window.press(view(window).review)
    assert cells(window, STATE)[0] == "in work"
    assert not view(window).review.isChecked()
    # undo goes over images
    window.key(Key.Key_Z, Modifier.ControlModifier)
    window.wait(lambda: cells(window, OBJECTS) == ["2", "", ""])
    # its prompts wait there
    window.wait(lambda: cells(window, STATE)[1] == "in work")


def test_one_image_at_a_time_is_in_the_viewer_and_nothing_of_it_is_lost(
    listed: Window,
) -> None:
    window = listed
    window.click(*DISCS[0])
    window.wait_answer()
    painted = window.layer(layers.OBJECTS)
    painted.paint((100.0, 20.0), 1)  # a stroke that napari has not reported yet
    window.key(Key.Key_N)
    window.wait(lambda: names(window) == ["1.npy"])
    assert window.n_points == 0
    there = {layer.name for layer in window.viewer.layers}
    assert there - {layers.PREVIEW} == {
        "1.npy",
        layers.OBJECTS,
        layers.PROPOSAL,
        layers.BOXES,
        layers.POINTS,
    }
    window.wait(lambda: cells(window, OBJECTS)[0] == "1")
    assert cells(window, STATE) == ["in work", "new", "new"]
    window.key(Key.Key_PageUp)
    window.wait(lambda: names(window) == ["0.npy"])
    window.wait(lambda: window.n_points == 1 and window.proposal_area() > 0)
    window.wait(lambda: window.shown_objects() == {1})


def test_an_image_of_another_size_is_fitted_into_the_view(
    open_window: OpenWindow, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the same size is seen as the one before."""
    for number in (1, 2):
        np.save(folder / f"{number}.npy", np.tile(picture(180), (2, 3)))
    window = open_window()
    window.add_folder(folder, monkeypatch)
    window.wait(lambda: names(window) == ["0.npy"])
    window.wait_ready()
    camera = window.viewer.scene.camera
    camera.zoom = zoom = 9.0
    window.key(Key.Key_PageDown)
    window.wait(lambda: names(window) == ["1.npy"])
    rows, columns = window.panel.link.image.data.shape
    assert tuple(camera.center)[-2:] == ((rows - 1) / 2, (columns - 1) / 2)
    height, width = window.viewer.window._qt_viewer.canvas.size
    assert camera.zoom * rows <= height
    assert camera.zoom * columns <= width
    camera.zoom = zoom
    window.key(Key.Key_PageDown)
    window.wait(lambda: names(window) == ["2.npy"])
    assert camera.zoom == zoom


def test_an_image_that_is_not_there_yet_is_announced(
    listed: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    window, status, ahead = listed, listed.panel.status, listed.panel._lists[1]
    may_read, read = Event(), image_opening.read_listed

    def read_slowly(*args: Any) -> Any:
        may_read.wait(60)
        return read(*args)

    monkeypatch.setattr(image_opening, "read_listed", read_slowly)
    window.wait(lambda: ahead.ready is not None)
    ahead.take(0)
    window.key(Key.Key_PageDown)
    assert status.text() == "Opening 1.npy …"
    assert names(window) == ["0.npy"]
    may_read.set()
    window.wait(lambda: names(window) == ["1.npy"])
    assert "Opening" not in status.text()


def test_filters_choose_what_is_shown_and_what_comes_next(listed: Window) -> None:
    window, widget = listed, view(listed)
    window.accept_at(DISCS[0])
    window.qtbot.keyClicks(widget.search, "2.n")
    assert cells(window, NAME) == ["2.npy"]
    assert "1 of 3 shown" in widget.section.button.text()
    window.press(widget.next)
    window.wait(lambda: names(window) == ["2.npy"])
    window.key(Key.Key_Escape, at=widget.search)
    assert widget.model.rowCount() == 3
    widget.state.setFocus()
    window.qtbot.keyClicks(widget.state, "In")
    window.key(Key.Key_Return, at=widget.state)
    widget.state.activated.emit(widget.state.currentIndex())
    assert cells(window, NAME) == ["0.npy"]
    widget.state.setCurrentIndex(0)
    widget.least.setFocus()
    window.key(Key.Key_Up, at=widget.least)
    assert cells(window, NAME) == ["0.npy"]
    window.key(Key.Key_Up, at=widget.least)
    assert cells(window, NAME) == []
    assert not widget.next.isEnabled()


def test_a_project_goes_on_where_it_was_left(
    listed: Window, open_window: OpenWindow
) -> None:
    window = listed
    window.key(Key.Key_PageDown)
    window.wait(lambda: names(window) == ["1.npy"])
    window.wait_ready()
    window.session.desk.add_class("cell")
    window.session.class_name = "cell"
    window.accept_at(DISCS[1])
    window.click(*DISCS[0])
    window.wait_answer()
    camera = window.viewer.scene.camera
    camera.center, camera.zoom = (0.0, 50.0, 60.0), 7.0

    again = reopen(window, open_window)
    again.wait(lambda: names(again) == ["1.npy"])
    assert again.n_points == 1
    assert again.viewer.scene.camera.zoom == pytest.approx(7.0)
    assert tuple(again.viewer.scene.camera.center)[-2:] == (50.0, 60.0)
    assert again.panel.annotate.classes.choice.currentText() == "cell"
    again.wait(lambda: again.proposal_area() > 0)
    again.key(Key.Key_C)
    assert again.shown_objects() == {1, 2}


def test_a_rough_mask_and_the_meaning_of_a_click_come_back(
    listed: Window, open_window: OpenWindow
) -> None:
    """As after a crash: what was noted in the background is all there is."""
    window = listed
    row, column = DISCS[0]
    window.click(row, column)
    window.wait_answer()
    window.key(Key.Key_E)
    window.wait_answer()
    chosen = window.session.prompts
    assert chosen.choice is not None
    project, current = window.session.desk.project, window.panel.images.current
    assert project is not None
    assert current is not None

    def noted() -> dict[str, Any]:
        notes = project.listing.left(current).unfinished or {"slices": [{}]}
        return notes["slices"][0]

    window.wait(lambda: noted().get("choice") == chosen.choice)
    again = reopen(window, open_window)
    again.wait(lambda: again.session.prompts == chosen)
    again.wait_answer()
    assert again.session.work.meaning == chosen.choice
    again.key(Key.Key_Escape)

    again.key(Key.Key_P)
    again.layer(layers.ROUGH).brush_size = 16
    again.drag((row, column - 10), (row, column + 10))
    again.wait(lambda: again.session.prompts.rough is not None)
    painted = again.session.prompts
    project, current = again.session.desk.project, again.panel.images.current
    again.wait(lambda: noted().get("rough"))
    last = reopen(again, open_window)
    last.wait(lambda: last.session.prompts == painted)
    shown = np.asarray(last.layer(layers.ROUGH).data) > 0
    np.testing.assert_array_equal(shown, painted.rough.mask())
    last.wait_answer()
    last.key(Key.Key_C)
    assert last.shown_objects() == {1}


def with_a_stack(
    open_window: OpenWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Window:
    """Return a window at a stack of four slices, which a single picture follows."""
    stacks = tmp_path / "stacks"
    stacks.mkdir()
    np.save(stacks / "a.npy", np.stack([picture(90 + 30 * n) for n in range(4)]))
    np.save(stacks / "b.npy", picture())
    window = open_window()
    window.add_folder(stacks, monkeypatch)
    window.wait(lambda: names(window) == ["a.npy"])
    return window


@pytest.mark.slow
def test_the_slice_of_a_stack_comes_back(
    open_window: OpenWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = with_a_stack(open_window, tmp_path, monkeypatch)
    window.viewer.dims.set_current_step(0, 2)
    window.wait_ready()
    window.accept_at(DISCS[0])
    window.click(*DISCS[1])
    window.wait_answer()
    window.key(Key.Key_PageDown)
    window.wait(lambda: names(window) == ["b.npy"])
    window.key(Key.Key_PageUp)
    window.wait(lambda: names(window) == ["a.npy"])
    assert window.viewer.dims.current_step[0] == 2
    assert window.n_points == 1
    window.wait(lambda: window.shown_objects() == {1})

    again = reopen(window, open_window)
    again.wait(lambda: names(again) == ["a.npy"])
    assert again.viewer.dims.current_step[0] == 2
    assert again.n_points == 1
    again.wait(lambda: again.shown_objects() == {1})
    # the keys: slice after slice, then the next image
    again.key(Key.Key_N)
    assert again.viewer.dims.current_step[0] == 3
    again.key(Key.Key_N)
    again.wait(lambda: names(again) == ["b.npy"])


def test_what_is_unfinished_in_any_slice_and_image_comes_back(
    open_window: OpenWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash: what was noted in the background is all there is."""
    window = with_a_stack(open_window, tmp_path, monkeypatch)
    for place, number in ((0, 0), (2, 1), (3, 2)):
        to_slice(window, place)
        window.click(*DISCS[number])
        window.wait_answer()
    window.key(Key.Key_PageDown)
    window.wait(lambda: names(window) == ["b.npy"])
    window.wait_ready()
    window.click(*DISCS[1])
    window.wait_answer()
    project = window.session.desk.project
    assert project is not None
    one, other = sorted(window.panel.images.rows)

    def n_noted(listed_id: int) -> int:
        return len((project.listing.left(listed_id).unfinished or {}).get("slices", []))

    window.wait(lambda: (n_noted(one), n_noted(other)) == (3, 1))
    # one that nobody can read costs only itself
    notes = project.listing.left(one).unfinished
    assert notes is not None
    broken: list[Any] = ["?", {"slice": [1]}, {**notes["slices"][0], "slice": [9]}]
    broken += [{**notes["slices"][0], "at": float("nan")}]
    project.listing.begin({one: {"slices": [*broken, *notes["slices"]]}})
    monkeypatch.setattr(project.listing, "begin", lambda *_: None)  # killed

    again = reopen(window, open_window)
    again.wait(lambda: names(again) == ["b.npy"])
    assert again.n_points == 1
    again.key(Key.Key_PageUp)
    again.wait(lambda: names(again) == ["a.npy"])
    for place, number in ((3, 2), (2, 1), (0, 0)):
        to_slice(again, place)
        assert again.n_points == 1
        (point,) = again.session.prompts.points
        assert (point.y, point.x) == pytest.approx(DISCS[number], abs=1)
    to_slice(again, 1)
    assert again.n_points == 0
    # the last prompt is that of the other image, also after the night
    again.key(Key.Key_Z, Modifier.ControlModifier)
    assert "Took back the last prompt in b.npy" in again.panel.status.text()
    to_slice(again, 2)
    again.wait_answer()
    again.key(Key.Key_C)
    project = again.session.desk.project
    assert project is not None
    again.wait(lambda: (n_noted(one), n_noted(other)) == (2, 0))


def test_a_missing_file_is_said_and_found(
    listed: Window, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window, widget = listed, view(listed)
    moved = folder.with_name("moved")
    os.rename(folder, moved)
    window.panel.images.load()
    window.wait(lambda: cells(window, STATE) == ["missing"] * 3)
    assert widget.relink.isEnabled()
    assert "3 files are missing" in widget.relink.toolTip()
    double_click(window, 2)
    window.wait(lambda: "2.npy is missing" in window.panel.status.text())
    assert names(window) == ["0.npy"]

    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(moved))
    window.press(widget.relink)
    window.wait(lambda: cells(window, STATE) == ["new"] * 3)
    assert not widget.relink.isEnabled()
    double_click(window, 2)
    window.wait(lambda: names(window) == ["2.npy"])


def test_the_next_image_is_the_one_behind_a_file_that_can_not_be_read(
    listed: Window, folder: Path
) -> None:
    window = listed
    double_click(window, 2)
    window.wait(lambda: names(window) == ["2.npy"])
    (folder / "1.npy").write_bytes(b"no array")
    window.key(Key.Key_PageUp)
    window.wait(lambda: "1.npy can not be read" in window.panel.status.text())
    assert names(window) == ["2.npy"]
    window.key(Key.Key_PageUp)
    window.wait(lambda: names(window) == ["0.npy"])
    window.key(Key.Key_PageDown)
    window.wait(lambda: "1.npy can not be read" in window.panel.status.text())
    window.key(Key.Key_PageDown)
    window.wait(lambda: names(window) == ["2.npy"])


def test_values_that_can_not_be_shown_are_said_in_one_sentence(
    listed: Window, folder: Path
) -> None:
    window = listed
    np.save(folder / "2.npy", np.ones((20, 20), np.complex64))
    double_click(window, 2)
    window.wait(lambda: "values of type complex64" in window.panel.status.text())
    assert names(window) == ["0.npy"]


@pytest.mark.parametrize(
    ("axes", "shape", "channels", "slices"),
    [("CYX", (3, 40, 50), 0, []), ("CZYX", (2, 4, 40, 50), 0, [1])],
)
def test_axes_that_a_file_names_are_channels_and_slices(
    listed: Window,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    axes: str,
    shape: tuple[int, ...],
    channels: int,
    slices: list[int],
) -> None:
    window = listed
    pixels = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    tifffile.imwrite(folder / "more.tif", pixels, ome=True, metadata={"axes": axes})
    window.add_folder(folder, monkeypatch)
    window.wait(lambda: "more.tif" in cells(window, NAME))
    double_click(window, 3)
    window.wait(lambda: names(window) == ["more.tif"])
    window.wait(lambda: window.session.source.layer == "more.tif")
    image = window.viewer.layers["more.tif"]
    assert window.session.source.choice.axis == channels
    assert slice_axes(image, window.session.source.choice) == slices
    assert image.axis_labels == tuple(axes.lower())
    for axis in slices:
        window.viewer.dims.set_current_step(axis, 3)
    here = (3,) * len(slices)
    window.wait(lambda: window.session.source.slice_index == here)
    window.wait_ready()
    window.click(20, 20)
    window.wait_answer()
    double_click(window, 0)
    window.wait(lambda: names(window) == ["0.npy"])
    double_click(window, 3)
    window.wait(lambda: names(window) == ["more.tif"])
    window.wait(lambda: bool(window.session.prompts))
    assert window.session.source.slice_index == here


def test_ten_thousand_images(window: Window) -> None:
    """Opening and filtering take less than 200 ms of the window's thread."""
    commands.add_layers()
    window.wait(lambda: window.panel.images.current is not None)
    project = window.session.desk.project
    assert project is not None
    project.listing.add((f"i{n}.png", f"/none/i{n}.png") for n in range(10_000))
    image = project.images()[0]
    for number in range(50):
        project.commit(image.id, np.eye(128, 160, number, dtype=bool))
    widget, images = view(window), window.panel.images
    window.press(widget.section.button) if not widget.section.is_open else None

    def seconds(act: Callable[[], object]) -> float:
        start = time.thread_time()
        act()
        QApplication.processEvents()
        return time.thread_time() - start

    def choose(box: QComboBox, place: int) -> None:
        box.setCurrentIndex(place)
        box.activated.emit(place)

    took = {"open": seconds(images.load)}
    assert widget.model.rowCount() == 10_001
    window.wait(lambda: images.n_missing == 10_000)
    took["search"] = seconds(lambda: widget.search.setText("i9"))
    assert widget.model.rowCount() == 1111
    took["all"] = seconds(widget.search.clear)
    took["state"] = seconds(lambda: choose(widget.state, 1))
    assert widget.model.rowCount() == 10_000
    took["missing"] = seconds(lambda: choose(widget.state, 4))
    took["number"] = seconds(lambda: widget.least.setValue(3))
    assert widget.model.rowCount() == 0
    choose(widget.state, 0)
    assert cells(window, OBJECTS) == ["50"]
    took["accept"] = seconds(lambda: window.session.objects.changed.emit())
    assert max(took.values()) < 0.2, took


def test_the_panel_fits_a_low_screen_with_the_list_folded(listed: Window) -> None:
    window = listed
    widget = view(window)
    widget.section.is_settled = False
    window.viewer.window.resize(1000, 700)
    window.wait(lambda: not widget.section.is_open)
    area = window.panel._area
    window.wait(lambda: area.verticalScrollBar().maximum() == 0)
    assert widget.steps.isVisible()


def test_notes_and_reading_ahead_go_on_beside(listed: Window, folder: Path) -> None:
    """A killed window left its note a moment ago; the next image lies ready."""
    window = listed
    project, current = window.session.desk.project, window.panel.images.current
    assert project is not None
    assert current is not None
    ahead = window.panel._lists[1]
    window.wait(lambda: ahead.ready is not None)

    def noted() -> object:
        return project.listing.left(current).unfinished

    window.click(*DISCS[1])
    window.wait(noted)
    assert cells(window, STATE)[0] == "in work"
    window.wait_answer()
    window.key(Key.Key_Escape)
    window.wait(lambda: noted() is None)
    assert cells(window, STATE)[0] == "new"

    # it was read already: no round through another thread
    window.key(Key.Key_PageDown)
    assert names(window) == ["1.npy"]
    window.key(Key.Key_PageUp)
    window.wait(lambda: names(window) == ["0.npy"])

    # a key that is pressed again does not wait for the image on the way
    seen: list[list[str]] = []
    window.panel.link.images_changed.connect(lambda: seen.append(names(window)))
    ahead.take(0)
    window.key(Key.Key_PageDown)
    window.key(Key.Key_PageDown)
    window.wait(lambda: names(window) == ["2.npy"])
    assert all("1.npy" not in shown for shown in seen)

    window.key(Key.Key_PageUp)
    window.wait(lambda: names(window) == ["1.npy"])
    view(window).table.choose([2])
    window.press(view(window).remove)
    assert cells(window, NAME) == ["0.npy", "1.npy"]
    assert (folder / "2.npy").exists()


def test_open_layers_are_listed_and_never_put_away(
    window: Window, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands.add_layers()
    window.wait(lambda: window.panel.images.current is not None)
    assert cells(window, NAME) == ["discs"]
    assert "added to the list" in window.panel.status.text()
    window.accept_at(DISCS[0])
    assert cells(window, OBJECTS) == ["1"]

    window.add_folder(folder, monkeypatch)
    window.wait(lambda: len(cells(window, NAME)) == 4)
    assert names(window) == ["discs"]  # it is what the person looks at
    double_click(window, 2)
    window.wait(lambda: names(window) == ["discs", "1.npy"])
    window.key(Key.Key_PageDown)
    window.wait(lambda: names(window) == ["discs", "2.npy"])
    window.viewer.layers.remove("discs")
    double_click(window, 0)  # what the project has kept of it
    window.wait(lambda: names(window) == ["discs"])
    window.wait(lambda: window.shown_objects() == {1})


def test_long_adding_shows_a_bar_and_can_be_cancelled(
    window: Window, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(
        _: object, report: Callable[[int], None], cancelled: Callable[[], bool]
    ) -> list[Path]:
        while not cancelled():
            report(100)
            Event().wait(0.02)
        raise CancelledError

    monkeypatch.setattr(list_changes, "find_images", endless)
    window.add_folder(folder, monkeypatch)
    widget = view(window)
    assert not widget.work.isVisible()
    window.wait(widget.work.isVisible)
    window.wait(lambda: "Looking for images: " in window.panel.status.text())
    window.press(widget.cancel)
    window.wait(lambda: not widget.work.isVisible())
    assert "cancelled" in window.panel.status.text()
    assert cells(window, NAME) == []


def test_thumbnails_come_for_the_rows_in_sight(
    listed: Window, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real files, a broken one and a huge one; the list scrolls, nothing pops up."""
    window, widget = listed, view(listed)
    more = folder.parent / "more"
    more.mkdir()
    (more / "broken.png").write_bytes(b"no picture")
    huge = zarr.open_array(
        more / "huge.zarr", mode="w", shape=(50_000, 50_000), chunks=(512, 512)
    )
    huge[25_000:25_200, 25_000:25_400] = 9
    for number in range(20):
        tifffile.imwrite(more / f"z{number:02}.tif", picture(255 - number))
    said: list[bool] = []
    window.session.voice.said.connect(lambda _, failed: said.append(failed))
    window.add_folder(more, monkeypatch)
    window.wait(lambda: widget.model.rowCount() == 25)
    known = widget.model._thumbnails._known

    def has(name: str) -> bool:
        place = cells(window, NAME).index(name)
        return known.get(widget.model.listed_id(place)) is not None

    def color(name: str) -> QColor:
        place = cells(window, NAME).index(name)
        icon = widget.model.index(place, NAME).data(Qt.ItemDataRole.DecorationRole)
        pixmap = icon.pixmap(SIDE, SIDE)
        return QColor(pixmap.toImage().pixel(pixmap.width() // 2, 4))

    window.wait(lambda: has("0.npy"))
    assert color("0.npy").red() < 60  # dark above the discs
    last = cells(window, NAME)[-1]
    assert not has(last)  # what is out of sight is not read
    widget.table.scrollToBottom()
    window.wait(lambda: has(last))
    widget.table.scrollTo(
        widget.model.index(cells(window, NAME).index("huge.zarr"), NAME)
    )
    window.wait(lambda: has("huge.zarr"))
    place = cells(window, NAME).index("broken.png")
    widget.table.scrollTo(widget.model.index(place, NAME))
    broken = widget.model.listed_id(place)
    window.wait(lambda: broken in known)
    assert color("broken.png").name() == "#808080"
    assert not any(said)
