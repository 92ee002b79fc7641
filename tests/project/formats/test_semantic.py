"""Label images of classes, out and in again."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from PIL import Image
from scipy import ndimage

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.masks import BoolArray, decode_rle, encode_rle
from napari_infosam.project import Project
from napari_infosam.project.formats.export import export_project
from napari_infosam.project.formats.import_files import import_files
from napari_infosam.project.formats.label_tables import LEGEND
from napari_infosam.project.formats.labels import import_folder
from napari_infosam.project.formats.mask_runs import connected
from napari_infosam.project.formats.pixel_size import pixels_per_centimetre

from .helpers import SHAPE, masks, one_pixel, picture, ring, whole

NUCLEUS = "#010203"


def square(row: int, column: int) -> BoolArray:
    mask = np.zeros(SHAPE, np.bool_)
    mask[row : row + 5, column : column + 5] = True
    return mask


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """Return a stack of four slices whose pixels have a size."""
    path = tmp_path / "images" / "stack.tif"
    path.parent.mkdir()
    tifffile.imwrite(
        path,
        np.stack([picture(z) for z in range(4)]),
        imagej=True,
        metadata={"unit": "micron", "axes": "ZYX"},
        resolution=(2, 4),
    )
    return path


@pytest.fixture
def project(tmp_path: Path, stack: Path) -> Iterator[Project]:
    """Return a project of cells with nuclei, and of two slices of a stack."""
    with Project.create(tmp_path / "cells") as made:
        made.add_class("unused")
        made.add_class("nucleus")
        made.add_class("cell")
        made.set_class_color("nucleus", NUCLEUS)
        pixels = picture(9)
        Image.fromarray(pixels).save(stack.with_name("grey.png"))
        grey = made.add_image(pixels, "grey.png")
        made.commit(grey.id, square(1, 1) | square(4, 4), class_name="cell")
        made.commit(grey.id, square(3, 3) & square(4, 4), class_name="nucleus")
        made.commit(grey.id, square(12, 20), class_name="cell")
        for z, name in ((3, "nucleus"), (1, "cell")):
            image = made.add_image(picture(z), f"stack [{z}]", source=str(stack))
            made.commit(image.id, ring(), class_name=name)
        yield made


def legend(folder: Path) -> list[dict[str, str]]:
    with (folder / LEGEND).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def described(project: Project) -> set[tuple[str, str, bytes]]:
    """Return picture, class and mask of all objects."""
    names = {image.id: Path(image.name).stem for image in project.images()}
    return {(names[o.image_id], o.class_name, o.rle) for o in project.objects()}


def test_values_are_classes(project: Project, tmp_path: Path) -> None:
    report = export_project(project, "semantic", tmp_path / "out")
    # the class of the default is first: every project has it
    rows = legend(report.path)
    assert [(row["label"], row["class"]) for row in rows] == [
        ("1", "object"),
        ("2", "unused"),
        ("3", "nucleus"),
        ("4", "cell"),
    ]
    assert rows[2]["color"] == NUCLEUS
    assert {path.name for path in report.path.iterdir()} == {
        "grey.tif",
        "stack.tif",
        LEGEND,
        "infosam-export.json",
    }
    labels = tifffile.imread(report.path / "grey.tif")
    assert labels.dtype == np.uint8
    expected = np.where(square(1, 1) | square(4, 4) | square(12, 20), 4, 0)
    expected[square(3, 3) & square(4, 4)] = 3  # the smaller one is on top
    np.testing.assert_array_equal(labels, expected)
    assert report.notes == ("grey.tif: 1 of 3 objects lie under others",)


def test_a_stack_is_one_file_with_pixels_as_large(
    project: Project, stack: Path, tmp_path: Path
) -> None:
    out = export_project(project, "semantic", tmp_path / "out").path
    with tifffile.TiffFile(out / "stack.tif") as file:
        assert file.series[0].axes == "ZYX"
        labels = file.asarray()
    assert labels.shape == (4, *SHAPE)
    np.testing.assert_array_equal(labels[1], 4 * ring())
    np.testing.assert_array_equal(labels[3], 3 * ring())
    assert not labels[[0, 2]].any()
    size = pixels_per_centimetre(stack)
    assert size is not None
    assert pixels_per_centimetre(out / "stack.tif") == pytest.approx(size)


@pytest.mark.parametrize("png", [False, True])
def test_it_comes_back(
    project: Project, other: Project, stack: Path, tmp_path: Path, png: bool
) -> None:
    # pieces are objects of their own
    for record in project.objects():
        if record.rle in (encode_rle(ring()), encode_rle(square(1, 1) | square(4, 4))):
            project.delete(record.id)
    image = project.images()[0]
    project.commit(image.id, square(14, 2), class_name="nucleus")
    out = export_project(project, "semantic", tmp_path / "out", png=png).path
    report = import_files(other, "semantic", out, stack.parent)
    assert report.n_objects == 3
    assert described(other) == described(project)
    colours = {c.name: c.color for c in other.classes()}
    assert colours["nucleus"] == NUCLEUS
    assert import_files(other, "semantic", out, stack.parent).n_objects == 0


def test_a_stack_comes_back(
    project: Project, other: Project, stack: Path, tmp_path: Path
) -> None:
    out = export_project(project, "semantic", tmp_path / "out").path
    import_folder(other, stack, out / "stack.tif", classes=True)
    found = [(o.class_name, o.area) for o in other.objects()]
    # the island in the ring is a piece of its own
    areas = sorted(map(int, np.bincount(ndimage.label(ring())[0].ravel())[1:]))
    assert sorted(found) == [
        ("cell", areas[0]),
        ("cell", areas[1]),
        ("nucleus", areas[0]),
        ("nucleus", areas[1]),
    ]
    assert {image.name for image in other.images()} == {"stack [1]", "stack [3]"}


def test_a_palette_without_a_legend(
    other: Project, stack: Path, tmp_path: Path
) -> None:
    """As Pascal VOC has them."""
    labels = np.where(square(2, 2), 15, 0).astype(np.uint8)
    made = Image.fromarray(labels, "P")
    made.putpalette([7 * n % 256 for n in range(768)])
    (tmp_path / "masks").mkdir()
    made.save(tmp_path / "masks" / "grey.png")
    Image.fromarray(picture()).save(stack.with_name("grey.png"))
    import_files(other, "semantic", tmp_path / "masks", stack.parent)
    (found,) = other.objects()
    assert (found.class_name, found.area) == ("class 15", 25)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("label,color\n1,#010203\n", "no column class"),
        ("label,class\none,cell\n", "line 2 holds no number"),
        ("label,class\n1,cell\n1,nucleus\n", "line 3 gives 1 another class"),
        ("label,class,color\n1,cell,red\n", "line 2 has the colour 'red'"),
    ],
)
def test_broken_legends_are_refused(
    project: Project,
    other: Project,
    stack: Path,
    tmp_path: Path,
    text: str,
    words: str,
) -> None:
    out = export_project(project, "semantic", tmp_path / "out").path
    (out / LEGEND).write_text(text)
    with pytest.raises(InfosamError, match=words):
        import_files(other, "semantic", out, stack.parent)
    assert not other.images()


def test_more_classes_than_eight_bits_hold(other: Project, tmp_path: Path) -> None:
    image = other.add_image(picture(), "many")
    for number in range(300):
        other.add_class(f"kind {number}")
    other.commit(image.id, whole(), class_name="kind 299")
    other.commit(image.id, one_pixel(), class_name="kind 5")
    for png in (False, True):
        out = export_project(other, "semantic", tmp_path / str(png), png=png).path
        labels = np.asarray(Image.open(next(out.glob("many.*"))))
        assert labels.dtype == np.uint16
        assert set(np.unique(labels)) == {7, 301}


@given(mask=masks())
def test_pieces_are_those_of_scipy(mask: BoolArray) -> None:
    shape = (mask.shape[0], mask.shape[1])
    theirs, n_pieces = ndimage.label(mask, np.ones((3, 3)))
    pieces = connected(encode_rle(mask), shape)
    found = {decode_rle(piece, shape).tobytes() for piece in pieces}
    expected = {(theirs == n).tobytes() for n in range(1, n_pieces + 1)}
    assert found == expected
    assert {encode_rle(decode_rle(piece, shape)) for piece in pieces} == set(pieces)
