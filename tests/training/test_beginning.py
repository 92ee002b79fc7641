"""What a training begins with, seen in the weights of steps that change nothing."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from napari_infosam.core import events
from napari_infosam.core.options import FinetuneOptions
from napari_infosam.models import load_version
from napari_infosam.models.student import STUDENT_FILE, StudentSpec, build_student
from napari_infosam.training.beginning import Beginning, begin_with, decoder_weights
from napari_infosam.training.relation import RELATION_FILE, RelationModule

from .runs import execute

SHIFT = 1e-3
CALIBRATED = "mask_decoder.iou_prediction_head.layers.2.bias"
"""What is changed after the last step, by what was found on held-out objects."""
STILL = {"learning_rate": 1e-30, "max_steps": 1}


def distance(a, b) -> float:
    """Return how far the weights that both have lie apart at most."""
    common = (a.keys() & b.keys()) - {CALIBRATED}
    assert common
    return max((a[key] - b[key]).abs().max().item() for key in common)


@pytest.mark.usefixtures("frugal")
@pytest.mark.parametrize(("begin", "version"), [("active", "v001"), ("base", "base")])
def test_a_training_goes_on_from_the_active_version(
    project_of, base, add_student, begin, version
):
    with project_of([2, 2]) as project:
        path = add_student(project, shift=SHIFT)
        found, outcome, _ = execute(project, begin=begin, **STILL)
        folder = project.version_dir(outcome.version_id)
        made = load_file(folder / STUDENT_FILE)
        begun = load_file(path) if begin == "active" else base.sam.state_dict()
        assert distance(made, begun) < 1e-6
        assert found[0].begun_with == version
        card = json.loads((folder / "card.json").read_text("utf-8"))
        assert (card["begun_with"], card["parent"]) == (version, "v001")


@pytest.mark.usefixtures("frugal")
def test_it_goes_on_from_a_student_that_gained_too_little(project_of, add_student):
    with project_of([2, 2]) as project:
        add_student(project, shift=SHIFT)
        rejected = {"status": "rejected", "parent": "v001", "gained": 0.01}
        path = add_student(project, shift=2 * SHIFT, **rejected)
        found, outcome, _ = execute(project, **STILL)
        assert (found[0].begun_with, found[0].parent) == ("v002", "v001")
        made = load_file(project.version_dir(outcome.version_id) / STUDENT_FILE)
        assert distance(made, load_file(path)) < 1e-6


@pytest.mark.slow
@pytest.mark.usefixtures("frugal")
def test_a_whole_student_goes_on_without_the_quick_stage(project_of, add_student):
    with project_of([2, 1, 1]) as project:
        path = add_student(project, "adapter", SHIFT)
        relation = RelationModule()
        with torch.no_grad():
            for parameter in relation.parameters():
                parameter += SHIFT
        relation.save(path.with_name(RELATION_FILE))
        found, outcome, _ = execute(project, stage="full", **STILL)
        folder = project.version_dir(outcome.version_id)
        stages = [e.stage for e in found if isinstance(e, events.StageStarted)]
        assert stages[:4] == ["prepare", "gate", "gate", "full"]
        assert set(stages[4:]) == {"gate"}
        assert found[0].begun_with == "v001"
        made, begun = load_file(folder / STUDENT_FILE), load_file(path)
        assert made.keys() == begun.keys()
        assert distance(made, begun) < 1e-6
        kept = load_file(folder / RELATION_FILE)
        assert distance(kept, relation.state_dict()) < 1e-6
        assert found[-1].candidate == found[-1].active


@pytest.mark.slow
@pytest.mark.usefixtures("frugal")
def test_adapters_go_on_from_a_tuned_decoder(project_of, add_student):
    with project_of([2, 1, 1]) as project:
        path = add_student(project, shift=SHIFT)
        found, outcome, _ = execute(project, stage="full", **STILL)
        stages = [e.stage for e in found if isinstance(e, events.StageStarted)]
        assert "quick" not in stages
        made = load_file(project.version_dir(outcome.version_id) / STUDENT_FILE)
        assert distance(made, load_file(path)) < 1e-6


@pytest.mark.parametrize(
    ("method", "options", "version"),
    [
        ("decoder", {}, "v001"),
        ("decoder", {"stage": "full", "method": "lora"}, "v001"),
        ("decoder", {"stage": "full", "method": "hq-sam"}, "base"),
        ("decoder", {"begin": "base"}, "base"),
        ("decoder", {"recipe": "paper"}, "base"),
        ("lora", {"stage": "full", "method": "lora"}, "v001"),
        ("lora", {"stage": "full", "method": "lora", "first_block": 9}, "base"),
        ("lora", {"stage": "full", "method": "adapter"}, "base"),
        ("lora", {"stage": "quick", "method": "lora"}, "base"),
        ("hq-sam", {"stage": "full", "method": "hq-sam"}, "v001"),
    ],
)
def test_only_what_fits_is_begun_with(
    project_of, base, add_student, method, options, version
):
    with project_of([]) as project:
        add_student(project, method, SHIFT)
        begin = begin_with(project, base, FinetuneOptions(**options))
        assert begin.version == version
        assert (begin.weights is None) == (version == "base")
        if begin.weights is not None:
            wanted = options.get("method", "decoder")
            student, _ = build_student(base.sam, StudentSpec.of(base, wanted))
            begin.copy_to(student)
            known = load_version(project, base=base).sam
            assert distance(decoder_weights(student), decoder_weights(known)) == 0


def test_the_base_is_begun_with_where_it_is_active(project_of, base):
    with project_of([]) as project:
        assert begin_with(project, base, FinetuneOptions()) == Beginning()


@pytest.mark.usefixtures("frugal")
def test_what_was_learnt_from_the_only_image_is_not_gone_on_from(project_of, cells):
    """All of its objects judge as soon as there is another image."""
    with project_of([3]) as project:
        _, outcome, _ = execute(project, **STILL)
        first = outcome.version_id
        project.activate(first)
        # nor while it is the only one: an edit changes which of them judge
        found, _, _ = execute(project, **STILL)
        assert (found[0].parent, found[0].begun_with) == (first, "base")

        image = project.add_image(cells[1].image, cells[1].name)
        project.commit(image.id, cells[1].labels == cells[1].labels.max())
        found, outcome, _ = execute(project, **STILL)
        assert (found[0].parent, found[0].begun_with) == (first, "base")
        project.activate(outcome.version_id)
        found, _, _ = execute(project, **STILL)
        assert found[0].begun_with == outcome.version_id


def test_students_of_published_input_are_not_gone_on_from(
    project_of, base, add_student
):
    with project_of([]) as project:
        add_student(project, published_input=True)
        assert begin_with(project, base, FinetuneOptions()) == Beginning()


@pytest.mark.parametrize("damage", [b"", b"garbage"])
def test_a_damaged_relation_module_begins_anew(
    project_of, base, add_student, damage, caplog
):
    with project_of([]) as project:
        path = add_student(project, "adapter").with_name(RELATION_FILE)
        options = FinetuneOptions(stage="full")
        RelationModule().save(path)
        assert begin_with(project, base, options).relation == path
        path.write_bytes(damage)
        begin = begin_with(project, base, options)
        assert (begin.version, begin.relation) == ("v001", None)
        assert "relation module begins anew" in caplog.text
        assert begin.weights is not None


def test_weights_of_another_kind_are_refused(base):
    other, _ = build_student(base.sam, StudentSpec.of(base, "adapter"))
    student, _ = build_student(base.sam, StudentSpec.of(base, "lora"))
    with pytest.raises(ValueError, match="another kind"):
        Beginning("v001", other.state_dict()).copy_to(student)


@pytest.mark.usefixtures("frugal")
def test_a_resumed_run_says_what_it_was_begun_with(project_of, add_student):
    """Also where that was deleted meanwhile."""
    with project_of([1, 1]) as project:
        path = add_student(project, shift=SHIFT)
        still = {**STILL, "max_steps": 2, "max_epochs": 2}
        begun = load_file(path)
        _, _, run_dir = execute(
            project,
            cancel_at=lambda e: isinstance(e, events.Step) and e.stage == "quick",
            **still,
        )
        project.activate("base")
        project.shelf.delete("v001")
        found, outcome, _ = execute(project, run_dir)
        assert (found[0].parent, found[0].begun_with) == ("base", "v001")
        made = load_file(project.version_dir(outcome.version_id) / STUDENT_FILE)
        assert distance(made, begun) < 1e-6
