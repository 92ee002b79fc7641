from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.layers import Image
from skimage import io

from napari_infosam._napari.launch import fill, run
from napari_infosam.core.errors import InfosamError
from napari_infosam.project import Project

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from pytestqt.qtbot import QtBot

    from napari_infosam._napari.widget import InfoSAMWidget

Fill = Callable[..., "InfoSAMWidget"]


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Viewer]) -> Viewer:
    return make_napari_viewer(show=True)


@pytest.fixture
def filled(viewer: Viewer) -> Iterator[Fill]:
    panels = []

    def made(
        paths: tuple[Path, ...] = (), project: Path | None = None, sample: bool = False
    ) -> InfoSAMWidget:
        panels.append(fill(viewer, paths, project, sample))
        return panels[-1]

    yield made
    for panel in panels:
        panel.close_down()


def images(viewer: Viewer) -> dict[str, Image]:
    return {layer.name: layer for layer in viewer.layers if isinstance(layer, Image)}


def test_the_sample_is_ready_to_click(
    viewer: Viewer, filled: Fill, qtbot: QtBot
) -> None:
    panel = filled(sample=True)
    qtbot.waitUntil(lambda: panel.session.source is not None)
    assert panel.session.source is not None
    assert "synthetic" in panel.session.source.name


def test_paths_are_opened(viewer: Viewer, filled: Fill, tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    io.imsave(path, np.eye(32, dtype=np.uint8) * 99, check_contrast=False)
    filled(paths=(path,))
    np.testing.assert_array_equal(images(viewer)["grey"].data, np.eye(32) * 99)


def test_of_several_paths_the_first_is_seen_with_the_prompts_above_it(
    viewer: Viewer, filled: Fill, tmp_path: Path, qtbot: QtBot
) -> None:
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    for number, path in enumerate(paths):
        pixels = np.full((30 + 40 * number, 32), 50 * number, np.uint8)
        io.imsave(path, pixels, check_contrast=False)
    panel = filled(paths=tuple(paths))
    qtbot.waitUntil(lambda: panel.session.source is not None)
    assert panel.session.source.name == "a"
    qtbot.waitUntil(lambda: "InfoSAM objects" in viewer.layers)
    names = [layer.name for layer in viewer.layers]
    assert names[:3] == ["c", "b", "a"]
    assert all(name.startswith("InfoSAM ") for name in names[3:])
    assert [i.visible for i in images(viewer).values()] == [False, False, True]
    zoom = viewer.scene.camera.zoom

    panel.link.stepping.next_picture()
    assert panel.link.image.name == "b"
    assert [i.visible for i in images(viewer).values()] == [False, True, False]
    assert viewer.scene.camera.zoom < 0.7 * zoom  # 70 rows instead of 30


def test_prompts_stay_above_an_image_that_is_opened_later(
    viewer: Viewer, filled: Fill, qtbot: QtBot
) -> None:
    viewer.add_image(np.zeros((30, 30), np.uint8), name="early")
    panel = filled()
    qtbot.waitUntil(lambda: "InfoSAM points" in viewer.layers)
    viewer.add_image(np.zeros((30, 30), np.uint8), name="late")
    qtbot.waitUntil(lambda: panel.session.source.name == "late")
    assert [layer.name for layer in viewer.layers] == [
        "early",
        "late",
        "InfoSAM objects",
        "InfoSAM proposal",
        "InfoSAM boxes",
        "InfoSAM points",
    ]


def test_a_project_goes_on_with_the_image_that_was_open_last(
    viewer: Viewer, filled: Fill, tmp_path: Path, qtbot: QtBot
) -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 255, (40, 50, 3), np.uint8)
    second = rng.integers(0, 255, (30, 30), np.uint8)
    with Project.create(tmp_path / "cells") as project:
        record = project.add_image(first, "first")
        project.add_image(second, "second")
        project.commit(record.id, np.eye(40, 50, dtype=bool))
        path = project.path
    panel = filled(project=path)
    qtbot.waitUntil(lambda: list(images(viewer)) == ["first"], timeout=60_000)
    assert images(viewer)["first"].rgb
    assert panel.session.desk.project is not None
    assert panel.session.desk.project.path == path
    # what was accepted before comes back
    qtbot.waitUntil(lambda: panel.session.objects_here() == 1, timeout=60_000)
    panel.link.actions["next_image"]()
    qtbot.waitUntil(lambda: list(images(viewer)) == ["second"], timeout=60_000)
    viewer.window.remove_dock_widget(panel)
    viewer.layers.clear()

    filled(project=path)
    qtbot.waitUntil(lambda: list(images(viewer)) == ["second"], timeout=60_000)


def test_with_a_project_a_folder_is_put_on_its_list(
    viewer: Viewer, filled: Fill, tmp_path: Path, qtbot: QtBot
) -> None:
    folder = tmp_path / "day"
    folder.mkdir()
    for number in (10, 2):
        pixels = np.full((30, 32), number, np.uint8)
        io.imsave(folder / f"{number}.png", pixels, check_contrast=False)
    panel = filled(paths=(folder,), project=tmp_path / "new.infosam")
    qtbot.waitUntil(lambda: list(images(viewer)) == ["2.png"], timeout=60_000)
    names = [row.name for row in panel.images.rows.values()]
    assert names == ["2.png", "10.png"]
    assert panel.session.desk.project is not None
    assert panel.session.desk.project.path == tmp_path / "new.infosam"

    # the same command another day goes on where one stopped
    panel.link.actions["next_image"]()
    qtbot.waitUntil(lambda: list(images(viewer)) == ["10.png"], timeout=60_000)
    viewer.window.remove_dock_widget(panel)
    viewer.layers.clear()
    filled(paths=(folder,), project=tmp_path / "new.infosam")
    qtbot.waitUntil(lambda: list(images(viewer)) == ["10.png"], timeout=60_000)


def test_a_new_project_is_made_where_it_was_wanted(
    viewer: Viewer, filled: Fill, tmp_path: Path
) -> None:
    panel = filled(project=tmp_path / "new.infosam")
    assert panel.session.desk.project is None
    assert panel.session.desk.path == tmp_path / "new.infosam"


def test_a_folder_that_is_no_project_is_refused_before_the_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    (tmp_path / "junk.infosam").mkdir()
    with pytest.raises(InfosamError, match="junk"):
        run([], tmp_path / "junk", False)
