from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from PIL import Image, ImageDraw
from scipy.ndimage import binary_dilation, binary_erosion
from skimage.draw import polygon2mask

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.preprocess import to_rgb_uint8
from napari_infosam.project.formats import yolo
from napari_infosam.project.formats.export import export_project
from napari_infosam.project.formats.targets import Images, Target

from .helpers import (
    CLASSES,
    SHAPE,
    content,
    import_draft,
    masks,
    one_pixel,
    picture,
    save_images,
    trace,
)

if TYPE_CHECKING:
    from napari_infosam.project import Project
    from napari_infosam.project.formats.items import Item

NAMES = dict(enumerate(CLASSES))


@pytest.fixture
def out(project: Project, tmp_path: Path) -> Path:
    return export_project(project, "yolo", tmp_path / "out").path


def read_line(line: str, shape: tuple[int, int]) -> Item | None:
    return yolo._read_line(Path("a.txt"), 1, line.split(), NAMES, shape)


@given(mask=masks())
def test_lines_give_the_same_pixels(mask: np.ndarray) -> None:
    """Also to scikit-image, which knows nothing of how they were made."""
    from napari_infosam.project.formats.items import Item

    line = yolo._line(1, trace(mask), Item.of_mask(mask))
    item = read_line(line, mask.shape)
    assert item is not None
    np.testing.assert_array_equal(item.mask(), mask)
    assert item.class_name == NAMES[1]
    number, *values = line.split()
    assert number == "1"
    points = np.array(values, float).reshape(-1, 2)
    assert ((points >= 0) & (points <= 1)).all()
    corners = points * (mask.shape[1], mask.shape[0])
    drawn = polygon2mask(mask.shape, corners[:, ::-1] - 0.5)
    np.testing.assert_array_equal(drawn, mask)


@pytest.mark.parametrize("side", [1_000, 30_000, 100_000])
def test_coordinates_are_exact_enough_in_large_images(side: int) -> None:
    ends = np.arange(side - 50, side + 1)
    written = [float(f"{value:.8g}") * side for value in ends / side]
    assert np.abs(written - ends).max() < 0.001


def test_the_folder_is_what_trainers_expect(project: Project, out: Path) -> None:
    description = yaml.safe_load((out / "data.yaml").read_text("utf-8"))
    assert description == {
        "train": "images/train",
        "val": "images/val",
        "names": {0: "object", 1: "Kern: groß, 2"},
    }
    files = sorted(
        path.relative_to(out).as_posix()
        for path in out.rglob("*")
        if path.suffix in (".png", ".txt")
    )
    stems = ["train/colour.v2", "train/deep", "val/grey"]
    assert files == [
        *(f"images/{stem}.png" for stem in stems),
        *(f"labels/{stem}.txt" for stem in stems),
    ]
    for image, stem in zip(project.images()[:3], reversed(stems), strict=True):
        shown = to_rgb_uint8(project.read_image(image.id), image.preprocessing)
        written = np.array(Image.open(out / "images" / f"{stem}.png"))
        np.testing.assert_array_equal(written, shown)


def test_pillow_draws_the_same_but_for_the_edge(project: Project, out: Path) -> None:
    """The tolerance the documentation states: one pixel along the outline."""
    lines = (out / "labels/val/grey.txt").read_text().splitlines()
    for ours, line in zip(project.objects(1), lines, strict=True):
        mask = ours.mask()
        values = np.array(line.split()[1:], float).reshape(-1, 2)
        corners = values * (SHAPE[1], SHAPE[0]) - 0.5
        canvas = Image.new("1", (SHAPE[1], SHAPE[0]))
        ImageDraw.Draw(canvas).polygon([tuple(point) for point in corners], fill=1)
        drawn = np.array(canvas)
        if trace(mask).geom_type == "Polygon":
            assert not (drawn & ~binary_dilation(mask, np.ones((3, 3)))).any()
        assert not (binary_erosion(mask) & ~drawn).any()


def test_masks_and_classes_come_back(
    project: Project, other: Project, out: Path, tmp_path: Path
) -> None:
    images = save_images(project, tmp_path / "images")
    assert import_draft(other, yolo.read(out, Images(other, images))) == (3, 7)
    ours, theirs = content(project), content(other)
    assert ours.keys() == theirs.keys()
    for digest in ours:
        for a, b in zip(ours[digest], theirs[digest], strict=True):
            assert (a.rle, a.class_name) == (b.rle, b.class_name)
    again = yolo.read(out / "data.yaml", Images(other, images))
    assert import_draft(other, again) == (3, 0)


def test_without_images_its_own_are_taken(other: Project, out: Path) -> None:
    assert import_draft(other, yolo.read(out, None)) == (3, 7)
    assert {image.name for image in other.images()} == {
        "colour.v2.png",
        "deep.png",
        "grey.png",
    }
    assert {image.shape for image in other.images()} == {(*SHAPE, 3)}


