from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import io
from typer.testing import CliRunner

from napari_infosam.cli import app
from napari_infosam.core.options import FinetuneOptions
from napari_infosam.models import load_model
from napari_infosam.models.student import (
    STUDENT_FILE,
    StudentSpec,
    build_student,
    save_student,
)
from napari_infosam.project import Project, VersionRecord
from napari_infosam.resources import resource_path
from napari_infosam.synthetic import SyntheticImage, make_set

COMMANDS = {
    "demo",
    "annotate",
    "bench",
    "bench-speed",
    "import",
    "finetune",
    "evaluate",
    "export",
    "export-model",
    "versions",
    "activate",
    "simulate",
}


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def run_json(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def assert_bad_input(result: Any, *words: str) -> None:
    """Exit code 2, one sentence on stderr with all of the words, no traceback."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line]
    assert lines[-1].startswith("Error: ")
    assert lines[-1].endswith(".")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in lines[-1]


@pytest.fixture(scope="module")
def samples() -> list[SyntheticImage]:
    return make_set(2, seed=5)


@pytest.fixture
def pairs(tmp_path: Path, samples: list[SyntheticImage]) -> tuple[Path, Path]:
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    masks.mkdir()
    for sample in samples:
        io.imsave(images / f"{sample.name}.png", sample.image, check_contrast=False)
        io.imsave(masks / f"{sample.name}.tif", sample.labels, check_contrast=False)
    return images, masks


@pytest.fixture
def project(tmp_path: Path) -> Path:
    with Project.create(tmp_path / "cells") as made:
        return made.path


@pytest.fixture
def filled(project: Path, pairs: tuple[Path, Path]) -> Path:
    run_json("import", project, "--images", pairs[0], "--masks", pairs[1])
    return project


# ---------------------------------------------------------------------- the frame
def test_help_lists_the_commands() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for command in COMMANDS:
        assert command in result.stdout
    assert {c.name or c.callback.__name__ for c in app.registered_commands} == COMMANDS


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.stdout


def test_without_a_command_help_is_shown() -> None:
    result = run()
    assert result.exit_code == 0
    assert "finetune" in result.stdout


def test_version() -> None:
    from napari_infosam import __version__

    assert run("--version").stdout.strip() == __version__


def test_help_imports_neither_torch_nor_napari() -> None:
    code = (
        "import sys; from napari_infosam.cli import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'napari', 'qtpy', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_bug_exits_with_1_and_names_its_log(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("half of nothing")

    monkeypatch.setattr(Project, "open", broken)
    monkeypatch.setattr(
        "platformdirs.user_log_path", lambda *_, **__: tmp_path / "logs"
    )
    result = run("versions", project)
    assert result.exit_code == 1
    assert "half of nothing" in result.stderr
    assert "Traceback" not in result.stderr
    log = tmp_path / "logs" / "infosam.log"
    assert str(log) in result.stderr
    assert "in broken" in log.read_text()
    assert "versions" in log.read_text()


def test_debug_shows_the_traceback(project: Path) -> None:
    result = run("--debug", "activate", project, "v009")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr


def test_an_error_is_the_one_json_object(tmp_path: Path) -> None:
    result = run("versions", tmp_path / "nowhere", "--json")
    assert result.exit_code == 2
    assert "nowhere" in json.loads(result.stdout)["error"]


# ------------------------------------------------------------------------- import
def test_import_makes_a_project(
    tmp_path: Path, pairs: tuple[Path, Path], samples: list[SyntheticImage]
) -> None:
    path = tmp_path / "new"
    answer = run_json("import", path, "--images", pairs[0], "--masks", pairs[1])
    n_objects = sum(int(s.labels.max()) for s in samples)
    assert answer == {
        "project": str(tmp_path / "new.infosam"),
        "n_images": 2,
        "n_objects": n_objects,
        "n_known": 0,
        "skipped": [],
    }
    with Project.open(path) as project:
        assert project.n_objects() == n_objects
        np.testing.assert_array_equal(project.read_image(1), samples[0].image)
        np.testing.assert_array_equal(project.label_image(1) > 0, samples[0].labels > 0)


def test_import_again_adds_nothing(filled: Path, pairs: tuple[Path, Path]) -> None:
    answer = run_json("import", filled, "--images", pairs[0], "--masks", pairs[1])
    assert answer["n_images"] == 2
    assert answer["n_objects"] == 0


def test_import_binary_takes_a_mask_as_one_object(
    tmp_path: Path, pairs: tuple[Path, Path]
) -> None:
    arguments = ("--images", pairs[0], "--masks", pairs[1], "--binary")
    assert run_json("import", tmp_path / "new", *arguments)["n_objects"] == 2


def test_import_with_another_model(tmp_path: Path, pairs: tuple[Path, Path]) -> None:
    arguments = ("--images", pairs[0], "--masks", pairs[1], "--model", "vit_b")
    answer = run_json("import", tmp_path / "new", *arguments)
    with Project.open(answer["project"]) as project:
        assert project.model == "vit_b"


def test_import_says_what_it_skipped(tmp_path: Path, pairs: tuple[Path, Path]) -> None:
    io.imsave(pairs[0] / "extra.png", np.zeros((9, 9), np.uint8), check_contrast=False)
    result = run("import", tmp_path / "new", "--images", pairs[0], "--masks", pairs[1])
    assert result.exit_code == 0
    assert "Skipped extra.png" in result.stderr
    assert "2 images" in result.stdout


def test_import_refuses_missing_folders(
    tmp_path: Path, pairs: tuple[Path, Path]
) -> None:
    gone = tmp_path / "gone"
    result = run("import", tmp_path / "new", "--images", gone, "--masks", pairs[1])
    assert_bad_input(result, str(gone))
    assert not (tmp_path / "new.infosam").exists()


def test_import_refuses_folders_without_pairs(
    tmp_path: Path, pairs: tuple[Path, Path]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    result = run("import", tmp_path / "new", "--images", pairs[0], "--masks", empty)
    assert_bad_input(result, str(empty))
    assert not (tmp_path / "new.infosam").exists()


def test_import_refuses_masks_of_other_sizes(
    tmp_path: Path, pairs: tuple[Path, Path]
) -> None:
    for path in pairs[1].iterdir():
        io.imsave(path, np.ones((10, 12), np.uint16), check_contrast=False)
    result = run("import", tmp_path / "new", "--images", pairs[0], "--masks", pairs[1])
    assert_bad_input(result, "288 x 288", "10 x 12")
    assert not (tmp_path / "new.infosam").exists()


def test_a_failed_import_leaves_an_older_project_alone(
    project: Path, pairs: tuple[Path, Path]
) -> None:
    for path in pairs[1].iterdir():
        io.imsave(path, np.ones((10, 12), np.uint16), check_contrast=False)
    result = run("import", project, "--images", pairs[0], "--masks", pairs[1])
    assert_bad_input(result, "10 x 12")
    Project.open(project).close()


def test_import_refuses_a_folder_that_is_no_project(
    tmp_path: Path, pairs: tuple[Path, Path]
) -> None:
    result = run("import", pairs[0], "--images", pairs[0], "--masks", pairs[1])
    assert_bad_input(result, str(pairs[0]))
    assert len(list(pairs[0].iterdir())) == 2


HOLD = """
import sys
from napari_infosam.project import Project

with Project.open(sys.argv[1]):
    print("open", flush=True)
    sys.stdin.read()
"""


def test_import_refuses_a_project_that_is_open_elsewhere(
    filled: Path, pairs: tuple[Path, Path]
) -> None:
    command = [sys.executable, "-c", HOLD, str(filled)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        result = run("import", filled, "--images", pairs[0], "--masks", pairs[1])
        assert_bad_input(result, str(filled), "open")
        # readers may look all the same
        assert run_json("versions", filled)["active"] == "base"


# -------------------------------------------------------------- in and out again
FORMATS = ("labels", "coco", "yolo", "geojson", "ome-zarr")


def masks_of(path: Path) -> list[list[bytes]]:
    """Return the masks of a project, image by image."""
    with Project.open(path, lock=False) as project:
        return [
            [record.rle for record in project.objects(image.id)]
            for image in project.images()
        ]


@pytest.mark.parametrize("file_format", FORMATS)
def test_what_is_exported_can_be_imported(
    filled: Path, pairs: tuple[Path, Path], tmp_path: Path, file_format: str
) -> None:
    out = tmp_path / "out"
    answer = run_json("export", filled, "--format", file_format, "--out", out)
    with Project.open(filled) as project:
        n_objects = project.n_objects()
    assert answer.pop("notes") == []
    assert answer == {
        "project": str(filled),
        "format": file_format,
        "out": str(out),
        "n_images": 2,
        "n_objects": n_objects,
    }
    source: tuple[object, ...] = ("--format", file_format, "--from", out)
    if file_format == "coco":
        source = ("--format", "coco", "--from", out / "annotations.json")
    if file_format == "labels":
        source = ("--masks", out)
    images = () if file_format in ("ome-zarr", "yolo") else ("--images", pairs[0])
    again = run_json("import", tmp_path / "again", *source, *images)
    assert again == {
        "project": str(tmp_path / "again.infosam"),
        "n_images": 2,
        "n_objects": n_objects,
        "n_known": 0,
        "skipped": [],
    }
    assert sorted(masks_of(tmp_path / "again.infosam")) == sorted(masks_of(filled))


def test_classes_go_out_and_in(
    filled: Path, pairs: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_json("export", filled, "--format", "semantic", "--png", "--out", out)
    assert (out / "infosam-classes.csv").is_file()
    source = ("--images", pairs[0], "--masks", out, "--format", "semantic")
    again = run_json("import", tmp_path / "again", *source)
    with Project.open(tmp_path / "again.infosam") as project:
        # those that touch are one now
        assert 0 < project.n_objects() == again["n_objects"]
        found = sum(int(record.area) for record in project.objects())
    with Project.open(filled) as project:
        images = project.images()
        painted = [np.count_nonzero(project.label_image(i.id)) for i in images]
    assert found == sum(painted)
    assert_bad_input(run("import", filled, *source, "--binary"), "--binary", "semantic")


def test_objects_return_to_the_images_of_a_project(
    filled: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.json"
    run_json("export", filled, "--format", "coco", "--polygons", "--out", out)
    with Project.open(filled) as project:
        n_objects = project.n_objects()
        for record in project.objects():
            project.delete(record.id)
    answer = run_json("import", filled, "--format", "coco", "--from", out)
    assert (answer["n_images"], answer["n_objects"]) == (2, n_objects)
    again = run_json("import", filled, "--format", "coco", "--from", out)
    assert again["n_objects"] == 0


def test_export_says_what_is_lost_and_what_it_did(filled: Path, tmp_path: Path) -> None:
    with Project.open(filled) as project:
        shape = project.images()[0].shape[:2]
        project.commit(1, np.ones(shape, bool))
        n_objects = len(project.objects(1))
    out = tmp_path / "exported"
    result = run("export", filled, "--format", "labels", "--png", "--out", out)
    assert result.exit_code == 0, result.stderr
    # the others are smaller, and lie on the one that fills the picture
    assert f"1 of {n_objects} objects lie under others" in result.stderr
    assert f"objects in {out}" in result.stdout
    assert len(list(out.glob("*.png"))) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--format", "coco"), ("--out",)),
        (("--out", "a"), ("--format",)),
        (("--format", "pascal", "--out", "a"), ("--format", "pascal", "geojson")),
        (("--format", "yolo", "--out", "a", "--polygons"), ("--polygons", "coco")),
        (("--format", "coco", "--out", "a", "--png"), ("--png", "labels or semantic")),
        (("--format", "coco", "--out", "gone/a"), ("gone",)),
        (("--format", "coco", "--out", "."), ("earlier export",)),
        (("--format", "coco", "--out", ".", "--overwrite"), ("earlier export",)),
        (("--format", "geojson", "--out", "a.geojson"), ("a.geojson", "2")),
    ],
)
def test_export_refuses_bad_options(
    filled: Path,
    options: tuple[str, ...],
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert_bad_input(run("export", filled, *options), *words)
    assert sorted(tmp_path.rglob("*")) == before


def test_export_replaces_only_when_told(filled: Path, tmp_path: Path) -> None:
    arguments = ("export", filled, "--format", "yolo", "--out", tmp_path / "out")
    run_json(*arguments)
    assert_bad_input(run(*arguments), "out", "--overwrite")
    assert run_json(*arguments, "--overwrite")["n_images"] == 2


def test_export_needs_objects(project: Path, tmp_path: Path) -> None:
    arguments = ("--format", "labels", "--out", tmp_path / "out")
    assert_bad_input(run("export", project, *arguments), str(project), "accept")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), ("--images", "--masks")),
        (("--images", "images"), ("--images", "--masks")),
        (("--from", "images"), ("--images", "--masks", "--format")),
        (("--format", "coco"), ("coco", "--from")),
        (("--format", "coco", "--masks", "masks"), ("coco", "--from")),
        (("--format", "yolo", "--from", "images", "--binary"), ("--binary",)),
        (
            ("--format", "ome-zarr", "--from", "masks", "--images", "images"),
            ("pixels",),
        ),
        (("--format", "coco", "--from", "gone.json"), ("gone.json",)),
        (("--format", "yolo", "--from", "images"), ("data.yaml", "images")),
        (("--format", "geojson", "--from", "images"), (".geojson", "images")),
        (("--format", "ome-zarr", "--from", "images"), ("OME-Zarr", "images")),
        (("--format", "coco", "--from", "bad.json"), ("bad.json", "the file")),
        (("--format", "coco", "--from", "images"), ("images",)),
    ],
)
def test_import_refuses_bad_sources(
    pairs: tuple[Path, Path],
    options: tuple[str, ...],
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text("{")
    assert_bad_input(run("import", "new", *options), *words)
    assert not (tmp_path / "new.infosam").exists()


def test_a_broken_file_imports_nothing(
    filled: Path, pairs: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "a.json"
    run_json("export", filled, "--format", "coco", "--out", out)
    document = json.loads(out.read_text())
    document["annotations"][-1]["segmentation"]["counts"] = "0"
    out.write_text(json.dumps(document))
    result = run(
        "import",
        tmp_path / "new",
        "--format",
        "coco",
        "--from",
        out,
        "--images",
        pairs[0],
    )
    assert_bad_input(result, "a.json", f"annotation {len(document['annotations'])}")
    assert not (tmp_path / "new.infosam").exists()


# ----------------------------------------------------------- versions and activate
def _add_version(path: Path, reason: str = "Better.") -> str:
    with Project.open(path) as project:
        version_id = project.reserve_version()
        (project.version_dir(version_id) / "student.safetensors").write_bytes(b"?")
        project.add_version(
            VersionRecord(
                id=version_id,
                parent="base",
                method="decoder",
                stage="quick",
                options=FinetuneOptions().model_dump(mode="json"),
                data_hash="0",
                metrics={"candidate": {"iou_1": 0.75, "noc85": 2.5}},
                status="accepted",
                reason=reason,
            )
        )
    return version_id


def test_versions_of_a_new_project(project: Path) -> None:
    assert run_json("versions", project) == {"active": "base", "versions": []}


def test_versions_lists_what_was_trained(project: Path) -> None:
    _add_version(project)
    answer = run_json("versions", project)
    assert answer["active"] == "base"
    (version,) = answer["versions"]
    assert version["id"] == "v001"
    assert version["metrics"]["candidate"]["iou_1"] == 0.75
    table = run("versions", project).stdout
    assert "v001" in table
    assert "Better." in table


def test_activate_goes_there_and_back(project: Path) -> None:
    _add_version(project)
    assert run_json("activate", project, "v001")["active"] == "v001"
    assert run_json("versions", project)["active"] == "v001"
    assert run("activate", project, "base").exit_code == 0
    assert run_json("versions", project)["active"] == "base"


def test_activate_refuses_an_unknown_version(project: Path) -> None:
    assert_bad_input(run("activate", project, "v007"), "v007", "base")


def test_versions_are_pinned_named_and_deleted(project: Path) -> None:
    _add_version(project)
    _add_version(project)
    (first, _) = run_json("versions", project, "--pin", "v001")["versions"]
    assert first["pinned"]
    assert_bad_input(run("versions", project, "--delete", "v001"), "pinned", "unpin")
    run_json("versions", project, "--rename", "v001", "good one")
    assert "v001 good one (pinned)" in run("versions", project).stdout
    assert run_json("activate", project, "good one")["active"] == "v001"
    run_json("versions", project, "--unpin", "good one")
    assert_bad_input(run("versions", project, "--delete", "v001"), "answers")
    (left,) = run_json("versions", project, "--delete", "v002")["versions"]
    assert (left["id"], left["name"], left["pinned"]) == ("v001", "good one", False)
    assert run("versions", project, "--pin", "base").exit_code == 0
    assert "base (pinned)" in run("versions", project).stdout
    assert_bad_input(
        run("versions", project, "--pin", "v001", "--delete", "v001"), "One thing"
    )


def test_two_versions_are_compared(project: Path) -> None:
    _add_version(project)
    _add_version(project)
    found = run_json("versions", project, "--compare", "base", "v002")
    assert (found["a"], found["b"]) == ("base", "v002")
    assert [figure["key"] for figure in found["figures"]][:2] == ["noc85", "noc90"]
    shown = run("versions", project, "--compare", "v001", "v002").stdout
    assert "IoU after 3 clicks" in shown
    assert "never measured" in shown
    assert_bad_input(run("versions", project, "--compare", "v001", "v009"), "v009")


# ---------------------------------------------------------------------- bad input
@pytest.mark.parametrize(
    "arguments",
    [
        ("versions", "nowhere"),
        ("activate", "nowhere", "base"),
        ("finetune", "nowhere"),
        ("export", "nowhere", "--format", "coco", "--out", "a.json"),
    ],
)
def test_a_missing_project_is_named(arguments: tuple[str, ...]) -> None:
    assert_bad_input(run(*arguments), "nowhere")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--stage", "slow"), ("--stage", "slow", "quick")),
        (("--method", "magic"), ("--method", "magic", "decoder")),
        (("--distill", "water"), ("--distill", "water", "infosam")),
        (("--max-seconds", "0"), ("--max-seconds", "0")),
        (("--max-seconds", "soon"), ("--max-seconds", "soon")),
        (("--seed", "-1"), ("--seed", "-1")),
        (("--model", "vit_b"), ("vit_t", "vit_b")),
        (("--resume",), ("--resume",)),
        (("--recipe", "mine"), ("--recipe", "mine", "paper")),
        (("--begin", "v001"), ("--begin", "v001", "base")),
        (("--first-block", "-1"), ("--first-block", "-1")),
        (("--interpolate", "1"), ("--interpolate", "1")),
        (("--lambda-r", "nan"), ("--lambda-r", "nan")),
        (("--freeze-relation",), ("--freeze-relation", "--relation-from")),
        (("--relation-from", "gone"), ("--relation-from", "gone")),
        (("--relation", "dot", "--relation-from", "."), ("--relation dot",)),
        (("--method", "decoder", "--distill", "vid"), ("--distill vid",)),
        (("--frobnicate",), ("--frobnicate",)),
    ],
)
def test_finetune_refuses_bad_options(
    filled: Path, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert_bad_input(run("finetune", filled, *options), *words)
    with Project.open(filled) as project:
        assert project.runs() == []


@pytest.mark.parametrize(
    ("arguments", "stages"),
    [
        ((), ("quick",)),
        (("--method", "decoder"), ("quick",)),
        (("--method", "lora"), ("quick", "full")),
        (("--distill", "none"), ("quick", "full")),
        (("--method", "lora", "--stage", "quick"), ("quick",)),
        (("--method", "hq-sam"), ("full",)),
        (("--recipe", "paper"), ("full",)),
        (("--lambda-d", "0.5"), ("quick", "full")),
        (("--relation", "dot"), ("quick", "full")),
        (("--method", "decoder", "--lambda-d", "0.5"), ("quick",)),
        (("--begin", "base"), ("quick",)),
    ],
)
def test_what_is_asked_for_is_what_is_trained(
    filled: Path,
    arguments: tuple[str, ...],
    stages: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[FinetuneOptions] = []

    def note(_path: Path, options: FinetuneOptions, _resume: object) -> dict[str, Any]:
        asked.append(options)
        return {"version": "v001", "accepted": True, "answers": True, "reason": ""}

    monkeypatch.setattr("napari_infosam.cli.finetune._run", note)
    assert run("finetune", filled, *arguments).exit_code == 0
    (options,) = asked
    assert options.stages == stages
    assert options.begin == ("base" if "--begin" in arguments else "active")
    paper = "paper" in arguments
    assert options.learning_rate == (2e-4 if paper else FinetuneOptions().learning_rate)
    assert options.seed == (42 if paper else 0)
    assert options.max_seconds == (1e7 if paper else 300)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--data", "nowhere"), ("nowhere", "images and masks")),
        (("--data", "pairs", "--data", "./pairs"), ("pairs",)),
        (("--data", "pairs", "--methods", "unet"), ("unet", "adapter+infosam")),
        (("--data", "pairs", "--train-images", "2"), ("pairs", "--train-images")),
        (("--data", "pairs", "--seeds", "0"), ("--seeds", "0")),
        (("--data", "pairs", "--points"), ("--points", "--recipe paper")),
    ],
)
def test_bench_refuses_bad_options(
    samples: list[SyntheticImage],
    options: tuple[str, ...],
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, sample in enumerate(samples):
        for name, pixels in (("images", sample.image), ("masks", sample.labels)):
            folder = tmp_path / "pairs" / name
            folder.mkdir(parents=True, exist_ok=True)
            io.imsave(
                folder / f"{number}.png", pixels.astype(np.uint8), check_contrast=False
            )
    assert_bad_input(run("bench", "--out", "out", *options), *words)
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------- models that leave
@pytest.fixture(scope="module")
def students(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project whose v001 has another decoder, and v002 adapters."""
    base = load_model("vit_t", "cpu")
    with Project.create(tmp_path_factory.mktemp("students") / "cells") as made:
        for method in ("decoder", "adapter"):
            version = made.reserve_version()
            spec = StudentSpec.of(base, method)
            student, _ = build_student(base.sam, spec)
            folder = made.version_dir(version)
            save_student(student, folder / STUDENT_FILE, spec)
            (folder / "card.json").write_text(json.dumps({"id": version}))
            made.add_version(
                VersionRecord(version, "base", method, "full", {}, "0", {}, "accepted")
            )
        return made.path


def test_export_model_by_the_ending(students: Path, tmp_path: Path) -> None:
    out = tmp_path / "cells.safetensors"
    answer = run_json("export-model", students, "v002", out)
    assert (answer["version"], answer["format"]) == ("v002", "safetensors")
    assert answer["files"] == {
        str(tmp_path / name): (tmp_path / name).stat().st_size
        for name in ("cells.card.json", "cells.safetensors")
    }
    assert answer["bytes"] == sum(answer["files"].values())
    card = json.loads((tmp_path / "cells.card.json").read_text())
    assert card["id"] == card["export"]["version"] == "v002"


def test_export_model_says_what_a_file_can_not(students: Path, tmp_path: Path) -> None:
    result = run("export-model", students, "base", tmp_path / "a.pth")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"base is in {tmp_path / 'a.pth'}\n"
    assert "feeds BGR" in result.stderr
    result = run(
        "export-model", students, "v001", f"{tmp_path}/b/", "--format=state-dict"
    )
    assert result.exit_code == 0, result.output
    assert "BGR" not in result.stderr
    assert (tmp_path / "b" / "model.pth").is_file()


@pytest.mark.slow
def test_export_model_to_onnx(students: Path, tmp_path: Path) -> None:
    result = run("export-model", students, "v001", tmp_path / "cells.onnx", "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    names = ("cells.decoder.onnx", "cells.encoder.onnx")
    assert list(answer["files"]) == [str(tmp_path / name) for name in names]
    assert max(answer["differences"].values()) < 1e-3
    lines = result.stderr.splitlines()
    assert [line.split()[0] for line in lines] == [
        "Loading",
        "Writing",
        "Writing",
        "Comparing",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("v001", "OUT/model"), ("model", ".onnx", "--format")),
        (("v001", "OUT/a.pth", "--format", "onnx"), ("a.pth", ".onnx")),
        (("v001", "OUT/a.pth", "--format", "coreml"), ("coreml", "state-dict")),
        (("v002", "OUT/a.pth", "--format", "state-dict"), ("v002", "adapters", "onnx")),
        (("v009", "OUT/a.pth"), ("v009", "v001", "v002")),
        (("v001", "OUT/there.pth"), ("there.pth", "--overwrite")),
        (("v001", "OUT/gone/a.pth"), ("gone",)),
    ],
)
def test_export_model_refuses(
    students: Path, arguments: tuple[str, ...], words: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "there.pth").write_text("precious")
    given = [argument.replace("OUT", str(tmp_path)) for argument in arguments]
    assert_bad_input(run("export-model", students, *given), *words)
    assert [path.name for path in tmp_path.iterdir()] == ["there.pth"]
    assert (tmp_path / "there.pth").read_text() == "precious"


