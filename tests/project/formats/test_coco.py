from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from napari_infosam.core.errors import InfosamError
from napari_infosam.project.formats import coco
from napari_infosam.project.formats.export import export_project
from napari_infosam.project.formats.targets import Images

from .helpers import (
    CLASSES,
    SHAPE,
    OneImage,
    content,
    import_draft,
    picture,
    pictures,
    save_images,
)

if TYPE_CHECKING:
    from napari_infosam.project import Project
    from napari_infosam.project.formats.items import Picture


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("coco") / "a.json"


@pytest.mark.parametrize("polygons", [False, True])
@given(drawn=pictures())
def test_items_come_back(scratch: Path, drawn: Picture, polygons: bool) -> None:
    document = coco.make_document([drawn], CLASSES, polygons=polygons)
    scratch.write_text(json.dumps(document))
    draft = coco.read(scratch, OneImage(drawn.shape))
    assert [tuple(items) for _, items in draft.images] == [drawn.items][
        : len(draft.images)
    ]
    assert len(draft.images) == bool(drawn.items)
    assert draft.classes == CLASSES


@pytest.mark.parametrize("polygons", [False, True])
@pytest.mark.parametrize("name", ["coco", "coco.json"])
def test_a_project_comes_back(
    project: Project, other: Project, tmp_path: Path, polygons: bool, name: str
) -> None:
    report = export_project(project, "coco", tmp_path / name, polygons=polygons)
    assert (report.n_images, report.n_objects, report.notes) == (3, 7, ())
    path = report.path  # a file, or the folder of one
    images = save_images(project, tmp_path / "images")
    assert import_draft(other, coco.read(path, Images(other, images))) == (3, 7)
    assert content(other) == content(project)
    colours = {c.name: c.color for c in other.classes()}
    assert colours == {c.name: c.color for c in project.classes()}
    # again, now without the folder: the project knows the images
    assert import_draft(other, coco.read(path, Images(other, None))) == (3, 0)


@pytest.mark.parametrize("polygons", [False, True])
def test_pycocotools_reads_it(
    project: Project, tmp_path: Path, polygons: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.json"
    export_project(project, "coco", path, polygons=polygons)
    theirs = COCO(str(path))
    assert [c["name"] for c in theirs.loadCats(theirs.getCatIds())] == list(CLASSES)
    by_name = {image["file_name"]: image for image in theirs.imgs.values()}
    assert set(by_name) == {"grey.png", "deep", "colour.v2.tif"}
    for image in project.images()[:3]:
        found = theirs.loadAnns(theirs.getAnnIds(by_name[image.name]["id"]))
        for ours, annotation in zip(project.objects(image.id), found, strict=True):
            np.testing.assert_array_equal(theirs.annToMask(annotation), ours.mask())
            assert annotation["area"] == ours.area
            x, y, width, height = annotation["bbox"]
            assert (x, y) == (ours.box.x0, ours.box.y0)
            assert (x + width - 1, y + height - 1) == (ours.box.x1, ours.box.y1)
            assert annotation["score"] == ours.score
            assert isinstance(annotation["segmentation"], list) == polygons


def document(**annotation: Any) -> dict[str, Any]:
    """Return a file as other programs write it."""
    known = {"id": 7, "image_id": "a", "category_id": 3}
    return {
        "images": [{"id": "a", "file_name": "sub/a.jpg", "height": 20, "width": 30}],
        "categories": [{"id": 3, "name": "cat", "supercategory": "animal"}],
        "annotations": [known | annotation],
    }


def rle(mask: np.ndarray, **changes: Any) -> dict[str, Any]:
    encoded = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(mask.shape), "counts": encoded["counts"].decode()} | changes


FULL = np.ones(SHAPE, bool)
REFUSED = r"foreign\.json can not be imported: "


@pytest.fixture
def write(tmp_path: Path, other: Project) -> Any:
    other.add_image(picture(), "a")
    path = tmp_path / "foreign.json"

    def read(value: Any) -> Any:
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return coco.read(path, Images(other, None))

    return read


