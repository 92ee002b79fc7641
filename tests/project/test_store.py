from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.preprocess import Preprocessing
from napari_infosam.project import ClassRecord, ImageRecord, Project
from napari_infosam.project.encoded import encode
from napari_infosam.project.objects import Origin

from .conftest import gradient, square

if TYPE_CHECKING:
    from napari_infosam.project.records import Overlap


def test_create_adds_the_suffix_and_open_takes_either(tmp_path: Path) -> None:
    with Project.create(tmp_path / "cells", model="vit_b") as project:
        assert project.path == tmp_path / "cells.infosam"
        assert project.cache_dir == project.path / "cache"
    for name in ("cells", "cells.infosam"):
        with Project.open(tmp_path / name) as project:
            assert project.path == tmp_path / "cells.infosam"
            assert project.model == "vit_b"
            assert project.active_version == "base"
            assert project.n_objects() == 0


def test_a_dot_in_the_name_stays(tmp_path: Path) -> None:
    with Project.create(tmp_path / "day.1") as project:
        assert project.path.name == "day.1.infosam"


def test_a_relative_path_survives_chdir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Project.create("cells") as project:
        monkeypatch.chdir("/")
        record = project.add_image(gradient(), "a")
        assert project.read_image(record.id).shape == record.shape


def test_odd_characters_in_the_path(tmp_path: Path) -> None:
    name = "año 100% #1?.infosam"
    with Project.create(tmp_path / name) as project:
        project.add_image(gradient(), "a")
    with Project.open(tmp_path / name) as project:
        assert len(project.images()) == 1


def test_create_takes_an_empty_folder_over(tmp_path: Path) -> None:
    (tmp_path / "cells.infosam").mkdir()
    Project.create(tmp_path / "cells.infosam").close()
    assert [p.name for p in tmp_path.iterdir()] == ["cells.infosam"]


def test_create_refuses_what_is_there(tmp_path: Path) -> None:
    Project.create(tmp_path / "cells").close()
    with pytest.raises(InfosamError, match="exists already: open it"):
        Project.create(tmp_path / "cells")
    (tmp_path / "full.infosam").mkdir()
    (tmp_path / "full.infosam" / "letter.txt").write_text("dear")
    with pytest.raises(InfosamError, match="not a project: choose another name"):
        Project.create(tmp_path / "full")
    (tmp_path / "file.infosam").touch()
    with pytest.raises(InfosamError, match="not a project: choose another name"):
        Project.create(tmp_path / "file")


@pytest.mark.parametrize("path", ["", "/", "a\0b"])
def test_paths_without_a_name(path: str) -> None:
    with pytest.raises(InfosamError, match="name the project's folder"):
        Project.create(path)
    with pytest.raises(InfosamError, match="name the project's folder"):
        Project.open(path)


def test_create_in_a_missing_folder_or_with_a_long_name(tmp_path: Path) -> None:
    with pytest.raises(InfosamError, match=r"no folder .*missing"):
        Project.create(tmp_path / "missing" / "cells")
    with pytest.raises(InfosamError, match="name too long"):
        Project.create(tmp_path / ("x" * 300))
    assert not list(tmp_path.iterdir())


def test_open_what_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(InfosamError, match=r"no project .*cells\.infosam"):
        Project.open(tmp_path / "cells")
    with pytest.raises(InfosamError, match=r"holds no project\.sqlite"):
        Project.open(tmp_path)
    (tmp_path / "a.infosam").touch()
    with pytest.raises(InfosamError, match=r"holds no project\.sqlite"):
        Project.open(tmp_path / "a")
    assert [p.name for p in tmp_path.iterdir()] == ["a.infosam"]


def test_a_failed_create_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: object, target: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(InfosamError, match=r"disk that holds .*cells\.infosam is full"):
        Project.create(tmp_path / "cells")
    assert not list(tmp_path.iterdir())


def test_add_image_keeps_a_copy(project: Project, tmp_path: Path) -> None:
    pixels = gradient()
    record = project.add_image(pixels, "cells.png", source="/data/cells.png")
    assert record == ImageRecord(
        id=1,
        name="cells.png",
        content_hash=record.content_hash,
        shape=(24, 32),
        axes="YX",
        dtype="uint8",
        source="/data/cells.png",
        preprocessing=Preprocessing(),
        split=None,
    )
    stored = project.path / "images" / f"{record.content_hash}.npy"
    np.testing.assert_array_equal(np.load(stored), pixels)
    np.testing.assert_array_equal(project.read_image(1), pixels)
    assert not project.read_image(1).flags.writeable
    assert project.images() == [record]
    assert project.image(1) == record


def test_the_same_pixels_are_the_same_image(project: Project) -> None:
    first = project.add_image(gradient(), "a")
    assert project.add_image(gradient().astype("<u1"), "b") == first
    fixed = Preprocessing(contrast="fixed", low=0, high=100)
    other = project.add_image(gradient(), "a", preprocessing=fixed)
    assert other.id != first.id
    assert other.content_hash == first.content_hash
    assert len(list((project.path / "images").iterdir())) == 1
    assert project.add_image(gradient(1), "a").id not in (first.id, other.id)
    assert len(project.images()) == 3


