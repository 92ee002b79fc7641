"""Images whose files state how large a pixel is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_infosam._napari import layers
from napari_infosam.core.metrics import iou
from napari_infosam.project import Project

from .helpers import DISCS, disc, picture
from .window import Window

OpenWindow = Callable[..., Window]
SCALE = (0.25, 0.5)
"""(row, column) in micrometres."""

OURS = (layers.POINTS, layers.PROPOSAL, layers.OBJECTS, layers.BOXES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of two pictures, and a stack, as ImageJ saves them."""
    made = tmp_path / "day 1"
    made.mkdir()
    how: Any = {"imagej": True, "resolution": (1 / SCALE[1], 1 / SCALE[0])}
    for name, pixels, more in (
        ("a", picture(), {}),
        ("b", picture(180), {}),
        ("c", np.stack([picture(210 + z) for z in range(5)]), {"spacing": 2.0}),
    ):
        metadata = {"unit": "micron", "axes": "ZYX"[-pixels.ndim :]} | more
        tifffile.imwrite(made / f"{name}.tif", pixels, metadata=metadata, **how)
    return made


def opened(window: Window, name: str) -> Any:
    """Open an image of the list, and return its layer."""
    images = window.panel.images
    (row,) = (row for row in images.rows.values() if row.name == name)
    images.go(row.id)
    window.wait(lambda: window.panel.link.image is not None)
    window.wait(lambda: window.panel.link.image.name == name)
    window.wait_ready()
    return window.panel.link.image


@pytest.fixture
def window(open_window: OpenWindow, folder: Path, tmp_path: Path) -> Window:
    """Return a window that has the folder on its list."""
    with Project.create(tmp_path / "cells") as project:
        for path in sorted(folder.iterdir()):
            project.listing.add([(path.name, str(path))])
    made = open_window()
    made.session.desk.open(tmp_path / "cells.infosam")
    made.wait(lambda: made.panel.link.image is not None)
    return made


def check_click(window: Window, number: int) -> None:
    """Click on a disc: all of it, and nothing else, is proposed."""
    window.click(*DISCS[number])
    window.wait_answer()
    point = window.session.prompts.points[-1]
    assert np.hypot(point.y - DISCS[number][0], point.x - DISCS[number][1]) < 3
    shown = np.asarray(window.layer(layers.PROPOSAL).data) > 0
    assert iou(shown, disc(number)) > 0.8


def test_layers_have_the_size_and_clicks_land(window: Window) -> None:
    image = opened(window, "a.tif")
    np.testing.assert_allclose(image.scale, SCALE)
    assert [str(unit) for unit in image.units] == ["micrometer"] * 2
    for name in OURS:
        np.testing.assert_allclose(window.layer(name).scale, SCALE)
        assert window.layer(name).units == image.units
    check_click(window, 2)
    window.session.accept()
    project = window.session.desk.project
    assert project is not None
    # areas and boxes count pixels
    (found,) = project.objects()
    assert found.area == pytest.approx(np.count_nonzero(disc(2)), rel=0.15)
    assert found.box.y0 == pytest.approx(DISCS[2][0] - 18, abs=3)


def test_units_that_are_typed_are_followed(window: Window) -> None:
    image = opened(window, "a.tif")
    image.units = ("nm", "nm")
    image.scale = (125, 250)
    for name in OURS:
        np.testing.assert_allclose(window.layer(name).scale, (125, 250))
        assert window.layer(name).units == image.units
    window.viewer.fit_to_view()
    check_click(window, 0)
    window.session.accept()
    image.units = "pixel"
    image.scale = (1, 1)
    window.viewer.fit_to_view()
    check_click(window, 1)


def test_a_view_comes_back(window: Window, open_window: OpenWindow) -> None:
    opened(window, "b.tif")
    camera = window.viewer.scene.camera
    camera.center, camera.zoom = (0.0, 15.0, 35.0), 40.0
    path = window.session.desk.path
    window.close()
    again = open_window()
    again.session.desk.open(path)
    again.wait(lambda: again.panel.link.image is not None)
    assert again.panel.link.image.name == "b.tif"
    camera = again.viewer.scene.camera
    assert camera.zoom == pytest.approx(40)
    assert tuple(camera.center)[-2:] == pytest.approx((15, 35))


def test_slices_are_as_far_apart_as_stated(window: Window) -> None:
    image = opened(window, "c.tif")
    np.testing.assert_allclose(image.scale, (2, *SCALE))
    window.viewer.dims.set_current_step(0, 3)
    source = window.session
    window.wait(lambda: source.source is not None and source.source.slice_index == (3,))
    window.wait_ready()
    check_click(window, 1)
