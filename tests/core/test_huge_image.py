from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.huge_image import HugeImage, likeness
from napari_infosam.core.preprocess import Preprocessing
from napari_infosam.core.prompts import Point, PromptSet
from napari_infosam.core.tiles import Tile, choose_tile

CHUNK = 1024


class Counted:
    """An array that notes which chunks of it were read."""

    def __init__(self, array: Any, chunk: int = CHUNK) -> None:
        self.array = array
        self.shape, self.dtype = array.shape, array.dtype
        self.chunk = chunk
        self.read: list[tuple[int, int]] = []
        self.most = 0

    def __getitem__(self, key: Any) -> Any:
        rows, columns = (
            range(*k.indices(n)) for k, n in zip(key, self.shape, strict=True)
        )
        self.most = max(self.most, len(rows) * len(columns))
        self.read += [
            (i, j)
            for i in range(rows[0] // self.chunk, rows[-1] // self.chunk + 1)
            for j in range(columns[0] // self.chunk, columns[-1] // self.chunk + 1)
        ]
        return self.array[key]


def sparse(side: int, dtype: str = "uint8") -> zarr.Array[Any]:
    """Return a square array in memory of which nothing is written."""
    return zarr.create_array(
        {}, shape=(side, side), chunks=(CHUNK, CHUNK), dtype=dtype, fill_value=7
    )


def tile_at(x: float, y: float, seen_at: float, side: int = 20_000) -> Tile:
    return choose_tile((side, side), PromptSet((Point(x, y),)), seen_at=seen_at)


def test_only_the_chunks_of_the_tile_are_read() -> None:
    level = Counted(sparse(20_000))
    image = HugeImage([level]).prepare()
    assert len(level.read) <= 4 * 9  # nine small blocks stand for all of it
    level.read.clear()
    pixels = image.read_tile(tile_at(9000, 12_000, 1))
    assert pixels.shape == (1024, 1024)
    assert (pixels == 7).all()
    assert 1 <= len(level.read) <= 4
    image.read_tile(tile_at(9000, 12_000, 1))
    assert len(level.read) <= 4  # it was kept


def test_a_coarse_tile_comes_from_a_coarse_level() -> None:
    levels = [Counted(sparse(20_000 // factor)) for factor in (1, 2, 4, 8, 16)]
    image = HugeImage(levels).prepare()
    assert [len(level.read) for level in levels[:-1]] == [0, 0, 0, 0]
    image.read_tile(tile_at(9000, 12_000, 4))
    assert [len(level.read) for level in levels[:2]] == [0, 0]
    assert 1 <= len(levels[2].read) <= 4


def test_without_levels_a_coarse_tile_is_read_in_bands() -> None:
    level = Counted(sparse(20_000))
    image = HugeImage([level]).prepare()
    pixels = image.read_tile(tile_at(9000, 12_000, 16))
    assert pixels.shape == (1024, 1024)
    assert level.most <= 2**24


@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.sampled_from([1, 2, 4]),
    st.sampled_from(["uint8", "uint16", "int16", "float32", "bool"]),
    st.integers(0, 2**16),
)
def test_a_tile_is_the_mean_of_its_blocks(
    height: int, width: int, stride: int, dtype: str, seed: int
) -> None:
    values = np.random.default_rng(seed).integers(
        0, 2 if dtype == "bool" else 99, (height, width)
    )
    pixels = values.astype(dtype)
    row, column = height // 2 // stride * stride, width // 3 // stride * stride
    tile = Tile(row, column, height - row, width - column, stride)
    how = Preprocessing(contrast="fixed", low=0, high=100)
    if dtype == "bool":
        how = Preprocessing()
    found = HugeImage([pixels], preprocessing=how).read_tile(tile)
    assert found.shape == tile.shape
    blocks = [
        [
            pixels[r : r + stride, c : c + stride].astype(float).mean()
            for c in range(column, width, stride)
        ]
        for r in range(row, height, stride)
    ]
    top = 1 if dtype == "bool" else 100
    np.testing.assert_allclose(found, np.array(blocks) / top * 255, atol=0.51)


def test_all_tiles_have_the_same_contrast() -> None:
    ramp = np.broadcast_to(np.arange(4096, dtype=np.uint16)[:, None] * 10, (4096, 4096))
    image = HugeImage([ramp])
    upper = image.read_tile(Tile(0, 0, 1024, 1024, 1))
    lower = image.read_tile(Tile(3072, 0, 1024, 1024, 1))
    assert upper.max() < lower.min()
    assert lower.max() > 240


def test_every_channel_has_its_own_contrast() -> None:
    dim_and_bright = np.zeros((2000, 2000, 2), np.uint16)
    dim_and_bright[::2, :, 0] = 50
    dim_and_bright[::2, :, 1] = 50_000
    found = HugeImage([dim_and_bright], rgb=True).read_tile(Tile(0, 0, 900, 900, 1))
    assert found.shape == (900, 900, 2)
    assert (found.max(axis=(0, 1)) == 255).all()


def test_a_plane_of_a_stack_is_read() -> None:
    stack = np.stack([np.full((300, 400), value, np.uint8) for value in (3, 9)])
    image = HugeImage([stack], index=(1,))
    assert image.shape == (300, 400)
    assert (image.read_tile(Tile(0, 0, 300, 400, 2)) == 9).all()
    assert image.digest != HugeImage([stack], index=(0,)).digest


def test_the_digest_knows_pixels_and_path() -> None:
    pixels = np.zeros((4000, 4000), np.uint8)
    plain = HugeImage([pixels]).digest
    assert plain.startswith("sampled-")
    assert HugeImage([pixels.copy()]).digest == plain
    changed = pixels.copy()
    changed[2000, 2000] = 1
    assert HugeImage([changed]).digest != plain
    here = HugeImage([pixels], path="/here/image.tif").digest
    there = HugeImage([pixels], path="/there/image.tif").digest
    assert len({plain, here, there}) == 3
    assert likeness(plain) == likeness(here) == likeness(there)
    assert likeness(HugeImage([changed]).digest) != likeness(plain)
    assert HugeImage([pixels], digest=here).digest == here


def test_a_level_that_does_not_fit_is_passed_over() -> None:
    fine, odd = np.full((3000, 3000), 5, np.uint8), np.full((1990, 1200), 9, np.uint8)
    image = HugeImage([fine, odd])
    assert (image.read_tile(Tile(0, 0, 3000, 3000, 4)) == 5).all()


def test_what_can_not_be_read_is_said() -> None:
    class Broken:
        shape, dtype = (9000, 9000), np.dtype(np.uint8)

        def __getitem__(self, key: Any) -> Any:
            raise OSError("no such chunk")

    with pytest.raises(InfosamError, match=r"no such chunk.*complete"):
        HugeImage([Broken()]).prepare()


def test_dask_arrays_and_tiled_tiff_are_read(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (700, 900), np.uint8)
    file = tmp_path / "tiled.tif"
    tifffile.imwrite(file, pixels, tile=(256, 256))
    tile = Tile(128, 256, 512, 600, 1)
    with tifffile.TiffFile(file) as tif, tif.aszarr() as store:
        tiff = zarr.open_array(store, mode="r")
        lazy = da.from_array(pixels, chunks=(128, 128))
        for array in (tiff, lazy):
            found = HugeImage([array]).read_tile(tile)
            np.testing.assert_array_equal(found, pixels[128:640, 256:856])