def test_finetune_needs_something_accepted(project: Path) -> None:
    assert_bad_input(run("finetune", project), "accept", str(project))


def test_evaluate_needs_its_options() -> None:
    assert_bad_input(run("evaluate"), "--images")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--version", "v003"), ("v003", "--project")),
        (("--model", "vit_x"), ("vit_x", "vit_t")),
        (("--model", "gone.safetensors"), ("gone.safetensors",)),
        (("--device", "toaster"), ("toaster", "cpu")),
        (("--max-clicks", "0"), ("--max-clicks", "0")),
        (("--limit", "-2"), ("--limit", "-2")),
        (("--project", "nowhere"), ("nowhere",)),
    ],
)
def test_evaluate_refuses_bad_options(
    pairs: tuple[Path, Path], options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    result = run("evaluate", "--images", pairs[0], "--masks", pairs[1], *options)
    assert_bad_input(result, *words)


def test_evaluate_refuses_an_unknown_version(
    filled: Path, pairs: tuple[Path, Path]
) -> None:
    arguments = ("--images", pairs[0], "--masks", pairs[1], "--project", filled)
    assert_bad_input(run("evaluate", *arguments, "--version", "v042"), "v042", "base")
    assert_bad_input(run("evaluate", *arguments, "--model", "vit_t"), "--model")


def test_evaluate_refuses_truncated_weights(
    tmp_path: Path, pairs: tuple[Path, Path]
) -> None:
    whole = resource_path("mobile_sam.safetensors").read_bytes()
    broken = tmp_path / "half.safetensors"
    broken.write_bytes(whole[: len(whole) // 2])
    arguments = ("--images", pairs[0], "--masks", pairs[1], "--model", broken)
    assert_bad_input(run("evaluate", *arguments), "half.safetensors")


def test_evaluate_refuses_folders_that_do_not_fit(
    tmp_path: Path, pairs: tuple[Path, Path]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert_bad_input(
        run("evaluate", "--images", pairs[0], "--masks", empty), str(empty)
    )
    for path in pairs[1].iterdir():
        io.imsave(path, np.ones((10, 12), np.uint16), check_contrast=False)
    result = run("evaluate", "--images", pairs[0], "--masks", pairs[1])
    assert_bad_input(result, "288 x 288", "10 x 12")


def test_annotate_refuses_a_missing_file(tmp_path: Path) -> None:
    assert_bad_input(run("annotate", tmp_path / "gone.tif"), "gone.tif")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="X11 and Wayland")
@pytest.mark.parametrize("command", [("annotate", "--sample"), ("demo",)])
def test_a_window_needs_a_display(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    assert_bad_input(run(*command), "display", "demo --headless")
    assert list(tmp_path.iterdir()) == []


def test_demo_refuses_a_folder_it_was_in_before(tmp_path: Path) -> None:
    Project.create(tmp_path / "demo").close()
    result = run("demo", "--headless", "--out", tmp_path)
    assert_bad_input(result, str(tmp_path), "--out")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_demo_refuses_a_read_only_place(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    result = run("demo", "--headless", "--out", tmp_path / "deep" / "er")
    assert_bad_input(result, str(tmp_path))


def test_demo_refuses_a_file_as_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("demo", "--headless", "--out", tmp_path / "file")
    assert_bad_input(result, str(tmp_path / "file"))


def test_threads_of_the_window_wait_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    policies = {}
    for command in ("annotate", "bench-speed", "evaluate", "finetune"):
        monkeypatch.setenv("OMP_WAIT_POLICY", "")
        monkeypatch.delenv("OMP_WAIT_POLICY")
        assert run(command, "--help").exit_code == 0
        policies[command] = os.environ.get("OMP_WAIT_POLICY")
    assert policies == {
        "annotate": None,
        "bench-speed": None,
        "evaluate": "PASSIVE",
        "finetune": "PASSIVE",
    }