def test_files_of_other_programs(write: Any, other: Project) -> None:
    polygon = [1.0, 1.0, 6.2, 1.0, 6.2, 4.9]
    assert import_draft(other, write(document(segmentation=[polygon]))) == (1, 1)
    record = other.objects()[0]
    drawn = coco_mask.decode(coco_mask.frPyObjects([polygon], *SHAPE)[0])
    np.testing.assert_array_equal(record.mask(), drawn)
    assert record.class_name == "cat"
    assert record.model_version == "import"
    assert record.score is None
    # run lengths that are not compressed
    runs = {"size": list(SHAPE), "counts": [20, 5, 575]}
    assert import_draft(other, write(document(segmentation=runs))) == (1, 1)
    assert other.objects()[1].area == 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"segmentation": rle(FULL, size=[30, 20])}, "annotation 7 has a mask of 30 x"),
        ({"segmentation": rle(FULL, counts="0")}, "annotation 7 has a run-length mask"),
        ({"segmentation": rle(FULL, counts="0" * 99)}, "annotation 7 has a run-length"),
        ({"segmentation": rle(FULL, counts="ooo")}, "annotation 7 has a broken run-"),
        ({"segmentation": rle(FULL, counts="äö")}, "annotation 7 has a broken run-len"),
        ({"segmentation": rle(FULL, counts="o" * 30 + "0")}, "annotation 7 has a brok"),
        ({"segmentation": rle(FULL, counts=[-600, 1200])}, "annotation 7 has a broken"),
        ({"segmentation": rle(FULL, counts=[2**70])}, "annotation 7 has a broken run"),
        ({"segmentation": rle(FULL, counts=[599])}, "run-length mask of 599 pixels"),
        ({"segmentation": [[1, 2, 3, 4]]}, "annotation 7 has a polygon of 4 numbers"),
        ({"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}, "polygon of 7 numbers"),
        ({"segmentation": [[0, 0, 0, 1e12, 5, 5]]}, r"a point at 1e\+12, far outside"),
        ({"segmentation": [["a"]]}, "annotations.1.segmentation"),
        ({"segmentation": "yes"}, "annotations.1.segmentation"),
        ({"image_id": "b"}, "annotation 7 has no image b"),
        ({"category_id": 4}, "annotation 7 has no category 4"),
        ({"score": "high"}, "annotations.1.score"),
    ],
)
def test_broken_annotations_are_refused(
    write: Any, other: Project, change: dict[str, Any], words: str
) -> None:
    value = document(segmentation=rle(FULL))
    value["annotations"].append(value["annotations"][0] | change)
    with pytest.raises(InfosamError, match=f"{REFUSED}.*{words}"):
        write(value)
    assert other.objects() == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "the file: "),
        ("{", "the file: "),
        ("[" * 100_000, "the file: "),
        ("[]", "the file: "),
        ({"images": [], "annotations": []}, "categories: Field required"),
        (
            '{"images": [], "categories": [{"id": NaN}], "annotations": []}',
            "categories",
        ),
        (
            document() | {"images": document()["images"] * 2},
            "two of its images have the same id",
        ),
    ],
)
def test_broken_files_are_refused(write: Any, value: Any, words: str) -> None:
    with pytest.raises(
        InfosamError, match=f"foreign.json can not be imported: {words}"
    ):
        write(value)


def test_a_size_that_is_not_that_of_the_image(write: Any) -> None:
    value = document(segmentation=rle(FULL))
    value["images"][0]["height"] = 10**9
    with pytest.raises(InfosamError, match="1000000000 x 30 pixels, but it"):
        write(value)


def test_images_of_one_name_are_not_mixed_up(write: Any) -> None:
    value = document(segmentation=rle(FULL))
    value["images"].append(value["images"][0] | {"id": "b"})
    with pytest.raises(InfosamError, match=r"2 of its images are called sub/a\.jpg"):
        write(value)


def test_what_is_no_object_is_named(write: Any, other: Project) -> None:
    value = document(segmentation=rle(FULL))
    value["annotations"] += [
        value["annotations"][0] | change
        for change in (
            {"segmentation": []},
            {"segmentation": rle(~FULL)},
            {"segmentation": None},
            {"iscrowd": 1},
        )
    ]
    draft = write(value)
    assert draft.skipped == [
        "sub/a.jpg: 1 annotations are crowds, not one object",
        "sub/a.jpg: 3 annotations cover no pixel",
    ]
    assert import_draft(other, draft) == (1, 1)


def test_images_that_are_missing_are_named(write: Any, other: Project) -> None:
    value = document(segmentation=rle(FULL))
    value["images"].append({"id": 2, "file_name": "b.png", "height": 20, "width": 30})
    value["annotations"].append(value["annotations"][0] | {"image_id": 2})
    draft = write(value)
    assert draft.skipped == [
        "b.png: the project has no image b.png: give the folder with --images"
    ]
    assert import_draft(other, draft) == (1, 1)


def test_the_file_in_a_folder(tmp_path: Path, other: Project) -> None:
    empty = {"images": [], "annotations": [], "categories": []}
    (tmp_path / "mine.json").write_text(json.dumps(empty))
    assert not coco.read(tmp_path, Images(other, None)).images
    (tmp_path / "other.json").write_text("{")
    with pytest.raises(InfosamError, match=r"There are 2 \.json files in .*: name one"):
        coco.read(tmp_path, Images(other, None))


def test_a_missing_file(tmp_path: Path, other: Project) -> None:
    with pytest.raises(InfosamError, match=r"gone\.json can not be read"):
        coco.read(tmp_path / "gone.json", Images(other, None))
