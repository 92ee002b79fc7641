"""Runs in this process, where every place can be reached; see also test_job."""

from __future__ import annotations

import errno
import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file

from napari_infosam.core import events
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.masks import iter_objects
from napari_infosam.core.options import FinetuneOptions
from napari_infosam.models import Predictor, load_version
from napari_infosam.models.student import (
    read_spec,
)
from napari_infosam.project import Project
from napari_infosam.project.versions import may_know
from napari_infosam.synthetic import make_set
from napari_infosam.training import held_out as held_out_module
from napari_infosam.training import teach as teach_module
from napari_infosam.training.checkpoint import load_checkpoint
from napari_infosam.training.held_out import HeldOut
from napari_infosam.training.job import find_resumable
from napari_infosam.training.relation import RELATION_FILE, RelationModule
from napari_infosam.training.reporter import CANCEL_FILE

from .runs import ONE_EPOCH, execute, kinds


@pytest.mark.usefixtures("frugal")
def test_a_quick_run(project_of, base):
    with project_of([2, 2, 1]) as project:
        found, outcome, run_dir = execute(project)
        assert kinds(found) == [
            "started",
            "stage prepare",
            "step prepare",
            "stage gate",
            "step gate",
            "stage quick",
            "step quick",
            "validation",
            "stage gate",
            "step gate",
            "candidate",
            "gate",
        ]
        started, gate = found[0], found[-1]
        assert (started.n_train_images, started.n_train_objects) == (2, 3)
        assert (started.n_validation_images, started.n_validation_objects) == (1, 2)
        assert (started.parent, started.resumed) == ("base", False)
        assert outcome.version_id == gate.version_id == "v001"
        assert outcome.accepted == gate.accepted
        assert gate.base == gate.active
        assert gate.candidate.n_objects == 2

        (record,) = project.versions()
        assert (record.id, record.parent) == ("v001", "base")
        assert (record.method, record.stage) == ("decoder", "quick")
        assert record.data_hash == project.data_hash()
        assert record.reason == gate.reason
        assert record.metrics["candidate"]["iou_1"] == gate.candidate.iou_1
        # what was there is known to it, held-out objects too; what comes later is not
        assert all(may_know(record, found) for found in project.objects())
        image = project.images()[0]
        later = project.commit(image.id, project.objects(image.id)[0].mask())
        assert not may_know(record, later)
        assert project.active_version == ("v001" if gate.accepted else "base")

        card = json.loads((project.version_dir("v001") / "card.json").read_text())
        assert card["id"] == "v001"
        assert card["options"]["max_epochs"] == 1
        assert card["student"]["base_hash"] == base.weights_hash
        assert card["libraries"]["torch"] == torch.__version__
        assert set(card["preprocessing"]) == {i.name for i in project.images()}
        assert card["run"] == run_dir.name
        assert json.loads((run_dir / "card.json").read_text()) == card
        assert {"parent", "data_hash", "options", "metrics"} <= card.keys()
        student = load_version(project, "v001", base=base)
        assert student.first_click == "single"
        assert student.encoder_hash == base.encoder_hash
        assert not (run_dir / "checkpoint.pt").exists()


@pytest.mark.usefixtures("frugal")
def test_what_was_begun_can_be_resumed_from_the_first_step_on(project_of):
    with project_of([1, 1, 1]) as project:
        steps = {}

        def note(event):
            if isinstance(event, events.Step) and event.stage == "quick":
                steps[event.step] = load_checkpoint(project.runs()[-1])
            return False

        execute(project, cancel_at=note, max_epochs=10, max_steps=2)
        assert steps[2]["fit"]["step"] == 1  # killed there, it would go on from here


@pytest.mark.usefixtures("frugal")
def test_a_slow_start_leaves_time_to_learn(project_of):
    with project_of([1, 1, 1]) as project:
        found, _, _ = execute(
            project,
            cancel_at=lambda e: isinstance(e, events.Step) and e.stage == "quick",
            seconds_before=1000.0,
            max_seconds=500.0,
            max_epochs=10_000,
        )
        # the budget was over before: three fifths of it are left all the same
        assert 250 < found[-1].seconds_left < 300


@pytest.mark.usefixtures("frugal")
def test_a_student_that_equals_the_active_version_is_never_swapped_in(
    project_of, add_student, monkeypatch
):
    """With real clicks on real weights, which the smallest of steps leaves as is."""
    # each is measured: what one has done is not known of the other
    monkeypatch.setattr(held_out_module, "keep_results", lambda *_: None)
    with project_of([2, 2]) as project:
        add_student(project)
        found, outcome, _ = execute(project, learning_rate=1e-30, max_steps=1)
        assert not outcome.accepted
        assert found[-1].candidate == found[-1].active
        assert project.active_version == "v001"


