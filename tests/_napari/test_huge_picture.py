"""A huge picture in the window, and the parts that show it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_infosam._napari import layers
from napari_infosam._napari.difference import BOTH
from napari_infosam._napari.huge_picture import WindowedPicture, reader_of_crop
from napari_infosam._napari.placing import in_view
from napari_infosam._napari.proposals import WIDEST
from napari_infosam._napari.small_widgets import why_not
from napari_infosam.core.huge_image import HugeImage
from napari_infosam.core.metrics import iou
from napari_infosam.core.placed import Place, PlacedMask
from napari_infosam.project import Project
from napari_infosam.training.dataset import load_split

from .helpers import picture
from .test_versions_in_window import add_version
from .window import Modifier, Window

OpenWindow = Callable[..., Window]
Key = Qt.Key
SIDE, CHUNK = 20_000, 500
DISCS = ((10_050, 12_020), (10_150, 12_230), (3_000, 4_000))
RADIUS = 40


def pyramid() -> list[zarr.Array[Any]]:
    """Return sparse zarr arrays: nothing is stored but what lies around the discs."""
    levels = []
    for factor in (1, 4, 16, 40):
        side = SIDE // factor
        level = zarr.create_array(
            {}, shape=(side, side), chunks=(CHUNK, CHUNK), dtype="uint8", fill_value=30
        )
        for row, column in DISCS:
            top, left, size = row // factor, column // factor, RADIUS // factor
            part = np.s_[top - size : top + size + 1, left - size : left + size + 1]
            near = np.mgrid[-size : size + 1, -size : size + 1]
            level[part] = np.where(np.hypot(*near) < max(size, 1), 210, 30)
        levels.append(level)
    return levels


def disc(number: int) -> PlacedMask:
    near = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    row, column = DISCS[number]
    place = Place(row - RADIUS, column - RADIUS, (SIDE, SIDE))
    return PlacedMask(np.hypot(*near) < RADIUS, place)


def look_at(window: Window, number: int, zoom: float = 1.0) -> None:
    """Bring a disc to the middle of the window."""
    window.viewer.scene.camera.center = (0, *DISCS[number])
    window.viewer.scene.camera.zoom = zoom


def shown_around(window: Window, name: str, number: int) -> np.ndarray:
    """Return what a layer has around a disc, at full resolution."""
    row, column = DISCS[number]
    rows, columns = slice(row - 60, row + 61), slice(column - 60, column + 61)
    shown: np.ndarray = window.layer(name).data[0][rows, columns]
    return shown


def test_a_click_on_a_huge_picture_makes_an_object(open_window: OpenWindow) -> None:
    window = open_window(("slide", pyramid()), multiscale=True)
    window.wait_ready()
    assert isinstance(window.session.engine.pixels, HugeImage)
    assert window.session.labels is None
    look_at(window, 0)
    window.click(*DISCS[0])
    window.wait_answer()
    proposal = window.session.proposal
    assert proposal is not None
    assert iou(proposal.prediction.mask, disc(0)) > 0.9
    assert shown_around(window, layers.PROPOSAL, 0).any()

    window.key(Key.Key_C)

    assert set(np.unique(shown_around(window, layers.OBJECTS, 0))) == {0, 1}
    assert not shown_around(window, layers.PROPOSAL, 0).any()
    assert not window.layer(layers.OBJECTS).editable

    # the next disc, seen from farther away, is answered in a coarser tile
    look_at(window, 1, zoom=0.4)
    window.click(*DISCS[1])
    window.wait_answer()
    window.key(Key.Key_C)
    assert set(np.unique(shown_around(window, layers.OBJECTS, 1))) == {0, 2}
    window.click(*DISCS[1])  # the pointer is there
    window.key(Key.Key_Escape)
    window.key(Key.Key_D)
    assert not shown_around(window, layers.OBJECTS, 1).any()
    for _ in range(3):  # the rejected click and the delete
        window.key(Key.Key_Z, Modifier.ControlModifier)
    assert shown_around(window, layers.OBJECTS, 1).any()

    project = window.session.desk.project
    assert project is not None
    with Project.open(project.path, lock=False) as stored:
        (image,) = stored.images()
        assert image.shape == (SIDE, SIDE)
        records = stored.objects()
        assert [len(tiles) for tiles in (stored.tiles.stored(image.id),)] == [2]
        # what was accepted can be learnt, tile by tile
        split = load_split(stored)
    for number, record in enumerate(records):
        box, (row, column) = record.box, DISCS[number]
        assert (box.y0, box.y1) == pytest.approx((row - RADIUS, row + RADIUS), abs=6)
        assert (box.x0, box.x1) == pytest.approx(
            (column - RADIUS, column + RADIUS), abs=6
        )
    samples = (*split.train, *split.validation)
    assert {sample.shape for sample in samples} == {(1024, 1024)}
    assert sum(len(sample.rles) for sample in samples) == 2


@pytest.mark.parametrize("angle", [0, 90])
def test_what_is_in_view_is_what_is_seen(open_window: OpenWindow, angle: int) -> None:
    """Also where napari has drawn more before it was zoomed in."""
    plain = np.zeros((2048, 1024), np.uint8)
    window = open_window(("plain", plain))
    levels = [plain, plain[::4, ::4]]
    window.viewer.add_image(levels, name="levels", multiscale=True)
    images = window.viewer.layers["plain"], window.viewer.layers["levels"]
    for image in images:
        image.scale, image.translate, image.rotate = (0.5, 0.25), (30, -20), angle
    camera = window.viewer.scene.camera
    for n_zoomed in (1, 8, 40):
        camera.zoom = 4.0 * n_zoomed
        camera.center = images[0].data_to_world((700, 600))
        window.wait(lambda: in_view(window.viewer, images[0]) is not None)
        QTest.qWait(200)
        one, other = (in_view(window.viewer, image) for image in images)
        assert (other.x0, other.y0) == pytest.approx((one.x0, one.y0), abs=2)
        assert (other.x1, other.y1) == pytest.approx((one.x1, one.y1), abs=2)
    assert one.x1 - one.x0 < 200


def test_many_boxes_and_all_in_view_of_a_huge_picture(open_window: OpenWindow) -> None:
    window = open_window(("slide", pyramid()), multiscale=True)
    window.wait_ready()
    proposals, many = window.panel.proposals, window.panel.annotate.many
    many.fold.is_open = True
    assert many.each.isEnabled()
    assert many.propose.isEnabled()
    look_at(window, 0)
    window.key(Key.Key_B, Modifier.ShiftModifier)
    reach = RADIUS + 2
    for row, column in DISCS[:2]:
        window.drag((row - reach, column - reach), (row + reach, column + reach))
    window.wait(lambda: len(proposals.offered) == 2)
    for number in range(2):
        shown = shown_around(window, layers.PROPOSALS, number)
        assert set(np.unique(shown)) == {0, 1, 2, 3}
    assert iou(proposals.offered[1].small.mask(), disc(0)) > 0.9
    # seen from afar, each is still there
    coarse = window.layer(layers.PROPOSALS).data[3]
    assert coarse[DISCS[1][0] // 8, DISCS[1][1] // 8] > 0
    window.key(Key.Key_Z, Modifier.ControlModifier)
    assert not shown_around(window, layers.PROPOSALS, 1).any()
    window.key(Key.Key_Z, Modifier.ControlModifier | Modifier.ShiftModifier)
    window.wait(lambda: len(proposals.offered) == 2)
    window.key(Key.Key_C)

    assert layers.PROPOSALS not in window.viewer.layers
    for number in range(2):
        shown = shown_around(window, layers.OBJECTS, number)
        assert set(np.unique(shown)) == {0, number + 1}
    project = window.session.desk.project
    assert project is not None
    (image,) = project.images()
    assert len(project.tiles.stored(image.id)) == 1
    split = load_split(project)
    assert sum(len(s.rles) for s in (*split.train, *split.validation)) == 2
    window.key(Key.Key_Z, Modifier.ControlModifier)
    assert len(proposals.offered) == 2
    assert project.n_objects() == 0
    window.key(Key.Key_C)
    window.session.delete_at(*DISCS[1])
    assert project.n_objects() == 1

    # what is accepted is not proposed again
    look_at(window, 0, 0.5)
    window.panel.proposals.points_per_side = 12
    window.key(Key.Key_G)
    assert proposals.progress is not None
    window.wait(lambda: proposals.offered)
    (offer,) = proposals.offered.values()
    assert iou(offer.small.mask(), disc(1)) > 0.9
    window.session.objects.overlap = "keep"
    window.point_at(*DISCS[1])
    window.key(Key.Key_Y)
    assert project.n_objects() == 2
    assert len(np.unique(shown_around(window, layers.OBJECTS, 1))) == 2

    window.viewer.fit_to_view()
    window.wait(lambda: window.panel.link.many.in_view().x1 > 2 * WIDEST, 10)
    window.key(Key.Key_G)
    assert "Zoom in first" in window.panel.status.text()

    # and a small picture has its own
    window.viewer.add_image(picture(), name="discs")
    window.wait(lambda: window.session.source.name == "discs")
    window.wait_ready()
    window.panel.proposals.points_per_side = 6
    window.key(Key.Key_G)
    window.wait(lambda: proposals.offered)
    assert window.layer(layers.PROPOSALS).data.shape == picture().shape


def test_versions_are_compared_in_a_huge_picture(open_window: OpenWindow) -> None:
    window = open_window(("slide", pyramid()), multiscale=True)
    window.wait_ready()
    look_at(window, 0)
    window.accept_at(DISCS[0])
    desk = window.session.desk
    assert desk.project is not None
    add_version(desk.project)
    desk.activate("v001")
    window.wait(lambda: window.panel.versus.own == "v001")
    window.wait_ready()
    look_at(window, 1)
    window.click(*DISCS[1])
    window.wait_answer()
    window.key(Key.Key_O, Modifier.ShiftModifier)
    window.wait(lambda: window.panel.versus.is_shown)
    shown = shown_around(window, layers.PROPOSAL, 1)
    assert BOTH in shown
    assert iou(shown > 0, np.hypot(*np.mgrid[-60:61, -60:61]) < RADIUS) > 0.9
    window.key(Key.Key_O, Modifier.ShiftModifier)
    assert set(np.unique(shown_around(window, layers.PROPOSAL, 1))) == {0, 1, 2}


def test_what_a_huge_picture_does_not_take_says_so(open_window: OpenWindow) -> None:
    window = open_window(("stack", np.zeros((2, 16, 16), np.uint8)))
    window.wait_ready()
    panel = window.panel
    paint = panel.annotate.mode.buttons[2]
    follow = (panel.annotate.propagate.forwards, panel.annotate.propagate.backwards)
    assert all(button.isEnabled() for button in (paint, *follow))
    huge = np.broadcast_to(np.uint8(0), (2, SIDE, SIDE))
    window.viewer.add_image([huge, huge[:, ::40, ::40]], name="huge", multiscale=True)
    window.wait(lambda: window.session.source.is_huge)
    keys = Key.Key_P, Key.Key_X, Key.Key_Z
    for button, key in zip((paint, *follow), keys, strict=True):
        assert button.isVisible()
        assert "uge images" in why_not(button)
        window.key(key)
        assert panel.status.text() == why_not(button)
    assert "colours" in why_not(panel.annotate.channels)
    window.viewer.layers.selection.active = window.layer("stack")
    window.wait(lambda: not window.session.source.is_huge)
    assert all(button.isEnabled() for button in (paint, *follow))


def test_objects_are_found_again_and_small_pictures_are_as_always(
    open_window: OpenWindow,
) -> None:
    levels = pyramid()
    window = open_window(("slide", levels), multiscale=True)
    window.wait_ready()
    look_at(window, 2)
    window.click(*DISCS[2])
    window.wait_answer()
    window.key(Key.Key_C)
    assert shown_around(window, layers.OBJECTS, 2).any()

    window.viewer.add_image(picture(), name="discs")
    window.wait(lambda: window.session.source.name == "discs")
    window.wait_ready()
    assert not window.layer(layers.OBJECTS).multiscale
    assert window.layer(layers.OBJECTS).data.shape == picture().shape
    window.wait(lambda: window.layer(layers.OBJECTS).editable)

    window.viewer.layers.selection.active = window.layer("slide")
    window.wait(lambda: window.session.source.name == "slide")
    window.wait(lambda: window.layer(layers.OBJECTS).multiscale)
    window.wait(lambda: shown_around(window, layers.OBJECTS, 2).any())


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 9), st.integers(1, 5))
def test_a_crop_is_seen_in_its_place(
    row: int, column: int, size: int, step: int
) -> None:
    whole = np.zeros((40, 40), np.uint8)
    crop = np.arange(1, size * size + 1, dtype=np.uint8).reshape(size, size)
    whole[row : row + size, column : column + size] = crop
    read = reader_of_crop(crop, row, column)
    np.testing.assert_array_equal(
        read(range(0, 40, step), range(3, 37, step)), whole[::step, 3:37:step]
    )


def test_levels_are_read_in_parts_and_never_whole() -> None:
    asked = []

    def read(rows: range, columns: range) -> np.ndarray:
        asked.append(len(rows) * len(columns))
        return np.add.outer(np.array(rows) * 1000, np.array(columns))

    windowed = WindowedPicture((3000, 2001))
    assert not windowed.levels[0][5:9, 7].any()
    windowed.read = read
    levels = windowed.levels
    assert [level.shape for level in levels[:3]] == [
        (3000, 2001),
        (1500, 1001),
        (750, 501),
    ]
    assert max(levels[-1].shape) <= 32
    assert levels[0][2999:, 5:7].tolist() == [[2_999_005, 2_999_006]]
    assert levels[2][1:3, 500].tolist() == [4_000 + 2000, 8_000 + 2000]
    assert np.asarray(levels[-1]).shape == levels[-1].shape
    assert max(asked) < 2000