def test_what_is_joined_is_noted(project: Project, tmp_path: Path) -> None:
    report = export_project(project, "yolo", tmp_path / "noted")
    assert report.notes == (
        "4 objects have holes or several parts, joined by lines of no width",
    )


def test_a_set_without_training_images_is_noted(other: Project, tmp_path: Path) -> None:
    image = other.add_image(picture(), "a")
    other.commit(image.id, one_pixel())
    report = export_project(other, "yolo", tmp_path / "noted")
    assert report.notes == ("train has no image, the first one of a project validates",)


def test_data_sets_of_other_programs(other: Project, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for part in ("a", "b"):
        (folder / "images" / part).mkdir(parents=True)
        (folder / "labels" / part).mkdir(parents=True)
        name = f"{part}.images.png"
        Image.fromarray(picture(ord(part))).save(folder / "images" / part / name)
    (folder / "labels/a/a.images.txt").write_text("1 0 0 .5 0 .5 .5 0 .5\n\n")
    text = "path: ..\ntrain: [set/images/a, set/images/b]\nnames: [cat, dog]\n"
    (folder / "my.yaml").write_text(text)
    assert import_draft(other, yolo.read(folder / "my.yaml", None)) == (1, 1)
    (record,) = other.objects()
    assert record.class_name == "dog"
    assert record.box.x1 == SHAPE[1] / 2 - 1
    assert record.area == SHAPE[0] * SHAPE[1] / 4


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 0.5 0.5 0.1 0.1", "line 1 is a box"),
        ("0 0 0 1 1", "line 1 is a box"),
        ("0", "line 1 has 0 numbers after the class"),
        ("0 0 0 0 1 1 1 1", "line 1 has 7 numbers after the class"),
        ("9 0 0 0 1 1 1", "line 1 is of class 9, which has no name"),
        ("0.5 0 0 0 1 1 1", r"line 1 is of class 0\.5"),
        ("nan 0 0 0 1 1 1", "line 1 is of class nan"),
        ("cat 0 0 0 1 1 1", "line 1 holds more than numbers"),
        ("0 0 0 0 nan 1 1", "line 1 has a point at nan"),
        ("0 0 0 0 inf 1 1", "line 1 has a point at inf"),
        ("0 0 0 0 300 1 1", "line 1 has a point at 300"),
    ],
)
def test_broken_lines_are_refused(
    other: Project, out: Path, line: str, words: str
) -> None:
    (out / "labels/val/grey.txt").write_text(line)
    with pytest.raises(InfosamError, match=rf"grey\.txt can not be imported: {words}"):
        yolo.read(out, None)
    assert other.images() == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "it is not YAML"),
        ("a: !!python/object:os.system x", "it is not YAML"),
        ("[" * 5000, "it is not YAML"),
        ("just words", "it has no names"),
        ("names: 3\ntrain: images/train", "names is 3, and not a list of classes"),
        ("names: {a: b}\ntrain: images/train", "names is {'a': 'b'}"),
        ("names: ['']\ntrain: images/train", "one of its classes has no name"),
        ("names: [a]\ntrain: pictures", "train is pictures, which is no folder here"),
        ("names: [a]", "none of train, val and test has an image"),
    ],
)
def test_broken_descriptions_are_refused(out: Path, text: str, words: str) -> None:
    (out / "data.yaml").write_text(text)
    with pytest.raises(InfosamError, match=rf"data\.yaml can not be imported: {words}"):
        yolo.read(out, None)


def test_labels_that_are_not_text(out: Path) -> None:
    (out / "labels/val/grey.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InfosamError, match=r"grey\.txt can not be imported: it is not"):
        yolo.read(out, None)


def test_what_is_left_out_is_named(other: Project, out: Path) -> None:
    (out / "images/train/deep.png").write_bytes(b"no picture")
    with (out / "labels/val/grey.txt").open("a") as file:
        file.write("0 1.5 1.5 1.6 1.5 1.6 1.6\n")
    draft = yolo.read(out, None)
    first, second = draft.skipped
    assert first.startswith("deep.png: deep.png can not be read")
    assert second == "grey.txt: 1 lines cover no pixel"
    assert import_draft(other, draft) == (2, 6)


def test_a_missing_set(tmp_path: Path) -> None:
    with pytest.raises(InfosamError, match=r"There is no data\.yaml in"):
        yolo.read(tmp_path, None)


def test_a_target_is_found_by_its_stem(out: Path) -> None:
    class Any20x30:
        def find(self, name: str, digest: str | None = None) -> Any:
            return Target(name, SHAPE, name, lambda: picture())

    names = [target.name for target, _ in yolo.read(out, Any20x30()).images]
    assert names == ["colour.v2.png", "deep.png", "grey.png"]
