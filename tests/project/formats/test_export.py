from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from napari_infosam.core.errors import InfosamError
from napari_infosam.project import HistoryEntry, Project
from napari_infosam.project.formats.export import (
    FORMATS,
    MARKER,
    Format,
    export_project,
)
from napari_infosam.project.formats.importing import Draft, write_draft
from napari_infosam.project.formats.items import (
    Item,
    label_values,
    plain_stem,
    select,
    unique_stems,
)
from napari_infosam.project.formats.pictures import SkipError
from napari_infosam.project.formats.targets import Images

from .helpers import (
    SHAPE,
    content,
    make_project,
    one_pixel,
    picture,
    ring,
    save_images,
)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "of").mkdir()
    with make_project(tmp_path / "of" / "cells") as made:
        yield made


@pytest.mark.parametrize("kind", FORMATS)
def test_every_folder_says_what_it_is(
    project: Project, tmp_path: Path, kind: Format
) -> None:
    seen: list[tuple[int, int]] = []
    report = export_project(
        project, kind, tmp_path / "out", on_progress=lambda *p: seen.append(p)
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    marker = json.loads((report.path / MARKER).read_text())
    assert marker["format"] == kind
    assert (marker["n_images"], marker["n_objects"]) == (3, 7)
    # nothing stays behind, and nothing of images without objects
    assert sorted(path.name for path in tmp_path.iterdir()) == ["of", "out"]
    assert not list(report.path.rglob("*annotated*"))


def test_a_project_that_is_open_elsewhere(project: Project, tmp_path: Path) -> None:
    with Project.open(project.path, lock=False) as reader:
        assert export_project(reader, "coco", tmp_path / "a.json").n_objects == 7


def test_only_accepted_objects(project: Project, tmp_path: Path) -> None:
    project.commit(2, one_pixel(), reviewed=False)
    project.delete(project.objects(3)[0].id)
    assert export_project(project, "coco", tmp_path / "a.json").n_objects == 6
    report = export_project(project, "coco", tmp_path / "b.json", unreviewed=True)
    assert report.n_objects == 7
    reviewed = [
        annotation["reviewed"]
        for annotation in json.loads(report.path.read_text())["annotations"]
    ]
    assert reviewed.count(False) == 1


def test_nothing_to_export(tmp_path: Path) -> None:
    with Project.create(tmp_path / "cells") as project:
        project.add_image(picture(), "a")
        with pytest.raises(InfosamError, match="has no accepted objects"):
            export_project(project, "labels", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("kind", "name"), [("coco", "a.json"), ("labels", "a")])
def test_what_is_there_is_replaced_only_when_asked(
    project: Project, tmp_path: Path, kind: Format, name: str
) -> None:
    out = tmp_path / name
    export_project(project, kind, out)
    before = out.read_bytes() if out.is_file() else sorted(out.iterdir())
    with pytest.raises(InfosamError, match=rf"{name} exists already: .*--overwrite"):
        export_project(project, kind, out)
    assert before == (out.read_bytes() if out.is_file() else sorted(out.iterdir()))
    project.delete(project.objects(2)[0].id)
    report = export_project(project, kind, out, overwrite=True)
    assert report.n_images == 2
    assert not (out / "deep.tif").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, "of"]


def test_a_folder_of_something_else_is_never_replaced(
    project: Project, tmp_path: Path
) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    (photographs / "wedding.jpg").write_text("")
    for out in (photographs, project.path):
        with pytest.raises(InfosamError, match="and is not an earlier export"):
            export_project(project, "labels", out, overwrite=True)
    assert (photographs / "wedding.jpg").exists()
    (tmp_path / "b.json").mkdir()
    with pytest.raises(InfosamError, match=r"b\.json is a folder: name another file"):
        export_project(project, "coco", tmp_path / "b.json", overwrite=True)


