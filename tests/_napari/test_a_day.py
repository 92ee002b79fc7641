"""A day of labelling: ten images, sixty objects, every tool, and everything is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication
from skimage import io

from napari_infosam._napari import layers
from napari_infosam.core.metrics import iou
from napari_infosam.project import Project
from napari_infosam.project.formats.export import export_project

from .window import Button, Modifier, Window

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from numpy.typing import NDArray
    from pytestqt.qtbot import QtBot

Key = Qt.Key
N_IMAGES = 10
CENTRES = tuple((row, column) for row in (50, 150) for column in (50, 150, 250))
"""(row, column) of the six cells of an image."""
RADIUS = 26
GOOD = 0.8


def scan(number: int) -> NDArray[np.uint8]:
    """Return ``(200, 300)`` with six cells on a noisy ground."""
    image = np.random.default_rng(number).integers(25, 45, (200, 300))
    for cell in range(6):
        image[truth(cell)] = 150 + 15 * cell
    return image.astype(np.uint8)


def truth(cell: int) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:200, :300]
    row, column = CENTRES[cell]
    return np.hypot(rows - row, columns - column) < RADIUS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "scans"
    made.mkdir()
    for number in range(N_IMAGES):
        io.imsave(made / f"scan{number}.png", scan(number), check_contrast=False)
    return made


class Day:
    """What a person does in the window, by mouse and keys."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.accepts = (self._by_key, self._by_enter, self._by_button)
        self.n_accepted = 0

    # --------------------------------------------------------------- prompts
    def click(self, cell: int) -> None:
        self.window.click(*CENTRES[cell])

    def click_and_exclude(self, cell: int) -> None:
        row, column = CENTRES[cell]
        self.window.click(row, column)
        self.window.wait_answer()
        self.window.click(row, column + RADIUS + 14, Button.RightButton)

    def click_twice(self, cell: int) -> None:
        row, column = CENTRES[cell]
        self.window.click(row - 8, column - 8)
        self.window.wait_answer()
        self.window.click(row + 10, column + 10)

    def exclude_by_polarity(self, cell: int) -> None:
        row, column = CENTRES[cell]
        self.window.click(row, column)
        self.window.wait_answer()
        self.window.key(Key.Key_T)
        self.window.click(row - RADIUS - 14, column)
        self.window.key(Key.Key_T)

    def box(self, cell: int) -> None:
        row, column = CENTRES[cell]
        self.window.key(Key.Key_B)
        self.window.drag(
            (row - RADIUS - 2, column - RADIUS - 2),
            (row + RADIUS + 2, column + RADIUS + 2),
        )
        self.window.key(Key.Key_S)

    def box_and_click(self, cell: int) -> None:
        self.box(cell)
        self.window.wait_answer()
        self.window.click(*CENTRES[cell])

    # --------------------------------------------------------------- accept
    def accept(self) -> None:
        before = self.window.session.objects_here()
        self.window.wait_answer()
        self.accepts[self.n_accepted % len(self.accepts)]()
        self.n_accepted += 1
        self.window.wait(lambda: self.window.session.objects_here() == before + 1)

    def _by_key(self) -> None:
        self.window.key(Key.Key_C)

    def _by_enter(self) -> None:
        self.window.key(Key.Key_Return)

    def _by_button(self) -> None:
        self.window.press(self.window.panel.annotate.accept)

    # ---------------------------------------------------------- corrections
    def undo(self) -> None:
        self.window.key(Key.Key_Z, Modifier.ControlModifier)

    def redo(self) -> None:
        self.window.key(Key.Key_Z, Modifier.ControlModifier | Modifier.ShiftModifier)

    def over(self, cell: int, key: Key) -> None:
        """Press a key with the pointer over a cell."""
        self.window.point_at(*CENTRES[cell])
        self.window.key(key)

    def undo_and_redo(self) -> None:
        before = self.labels()
        self.undo()
        self.window.wait(lambda: self.window.session.objects_here() == 5, 10)
        self.redo()
        np.testing.assert_array_equal(self.labels(), before)

    def delete_and_undo(self) -> None:
        before = self.labels()
        self.over(3, Key.Key_D)
        self.window.wait(lambda: self.window.session.objects_here() == 5, 10)
        self.undo()
        np.testing.assert_array_equal(self.labels(), before)

    def delete_and_label_again(self) -> None:
        self.over(2, Key.Key_D)
        self.click(2)
        self.accept()

    def merge_and_split(self) -> None:
        self.over(0, Key.Key_A)
        self.over(1, Key.Key_A)
        self.window.key(Key.Key_J)
        self.window.wait(lambda: self.window.session.objects_here() == 5, 10)
        self.over(0, Key.Key_K)
        self.window.wait(lambda: self.window.session.objects_here() == 6, 10)

    def paint_a_correction(self) -> None:
        row, column = CENTRES[4]
        objects = self.window.layer(layers.OBJECTS)
        self.window.viewer.layers.selection.active = objects
        objects.mode = "paint"
        objects.brush_size = 8
        objects.selected_label = int(self.labels()[row, column])
        self.window.drag((row, column), (row, column + RADIUS + 8))
        self.window.wait(lambda: self.labels()[row, column + RADIUS + 6] != 0)
        self.window.viewer.layers.selection.active = self.window.panel.link.image

    def reject_a_proposal(self) -> None:
        self.window.click(100, 100)
        self.window.wait_answer()
        self.window.key(Key.Key_Escape)
        assert self.window.proposal_area() == 0

    def prompt_again(self) -> None:
        self.over(5, Key.Key_W)
        self.window.wait_answer()
        row, column = CENTRES[5]
        self.window.click(row + 6, column + 6)
        self.window.wait_answer()
        self.window.key(Key.Key_C)
        self.window.wait(lambda: not self.window.session.prompts)
        self.window.wait(lambda: self.window.session.objects_here() == 6, 10)

    def other_class(self) -> None:
        self.window.session.desk.add_class("mitosis")
        self.window.session.class_name = "mitosis"
        self.over(1, Key.Key_R)
        self.window.session.class_name = self.window.session.desk.classes()[0]

    def labels(self) -> NDArray[Any]:
        """Return what is seen, after a look that it is on disk."""
        QApplication.processEvents()
        project, image = (
            self.window.session.desk.project,
            self.window.session.objects.image_id,
        )
        assert project is not None
        assert image is not None
        stored = project.label_image(image)
        np.testing.assert_array_equal(self.window.layer(layers.OBJECTS).data, stored)
        return stored


