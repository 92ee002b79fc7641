"""Exports of an image so large that its frame could not be made."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
import zarr
from PIL import Image
from pycocotools import mask as coco

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.huge_image import HugeImage
from napari_infosam.core.placed import Place, PlacedMask, _compressed
from napari_infosam.core.prompts import Box
from napari_infosam.core.tiles import Tile
from napari_infosam.project import Project
from napari_infosam.project.formats.export import FORMATS, Format, export_project

SIDE = 70_000
"""Of the image: more pixels than 32 bits can count, 20 GB as a label image."""

PLACES = ((69_400, 69_800), (10_000, 12_000), (10_015, 12_010))
"""(row, column) of squares of 30 pixels, the last two of which overlap."""

TILE = Tile(9728, 11_776, 1024, 1024, 1)


@pytest.fixture
def huge(tmp_path: Path) -> Iterator[Project]:
    """Return a project of a huge image that takes no memory, and a small one."""
    pixels = HugeImage([np.broadcast_to(np.uint8(9), (SIDE, SIDE))])
    square = np.ones((30, 30), bool)
    with Project.create(tmp_path / "huge") as project:
        image = project.add_image(pixels, "slide", source="/scans/slide.zarr")
        for row, column in PLACES:
            project.commit(
                image.id, PlacedMask(square, Place(row, column, (SIDE, SIDE)))
            )
        project.tiles.keep(image.id, TILE, pixels.read_tile(TILE))
        small = project.add_image(np.zeros((40, 50), np.uint8), "small")
        project.commit(small.id, np.eye(40, 50, dtype=bool))
        yield project


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_written_in_little_memory(
    huge: Project, tmp_path: Path, kind: Format
) -> None:
    seen: list[float] = []
    tracemalloc.start()
    report = export_project(
        huge, kind, tmp_path / "out", on_progress=lambda done, _: seen.append(done)
    )
    grown = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (report.n_images, report.n_objects) == (2, 4)
    assert grown < 120e6
    assert seen == sorted(seen)
    assert seen[-1] == 2
    if kind in ("labels", "semantic", "ome-zarr"):
        assert len(seen) > 5
        assert "slide: 1 of 3 objects lie under others" in (
            note.replace(".tif", "") for note in report.notes
        )
    check = {
        "labels": _check_labels,
        "semantic": _check_semantic,
        "coco": _check_coco,
        "yolo": _check_yolo,
        "geojson": _check_geojson,
        "ome-zarr": _check_ome_zarr,
    }
    check[kind](report.path)


def _expected(row: int, column: int, side: int) -> np.ndarray:
    """Return what the label image has from a place on."""
    labels = np.zeros((side, side), int)
    for number, (top, left) in enumerate(PLACES, start=1):
        rows, columns = np.arange(side) + row, np.arange(side) + column
        inside = np.outer(
            (rows >= top) & (rows < top + 30), (columns >= left) & (columns < left + 30)
        )
        labels[inside] = number
    return labels


def _check_labels(out: Path, *, classes: bool = False) -> None:
    with tifffile.TiffFile(out / "slide.tif") as file:
        assert file.pages[0].shape == (SIDE, SIDE)
        assert file.pages[0].dtype == (np.uint8 if classes else np.uint16)
        with file.aszarr() as store:
            array = zarr.open_array(store, mode="r")
            for row, column in ((9990, 11_990), (69_390, 69_790)):
                part = array[row : row + 200, column : column + 200]
                expected = _expected(row, column, 200)
                if classes:
                    expected = expected > 0
                np.testing.assert_array_equal(part, expected)
    assert tifffile.imread(out / "small.tif").sum() == 40


def _check_semantic(out: Path) -> None:
    _check_labels(out, classes=True)


def _check_coco(out: Path) -> None:
    content = json.loads((out / "annotations.json").read_text())
    first = content["annotations"][0]
    assert first["bbox"] == [69_800, 69_400, 30, 30]
    assert first["area"] == 900


def _check_geojson(out: Path) -> None:
    features = json.loads((out / "slide.geojson").read_text())["features"]
    corners = np.array(features[0]["geometry"]["coordinates"][0])
    assert corners.min(axis=0).tolist() == [69_800, 69_400]
    assert corners.max(axis=0).tolist() == [69_830, 69_430]


def _check_yolo(out: Path) -> None:
    names = yaml.safe_load((out / "data.yaml").read_text())["names"]
    assert list(names.values()) == ["object"]
    (picture,) = (out / "images" / "val").glob("slide*.png")
    assert (np.asarray(Image.open(picture)) == 9).all()
    lines = (out / "labels" / "val" / f"{picture.stem}.txt").read_text().splitlines()
    assert len(lines) == 2  # the first square lies in no stored tile
    found = np.array([line.split()[1:] for line in lines], float) * 1024
    assert found[0].reshape(-1, 2).min(axis=0).tolist() == [224, 272]


def _check_ome_zarr(out: Path) -> None:
    group = zarr.open_group(out / "slide.ome.zarr" / "labels" / "objects", mode="r")
    paths = [d["path"] for d in group.attrs["multiscales"][0]["datasets"]]
    levels = [group[path] for path in paths]
    assert levels[0].shape == (SIDE, SIDE)
    assert max(levels[-1].shape) <= 1024
    whole = _expected(9990, 11_990, 200)
    np.testing.assert_array_equal(levels[0][9990:10_190, 11_990:12_190], whole)
    coarse = levels[1][4995:5095, 5995:6095]
    np.testing.assert_array_equal(coarse, whole[::2, ::2])
    files = [f for f in (out / "slide.ome.zarr").rglob("*") if f.is_file()]
    assert len(files) < 60  # chunks without objects are not there


def test_png_and_a_stop_leave_nothing(huge: Project, tmp_path: Path) -> None:
    with pytest.raises(InfosamError, match=r"70000 x 70000.*export TIFF"):
        export_project(huge, "labels", tmp_path / "out", png=True)

    def stop(done: float, _: int) -> None:
        if 0 < done < 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_project(huge, "labels", tmp_path / "out", on_progress=stop)
    assert {path.name for path in tmp_path.iterdir()} == {"huge.infosam"}


def test_long_runs_are_written_as_short_ones_are() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 3000, 40).tolist()
    height = sum(counts)
    known = coco.frPyObjects({"size": [height, 1], "counts": counts}, height, 1)
    assert _compressed(counts) == known["counts"]


def test_a_huge_object_comes_back(huge: Project) -> None:
    record = huge.objects(1)[0]
    assert record.box == Box(69_800, 69_400, 69_829, 69_429)
    here = range(69_395, 69_435), range(69_795, 69_835)
    assert (huge.tiles.label_window(1, *here) == 1).sum() == 900