def test_an_empty_folder_is_taken_over(project: Project, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert export_project(project, "labels", tmp_path / "out").n_images == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["of", "out"]


def test_a_place_that_does_not_exist(project: Project, tmp_path: Path) -> None:
    with pytest.raises(InfosamError, match=r"There is no folder .*gone to export into"):
        export_project(project, "labels", tmp_path / "gone" / "out")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_full_disk_leaves_nothing_behind(
    project: Project, tmp_path: Path, kind: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = export_project(project, kind, tmp_path / "out").path
    before = sorted(path for path in out.rglob("*"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("napari_infosam.project.formats.export._write_marker", full)
    with pytest.raises(InfosamError, match="out is full"):
        export_project(project, kind, out, overwrite=True)
    assert sorted(path for path in out.rglob("*")) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["of", "out"]


def test_a_rename_that_fails_puts_the_old_one_back(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = export_project(project, "labels", tmp_path / "out").path
    before = sorted(out.iterdir())

    def fail(*_: object) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(InfosamError, match="out can not be written to"):
        export_project(project, "labels", out, overwrite=True)
    assert sorted(out.iterdir()) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["of", "out"]


def test_an_interrupt_leaves_nothing_behind(project: Project, tmp_path: Path) -> None:
    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_project(project, "yolo", tmp_path / "out", on_progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["of"]


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_read_only_place(project: Project, tmp_path: Path) -> None:
    place = tmp_path / "locked"
    place.mkdir(mode=0o500)
    with pytest.raises(InfosamError, match="can not be written to"):
        export_project(project, "labels", place / "out")


@pytest.mark.skipif(sys.platform == "win32", reason="such names can not be there")
def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    names = [
        "a/b.png",
        "A_B.tif",
        "..",
        "con:?*.png",
        "x" * 300,
        "日本.tif",
        "a.v2",
        "",
    ]
    with Project.create(tmp_path / "cells") as project:
        for number, name in enumerate(names):
            project.commit(project.add_image(picture(number), name).id, ring())
        out = export_project(project, "labels", tmp_path / "out").path
        stems = [picture.stem for picture in select(project).pictures]
    assert stems == [
        "a_b",
        "A_B (2)",
        "image",
        "con___",
        "x" * 120,
        "日本",
        "a.v2",
        "image (2)",
    ]
    assert {path.stem for path in out.glob("*.tif")} == set(stems)


def test_stems_are_unique_whatever_the_names() -> None:
    names = ["a", "a (2)", "a", "A.png", "a.TIF"]
    stems = unique_stems(names)
    assert stems == ["a", "a (2)", "a (3)", "A (4)", "a (5)"]
    assert plain_stem("a.b.Tiff") == "a.b"


def test_values_of_items_that_have_no_ids() -> None:
    first, second = Item.of_mask(ring()), Item.of_mask(ring(), instance_id=4)
    assert label_values([first, second]) == [1, 2]
    assert label_values([second]) == [4]


def test_images_are_found_by_name_and_by_pixels(
    project: Project, tmp_path: Path
) -> None:
    folder = save_images(project, tmp_path / "images")
    (folder / "sub").mkdir()
    shutil.move(folder / "grey.png", folder / "sub" / "grey.png")
    images = Images(project, folder)
    for name in ("grey.png", "sub/grey.png", "C:\\data\\grey.tif", "grey"):
        assert images.find(name).digest == project.images()[0].content_hash
    assert images.find("other", project.images()[1].content_hash).name == "deep"
    shutil.copy(folder / "deep.png", folder / "deep.tif")
    with pytest.raises(SkipError, match=r"deep\.png and deep\.tif in .* could both be"):
        Images(project, folder).find("deep")
    with pytest.raises(SkipError, match=r"there is no image gone\.png in"):
        images.find("gone.png")
    with pytest.raises(InfosamError, match=r"There is no folder .*gone of images"):
        Images(project, tmp_path / "gone")

    project.add_image(picture(99), "grey.tif")
    with pytest.raises(SkipError, match="the project has 2 images grey"):
        Images(project, None).find("grey")


def test_an_import_of_nothing(project: Project) -> None:
    with pytest.raises(InfosamError, match=r"There are no objects to import\."):
        write_draft(project, Draft())
    with pytest.raises(InfosamError, match="to import, the first because a: gone"):
        write_draft(project, Draft(skipped=["a: gone"]))


def test_names_of_classes_are_put_in_order(project: Project) -> None:
    target = Images(project, None).find("grey.png")
    names = [" cat ", "", None, "\ud800"]
    items = [
        Item.of_mask(np.roll(one_pixel(), n + 1, axis=0), class_name=name)
        for n, name in enumerate(names)
    ]
    draft = Draft({" cat ": "#0a0b0c"}, [(target, items)])
    assert write_draft(project, draft).n_objects == 4
    found = [record.class_name for record in project.objects(1)[-4:]]
    assert found == ["cat", "object", "object", "\\ud800"]
    colours = {c.name: c.color for c in project.classes()}
    assert colours["cat"] == "#0a0b0c"
    assert write_draft(project, draft).n_objects == 0
    project.undo()  # the import, and the classes that it made
    assert {c.name for c in project.classes()} == {*colours} - {"cat", "\\ud800"}


def test_an_import_is_one_step_over_all_its_images(project: Project) -> None:
    images = Images(project, None)
    before = content(project)
    items = [Item.of_mask(np.roll(one_pixel(), n + 1, axis=0)) for n in range(9)]
    draft = Draft(
        images=[(images.find("grey.png"), items), (images.find("deep"), items[:4])]
    )
    assert write_draft(project, draft).n_objects == 13
    after = content(project)
    step = HistoryEntry("import", project.objects(1)[-9].id, 1, n_objects=13)
    assert project.undo() == step
    assert content(project) == before
    assert project.redo() == step
    assert content(project) == after
    # what brings nothing new is no step
    assert write_draft(project, draft).n_objects == 0
    project.close()
    with Project.open(project.path) as again:
        again.undo()
        assert content(again) == before


def test_instance_ids_that_are_taken(project: Project) -> None:
    """The id of a deleted object is taken too, since undo brings it back."""
    target = Images(project, None).find("grey.png")
    old = project.objects(1)[0]
    project.delete(old.id)
    items = [
        Item.of_mask(ring(), instance_id=old.instance_id),
        Item.of_mask(~ring(), instance_id=100),
        Item.of_mask(~one_pixel(), instance_id=2**40),
    ]
    report = write_draft(project, Draft(images=[(target, items)]))
    assert report.n_objects == 3
    assert [o.instance_id for o in project.objects(1)[-3:]] == [12, 100, 101]
    np.testing.assert_array_equal(project.objects(1)[-1].mask(), ~one_pixel())
    assert project.images()[0].shape == SHAPE
