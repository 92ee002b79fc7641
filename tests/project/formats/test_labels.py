from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage import io

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.preprocess import Preprocessing
from napari_infosam.project import Project
from napari_infosam.project.formats.label_tables import TABLE
from napari_infosam.project.formats.labels import ImportReport, import_folder

SHAPE = (20, 30)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with Project.create(tmp_path / "cells") as project:
        yield project


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    (tmp_path / "masks").mkdir()
    return tmp_path / "masks"


def picture(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, shape, np.uint8)


def two_objects(dtype: Any = np.uint16) -> np.ndarray:
    labels = np.zeros(SHAPE, dtype)
    labels[2:6, 3:9] = 1
    labels[10:15, 20:25] = 7
    return labels


def save(path: Path, array: np.ndarray) -> None:
    match path.suffix:
        case ".npy":
            np.save(path, array)
        case ".tif" | ".tiff":
            tifffile.imwrite(path, array)
        case _:
            io.imsave(path, array, check_contrast=False)


def test_pairs_by_stem(project: Project, images: Path, masks: Path) -> None:
    for seed, name in enumerate(["a", "b", "c"]):
        save(images / f"{name}.png", picture(seed))
        save(masks / f"{name}.tif", two_objects())
    seen: list[tuple[float, int]] = []
    report = import_folder(
        project, images, masks, on_progress=lambda *done: seen.append(done)
    )
    assert report == ImportReport(n_images=3, n_objects=6, skipped=())
    # each pair counts half when it is read, and half when it is written
    assert seen == sorted(seen)
    assert {(0.5, 3), (1.5, 3), (3, 3)} <= set(seen)
    records = project.images()
    assert [r.name for r in records] == ["a.png", "b.png", "c.png"]
    assert records[0].source == str(images / "a.png")
    assert [r.split for r in records] == ["val", "train", "train"]
    for seed, record in enumerate(records):
        np.testing.assert_array_equal(project.read_image(record.id), picture(seed))
        first, second = project.objects(record.id)
        np.testing.assert_array_equal(first.mask(), two_objects() == 1)
        np.testing.assert_array_equal(second.mask(), two_objects() == 7)
        assert first.reviewed
        assert first.model_version == "import"


@pytest.mark.parametrize("image_suffix", ["png", "tif", "tiff", "jpg", "jpeg", "bmp"])
@pytest.mark.parametrize("mask_suffix", ["png", "tif", "tiff", "bmp", "npy"])
def test_kinds_of_files(
    project: Project, images: Path, masks: Path, image_suffix: str, mask_suffix: str
) -> None:
    save(images / f"a.{image_suffix}", picture(shape=(*SHAPE, 3)))
    save(masks / f"a.{mask_suffix}", two_objects(np.uint8))
    assert import_folder(project, images, masks) == ImportReport(1, 2, ())
    assert project.images()[0].shape == (*SHAPE, 3)


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int16", "uint16", "int32", "uint32", "int64", "float32"]
)
def test_types_of_label_images(
    project: Project, images: Path, masks: Path, dtype: str
) -> None:
    save(images / "a.npy", picture().astype(np.float32))
    save(masks / "a.npy", two_objects(dtype))
    expected = 1 if dtype == "bool" else 2
    assert import_folder(project, images, masks).n_objects == expected


def test_values_above_a_byte(project: Project, images: Path, masks: Path) -> None:
    labels = np.arange(600, dtype=np.uint16).reshape(SHAPE)
    save(images / "a.png", picture())
    save(masks / "a.png", labels)
    assert import_folder(project, images, masks).n_objects == 599
    assert project.label_image(1).max() == 599


@pytest.mark.parametrize("suffix", ["png", "tif", "npy", "jpg"])
def test_binary_masks_are_one_object(
    project: Project, images: Path, masks: Path, suffix: str
) -> None:
    foreground = two_objects() > 0
    save(images / "a.png", picture())
    # what JPEG writes around an edge is not zero
    save(masks / f"a.{suffix}", foreground.astype(np.uint8) * 255)
    assert import_folder(project, images, masks, binary=True) == ImportReport(1, 1, ())
    np.testing.assert_array_equal(project.objects()[0].mask(), foreground)


