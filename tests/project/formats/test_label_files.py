from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from PIL import Image

from napari_infosam.core.errors import InfosamError
from napari_infosam.project import Project
from napari_infosam.project.formats import label_tables
from napari_infosam.project.formats.export import export_project
from napari_infosam.project.formats.import_files import import_files
from napari_infosam.project.formats.labels import import_folder

from .helpers import (
    SHAPE,
    content,
    corners,
    make_project,
    one_pixel,
    origin,
    picture,
    pictures,
    ring,
    save_images,
    whole,
)

if TYPE_CHECKING:
    from napari_infosam.project.formats.items import Item, Picture


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with make_project(tmp_path / "cells", overlaps=False) as made:
        yield made


@pytest.mark.parametrize("png", [False, True])
def test_a_project_comes_back(
    project: Project, other: Project, tmp_path: Path, png: bool
) -> None:
    report = export_project(project, "labels", tmp_path / "masks", png=png)
    assert (report.n_images, report.n_objects, report.notes) == (3, 7, ())
    images = save_images(project, tmp_path / "images")
    (images / "not annotated.png").unlink()
    imported = import_folder(other, images, report.path)
    assert (imported.n_images, imported.n_objects, imported.skipped) == (3, 7, ())
    assert content(other) == content(project)
    colours = {c.name: c.color for c in other.classes()}
    assert colours == {c.name: c.color for c in project.classes()}
    assert import_folder(other, images, report.path).n_objects == 0


@settings(max_examples=20)
@given(drawn=pictures(own_pixels=True))
def test_label_values_are_instance_ids(
    tmp_path_factory: pytest.TempPathFactory, drawn: Picture
) -> None:
    folder = tmp_path_factory.mktemp("labels")
    masks, images = folder / "masks", folder / "images"
    images.mkdir()
    if not drawn.items:
        return
    with Project.create(folder / "a") as project:
        image = project.add_image(picture(shape=drawn.shape), "a.png")
        project.commit_each(
            image.id,
            (
                (i.mask(), origin(instance_id=i.instance_id, score=i.score))
                for i in drawn.items
            ),
        )
        export_project(project, "labels", masks)
        Image.fromarray(picture(shape=drawn.shape)).save(images / "a.png")
        before = sorted(content(project)[image.content_hash], key=_number)
    written = tifffile.imread(masks / "a.tif")
    highest = max(_number(item) for item in drawn.items)
    assert written.dtype == (np.uint16 if highest < 2**16 else np.uint32)
    for item in drawn.items:
        np.testing.assert_array_equal(written == item.instance_id, item.mask())
    with Project.create(folder / "b") as again:
        assert import_folder(again, images, masks).skipped == ()
        assert content(again)[image.content_hash] == before


def _number(item: Item) -> int:
    return item.instance_id or 0


def test_smaller_objects_lie_on_top(tmp_path: Path) -> None:
    with make_project(tmp_path / "cells") as project:
        report = export_project(project, "labels", tmp_path / "masks")
        labels = tifffile.imread(report.path / "grey.tif")
        np.testing.assert_array_equal(labels, project.label_image(1))
    assert report.notes == ("grey.tif: 1 of 4 objects lie under others",)
    with (report.path / label_tables.TABLE).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7
    assert rows[1] == {
        "file": "grey.tif",
        "slice": "",
        "label": "5",
        "class": "Kern: groß, 2",
        "color": "#010203",
        "score": repr(0.1 + 0.2),
        "model_version": "v001",
        "reviewed": "1",
    }


def test_a_corrected_object_stays_under_later_ones(tmp_path: Path) -> None:
    with make_project(tmp_path / "cells") as project:
        image = project.images()[0]
        first = project.objects(image.id)[0]
        project.edits.replace(first.id, np.ones(image.shape[:2], np.bool_))
        report = export_project(project, "labels", tmp_path / "masks")
        labels = tifffile.imread(report.path / "grey.tif")
        np.testing.assert_array_equal(labels, project.label_image(image.id))
    assert (labels != first.instance_id).any()


def add_slice(project: Project, z: int, *masks: np.ndarray, name: str = "stack") -> int:
    """Annotate a slice of a stack as the window does."""
    image = project.add_image(picture(z), f"{name} [{z}]", source=f"/data/{name}.tif")
    project.commit_many(image.id, masks)
    return image.id


