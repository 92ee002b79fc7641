"""The simulated annotator in the loop: when it trains, what it notes, what is drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage import io
from typer.testing import CliRunner

from napari_infosam.bench import policies as policies_module
from napari_infosam.bench import simulation as simulation_module
from napari_infosam.bench.data import read_data_set
from napari_infosam.bench.loop_report import draw, markdown, running_mean, summary
from napari_infosam.bench.policies import TABLE, Plan, parse_policy, run_simulations
from napari_infosam.bench.rows import Row
from napari_infosam.bench.simulation import Person, Simulation
from napari_infosam.cli import app
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.masks import encode_rle
from napari_infosam.core.options import FinetuneOptions
from napari_infosam.models import Prediction
from napari_infosam.project import Project, VersionRecord
from napari_infosam.training.dataset import Sample

from .test_bench import write_folder

SIDE = 40
USUAL = FinetuneOptions(method="decoder")


class Model:
    """A model of which only the name is known."""

    name = "vit_t"

    def __init__(self, version: str) -> None:
        self.version = version


class Scripted:
    """The base finds an object at the third click, students at the first."""

    def __init__(self, model, cache) -> None:
        self.model = model
        self.needs = 3 if model.version == "base" else 1

    def embed(self, picture):
        return picture

    def answer(self, prompts, previous, embedding):
        point = prompts.points[0]
        value = embedding[round(point.y), round(point.x), 0]
        mask = embedding[..., 0] == value
        if len(prompts) < self.needs:
            mask = np.zeros_like(mask)
        rows = np.flatnonzero(mask.any(axis=1))
        if len(rows):  # 0.9 of it
            mask[rows[-1]] = False
        return Prediction(mask, 0.7, np.zeros((256, 256), np.float32))


def sample(number: int, n_objects: int) -> Sample:
    """Return an image in which each object has a grey value of its own."""
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    picture[..., 1] = number
    rles = []
    for index in range(n_objects):
        row, column = divmod(index, 3)
        mask = np.zeros((SIDE, SIDE), bool)
        mask[2 + 12 * row : 12 + 12 * row, 2 + 12 * column : 12 + 12 * column] = True
        picture[mask, 0] = 20 + index
        rles.append(encode_rle(mask))
    return Sample(f"image {number}", picture, tuple(rles))


class Trainer:
    """Adds a version for each training; accepts it, or not."""

    def __init__(self, *accepts: bool) -> None:
        self.accepts = accepts
        self.learnt: list[int] = []
        self.stages: list[str] = []
        self.seconds: list[float] = []

    def __call__(self, project, options, on_event):
        accepted = self.accepts[len(self.learnt)]
        self.learnt.append(project.n_objects())
        self.stages.append(options.stage)
        self.seconds.append(options.max_seconds)
        name = project.reserve_version()
        (project.version_dir(name) / "student.safetensors").touch()
        record = VersionRecord(
            id=name,
            parent="base",
            method=options.method,
            stage=options.stage,
            options=options.model_dump(mode="json"),
            data_hash=project.data_hash(),
            metrics={},
            status="active" if accepted else "rejected",
            reason="because",
        )
        project.add_version(record)
        return project.version(name)


@pytest.fixture
def simulate(tmp_path, monkeypatch):
    """Return a function that simulates without any real model."""

    def run(counts, trainer, *, options=USUAL, **person):
        monkeypatch.setattr(simulation_module, "Predictor", Scripted)
        monkeypatch.setattr(simulation_module, "finetune", trainer)
        monkeypatch.setattr(
            simulation_module, "load_version", lambda _project, name, base: Model(name)
        )
        return Simulation(
            Model("base"),
            [sample(number, count) for number, count in enumerate(counts)],
            Person(**person),
            options,
            path=tmp_path / "p.infosam",
            measure=lambda model: {"noc85": 3 if model.version == "base" else 1},
            on_progress=lambda *_: None,
        ).run()

    return run


@pytest.mark.parametrize(
    ("counts", "every", "learnt"),
    [
        ((3, 3, 3, 3), 4, [4, 8, 12]),  # objects in two images, and then by objects
        ((9, 9), 5, [10, 15]),
        ((12, 9), 5, [10, 15, 20]),  # ten objects come first
        ((1, 0, 1, 1), 1, [2, 3]),  # an image without objects is none
        ((1, 1), 9, [2]),
    ],
)
def test_when_the_model_is_trained(simulate, counts, every, learnt):
    trainer = Trainer(*[True] * 9)
    found = simulate(counts, trainer, every=every)
    assert trainer.learnt == learnt
    assert [stop["n_annotated"] for stop in found["held_out"]] == [0, *learnt]


def test_it_trains_as_it_does_by_itself_in_the_window(simulate):
    """The quick stage first, the full one on the same; less often on a plateau."""
    trainer = Trainer(True, False, False, *[True] * 9)
    found = simulate((3, 3, 3, 3), trainer, every=1, options=FinetuneOptions())
    assert trainer.stages[:5] == ["quick", "full", "full", "full", "full"]
    assert trainer.learnt[:4] == [4, 4, 5, 6]
    assert trainer.seconds[:2] == [50, 300]
    assert [stop.get("stage") for stop in found["held_out"]][:3] == [
        None,
        "quick",
        "full",
    ]


def test_an_accepted_version_answers_from_then_on(simulate, tmp_path):
    found = simulate((3, 3, 3), Trainer(False, True), every=4)
    objects = found["objects"]
    assert [o["clicks"] for o in objects] == [3] * 8 + [1]
    assert [o["version"] for o in objects] == ["base"] * 8 + ["v002"]
    assert objects[0]["ious"] == [0, 0, 0.9]
    assert [o["first_iou"] for o in objects] == [0] * 8 + [0.9]
    assert [o["image"] for o in objects[2:4]] == ["image 0", "image 1"]
    seconds = [o["seconds"] for o in objects]
    assert seconds == sorted(seconds)
    assert found["seconds"] >= seconds[-1]
    stops = found["held_out"]
    assert [stop["version"] for stop in stops] == ["base", "base", "v002"]
    assert [stop.get("candidate") for stop in stops] == [None, "v001", "v002"]
    assert [stop.get("accepted") for stop in stops] == [None, False, True]
    assert [stop["figures"]["noc85"] for stop in stops] == [3, 3, 1]
    with Project.open(tmp_path / "p.infosam", lock=False) as project:
        records = project.objects()
        assert [o.model_version for o in records] == [o["version"] for o in objects]
        # what was accepted is the proposal, as in the window
        assert records[0].proposal_ious == (0, 0, 1)
        assert records[0].area == 90
        assert [image.name for image in project.images()] == [
            "image 0",
            "image 1",
            "image 2",
        ]


def test_the_truth_can_be_accepted_instead(simulate, tmp_path):
    simulate((2,), Trainer(), accept="truth", options=None)
    with Project.open(tmp_path / "p.infosam", lock=False) as project:
        assert [found.area for found in project.objects()] == [100, 100]
        assert project.objects()[0].proposal_ious == (0, 0, 0.9)


def test_nobody_trains_without_a_policy(simulate):
    found = simulate((9, 9), Trainer(), options=None)
    assert len(found["held_out"]) == 1
    assert {o["version"] for o in found["objects"]} == {"base"}


def test_an_interrupted_run_begins_anew(simulate, tmp_path):
    with Project.create(tmp_path / "p.infosam") as project:
        project.add_image(np.zeros((9, 9), np.uint8), "of before")
    simulate((1,), Trainer(), options=None)
    with Project.open(tmp_path / "p.infosam", lock=False) as project:
        assert [image.name for image in project.images()] == ["image 0"]


def test_a_jittering_hand_is_that_of_its_seed(simulate, tmp_path):
    def clicks(**person):
        simulate((9,), Trainer(), options=None, **person)
        with Project.open(tmp_path / "p.infosam", lock=False) as project:
            return [found.prompts.points for found in project.objects()]

    centres, shaky = clicks(), clicks(jitter=4, seed=1)
    assert clicks(jitter=4, seed=1) == shaky != centres
    assert clicks(jitter=4, seed=2) != shaky
    for centre, click in zip(centres, shaky, strict=True):
        assert np.hypot(centre[0].x - click[0].x, centre[0].y - click[0].y) <= 4


@pytest.mark.parametrize("jitter", [-1, float("nan"), float("inf")])
def test_a_jitter_is_a_number_of_pixels(jitter):
    with pytest.raises(InfosamError, match="number of pixels"):
        Person(jitter)


# ----------------------------------------------------------------- policies


def test_policies_have_names_of_their_own():
    assert parse_policy("none").row.method is None
    assert parse_policy("infosam").row == Row("adapter", "infosam")
    assert parse_policy(" adapter  lambda_d=1").name == "adapter lambda_d=1"
    with pytest.raises(InfosamError, match="no method 'often'"):
        parse_policy("often")


RESULT = {
    "policy": "lora",
    "objects": [
        {"clicks": n, "first_iou": 0.5, "seconds": 3.0 * n} for n in (8, 4, 4, 2)
    ],
    "held_out": [
        {"n_annotated": 0, "seconds": 0.0, "figures": {"noc85": 4.0, "iou_1": 0.5}},
        {
            "n_annotated": 2,
            "seconds": 60.0,
            "accepted": True,
            "figures": {"noc85": 2.5, "iou_1": 0.75},
        },
    ],
    "seconds": 90.0,
}


def test_the_table_has_a_line_for_each_policy():
    lines = markdown([RESULT], ["infosam has no result: ..."]).splitlines()
    assert lines[2] == (
        "| lora | 4 | 4.50 | 2.00 | 0.500 | 4.00 → 2.50 | 0.500 → 0.750 | 1 of 1 "
        "| 1.5 |"
    )
    assert lines[3:] == ["", "- infosam has no result: ..."]
    assert summary(RESULT)["clicks_last_quarter"] == 2


def test_the_plot_is_a_picture(tmp_path):
    many = [{**RESULT, "policy": f"policy {n}"} for n in range(9)]
    draw(tmp_path / "plot.png", many, "cells")
    assert io.imread(tmp_path / "plot.png").std() > 0


@given(
    hnp.arrays(np.float64, st.integers(1, 30), elements=st.integers(1, 20)),
    st.integers(1, 9),
)
def test_the_running_mean_against_brute_force(values, window):
    expected = [
        values[max(n - window + 1, 0) : n + 1].mean() for n in range(len(values))
    ]
    np.testing.assert_allclose(running_mean(values, window), expected)


def plan_of(folder: Path, names: str, **changes) -> Plan:
    values = {
        "data": read_data_set(folder),
        "policies": [parse_policy(name) for name in names.split(",")],
        "n_images": 2,
        "n_test": 1,
        "max_objects": 1,
        "seed": 0,
        "model": "vit_t",
        "options": FinetuneOptions(max_steps=1, threads=1),
        "person": Person(),
    }
    return Plan(**{**values, **changes})


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Return a data set of three small images with one object each."""
    folder = tmp_path / "squares"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(3):
        found = sample(number, 1)
        picture = found.picture * [5, 60, 1]
        path = folder / "images" / f"{number}.png"
        io.imsave(path, picture.astype(np.uint8), check_contrast=False)
        labels = found.mask(0).astype(np.uint8)
        io.imsave(folder / "masks" / f"{number}.png", labels, check_contrast=False)
    return folder