@pytest.mark.slow
def test_a_day_of_labelling(
    folder: Path,
    tmp_path: Path,
    make_napari_viewer: Callable[..., Viewer],
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.open(sorted(folder.glob("*.png")), stack=False)
    window = Window(qtbot, viewer)
    day = Day(window)
    prompts = (
        day.click,
        day.box,
        day.click_and_exclude,
        day.click_twice,
        day.box_and_click,
        day.exclude_by_polarity,
    )
    corrections = (
        day.undo_and_redo,
        day.delete_and_undo,
        day.delete_and_label_again,
        day.merge_and_split,
        day.paint_a_correction,
        day.reject_a_proposal,
        day.prompt_again,
        day.other_class,
    )
    seen: dict[str, NDArray[Any]] = {}
    for number in range(N_IMAGES):
        window.wait_ready()
        for cell in range(6):
            prompts[(number + cell) % len(prompts)](cell)
            day.accept()
        corrections[number % len(corrections)]()
        source = window.session.source
        assert source is not None
        seen[source.name] = day.labels()
        window.key(Key.Key_N)
        window.wait(lambda name=source.name: window.session.source.name != name)
    assert len(seen) == N_IMAGES
    assert window.session.desk.project is not None
    path = window.session.desk.project.path
    window.close()

    with Project.open(path) as project:
        assert project.n_objects() == 6 * N_IMAGES
        for image in project.images():
            labels = project.label_image(image.id)
            np.testing.assert_array_equal(labels, seen[image.name])
            for cell in range(6):
                row, column = CENTRES[cell]
                assert iou(labels == labels[row, column], truth(cell)) > GOOD
        export_project(project, "coco", tmp_path / "day.json")
    coco = COCO(str(tmp_path / "day.json"))
    assert len(coco.imgs) == N_IMAGES
    assert len(coco.anns) == 6 * N_IMAGES
    names = {image["id"]: Path(image["file_name"]).stem for image in coco.imgs.values()}
    for annotation in coco.anns.values():
        mask = coco_mask.decode(coco.annToRLE(annotation)).astype(bool)
        shown = seen[names[annotation["image_id"]]]
        (value,) = np.unique(shown[mask])
        np.testing.assert_array_equal(mask, shown == value)

    again = make_napari_viewer(show=True)
    again.open(sorted(folder.glob("*.png")), stack=False)
    monkeypatch.setenv("INFOSAM_PROJECTS", str(path.parent))
    reopened = Window(qtbot, again)
    for _ in range(N_IMAGES):
        reopened.wait(lambda: len(reopened.shown_objects()) == 6)
        source = reopened.session.source
        assert source is not None
        np.testing.assert_array_equal(
            reopened.layer(layers.OBJECTS).data, seen.pop(source.name)
        )
        reopened.key(Key.Key_N)
        if seen:
            reopened.wait(lambda name=source.name: reopened.session.source.name != name)
    assert not seen
    reopened.panel.close_down()
