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

from napari_infosam._napari import layers
from napari_infosam._napari.huge_picture import WindowedPicture, reader_of_crop
from napari_infosam.core.huge_image import HugeImage
from napari_infosam.core.metrics import iou
from napari_infosam.core.placed import Place, PlacedMask
from napari_infosam.project import Project
from napari_infosam.training.dataset import load_split

from .helpers import picture
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