@pytest.mark.usefixtures("frugal")
def test_what_earlier_trainings_have_measured_is_not_measured_again(project_of):
    def n_measured(found) -> dict[str, int]:
        """Return how many results the gate took of each model."""
        model, counts = "", {}
        for event in found:
            if isinstance(event, events.StageStarted):
                model = event.message.split()[1].removesuffix(",")
            elif isinstance(event, events.Step) and event.stage == "gate":
                counts[model] = max(counts.get(model, 0), event.step)
        return counts

    with project_of([2, 2]) as project:
        found, _, _ = execute(project, learning_rate=1e-3)
        assert n_measured(found) == {"base": 8, "v001": 8}  # 2 objects from 4 sides
        # whoever is active now
        again, _, _ = execute(project, learning_rate=2e-3)
        assert n_measured(again) == {"v002": 8}
        assert again[-1].base == found[-1].base
        project.commit(1, ~project.objects(1)[0].mask())
        active = project.active_version
        found, _, _ = execute(project, learning_rate=3e-3)
        new = {"base": 4, "v003": 12, **({} if active == "base" else {active: 4})}
        assert n_measured(found) == new
        assert found[-1].base.n_objects == 3


@pytest.mark.slow
@pytest.mark.usefixtures("frugal")
def test_a_full_run_follows_the_quick_one(project_of, base, cells):
    with project_of([1, 1, 1]) as project:
        found, outcome, _ = execute(project, stage="full")
        stages = [e.stage for e in found if isinstance(e, events.StageStarted)]
        assert stages == ["prepare", "gate", "quick", "full", "gate"]
        notices = [e.message for e in found if isinstance(e, events.Notice)]
        assert notices == [
            "The information losses see 2 images at a time; they want 4."
        ]
        full = [e for e in found if isinstance(e, events.Step) and e.stage == "full"]
        assert full
        assert all(e.parts.keys() >= {"relation", "distill"} for e in full)
        (record,) = project.versions()
        assert record.method == "adapter"
        path = project.version_dir("v001") / "student.safetensors"
        assert read_spec(path).method == "adapter"
        student = load_version(project, "v001", base=base)
        assert student.encoder_hash != base.encoder_hash
        predictor = Predictor(student)
        predictor.set_image(cells[0].image)
        assert predictor.predict([(100, 100)]).mask.shape == cells[0].labels.shape

        # another project can start from its relation module
        module = RelationModule()
        module.load(project.path)
        kept = load_file(project.version_dir("v001") / RELATION_FILE)
        assert all(torch.equal(module.state_dict()[k], v) for k, v in kept.items())

        # and the next run is judged against it
        project.activate(outcome.version_id)
        found, _, _ = execute(project, stage="quick")
        assert found[0].parent == "v001"
        gate = found[-1]
        assert gate.active != gate.base
        assert [r.parent for r in project.versions()] == ["base", "v001"]


@pytest.mark.slow
@pytest.mark.usefixtures("frugal")
def test_one_training_image_has_no_information_losses(project_of):
    """It is said, never silently zero."""
    with project_of([1, 1]) as project:
        found, _, _ = execute(
            project,
            lambda_d=1.0,
            stage="full",
            cancel_at=lambda e: isinstance(e, events.Step) and e.stage == "full",
        )
    (notice,) = [e.message for e in found if isinstance(e, events.Notice)]
    assert "information losses are left out" in notice
    (step,) = [e for e in found if isinstance(e, events.Step) and e.stage == "full"]
    assert step.parts.keys() == {"structure", "iou"}


@pytest.mark.parametrize(
    ("counts", "options", "sentence"),
    [
        ([], {}, "Accept at least two objects"),
        ([0, 0], {}, "Accept at least two objects"),
        ([1], {}, "one is held out to check"),
        ([2, 1], {"model": "vit_b"}, "belongs to the model vit_t, not vit_b"),
    ],
)
def test_what_can_not_be_run(project_of, counts, options, sentence):
    with project_of(counts) as project, pytest.raises(InfosamError, match=sentence):
        execute(project, **options)


@pytest.mark.usefixtures("frugal")
def test_a_truncated_active_version(project_of, add_student):
    with project_of([1, 1]) as project:
        path = add_student(project)
        path.write_bytes(path.read_bytes()[:5000])
        with pytest.raises(InfosamError, match="activate another version"):
            execute(project)
        assert project.active_version == "v001"
        # the way out that the sentence names
        project.activate("base")
        assert execute(project, cancel_at=lambda e: e.kind == "stage")[1] is None


@pytest.mark.slow
@pytest.mark.usefixtures("frugal")
@pytest.mark.parametrize(
    "call",
    [
        "napari_infosam.models.student.save_file",
        "napari_infosam.training.register.write_json",
    ],
)
def test_a_full_disk_at_the_end_changes_nothing(
    project_of, add_student, monkeypatch, call
):
    def full(*_arguments, **_keywords):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with project_of([1, 1]) as project:
        add_student(project)
        with monkeypatch.context() as patch:
            patch.setattr(call, full)
            with pytest.raises(InfosamError, match="could not be written"):
                execute(project)
        assert project.active_version == "v001"
        assert [record.id for record in project.versions()] == ["v001"]
        # what was learnt is not lost either
        assert find_resumable(project.path) == project.runs()[-1]


