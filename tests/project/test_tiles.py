from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.huge_image import HugeImage
from napari_infosam.core.masks import encode_rle
from napari_infosam.core.placed import Place, PlacedMask
from napari_infosam.core.prompts import Box, Point, PromptSet
from napari_infosam.core.tiles import Tile
from napari_infosam.project import Project
from napari_infosam.project.windows import in_tile, label_window, mask_window

FRAME = (20_000, 20_000)


@given(
    arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))),
    st.data(),
)
def test_a_window_is_a_part_of_the_mask(mask: np.ndarray, data: st.DataObject) -> None:
    def part(size: int) -> range:
        start = data.draw(st.integers(0, size - 1))
        return range(
            start, data.draw(st.integers(start, size)), data.draw(st.integers(1, 4))
        )

    rows, columns = part(mask.shape[0]), part(mask.shape[1])
    found = mask_window(encode_rle(mask), mask.shape[0], rows, columns)
    expected = mask[np.ix_(np.array(rows, int), np.array(columns, int))]
    np.testing.assert_array_equal(found, expected)


@pytest.fixture
def huge() -> HugeImage:
    """Return a huge image that takes no memory."""
    return HugeImage([np.broadcast_to(np.uint8(9), FRAME)])


def crop_at(row: int, column: int, size: int = 30, **place: Tile) -> PlacedMask:
    return PlacedMask(np.ones((size, size), bool), Place(row, column, FRAME, **place))


def test_objects_of_a_huge_image_are_kept_without_its_pixels(
    tmp_path: Path, huge: HugeImage
) -> None:
    tile = Tile(9728, 11_776, 1024, 1024, 1)
    with Project.create(tmp_path / "p.infosam") as project:
        image = project.add_image(huge, "slide")
        assert image.is_huge
        assert image.shape == FRAME
        assert project.add_image(huge, "slide").id == image.id
        prompts = PromptSet((Point(12_015, 10_015),))
        record = project.commit(image.id, crop_at(10_000, 12_000), prompts=prompts)
        assert (record.area, record.shape) == (900, FRAME)
        assert record.box == Box(12_000, 10_000, 12_029, 10_029)
        assert project.tiles.shared_out(image.id, [record]) == {}
        project.tiles.keep(image.id, tile, huge.read_tile(tile))
        project.tiles.keep(image.id, tile, huge.read_tile(tile))
        assert project.tiles.stored(image.id) == [tile]
        assert project.tiles.shared_out(image.id, [record]) == {tile: [record]}
        assert (project.tiles.read(image.id, tile) == 9).all()
        mask = in_tile(record, tile)
        assert mask.shape == (1024, 1024)
        assert mask.sum() == 900
        assert mask[10_000 - tile.row, 12_000 - tile.column]
        with pytest.raises(InfosamError, match="too large to be read as a whole"):
            project.read_image(image.id)
        stored = sum(f.stat().st_size for f in project.path.rglob("*") if f.is_file())
        assert stored < 4 * 2**20


def test_changes_of_objects_in_a_huge_image(tmp_path: Path, huge: HugeImage) -> None:
    with Project.create(tmp_path / "p.infosam") as project:
        image = project.add_image(huge, "slide")
        first = project.commit(image.id, crop_at(100, 200))
        second = project.commit(image.id, crop_at(110, 210), overlap="replace")
        assert second.area == 900
        (cut, _) = sorted(project.objects(image.id), key=lambda o: o.instance_id)
        assert cut.area == 900 - 400
        everywhere = range(0, FRAME[0], 10), range(0, FRAME[1], 10)
        coarse = project.tiles.label_window(image.id, *everywhere)
        assert coarse.shape == (2000, 2000)
        assert (coarse == 2).sum() == 9
        project.edits.replace(second.id, crop_at(500, 500, 10))
        here = range(495, 515), range(495, 515)
        assert (project.tiles.label_window(image.id, *here) == 2).sum() == 100
        assert project.undo() is not None
        assert not project.tiles.label_window(image.id, *here).any()
        here_now = sorted(project.objects(image.id), key=lambda o: o.instance_id)
        merged = project.edits.merge([o.id for o in here_now])
        assert merged.area == 1400
        assert merged.instance_id == first.instance_id


def test_of_two_tiles_the_finer_one_is_learnt_from(
    tmp_path: Path, huge: HugeImage
) -> None:
    fine, coarse = Tile(0, 0, 1024, 1024, 1), Tile(0, 0, 4096, 4096, 4)
    with Project.create(tmp_path / "p.infosam") as project:
        image = project.add_image(huge, "slide")
        for tile in (coarse, fine):
            project.tiles.keep(image.id, tile, huge.read_tile(tile))
        small = project.commit(image.id, crop_at(100, 100))
        large = project.commit(image.id, crop_at(100, 100, 2000))
        shared = project.tiles.shared_out(image.id, [small, large])
        assert shared == {fine: [small], coarse: [large]}
        assert in_tile(large, coarse).sum() == 500**2


def test_a_mask_of_another_image_is_refused(tmp_path: Path, huge: HugeImage) -> None:
    with Project.create(tmp_path / "p.infosam") as project:
        image = project.add_image(huge, "slide")
        other = PlacedMask(np.ones((3, 3), bool), Place(0, 0, (9, 9)))
        with pytest.raises(InfosamError, match="give a mask of this image"):
            project.commit(image.id, other)
        empty = PlacedMask(np.zeros((3, 3), bool), Place(0, 0, FRAME))
        with pytest.raises(InfosamError, match="empty"):
            project.commit(image.id, empty)


def test_higher_numbers_are_on_top(tmp_path: Path) -> None:
    with Project.create(tmp_path / "p.infosam") as project:
        image = project.add_image(np.zeros((40, 50), np.uint8), "small")
        for start in (5, 10):
            mask = np.zeros((40, 50), bool)
            mask[start : start + 20, start : start + 20] = True
            project.commit(image.id, mask)
        whole = project.label_image(image.id)
        rows, columns = range(3, 40, 2), range(0, 50, 3)
        np.testing.assert_array_equal(
            project.tiles.label_window(image.id, rows, columns), whole[3::2, ::3]
        )
        records = project.objects(image.id)
        assert label_window(records, range(0), range(5)).shape == (0, 5)