def test_slices_become_a_stack_and_come_back(
    project: Project, other: Project, tmp_path: Path
) -> None:
    for z, masks in ((4, [ring(), one_pixel()]), (1, [corners()])):
        add_slice(project, z, *masks)
    seen: list[tuple[int, int]] = []
    report = export_project(
        project,
        "labels",
        tmp_path / "masks",
        on_progress=lambda *progress: seen.append(progress),
    )
    assert seen[-1] == (5, 5)
    with tifffile.TiffFile(report.path / "stack.tif") as file:
        assert file.series[0].axes == "ZYX"
        labels = file.asarray()
    assert labels.shape == (5, *SHAPE)
    assert not labels[[0, 2, 3]].any()
    assert set(np.unique(labels[4])) == {0, 1, 2}
    np.testing.assert_array_equal(labels[1] == 1, corners())

    images = save_images(project, tmp_path / "images")
    for path in images.glob("stack*"):
        path.unlink()
    stack = np.stack([picture(z) for z in range(7)])
    tifffile.imwrite(images / "stack.tif", stack)
    imported = import_folder(other, images, report.path)
    assert (imported.n_images, imported.n_objects) == (5, 10)
    assert content(other) == content(project)
    names = {image.name for image in other.images()}
    assert {"stack [1]", "stack [4]"} < names


@pytest.mark.parametrize(
    ("format_name", "own"), [("coco", "annotations.json"), ("geojson", "")]
)
def test_slices_come_back_from_files_that_name_them(
    project: Project, other: Project, tmp_path: Path, format_name: Any, own: str
) -> None:
    for z, masks in ((4, [ring(), one_pixel()]), (1, [corners()])):
        add_slice(project, z, *masks, name="a stack.tif")
    report = export_project(project, format_name, tmp_path / "out")
    images = save_images(project, tmp_path / "images")
    for path in images.glob("a stack*"):
        path.unlink()
    stack = np.stack([picture(z) for z in range(5)])
    tifffile.imwrite(images / "a stack.tif", stack, photometric="minisblack")
    imported = import_files(other, format_name, report.path / own, images)
    assert not imported.skipped
    assert content(other) == content(project)

    tifffile.imwrite(images / "a stack.tif", stack[:4], photometric="minisblack")
    with Project.create(tmp_path / "third") as third:
        imported = import_files(third, format_name, report.path / own, images)
        assert ["has no slice [4]" in line for line in imported.skipped] == [True]


def test_png_files_are_no_stacks(project: Project, tmp_path: Path) -> None:
    add_slice(project, 4, ring())
    add_slice(project, 1, ring())
    out = export_project(project, "labels", tmp_path / "masks", png=True).path
    assert {path.stem for path in out.glob("stack*")} == {"stack [4]", "stack [1]"}


def test_layers_that_napari_numbered_are_no_stack(
    project: Project, tmp_path: Path
) -> None:
    image = project.add_image(picture(9), "stack", source="/data/stack.tif")
    project.commit(image.id, ring())
    add_slice(project, 1, ring())
    out = export_project(project, "labels", tmp_path / "masks").path
    assert tifffile.imread(out / "stack.tif").shape == SHAPE
    assert tifffile.imread(out / "stack [1].tif").shape == SHAPE


def test_slices_of_a_program(other: Project, tmp_path: Path) -> None:
    """Objects may carry a slice of their own; two leading axes make four."""
    image = other.add_image(picture(), "a.png")
    slices = [((0, 2), ring()), ((1, 0), one_pixel()), ((1, 0), corners())]
    other.commit_each(
        image.id, ((m, origin(slice_index=position)) for position, m in slices)
    )
    other.commit(image.id, whole())
    out = export_project(other, "labels", tmp_path / "tif").path
    with tifffile.TiffFile(out / "a.tif") as file:
        assert file.series[0].axes == "TZYX"
        labels = file.asarray()
    assert labels.shape == (2, 3, *SHAPE)
    assert labels[1, 0].max() == 2
    assert tifffile.imread(out / "a (2).tif").shape == SHAPE
    png = export_project(other, "labels", tmp_path / "png", png=True).path
    names = {path.name for path in png.glob("*.png")}
    assert names == {"a [0, 2].png", "a [1, 0].png", "a.png"}


