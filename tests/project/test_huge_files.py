from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_infosam.core.huge_image import HugeImage
from napari_infosam.project import Project
from napari_infosam.project.huge_files import open_huge

SIDE = 6000


def write(path: Path, side: int = SIDE) -> None:
    """Write an image that is black but for a pixel."""
    pixels = np.zeros((side, side), np.uint8)
    pixels[-1, -2] = 7
    match path.name:
        case "array.zarr":
            array = zarr.create_array(path, shape=pixels.shape, dtype="uint8")
            array[-1:, -2:] = pixels[-1:, -2:]
        case "image.ome.zarr":
            group = zarr.open_group(path, mode="w", zarr_format=2)
            for level in range(2):
                part = pixels[:: 2**level, :: 2**level]
                made = group.create_array(
                    str(level), shape=part.shape, dtype="uint8", chunks=(1000, 1000)
                )
                made[-1:, -2:] = part[-1:, -2:]
            paths = [{"path": "0"}, {"path": "1"}]
            group.attrs["multiscales"] = [{"version": "0.4", "datasets": paths}]
        case "tiled.tif":
            tifffile.imwrite(path, pixels, tile=(512, 512), compression="zlib")
        case "plain.tif":
            tifffile.imwrite(path, pixels)
        case "array.npy":
            np.save(path, pixels)


@pytest.mark.parametrize(
    "name", ["array.zarr", "image.ome.zarr", "tiled.tif", "plain.tif", "array.npy"]
)
def test_huge_files_are_opened_without_being_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write(path)
    found = open_huge(path)
    assert found is not None
    assert len(found.levels) == (2 if name == "image.ome.zarr" else 1)
    assert not found.rgb
    assert found.is_ngff == (name == "image.ome.zarr")
    level = found.levels[0]
    assert type(level) is not np.ndarray
    assert level.shape == (SIDE, SIDE)
    assert np.asarray(level[-1:, -3:]).tolist() == [[0, 7, 0]]


def test_other_files_are_left_to_others(tmp_path: Path) -> None:
    write(tmp_path / "plain.tif", 100)
    (tmp_path / "broken.tif").write_bytes(b"II*")
    (tmp_path / "empty.zarr").mkdir()
    (tmp_path / "text.txt").write_text("1")
    for path in tmp_path.iterdir():
        assert open_huge(path) is None


def test_an_image_is_known_again_where_its_file_went(tmp_path: Path) -> None:
    old, new = tmp_path / "array.npy", tmp_path / "moved.npy"
    write(old)

    def opened(path: Path) -> HugeImage:
        found = open_huge(path)
        assert found is not None
        return HugeImage(found.levels, path=str(path))

    with Project.create(tmp_path / "p.infosam") as project:
        record = project.add_image(opened(old), "array", source=str(old))
        write(tmp_path / "array.npy")  # touched
        assert project.find_image(opened(old).digest, str(old)) == record
        new.write_bytes(old.read_bytes())
        copy = opened(new)
        # while both are there they are two images
        assert project.find_image(copy.digest, str(new)) is None
        os.remove(old)
        assert project.find_image(copy.digest, str(new)) == record
        write(old)
        (row,) = project.listing.rows()
        project.listing.relink({row.id: str(new)})
        assert project.find_image(copy.digest, str(new)) == record
        assert project.add_image(copy, "array", source=str(new)) == record
        assert len(project.listing.rows()) == 1
        pixels = np.load(new)
        pixels[SIDE // 2, SIDE // 2] = 1
        np.save(new, pixels)
        assert project.find_image(opened(new).digest, str(new)) is None