def test_other_types_and_shapes_are_other_images(project: Project) -> None:
    zeros = np.zeros((4, 6), np.uint8)
    ids = {
        project.add_image(image, "a").id
        for image in (
            zeros,
            zeros.astype(np.int8),
            zeros.reshape(6, 4),
            zeros[..., None],
        )
    }
    assert len(ids) == 4


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros(3), "needs the axes YX or YXC"),
        (np.zeros((2, 3, 4, 5)), "needs the axes YX or YXC"),
        (np.zeros((0, 3)), "has no pixels"),
        (np.zeros((4, 4), complex), "can not be segmented"),
        (np.zeros((4, 4), object), "can not be segmented"),
        (np.zeros((4, 4, 5)), "5 channels"),
    ],
)
def test_images_that_can_not_be_shown(
    project: Project, image: np.ndarray, words: str
) -> None:
    with pytest.raises(InfosamError, match=words):
        project.add_image(image, "a")
    assert project.images() == []
    assert not list((project.path / "images").iterdir())


def test_many_channels_with_a_choice(project: Project) -> None:
    image = np.zeros((4, 4, 7), np.uint16)
    chosen = Preprocessing(channels=(6,))
    assert project.add_image(image, "a", preprocessing=chosen).axes == "YXC"
    with pytest.raises(InfosamError, match=r"no channels \(7,\)"):
        project.add_image(image, "a", preprocessing=Preprocessing(channels=(7,)))
    with pytest.raises(InfosamError, match=r"no channels \(0,\)"):
        project.add_image(
            image[..., 0], "a", preprocessing=Preprocessing(channels=(0,))
        )


def test_set_preprocessing(project: Project, image: ImageRecord) -> None:
    fixed = Preprocessing(contrast="fixed", low=0, high=100)
    assert project.set_preprocessing(image.id, fixed).preprocessing == fixed
    assert project.image(image.id).preprocessing == fixed
    with pytest.raises(InfosamError, match="no channels"):
        project.set_preprocessing(image.id, Preprocessing(channels=(0,)))
    project.add_image(gradient(), "again")
    with pytest.raises(InfosamError, match="a second time"):
        project.set_preprocessing(image.id, Preprocessing())
    assert project.image(image.id).preprocessing == fixed


def test_unknown_image(project: Project) -> None:
    for call in (project.image, project.read_image, project.label_image):
        with pytest.raises(InfosamError, match="no image 7"):
            call(7)
    with pytest.raises(InfosamError, match="no image 7"):
        project.commit(7, square(1, 1))


def test_numpy_numbers_as_ids(project: Project, image: ImageRecord) -> None:
    image_id: Any = np.int64(image.id)
    written = project.commit(image_id, square(1, 1))
    assert project.objects(image_id) == [written]
    object_id: Any = np.int64(written.id)
    project.delete(object_id)
    assert project.n_objects() == 0


def test_names_with_bytes_that_are_no_text(project: Project) -> None:
    name = os.fsdecode(b"cell\xff.png")
    record = project.add_image(gradient(), name, source=name)
    assert record.name == record.source == "cell\\udcff.png"


@pytest.mark.parametrize("damage", ["missing", "cut", "other", "garbage"])
def test_damaged_pixels_are_told_and_mended(
    project: Project, image: ImageRecord, damage: str
) -> None:
    stored = project.path / "images" / f"{image.content_hash}.npy"
    match damage:
        case "missing":
            stored.unlink()
        case "cut":
            stored.write_bytes(stored.read_bytes()[:-100])
        case "other":
            np.save(stored, np.zeros((3, 3)))
        case "garbage":
            stored.write_bytes(b"\x80\x04garbage")
    with pytest.raises(InfosamError, match=r"cells\.png are missing or damaged"):
        project.read_image(image.id)
    assert project.add_image(gradient(), "again") == image
    np.testing.assert_array_equal(project.read_image(image.id), gradient())


def test_the_last_class_is_that_of_the_newest_object(project: Project) -> None:
    image = project.add_image(gradient(), "a")
    project.add_class("cell")
    assert project.last_class() is None
    project.commit(image.id, square(1, 1))
    project.commit(image.id, square(2, 2), class_name="cell")
    assert project.last_class() == "cell"
    project.undo()
    assert project.last_class() == "object"


