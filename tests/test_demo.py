from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from skimage import io

from napari_infosam.core.metrics import iou
from napari_infosam.demo import PROJECT_NAME, DemoPlan, make_sample_project
from napari_infosam.project import Project
from napari_infosam.synthetic import make_set

SMALL = DemoPlan(seed=2, n_labelled=2, n_held_out=1)


def test_the_sample_project_holds_the_images_and_nothing_else(tmp_path: Path) -> None:
    path = make_sample_project(tmp_path / "new" / "folder", SMALL)
    with Project.open(path) as project:
        records = project.images()
        for record, sample in zip(records, make_set(3, seed=2), strict=True):
            assert record.name == sample.name
            assert (project.read_image(record.id) == sample.image).all()
        assert project.n_objects() == 0


def test_the_sample_project_is_found_again(tmp_path: Path) -> None:
    path = make_sample_project(tmp_path, SMALL)
    with Project.open(path) as project:
        mask = make_set(1, seed=2)[0].labels == 1
        project.commit(project.images()[0].id, mask)
    assert make_sample_project(tmp_path, SMALL) == path
    with Project.open(path) as project:
        assert project.n_objects() == 1


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "out"


@pytest.fixture(scope="module")
def printed(out: Path) -> dict[str, Any]:
    """Run the demo that users run, once, and return its JSON object."""
    code = "from napari_infosam.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "demo", "--headless", "--out", out, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    value: dict[str, Any] = json.loads(done.stdout)
    return value


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_student_needs_far_fewer_clicks(printed: dict[str, Any]) -> None:
    base, student = printed["base"], printed["student"]
    assert base["iou_1"] < 0.6
    assert base["noc85"] > 3
    assert printed["accepted"]
    assert student["iou_1"] > base["iou_1"] + 0.3
    assert student["noc85"] < 0.7 * base["noc85"]
    assert printed["fewer_clicks"] >= 0.3


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_demo_leaves_its_report(out: Path, printed: dict[str, Any]) -> None:
    assert json.loads((out / "report.json").read_text()) == printed
    picture = io.imread(printed["picture"])
    assert Path(printed["picture"]) == out / "report.png"
    assert min(picture.shape[:2]) > 800


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_demo_leaves_a_project_as_a_person_would(
    out: Path, printed: dict[str, Any]
) -> None:
    samples = make_set(printed["n_labelled_images"])
    with Project.open(out / PROJECT_NAME) as project:
        assert project.active_version == printed["version"] == "v001"
        objects = project.objects()
        assert len(objects) == printed["n_labelled_objects"]
        for number, sample in enumerate(samples):
            image = project.images()[number]
            accepted = project.label_image(image.id)
            assert iou(accepted > 0, sample.labels > 0) == 1.0
        # the prompts are those of the annotator, with what each of them brought
        assert all(o.prompts.points[0].positive for o in objects)
        assert all(len(o.prompts) == len(o.proposal_ious) for o in objects)
        assert max(len(o.prompts) for o in objects) > 3