def test_a_policy_that_is_there_is_not_simulated_again(small, tmp_path, monkeypatch):
    ran: list[str] = []
    out = tmp_path / "out"
    monkeypatch.setattr(simulation_module, "Predictor", Scripted)

    def fails(*_):
        raise InfosamError("The disk is full.")

    monkeypatch.setattr(simulation_module, "finetune", fails)
    plan = plan_of(small, "none,decoder")
    (found,) = run_simulations(plan, out, on_policy=ran.append)
    assert ran == ["none", "decoder"]
    assert found["policy"] == "none"
    assert [o["image"] for o in found["objects"]] == ["2.png", "0.png"]
    assert json.loads((out / "none.json").read_text()) == found
    assert "decoder has no result: The disk is full." in (out / "loop.md").read_text()
    assert (out / "loop.png").is_file()

    monkeypatch.setattr(simulation_module, "finetune", Trainer(False))
    none, decoder = run_simulations(plan, out, on_policy=ran.append)
    assert ran == ["none", "decoder", "decoder"]
    assert none == found
    assert decoder["held_out"][-1]["reason"] == "because"
    # other settings are other results
    other = plan_of(small, "none", person=Person(jitter=1))
    run_simulations(other, out, on_policy=ran.append)
    assert ran[3:] == ["none"]
    (out / "none.json").write_text("{")
    run_simulations(other, out, on_policy=ran.append)
    assert ran[3:] == ["none", "none"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"n_images": 3}, "squares has 3 pairs and no test set: give fewer --images"),
        ({"policies": [parse_policy("lora")]}, "lora has no result: No memory"),
    ],
)
def test_what_can_not_be_simulated(small, tmp_path, monkeypatch, changes, says):
    def fails(*_):
        raise InfosamError("No memory.")

    monkeypatch.setattr(simulation_module, "finetune", fails)
    with pytest.raises(InfosamError, match=says):
        run_simulations(plan_of(small, "none", **changes), tmp_path / "out")