def test_classes(project: Project) -> None:
    assert project.classes() == [ClassRecord(1, "object", "#e69f00")]
    cell = project.add_class("cell")
    dead = project.add_class(" dead ", "#ABCDEF")
    assert project.classes()[1:] == [cell, dead]
    assert dead == ClassRecord(3, "dead", "#ABCDEF")
    assert project.add_class("cell", "#000000") == cell
    names = [f"class {i}" for i in range(20)]
    colors = [project.add_class(name).color for name in names]
    assert len(set(colors)) == 8
    with pytest.raises(InfosamError, match="needs a name"):
        project.add_class("  ")
    with pytest.raises(InfosamError, match="'red' is not a colour"):
        project.add_class("blood", "red")
    project.set_class_color("cell", "#010203")
    assert project.classes()[1].color == "#010203"
    with pytest.raises(InfosamError, match="'blood'"):
        project.set_class_color("blood", "#010203")
    with pytest.raises(InfosamError, match="'red'"):
        project.set_class_color("cell", "red")


def test_a_class_is_renamed_with_its_objects(
    project: Project, image: ImageRecord
) -> None:
    project.add_class("cell", "#010203")
    first = project.commit(image.id, square(1, 1), class_name="cell")
    project.commit(image.id, square(9, 9))
    project.delete(first.id)
    project.rename_class("cell", " nucleus ")
    project.rename_class("object", "object")
    assert [(c.name, c.color) for c in project.classes()][1:] == [
        ("nucleus", "#010203")
    ]
    for _ in range(2):  # the rename, and the delete
        project.undo()
    assert [o.class_name for o in project.objects()] == ["cell", "object"]
    for _ in range(2):
        project.redo()
    assert [c.name for c in project.classes()] == ["object", "nucleus"]
    for name, new, reason in (
        ("cell", "blood", "no class 'cell'"),
        ("nucleus", "object", "class 'object' already"),
        ("nucleus", " ", "needs a name"),
    ):
        with pytest.raises(InfosamError, match=reason):
            project.rename_class(name, new)


def test_a_project_opened_for_reading_changes_no_annotations(
    project: Project, image: ImageRecord
) -> None:
    written = project.commit(image.id, square(1, 1))
    with Project.open(project.path, lock=False) as reader:
        assert reader.objects() == [written]
        for change in (
            lambda: reader.commit(image.id, square(2, 2)),
            lambda: reader.commit_many(image.id, [square(2, 2)]),
            lambda: reader.delete(written.id),
            reader.undo,
            reader.redo,
            lambda: reader.add_image(gradient(2), "b"),
            lambda: reader.add_class("cell"),
            lambda: reader.set_class_color("object", "#010203"),
            lambda: reader.rename_class("object", "cell"),
            lambda: reader.set_preprocessing(image.id, Preprocessing(low=1)),
        ):
            with pytest.raises(InfosamError, match="opened for reading"):
                change()
    assert project.objects() == [written]


def test_a_closed_project_says_so(project: Project) -> None:
    project.close()
    project.close()
    with pytest.raises(InfosamError, match="is closed: open it again"):
        project.images()


def test_a_project_moved_or_deleted_while_open(
    project: Project, image: ImageRecord, tmp_path: Path
) -> None:
    written = project.commit(image.id, square(1, 1))
    moved = project.path.rename(tmp_path / "moved.infosam")
    with pytest.raises(InfosamError, match="moved or deleted while it was open"):
        project.commit(image.id, square(2, 2))
    moved.rename(project.path)
    later = project.commit(image.id, square(3, 3))
    assert project.objects() == [written, later]


@pytest.mark.parametrize("overlap", ["keep", "replace"])
def test_many_objects_can_be_one_step(
    project: Project, image: ImageRecord, overlap: Overlap
) -> None:
    earlier = project.commit(image.id, square(2, 2, 6))
    masks = [square(6, 6, 4), square(12, 12, 3)]
    made = project.commit_each(
        image.id,
        [(mask, Origin("object")) for mask in masks],
        overlap=overlap,
        one_step=True,
    )
    assert [record.instance_id for record in made] == [2, 3]
    np.testing.assert_array_equal(made[1].mask(), masks[1])
    assert made[0].area == (12 if overlap == "keep" else 16)
    assert project.n_objects() == 3
    project.undo()
    assert [record.id for record in project.objects()] == [earlier.id]
    np.testing.assert_array_equal(project.objects()[0].mask(), square(2, 2, 6))
    project.redo()
    assert project.n_objects() == 3


@pytest.mark.parametrize("in_thread", [False, True])
def test_a_block_is_one_step_or_nothing(
    project: Project, image: ImageRecord, in_thread: bool
) -> None:
    mask = encode(square(2, 2), image)

    def work() -> None:
        with suppress(KeyboardInterrupt), project.one_step("import") as step:
            step.write(image.id, mask, Origin("object"))
            assert project.n_objects() == 1
            step.add_class("nucleus")
            raise KeyboardInterrupt
        with project.one_step("import"):
            project.add_image(gradient(2), "b")

    if in_thread:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(work).result()
    else:
        work()
    assert project.n_objects() == 0
    assert not project.can_undo
    assert [record.name for record in project.classes()] == ["object"]
    assert len(project.images()) == 2
