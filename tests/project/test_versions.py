from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.options import FinetuneOptions
from napari_infosam.project import Project, VersionRecord
from napari_infosam.project.schema import SCHEMA_VERSION


def make_version(project: Project, **values: object) -> VersionRecord:
    """Register a version that has weights."""
    record = VersionRecord(
        id=project.reserve_version(),
        parent="base",
        method="decoder",
        stage="quick",
        options=FinetuneOptions().model_dump(),
        data_hash=project.data_hash(),
        metrics={"candidate": {"iou_1": 0.86}, "base": None},
        status="accepted",
        reason="better by 0.1 IoU",
    )
    record = replace(record, **values)  # type: ignore[arg-type]
    (project.version_dir(record.id) / "student.safetensors").write_bytes(b"weights")
    project.add_version(record)
    return record


def test_a_new_project_answers_with_the_base(project: Project) -> None:
    assert project.active_version == "base"
    assert project.versions() == []
    project.activate("base")
    assert project.active_version == "base"


def test_reserve_add_activate(project: Project) -> None:
    first = make_version(project)
    second = make_version(project, parent=first.id, status="rejected")
    assert (first.id, second.id) == ("v001", "v002")
    assert project.version_dir("v001") == project.path / "models" / "v001"
    assert project.versions() == [first, second]
    project.activate(first.id)
    assert project.active_version == "v001"
    assert project.version("v001") == replace(first, status="active")
    project.activate(second.id)
    assert [v.status for v in project.versions()] == ["accepted", "active"]
    project.activate("base")
    assert project.versions() == [first, second]
    with Project.open(project.path, lock=False) as reader:
        assert reader.versions() == [first, second]
        reader.activate("v001")
    assert project.active_version == "v001"


def test_the_version_that_answered_before_is_known(project: Project) -> None:
    assert project.version_before == ""
    first, second = make_version(project), make_version(project)
    assert project.version_before == ""
    project.activate(first.id)
    project.activate(first.id)
    assert project.version_before == "base"
    project.activate(second.id)
    with Project.open(project.path, lock=False) as again:
        assert again.version_before == first.id
    # and in turn
    for now, before in ((first, second), (second, first)):
        project.activate(project.version_before)
        assert project.active_version == now.id
        assert project.version_before == before.id
    # one that is not there any more, or that nobody noted, is the base
    project.shelf.delete(first.id)
    assert project.version_before == "base"
    project.activate("base")
    project.shelf.delete(second.id)
    assert project.version_before == ""
    assert make_version(project, status="active").id == project.active_version
    assert project.version_before == "base"


def test_a_version_added_as_active_is_active(project: Project) -> None:
    record = make_version(project, status="active")
    assert project.active_version == record.id
    assert project.versions() == [record]


def test_a_version_added_as_active_without_weights_is_not_added(
    project: Project,
) -> None:
    version_id = project.reserve_version()
    record = VersionRecord(version_id, "base", "decoder", "quick", {}, "", {}, "active")
    with pytest.raises(InfosamError, match="weights of version v001 are missing"):
        project.add_version(record)
    assert project.versions() == []
    assert project.active_version == "base"


def test_activate_names_the_choices(project: Project) -> None:
    make_version(project)
    gone = make_version(project)
    (project.version_dir(gone.id) / "student.safetensors").unlink()
    with pytest.raises(InfosamError, match=r"no version 'v9': choose .* base, v001, v"):
        project.activate("v9")
    with pytest.raises(
        InfosamError, match=r"v002 are missing .*student\.safetensors.* base, v001\.$"
    ):
        project.activate("v002")
    with pytest.raises(InfosamError, match="no version 'v003'"):
        project.version("v003")
    assert project.active_version == "base"


def test_add_version_needs_a_reserved_id_once(project: Project) -> None:
    record = make_version(project)
    with pytest.raises(InfosamError, match="'v001' is in the project already"):
        project.add_version(record)
    for wrong in ("v002", "best", "../v001", "v01"):
        with pytest.raises(InfosamError, match="was not reserved"):
            project.add_version(replace(record, id=wrong))
    assert project.versions() == [record]


def test_numbers_are_never_given_out_again(project: Project) -> None:
    record = make_version(project)
    assert project.reserve_version() == "v002"
    shutil.rmtree(project.path / "models")
    assert project.version(record.id) == record
    assert project.reserve_version() == "v002"
    (project.path / "models" / "v999").mkdir()
    assert project.reserve_version() == "v1000"
    assert project.reserve_version() == "v1001"


def test_versions_are_in_the_order_of_their_numbers(project: Project) -> None:
    (project.path / "models").mkdir()
    (project.path / "models" / "v998").mkdir()
    ids = [make_version(project).id for _ in range(3)]
    assert ids == ["v999", "v1000", "v1001"]
    assert [v.id for v in project.versions()] == ids


def test_runs(project: Project) -> None:
    assert project.runs() == []
    options = FinetuneOptions(stage="full", seed=7)
    first = project.new_run(options)
    second = project.new_run(FinetuneOptions())
    assert first == project.path / "runs" / "r001"
    assert project.runs() == [first, second]
    config = json.loads((first / "config.json").read_text())
    assert set(config) == {"options", "project", "schema"}
    assert FinetuneOptions.model_validate(config["options"]) == options
    assert config["project"] == str(project.path)
    assert config["schema"] == SCHEMA_VERSION
    shutil.rmtree(second)
    assert project.runs() == [first]
    assert project.new_run(options).name == "r003"


def test_a_run_that_can_not_be_written_leaves_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(InfosamError, match="is full"):
        project.new_run(FinetuneOptions())
    monkeypatch.undo()
    assert project.runs() == []
    assert project.new_run(FinetuneOptions()).name == "r001"