def test_the_same_slice_with_other_preprocessing(
    other: Project, tmp_path: Path
) -> None:
    from napari_infosam.core.preprocess import Preprocessing

    add_slice(other, 2, ring())
    again = other.add_image(
        picture(2),
        "stack [2]",
        source="/data/stack.tif",
        preprocessing=Preprocessing(low=3),
    )
    other.commit(again.id, one_pixel())
    out = export_project(other, "labels", tmp_path / "masks").path
    np.testing.assert_array_equal(tifffile.imread(out / "stack.tif")[2] == 1, ring())
    second = tifffile.imread(out / "stack (2).tif")
    np.testing.assert_array_equal(second[2] == 1, one_pixel())


@pytest.mark.parametrize("z", [10**9, -1])
def test_slices_no_stack_has(other: Project, tmp_path: Path, z: int) -> None:
    image = other.add_image(picture(), "a")
    other.commit_many(image.id, [ring()], slice_index=(z,))
    with pytest.raises(InfosamError, match=rf"an object in slice \({z},\)"):
        export_project(other, "labels", tmp_path / "masks")
    assert not (tmp_path / "masks").exists()


def test_png_has_no_place_for_high_ids(other: Project, tmp_path: Path) -> None:
    image = other.add_image(picture(), "a.png")
    masks = [(ring(), origin(instance_id=70_000))]
    other.commit_each(image.id, masks)
    with pytest.raises(InfosamError, match=r"a\.png would need the label 70000"):
        export_project(other, "labels", tmp_path / "png", png=True)
    out = export_project(other, "labels", tmp_path / "tif").path
    assert tifffile.imread(out / "a.tif").dtype == np.uint32


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((3, 9, 9), r"the shape \(3, 9, 9\), its label stack a\.tif \(5, 20, 30\)"),
        ((3, *SHAPE), r"the shape \(3, 20, 30\), its label stack"),
        (SHAPE, r"the shape \(20, 30\), its label stack"),
    ],
)
def test_stacks_that_do_not_fit(
    other: Project, tmp_path: Path, shape: tuple[int, ...], words: str
) -> None:
    for name, array in (
        ("images", picture(shape=shape)),
        ("masks", np.ones((5, *SHAPE), np.uint16)),
    ):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "a.tif", array, photometric="minisblack")
    report = import_folder(other, tmp_path / "images", tmp_path / "masks")
    assert report.n_images == 0
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(report.skipped[0])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it has no column class"),
        ("file,slice,label\n", "it has no column class"),
        ("file,slice,label,class\na.tif,x,1,cat\n", "line 2 holds no numbers"),
        ("file,slice,label,class\na.tif,,,cat\n", "line 2 holds no numbers"),
        (
            "file,slice,label,class,score\na.tif,,1,cat,high\n",
            "line 2 holds no numbers",
        ),
        (
            "file,slice,label,class,color\na.tif,,1,cat,red\n",
            "line 2 has the colour 're",
        ),
        ('file,slice,label,class\n"a', "it is not a table"),
        (b"\xff\xfe\x00", "it is not a table"),
    ],
)
def test_a_broken_table_is_refused(
    project: Project, other: Project, tmp_path: Path, text: Any, words: str
) -> None:
    out = export_project(project, "labels", tmp_path / "masks").path
    images = save_images(project, tmp_path / "images")
    data = text if isinstance(text, bytes) else text.encode()
    (out / label_tables.TABLE).write_bytes(data)
    with pytest.raises(InfosamError, match=rf"objects\.csv can not be imp.*: {words}"):
        import_folder(other, images, out)
    assert other.images() == []


def test_a_table_of_a_spreadsheet(
    project: Project, other: Project, tmp_path: Path
) -> None:
    """Edited by hand: byte order mark, other columns, classes without colours."""
    out = export_project(project, "labels", tmp_path / "masks").path
    text = "class,label,slice,file,remark\nnew,1,,deep.tif,?\n,1,,colour.v2.tif,\n"
    (out / label_tables.TABLE).write_text(text, "utf-8-sig")
    import_folder(other, save_images(project, tmp_path / "images"), out)
    classes = {
        image.name: other.objects(image.id)[0].class_name for image in other.images()
    }
    assert classes == {
        "grey.png": "object",
        "deep.png": "new",
        "colour.v2.tif": "object",
    }