def test_a_place_that_can_not_be_written(small, tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(InfosamError, match="can not be made"):
        run_simulations(plan_of(small, "none"), tmp_path / "out")


# --------------------------------------------------------------- the command


def run(*arguments: object):
    return CliRunner().invoke(app, ["simulate", *map(str, arguments)])


def test_the_command_prints_one_object(small, tmp_path, monkeypatch):
    seen: list[Plan] = []
    real = policies_module.run_simulations

    def watched(plan, *arguments, **named):
        seen.append(plan)
        return real(plan, *arguments, **named)

    monkeypatch.setattr(policies_module, "run_simulations", watched)
    options = ("--images", 1, "--test-images", 1, "--max-objects", 1, "--policy")
    arguments = ("--data", small, "--out", tmp_path / "out", *options, "none")
    result = run(*arguments, "--jitter", 2, "--seed", 3, "--max-steps", 5, "--json")
    assert result.exit_code == 0, result.output
    (plan,) = seen
    assert plan.person == Person(2.0, "proposal", 10, 3)
    assert (plan.options.max_steps, plan.options.max_seconds) == (5, 300)
    answer = json.loads(result.stdout)
    assert answer["policies"][0]["policy"] == "none"
    assert answer["policies"][0]["n_objects"] == 1
    assert Path(answer["plot"]).is_file()
    again = run(*arguments, "--jitter", 2, "--seed", 3, "--max-steps", 5)
    assert again.exit_code == 0
    assert again.stdout == Path(answer["table"]).read_text() + "\n"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--policy", "often"), "no method 'often'"),
        (("--policy", "lora,none,lora"), "'lora' is named twice"),
        (("--jitter", "nan"), "'nan'"),
        (("--jitter", "inf"), "number of pixels"),
        (("--images", "9"), "give fewer --images"),
        (("--max-seconds-per-training", "nan"), "'nan'"),
        (("--accept", "all"), "'all'"),
    ],
)
def test_bad_input_is_one_sentence(small, tmp_path, options, says):
    result = run("--data", small, "--out", tmp_path / "out", *options)
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_real_loop_on_synthetic_cells(tmp_path):
    """Trainings in a process of their own; what the gate says is open."""
    data = write_folder(tmp_path / "cells", 4)
    options = FinetuneOptions(max_steps=2, max_seconds=60, threads=1)
    person = Person(jitter=3, every=99)  # the quick stage and the full one
    plan = plan_of(
        data, "none,infosam", n_images=3, max_objects=2, options=options, person=person
    )
    events: list[str] = []
    none, infosam = run_simulations(
        plan, tmp_path / "out", on_event=lambda event: events.append(event.kind)
    )
    assert [o["image"] for o in none["objects"]] == [
        o["image"] for o in infosam["objects"]
    ]
    # until the first training both are the same
    first = infosam["held_out"][1]["n_annotated"]
    assert first >= 2
    for one, other in zip(none["objects"][:first], infosam["objects"], strict=False):
        assert one["ious"] == pytest.approx(other["ious"], abs=0.02)
    assert "gate" in events
    path = tmp_path / "out" / "projects" / "infosam.infosam"
    with Project.open(path, lock=False) as project:
        made = project.versions()
        stops = infosam["held_out"][1:]
        assert [stop["candidate"] for stop in stops] == [v.id for v in made]
        assert [stop["accepted"] for stop in stops] == [
            v.status != "rejected" for v in made
        ]
        assert {v.options["distill"] for v in made} == {"infosam"}
        assert [v.options["stage"] for v in made] == ["quick", "full"]
    assert len((tmp_path / "out" / "loop.md").read_text().splitlines()) == 4


def test_the_command_has_a_place_for_its_results(tmp_path, monkeypatch):
    """`infosam simulate --data DIR --images 20 --policy ...`, and nothing else."""
    places = []

    def run_simulations(_plan, out, **_):
        places.append(out)
        (out / TABLE).parent.mkdir()
        (out / TABLE).write_text("a table")
        return []

    monkeypatch.setattr(
        "napari_infosam.bench.policies.run_simulations", run_simulations
    )
    monkeypatch.setattr("napari_infosam.bench.data.read_data_set", lambda _: None)
    monkeypatch.chdir(tmp_path)
    command = ["simulate", "--data", "cells", "--images", "20", "--policy", "none"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert places == [Path("infosam-simulation")]
