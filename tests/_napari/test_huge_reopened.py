"""A huge image is found again: in the list, as a project folder, after a move."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr
from qtpy.QtWidgets import QFileDialog

from napari_infosam._napari import layers, readers
from napari_infosam.core.overview import CoarseLevel
from napari_infosam.project import Project

from .test_images_in_window import double_click, names, reopen, view
from .window import Window

OpenWindow = Callable[..., Window]
SIDE, RADIUS = 6000, 40
DISCS = ((1000, 1200), (1000, 1400), (4000, 3000))


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """Return a zarr array of one level; nothing is stored but around the discs."""
    path = tmp_path / "scans" / "slide.zarr"
    array = zarr.create_array(
        path, shape=(SIDE, SIDE), chunks=(500, 500), dtype="uint8", fill_value=30
    )
    near = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    for row, column in DISCS:
        rows = slice(row - RADIUS, row + RADIUS + 1)
        columns = slice(column - RADIUS, column + RADIUS + 1)
        array[rows, columns] = np.where(np.hypot(*near) < RADIUS, 210, 30)
    return path


def opened(
    open_window: OpenWindow, slide: Path, monkeypatch: pytest.MonkeyPatch
) -> Window:
    """Open a window with the slide in its list, and wait until it is embedded."""
    window = open_window()
    window.add_folder(slide.parent, monkeypatch)
    window.wait(lambda: names(window) == ["slide.zarr"])
    window.wait_ready()
    return window


def accept(window: Window, *places: tuple[int, int]) -> None:
    window.viewer.scene.camera.center = (0, *places[0])
    window.viewer.scene.camera.zoom = 1.0
    window.accept_at(*places)


def shown_at(window: Window, place: tuple[int, int]) -> int:
    """Return the object that is shown at a place."""
    layer = window.layer(layers.OBJECTS)
    return int(layer.data[0][place[0], place[1]]) if layer.multiscale else -1


def test_it_is_listed_reopened_and_relinked(
    open_window: OpenWindow, slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = opened(open_window, slide, monkeypatch)
    # napari reads what is in view: there are coarse levels that the file has not
    assert isinstance(window.layer("slide.zarr").data[1], CoarseLevel)
    accept(window, *DISCS[:2])
    project_path = window.session.desk.path

    again = reopen(window, open_window)
    again.wait(lambda: names(again) == ["slide.zarr"])
    again.wait(lambda: shown_at(again, DISCS[1]) == 2)

    again.close()
    moved = slide.parent.with_name("archive")
    os.rename(slide.parent, moved)
    last = open_window()
    last.session.desk.open(project_path)
    last.wait(lambda: "missing" in last.panel.status.text(), 20)
    assert "Relink" in last.panel.status.text()
    if not view(last).section.is_open:
        last.press(view(last).section.button)
    last.wait(view(last).relink.isEnabled)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(moved))
    last.press(view(last).relink)
    last.wait(lambda: not view(last).relink.isEnabled())
    double_click(last, 0)
    last.wait(lambda: names(last) == ["slide.zarr"])
    last.wait(lambda: shown_at(last, DISCS[1]) == 2)
    last.wait_ready()
    accept(last, DISCS[2])
    assert shown_at(last, DISCS[2]) == 3
    with Project.open(project_path, lock=False) as project:
        assert len(project.images()) == 1


def test_a_project_folder_opens_it_with_its_objects(
    open_window: OpenWindow, slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = opened(open_window, slide, monkeypatch)
    accept(window, DISCS[0])
    path = window.session.desk.path
    window.close()

    again = open_window()
    again.viewer.open(str(path), plugin="napari-infosam")
    assert [layer.name for layer in again.viewer.layers][:2] == [
        "slide.zarr",
        "slide.zarr objects",
    ]
    objects = again.layer("slide.zarr objects")
    assert objects.data[0][DISCS[0]] == 1
    assert objects.features["class"].tolist() == ["", "object"]
    # what is accepted on it goes into that project
    again.wait(lambda: again.session.desk.path == path)
    again.wait_ready()
    again.wait(lambda: again.session.objects_here() == 1)
    accept(again, DISCS[1])
    assert again.session.objects_here() == 2
    again.panel.close_down()

    os.rename(slide, slide.with_name("gone.zarr"))
    said: list[str] = []
    monkeypatch.setattr(readers, "show_warning", said.append)
    assert readers.read_projects(str(path)) == [(None,)]
    assert "slide.zarr" in said[0]
    assert "Relink" in said[0]


def test_the_tiles_around_are_embedded_ahead(
    open_window: OpenWindow, slide: Path
) -> None:
    window = open_window(("slide", zarr.open_array(slide, mode="r")[:, :]))
    window.wait_ready()
    embedding = window.session.engine.embedding
    accept(window, DISCS[0])
    first = embedding.at_hand()[-1]
    window.wait(lambda: len(embedding.at_hand()) == 9, 120)
    ahead = set(embedding.at_hand())
    window.viewer.scene.camera.center = (0, 1000, 1900)
    window.click(1000, 1900)
    window.wait_answer()
    answer = embedding.at_hand()[0]
    assert answer != first
    assert answer in ahead
