from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.events import Metrics
from napari_infosam.project import Project
from napari_infosam.project.comparison import compare_versions

from .test_versions import make_version

if TYPE_CHECKING:
    from collections.abc import Callable


def metrics(noc85: float, iou_1: float, n_objects: int = 9) -> dict[str, object]:
    return Metrics(
        n_images=3,
        n_objects=n_objects,
        iou_1=iou_1,
        iou_3=0.9,
        iou_5=0.9,
        iou_box=0.8,
        noc85=noc85,
        noc90=noc85 + 1,
        max_clicks=8,
    ).model_dump()


def test_marks_stay_when_a_project_is_opened_again(project: Project) -> None:
    first, second = make_version(project), make_version(project)
    project.shelf.pin(first.id)
    project.shelf.rename(first.id, "  good \n one ")
    project.shelf.pin("base")
    with Project.open(project.path, lock=False) as again:
        assert [v.pinned for v in again.versions()] == [True, False]
        assert [v.name for v in again.versions()] == ["good one", ""]
        assert again.shelf.is_pinned("base")
        assert again.shelf.find("good one") == "v001"
        assert again.shelf.find(second.id) == "v002"
        assert again.shelf.find("active") == "base"
        again.shelf.pin(first.id, False)
        again.shelf.rename(first.id, "")
    assert project.versions() == [first, second]


@pytest.mark.parametrize("name", ["base", "active", "v003", "x" * 41, "taken"])
def test_names_that_would_mislead_are_refused(project: Project, name: str) -> None:
    make_version(project)
    project.shelf.rename(make_version(project).id, "taken")
    with pytest.raises(InfosamError, match=r"name|has the name"):
        project.shelf.rename("v001", name)
    assert project.version("v001").name == ""


def test_a_deleted_version_leaves_its_card_and_its_number(project: Project) -> None:
    first = make_version(project)
    folder = project.version_dir(first.id)
    (folder / "card.json").write_text("{}")
    (folder / "relation").mkdir()
    (folder / "relation" / "weights").write_bytes(b"more")
    child = make_version(project, parent=first.id)
    project.shelf.delete(first.id)
    assert [path.name for path in folder.iterdir()] == ["card.json"]
    assert project.versions() == [child]
    assert project.versions(with_deleted=True) == [first, child]
    assert project.reserve_version() == "v003"
    with pytest.raises(InfosamError, match="no version 'v001'"):
        project.activate(first.id)


def _activated(project: Project) -> None:
    project.activate("v001")


def _pinned(project: Project) -> None:
    project.shelf.pin("v001")


@pytest.mark.parametrize(
    ("prepare", "says"),
    [(_activated, "answers at the moment"), (_pinned, "is pinned: unpin")],
)
def test_what_is_needed_is_not_deleted(
    project: Project, prepare: Callable[[Project], None], says: str
) -> None:
    make_version(project)
    prepare(project)
    with pytest.raises(InfosamError, match=says):
        project.shelf.delete("v001")
    assert (project.version_dir("v001") / "student.safetensors").is_file()
    assert len(project.versions()) == 1


def test_the_base_can_not_be_deleted_or_renamed(project: Project) -> None:
    with pytest.raises(InfosamError, match="base can not be deleted"):
        project.shelf.delete("base")
    with pytest.raises(InfosamError, match="base can not be renamed"):
        project.shelf.rename("base", "mine")
    for act in (project.shelf.pin, project.shelf.delete, project.shelf.find):
        with pytest.raises(InfosamError, match="no version 'v007'"):
            act("v007")


def test_what_a_crash_left_of_a_deleted_version_goes_with_the_next(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make_version(project), make_version(project)
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", _fail)
        with pytest.raises(InfosamError, match=r"v001 is out of the list.*by hand"):
            project.shelf.delete(first.id)
    assert project.versions() == [second]
    assert any(project.version_dir(first.id).iterdir())
    project.shelf.delete(second.id)
    assert not any(project.version_dir(first.id).iterdir())


def _fail(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_a_pinned_version_is_not_replaced_by_itself(project: Project) -> None:
    first = make_version(project, status="active")
    project.shelf.pin(first.id)
    second = make_version(project, status="active")
    assert project.version(second.id).status == "accepted"
    assert project.active_version == first.id
    project.activate(second.id)  # a person may
    assert project.active_version == second.id
    make_version(project, status="active")
    assert project.active_version == "v003"


def test_a_pinned_base_goes_on_to_answer(project: Project) -> None:
    project.shelf.pin("base")
    make_version(project, status="active")
    assert project.active_version == "base"


def test_marks_do_not_get_in_the_way_of_older_releases(project: Project) -> None:
    make_version(project)
    project.shelf.pin("v001")
    with sqlite3.connect(project.path / "project.sqlite") as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(versions)")]
    assert "pinned" not in columns


# ------------------------------------------------------------------- compare
def test_versions_of_one_training_were_measured_on_the_same_objects(
    project: Project,
) -> None:
    first = make_version(
        project, metrics={"base": metrics(6, 0.5), "candidate": metrics(4, 0.6)}
    )
    make_version(
        project,
        parent=first.id,
        metrics={
            "base": metrics(5, 0.55, 12),
            "active": metrics(3, 0.65, 12),
            "candidate": metrics(2, 0.6, 12),
        },
    )
    found = compare_versions(project, "v001", "v002")
    assert (found.a, found.b, found.measured_by) == ("v001", "v002", "v002")
    by_key = {figure.key: figure for figure in found.figures}
    assert (by_key["noc85"].a, by_key["noc85"].b) == (3, 2)
    assert by_key["noc85"].better == "v002"
    assert by_key["noc90"].difference == -1
    assert by_key["iou_1"].better == "v001"
    assert by_key["iou_box"].better == ""
    assert "same 12 held-out objects" in found.note
    # the newest training that measured both is asked
    assert compare_versions(project, "base", "v001").measured_by == "v002"


def test_versions_of_different_trainings_are_told_apart(project: Project) -> None:
    for noc85, n_objects in ((4, 9), (3, 1)):
        values = {"candidate": metrics(noc85, 0.6, n_objects)}
        make_version(project, metrics=values)
    project.shelf.rename("v002", "second")
    found = compare_versions(project, "v001", "second")
    assert found.measured_by == ""
    assert "v001 on 9 held-out objects and v002 on 1 held-out object" in found.note
    assert (found.figures[0].a, found.figures[0].b) == (4, 3)


def test_a_version_without_figures_is_said_to_have_none(project: Project) -> None:
    make_version(project, metrics={})
    found = compare_versions(project, "base", "v001")
    assert "never measured" in found.note
    assert {figure.difference for figure in found.figures} == {None}
    with pytest.raises(InfosamError, match="with itself"):
        compare_versions(project, "active", "base")
