"""Small pictures of listed images, and their cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from napari_infosam.core.channels import ChannelChoice
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.small_picture import small_picture
from napari_infosam.project import Project
from napari_infosam.project import thumbnails as module
from napari_infosam.project.thumbnails import SIDE, thumbnail


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with Project.create(tmp_path / "p") as made:
        yield made


def of(project: Project, path: Path) -> Any:
    (listed,) = project.listing.add([(path.name, str(path))])
    return thumbnail(next(r for r in project.listing.rows() if r.id == listed), project)


def test_sixteen_bits_are_stretched_and_the_middle_slice_is_taken(
    project: Project, tmp_path: Path
) -> None:
    stack = np.full((5, 90, 130), 1000, np.uint16)
    stack[2, :, 65:] = 1040
    tifffile.imwrite(tmp_path / "stack.tif", stack)
    picture = of(project, tmp_path / "stack.tif")
    assert picture.shape[2] == 3
    assert max(picture.shape) <= SIDE
    assert (picture[:, :20] == 0).all()
    assert (picture[:, -20:] == 255).all()


def test_the_channels_that_the_model_sees_are_seen(
    project: Project, tmp_path: Path
) -> None:
    path = tmp_path / "channels.npy"
    channels = np.zeros((3, 20, 20), np.uint8)
    channels[0], channels[2] = 50, 200
    np.save(path, channels)
    project.channels.put(str(path), ChannelChoice(axis=0, seen=(2, 0)))
    assert (of(project, path)[10, 10] == (200, 50, 0)).all()
    # another choice is another thumbnail
    project.channels.put(str(path), ChannelChoice(axis=0, seen=(0,)))
    assert (of(project, path) == 50).all()


def test_what_is_in_the_cache_is_not_read_again(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.full((30, 40), 7, np.uint8))
    first = of(project, path)
    with monkeypatch.context() as patch:
        patch.setattr(module, "open_lazily", lambda _: pytest.fail("it was read"))
        np.testing.assert_array_equal(of(project, path), first)
    np.save(path, np.full((30, 41), 9, np.uint8))
    assert (of(project, path) == 9).all()
    kept = list((project.cache_dir / "thumbnails").iterdir())
    for file in kept:
        file.write_bytes(b"broken")
    assert (of(project, path) == 9).all()


def test_a_huge_image_is_not_read_as_a_whole(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "huge.zarr"
    array = zarr.open_array(
        path, mode="w", shape=(60_000, 60_000), chunks=(512, 512), dtype="u2"
    )
    array[30_000:30_400, 30_000:30_400] = 999
    assert of(project, path).max() == 255

    class Counting:
        shape, n_read = (40_000, 50_000), 0

        def __getitem__(self, key: tuple[slice, slice]) -> Any:
            sides = [range(n)[cut] for n, cut in zip(self.shape, key, strict=True)]
            self.n_read += (sides[0][-1] - sides[0][0]) * (sides[1][-1] - sides[1][0])
            return np.zeros([len(side) for side in sides], np.uint8)

    image = Counting()
    assert small_picture(image, SIDE).shape == (64, 64, 3)
    assert 0 < image.n_read <= 2048**2


def test_without_a_file_it_is_the_copy_of_the_project(
    project: Project, tmp_path: Path
) -> None:
    project.add_image(np.full((30, 40), 70, np.uint8), "drawn")
    (row,) = project.listing.rows() or [None]
    assert row is not None
    assert (thumbnail(row, project) == 70).all()
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(Exception, match="cannot identify"):
        of(project, tmp_path / "broken.png")
    with pytest.raises(InfosamError, match="missing"):
        of(project, tmp_path / "nowhere.png")