@pytest.mark.parametrize("colour", [(255, 255, 255), (128, 0, 0)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_binary_mask_may_have_colours(
    project: Project, images: Path, masks: Path, mode: str, colour: tuple[int, ...]
) -> None:
    foreground = two_objects() > 0
    painted = foreground[..., None] * np.array(colour, np.uint8)
    save(images / "a.png", picture())
    Image.fromarray(painted).convert(mode).save(masks / "a.png")
    assert import_folder(project, images, masks, binary=True) == ImportReport(1, 1, ())
    np.testing.assert_array_equal(project.objects()[0].mask(), foreground)


def test_a_palette_holds_labels(project: Project, images: Path, masks: Path) -> None:
    """As in Pascal VOC, whose masks have a colour for every label."""
    mask = Image.fromarray(two_objects(np.uint8))
    mask.putpalette([0, 0, 0, 128, 0, 0] + [9] * 30)
    mask.save(masks / "a.png")
    save(images / "a.png", picture())
    assert import_folder(project, images, masks) == ImportReport(1, 2, ())
    np.testing.assert_array_equal(project.label_image(1) > 0, two_objects(np.uint8) > 0)


@pytest.mark.parametrize(
    ("mode", "shape"),
    [
        ("1", SHAPE),
        ("L", SHAPE),
        ("LA", SHAPE),
        ("P", (*SHAPE, 3)),
        ("RGB", (*SHAPE, 3)),
        ("RGBA", (*SHAPE, 4)),
    ],
)
def test_modes_of_png_images(
    project: Project, images: Path, masks: Path, mode: str, shape: tuple[int, ...]
) -> None:
    Image.fromarray(picture()).convert(mode).save(images / "a.png")
    save(masks / "a.png", two_objects())
    assert import_folder(project, images, masks) == ImportReport(1, 2, ())
    assert project.images()[0].shape == shape


def test_sixteen_bits_stay(project: Project, images: Path, masks: Path) -> None:
    deep = picture().astype(np.uint16) * 200
    save(images / "a.png", deep)
    save(masks / "a.png", two_objects())
    import_folder(project, images, masks)
    np.testing.assert_array_equal(project.read_image(1), deep)


def test_a_cmyk_jpeg_is_colour(project: Project, images: Path, masks: Path) -> None:
    Image.fromarray(picture(shape=(*SHAPE, 3))).convert("CMYK").save(images / "a.jpg")
    save(masks / "a.png", two_objects())
    import_folder(project, images, masks)
    assert project.images()[0].shape == (*SHAPE, 3)


def test_a_last_axis_of_one_is_no_colour(
    project: Project, images: Path, masks: Path
) -> None:
    save(images / "a.png", picture())
    save(masks / "a.npy", two_objects()[..., np.newaxis])
    assert import_folder(project, images, masks).n_objects == 2


def test_twice_is_once(project: Project, images: Path, masks: Path) -> None:
    save(images / "a.png", picture())
    save(masks / "a.png", two_objects())
    assert import_folder(project, images, masks) == ImportReport(1, 2, ())
    before = project.objects()
    assert import_folder(project, images, masks) == ImportReport(1, 0, (), n_known=2)
    project.set_preprocessing(1, Preprocessing(low=2))
    assert import_folder(project, images, masks) == ImportReport(1, 0, (), n_known=2)
    assert project.objects() == before
    assert len(project.images()) == 1

    more = two_objects()
    more[0, 0] = 9
    save(masks / "a.png", more)
    assert import_folder(project, images, masks) == ImportReport(1, 1, (), n_known=2)
    assert project.objects()[:2] == before

    project.delete(before[0].id)
    assert import_folder(project, images, masks) == ImportReport(1, 1, (), n_known=2)


def test_what_is_skipped_is_named(project: Project, images: Path, masks: Path) -> None:
    save(images / "good.png", picture(0))
    save(masks / "good.png", two_objects())
    save(images / "size.png", picture(1, (9, 9)))
    save(masks / "size.png", two_objects())
    save(images / "zero.png", picture(2))
    save(masks / "zero.png", np.zeros(SHAPE, np.uint8))
    (images / "text.png").write_text("no picture")
    save(masks / "text.png", two_objects())
    save(images / "cut.png", picture(3))
    save(masks / "cut.png", two_objects())
    cut = (masks / "cut.png").read_bytes()
    (masks / "cut.png").write_bytes(cut[: len(cut) // 2])
    np.save(images / "pickle.npy", np.array([{"a": 1}], object), allow_pickle=True)
    save(masks / "pickle.png", two_objects())
    save(images / "stack.npy", picture(4, (*SHAPE, 7)))
    save(masks / "stack.png", two_objects())
    save(images / "jpeg.png", picture(5))
    save(masks / "jpeg.jpg", two_objects(np.uint8))
    save(images / "minus.png", picture(6))
    save(masks / "minus.npy", two_objects(np.int16) - 1)
    save(images / "half.png", picture(7))
    save(masks / "half.npy", two_objects(np.float32) / 2)
    save(images / "nan.png", picture(8))
    save(masks / "nan.npy", np.full(SHAPE, np.nan))
    save(images / "words.png", picture(9))
    np.save(masks / "words.npy", np.full(SHAPE, "a"))
    save(images / "line.png", picture(10))
    save(masks / "line.npy", np.ones(5))
    save(images / "colour.png", picture(11))
    save(masks / "colour.png", np.repeat(two_objects(np.uint8)[..., None], 3, 2))
    save(images / "alone.png", picture(12))
    save(masks / "lonely.png", two_objects())
    save(images / "good.tif", picture(13))
    (images / "notes.txt").write_text("not a picture, and no matter")
    (images / "._good.png").write_text("of another system, and no matter")

    report = import_folder(project, images, masks)

    assert report.n_images == 1
    assert report.n_objects == 2
    reasons = dict(line.split(": ", 1) for line in report.skipped)
    expected = {
        "size.png": "9 x 9 pixels, but size.png has 20 x 30",
        "zero.png": "zero.png has no objects",
        "text.png": "text.png can not be read",
        "cut.png": "cut.png can not be read",
        "pickle.npy": "pickle.npy can not be read",
        "stack.npy": "7 channels",
        "jpeg.png": "JPEG file, which blurs labels",
        "minus.png": "not 0, 1, 2",
        "half.png": "not 0, 1, 2",
        "nan.png": "no numbers",
        "words.png": "no numbers",
        "line.png": r"line.npy has the shape (5,)",
        "colour.png": "colour picture of shape (20, 30, 3)",
        "alone.png": "there is no mask of this name",
        "lonely.png": "there is no image of this name",
        "good.tif": "good.png is taken for this name",
    }
    assert reasons.keys() == expected.keys()
    for name, words in expected.items():
        assert words in reasons[name]
    assert [record.name for record in project.images()] == ["good.png"]


def test_masks_of_the_wrong_size_only(
    project: Project, images: Path, masks: Path
) -> None:
    save(images / "a.png", picture(0, (9, 9)))
    save(masks / "a.png", two_objects())
    report = import_folder(project, images, masks)
    assert (report.n_images, report.n_objects, len(report.skipped)) == (0, 0, 1)


def test_colour_masks_only(project: Project, images: Path, masks: Path) -> None:
    save(images / "a.png", picture())
    save(masks / "a.png", picture(shape=(*SHAPE, 3)))
    with pytest.raises(
        InfosamError, match=r"Nothing was imported: a\.png is a colour picture"
    ):
        import_folder(project, images, masks)
    assert project.images() == []


def test_one_label_image_for_a_folder_of_images(
    project: Project, images: Path, masks: Path
) -> None:
    for seed, name in enumerate("abcd"):
        save(images / f"{name}.png", picture(seed))
    save(masks / "b.tif", two_objects())
    report = import_folder(project, images, masks / "b.tif")
    left_out = "3 images without a mask of the same name"
    assert report == ImportReport(1, 2, (left_out,))
    assert [record.name for record in project.images()] == ["b.png"]


def test_an_image_is_never_its_own_label_image(project: Project, images: Path) -> None:
    save(images / "a.tif", two_objects())
    save(images / "b.tif", picture())
    with pytest.raises(InfosamError, match="has the same name"):
        import_folder(project, images, images / "a.tif")
    # a picture and its labels side by side
    save(images / "b.png", two_objects(np.uint8))
    report = import_folder(project, images, images / "b.png")
    assert report.n_objects == 2
    assert [record.name for record in project.images()] == ["b.tif"]
    assert import_folder(project, images / "b.tif", images).n_known == 2


def test_what_is_wrong_with_the_pair_comes_first(
    project: Project, images: Path, masks: Path
) -> None:
    for seed, name in enumerate("abc"):
        save(images / f"{name}.png", picture(seed))
    save(masks / "b.png", two_objects()[:-1])
    report = import_folder(project, images, masks / "b.png")
    assert "b.png has 19 x 30" in report.skipped[0]
    assert report.skipped[1:] == ("2 images without a mask of the same name",)


def test_two_files_are_a_pair_with_the_table_beside_the_mask(
    project: Project, images: Path, masks: Path
) -> None:
    save(images / "cells.png", picture())
    save(masks / "cells_mask.tif", two_objects())
    table = "file,slice,label,class,color\ncells_mask.tif,,1,nucleus,#00ff00\n"
    (masks / TABLE).write_text(table)
    report = import_folder(project, images / "cells.png", masks / "cells_mask.tif")
    assert report == ImportReport(1, 2, ())
    assert [o.class_name for o in project.objects()] == ["nucleus", "object"]


def test_folders_without_pairs(project: Project, images: Path, masks: Path) -> None:
    save(images / "a.png", picture())
    save(masks / "b.png", two_objects())
    with pytest.raises(InfosamError, match=rf"{images} \(1 images\) and {masks} \(1"):
        import_folder(project, images, masks)
    with pytest.raises(InfosamError, match=f"no folder {images / 'x'} of images"):
        import_folder(project, images / "x", masks)
    with pytest.raises(InfosamError, match=f"no folder {masks / 'c.png'} of masks"):
        import_folder(project, images, masks / "c.png")
    with pytest.raises(InfosamError, match=r"both looked for in .*a.png: name two"):
        import_folder(project, images / "a.png", images / "a.png")
    with pytest.raises(InfosamError, match=r"both looked for in .*images: name two"):
        import_folder(project, images, images)
    assert project.images() == []


def test_a_project_that_can_not_be_written_ends_the_import(
    project: Project, images: Path, masks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, name in enumerate(["a", "b"]):
        save(images / f"{name}.png", picture(seed))
        save(masks / f"{name}.png", two_objects())

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", fail)
        with pytest.raises(InfosamError, match="is full"):
            import_folder(project, images, masks)
    assert import_folder(project, images, masks) == ImportReport(2, 4, ())


@pytest.mark.parametrize(("name", "n_objects"), [("blood_cells", 40), ("nuclei", 1821)])
def test_real_sets(project: Project, shared: Path, name: str, n_objects: int) -> None:
    folder = shared / "data" / name
    report = import_folder(project, folder / "images", folder / "masks")
    assert report == ImportReport(40, n_objects, ())
    assert [r.split for r in project.images()].count("val") == 8
    last = project.images()[-1]
    labels = io.imread(folder / "masks" / last.name)
    np.testing.assert_array_equal(project.label_image(last.id) > 0, labels > 0)
    values = np.unique(labels)[1:]
    assert len(project.objects(last.id)) == len(values)
    for record, value in zip(project.objects(last.id), values, strict=True):
        np.testing.assert_array_equal(record.mask(), labels == value)
    again = import_folder(project, folder / "images", folder / "masks")
    assert again == ImportReport(40, 0, (), n_known=n_objects)
