"""Imports into an image whose full frame is never made."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_infosam.core.huge_image import SAMPLED, HugeImage
from napari_infosam.core.placed import Place, PlacedMask
from napari_infosam.core.prompts import Box
from napari_infosam.project import Project
from napari_infosam.project.formats import coco, geojson, ome_zarr
from napari_infosam.project.formats.export import Format, export_project
from napari_infosam.project.formats.imported_tiles import choose_tiles
from napari_infosam.project.formats.importing import Draft, write_draft
from napari_infosam.project.formats.items import Item
from napari_infosam.project.formats.labels import import_folder
from napari_infosam.project.formats.targets import Images
from napari_infosam.project.huge_files import bands, open_huge

SIDE = 14_000
"""A frame of labels is 392 MB, one of yes and no half of it."""
MOST = 130e6

SQUARES = ((13_000, 13_900, 40), (10, 20, 30), (5000, 7000, 3000))
"""(row, column, side); none lies on another."""


class Stopped(Exception):
    """What a person does."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a huge image: compressed tiles, nearly all of them equal."""
    folder = tmp_path_factory.mktemp("images")
    dark = zlib.compress(bytes(1024 * 1024), 1)
    bright = zlib.compress(np.full((1024, 1024), 90, np.uint8).tobytes(), 1)
    n_tiles = (-(-SIDE // 1024)) ** 2
    tifffile.imwrite(
        folder / "slide.tif",
        (bright if number == 5 else dark for number in range(n_tiles)),
        shape=(SIDE, SIDE),
        dtype=np.uint8,
        tile=(1024, 1024),
        compression="zlib",
        photometric="minisblack",
    )
    return folder


@pytest.fixture(scope="module")
def source(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Return a project with objects in the huge image, as the window would make it."""
    path = images / "slide.tif"
    found = open_huge(path)
    assert found is not None
    with Project.create(tmp_path_factory.mktemp("source") / "source") as project:
        image = project.add_image(
            HugeImage(found.levels, path=str(path)), "slide", source=str(path)
        )
        for row, column, side in SQUARES:
            square = PlacedMask(
                np.ones((side, side), bool), Place(row, column, (SIDE, SIDE))
            )
            project.commit(image.id, square)
        yield project


def masks(project: Project) -> list[tuple[bytes, int, Box]]:
    return [(o.rle, o.area, o.box) for o in project.objects()]


@pytest.mark.parametrize("kind", ["labels", "coco", "geojson", "ome-zarr"])
def test_objects_come_back_in_little_memory(
    source: Project, images: Path, tmp_path: Path, kind: Format
) -> None:
    out = export_project(source, kind, tmp_path / "out").path
    seen: list[float] = []
    with Project.create(tmp_path / "other") as project:
        tracemalloc.start()
        if kind == "labels":
            report = import_folder(
                project, images, out, on_progress=lambda done, _: seen.append(done)
            )
        else:
            known = Images(project, images)
            draft = {
                "coco": lambda: coco.read(out / coco.FILE_NAME, known, seen.append),
                "geojson": lambda: geojson.read(out, known, seen.append),
                "ome-zarr": lambda: ome_zarr.read(out, known, seen.append),
            }[kind]()
            report = write_draft(project, draft)
        grown = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (report.n_images, report.n_objects, report.skipped) == (1, 3, ())
        assert masks(project) == masks(source)
        assert grown < MOST
        assert seen == sorted(seen)
        if kind in ("labels", "ome-zarr"):
            assert len(seen) > 5
        (record,) = project.images()
        # it is the image that the window opens from the same file
        assert record.content_hash == source.images()[0].content_hash
        assert record.content_hash.startswith(SAMPLED)
        # and the tiles are kept from which its objects are learnt
        shown = project.tiles.shared_out(record.id, project.objects())
        assert sum(map(len, shown.values())) == 3
        fine = next(tile for tile in shown if tile.stride == 1 and tile.row == 0)
        assert project.tiles.read(record.id, fine).shape == (1024, 1024)


def test_without_a_folder_the_file_of_the_project_is_looked_at(
    source: Project, tmp_path: Path
) -> None:
    out = export_project(source, "coco", tmp_path / "out").path / coco.FILE_NAME
    before = source.tiles.stored(1)
    report = write_draft(source, coco.read(out, Images(source, None)))
    assert (report.n_objects, report.skipped) == (0, ())
    assert len(source.tiles.stored(1)) > len(before)


def test_a_file_that_is_gone_is_said(images: Path, tmp_path: Path) -> None:
    with Project.create(tmp_path / "gone") as project:
        image = HugeImage([np.broadcast_to(np.uint8(0), (SIDE, SIDE))])
        project.add_image(image, "slide", source=str(tmp_path / "slide.tif"))
        target = Images(project, None).find("slide")
        runs = PlacedMask(np.ones((9, 9), bool), Place(0, 0, (SIDE, SIDE)))
        project.commit(1, runs)
        item = Item.of_record(project.objects()[0])
        project.undo()
        report = write_draft(project, Draft(images=[(target, [item])]))
        assert report.n_objects == 1
        assert "its file is not there" in report.skipped[0]


@pytest.mark.parametrize("share", [0.2, 1.0])
def test_a_stop_leaves_nothing(
    source: Project, images: Path, tmp_path: Path, share: float
) -> None:
    out = export_project(source, "labels", tmp_path / "out").path

    def stop(done: float, total: int) -> None:
        if done >= share * total:
            raise Stopped

    with Project.create(tmp_path / "other") as project:
        with pytest.raises(Stopped):
            import_folder(project, images, out, on_progress=stop)
        assert project.images() == []
        assert project.objects() == []
        assert not project.can_undo
        assert project.listing.rows() == []
        stored = (tmp_path / "other.infosam" / "images").rglob("*.npy")
        assert list(stored) == []


def test_an_image_with_labels_of_another_program(tmp_path: Path) -> None:
    """As OME-Zarr of five axes, channels among them."""
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group = root.create_group("labels")
    group.attrs["labels"] = ["cells"]
    for parent, shape in (
        (root, (1, 3, 1, 6000, 6000)),
        (group.create_group("cells"), (1, 1, 1, 6000, 6000)),
    ):
        chunks = (1, 1, 1, 1024, 1024)
        array = parent.create_array("0", shape=shape, chunks=chunks, dtype=np.uint16)
        array[0, -1, 0, 10:20, 30:50] = 7
        parent.attrs["multiscales"] = [{"datasets": [{"path": "0"}]}]
    tracemalloc.start()
    ((target, items),) = ome_zarr.read(tmp_path / "a.zarr").images
    pixels = target.read()
    grown = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert grown < MOST
    assert [(item.xywh, item.instance_id) for item in items] == [((30, 10, 20, 10), 7)]
    assert isinstance(pixels, HugeImage)
    assert pixels.shape == (6000, 6000, 3)


def test_few_tiles_show_all_objects() -> None:
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 19_900, (3000, 2)).tolist()
    boxes = [(x, y, 60, 80) for x, y in corners] + [(0, 0, 20_000, 20_000)]
    tiles = choose_tiles((20_000, 20_000), boxes)
    for x, y, width, height in boxes:
        box = Box(x, y, x + width - 1, y + height - 1)
        assert any(tile.holds(box, 0, (20_000, 20_000)) for tile in tiles)
    assert len(tiles) < len(boxes) / 2


def test_bands_end_where_chunks_do(tmp_path: Path) -> None:
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=(2, 9000, 7000), chunks=(1, 700, 512), dtype="uint8"
    )
    found = list(bands(array, 1))
    assert [part.start for part in found] == list(range(0, 9000, 2100))
    assert found[-1].stop == 9000
    assert list(bands(np.zeros((3, 5)))) == [slice(0, 3)]