def is_step(stage: str):
    return lambda e: isinstance(e, events.Step) and e.stage == stage


@pytest.mark.usefixtures("frugal")
@pytest.mark.parametrize("stage", ["prepare", "gate"])
def test_cancelled_before_training(project_of, stage):
    with project_of([1, 1]) as project:
        found, outcome, run_dir = execute(project, cancel_at=is_step(stage))
        assert outcome is None
        assert kinds(found)[-1] == f"step {stage}"
        assert not (run_dir / "checkpoint.pt").exists()
        assert find_resumable(project.path) is None
        assert project.versions() == []


@pytest.mark.usefixtures("frugal")
@pytest.mark.parametrize(
    "place", ["step", pytest.param("look", marks=pytest.mark.slow), "gate"]
)
def test_cancelled_and_resumed(project_of, place, monkeypatch):
    """Wherever it is cancelled, nothing that was learnt is learnt again."""
    with project_of([1, 1]) as project:
        cancel_at = {
            "step": is_step("quick"),
            "look": lambda _event: False,
            "gate": lambda e: getattr(e, "message", "").startswith("Comparing"),
        }[place]
        with monkeypatch.context() as patch:
            if place == "look":

                class Look(HeldOut):
                    def evaluate(self, *arguments, **keywords):
                        (project.runs()[-1] / CANCEL_FILE).touch()
                        return super().evaluate(*arguments, **keywords)

                patch.setattr(teach_module, "HeldOut", Look)
            found, outcome, run_dir = execute(
                project, cancel_at=cancel_at, max_epochs=2
            )
        assert outcome is None
        assert found[0].resumed is False
        checkpoint = load_checkpoint(run_dir)
        done = 2 if place == "gate" else 1
        assert (checkpoint["stage"], checkpoint["fit"]["step"]) == ("quick", done)
        assert find_resumable(project.path) == run_dir

        found, outcome, _ = execute(project, run_dir)
        assert found[0].resumed is True
        steps = [e.step for e in found if is_step("quick")(e)]
        assert steps == ([] if place == "gate" else [2])
        assert len([e for e in found if isinstance(e, events.Gate)]) == 1
        # a version that was reserved in the gate keeps its number for itself
        assert outcome.version_id == ("v002" if place == "gate" else "v001")
        assert [r.id for r in project.versions()] == [outcome.version_id]
        assert not (run_dir / "checkpoint.pt").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("frugal")
def test_a_damaged_checkpoint_is_a_new_beginning(project_of):
    with project_of([1, 1]) as project:
        _, _, run_dir = execute(project, cancel_at=is_step("quick"), max_epochs=2)
        path = run_dir / "checkpoint.pt"
        path.write_bytes(path.read_bytes()[:1000])
        found, outcome, _ = execute(project, run_dir)
    assert found[0].resumed is False
    assert [e.step for e in found if is_step("quick")(e)] == [1, 2]
    assert outcome.version_id == "v001"


@pytest.mark.slow
@pytest.mark.usefixtures("frugal")
def test_a_run_by_the_published_recipe(tmp_path, base):
    """Its student sees other pictures than the base that it is compared with."""
    options = FinetuneOptions.published(max_epochs=1, max_seconds=1e4).model_dump()
    with Project.create(tmp_path / "cells") as project:
        for number, cell in enumerate(make_set(6, seed=3)):
            image = project.add_image(cell.image, cell.name)
            project.commit(
                image.id, next(mask for _, mask in iter_objects(cell.labels))
            )
            if number == 4:
                # the first and the fourth validate: three are too few for a batch
                with pytest.raises(InfosamError, match="fewer than 4 images"):
                    execute(project, **options)
        found, outcome, _ = execute(project, **options)
        steps = [e for e in found if isinstance(e, events.Step) and e.stage == "full"]
        assert len(steps) == 1
        assert steps[0].parts.keys() == {"structure", "relation", "distill"}
        student = load_version(project, outcome.version_id, base=base)
        assert student.published_input
        assert not base.published_input

        # a later run is judged against it by the pictures it was trained on
        project.activate(outcome.version_id)
        later, _, _ = execute(project)
        before, now = found[-1].candidate, later[-1].active
        assert now.iou_1 == pytest.approx(before.iou_1, abs=0.01)
        assert later[-1].base == found[-1].base


@pytest.mark.usefixtures("frugal")
def test_a_project_that_was_moved_or_copied_trains_itself(project_of):
    with project_of([2, 2]) as project:
        before = project.path
        run_dir = project.new_run(FinetuneOptions(**ONE_EPOCH))
        execute(project, run_dir, lambda e: e.kind == "step" and e.stage == "quick")
    copy = shutil.copytree(before, before.with_name("copy"))
    moved = before.rename(before.with_name("moved"))
    for path in (copy, moved):
        with Project.open(path) as project:
            assert find_resumable(path) == path / "runs" / run_dir.name
            _, outcome, _ = execute(project, project.runs()[-1])
            assert [v.id for v in project.versions()] == [outcome.version_id]
    assert not before.exists()
