"""The command line as people run it: a process of its own, on the real model."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from skimage import io

from napari_infosam.synthetic import make_set
from napari_infosam.training.job import find_running

# a job in the background of a shell ignores Ctrl-C; these listen to it as in a terminal
PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from napari_infosam.cli import main; main()"
)
INFOSAM = [sys.executable, "-c", PROGRAM]


def infosam(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*INFOSAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def answer(*arguments: object) -> dict[str, Any]:
    """Return the one JSON object on stdout."""
    value: dict[str, Any] = json.loads(infosam(*arguments, "--json").stdout)
    return value


@contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [*INFOSAM, *map(str, arguments)]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], word: str) -> str:
    """Return stderr up to the line with a word."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if word in line:
            return "".join(seen)
    raise AssertionError(f"never said {word!r}: {''.join(seen)}")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pairs")
    images, masks = folder / "images", folder / "masks"
    images.mkdir()
    masks.mkdir()
    for sample in make_set(5, seed=3):
        io.imsave(images / f"{sample.name}.png", sample.image, check_contrast=False)
        io.imsave(masks / f"{sample.name}.png", sample.labels, check_contrast=False)
    return images, masks


@pytest.fixture(scope="module")
def imported(
    pairs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("project") / "cells.infosam"
    infosam("import", path, "--images", pairs[0], "--masks", pairs[1])
    return path


@pytest.fixture
def project(imported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(imported, tmp_path / imported.name))


def test_the_installed_command_is_this_one() -> None:
    command = shutil.which("infosam", path=str(Path(sys.executable).parent))
    assert command is not None
    done = subprocess.run([command, "--help"], capture_output=True, check=False)
    assert done.returncode == 0
    assert b"finetune" in done.stdout


def test_bad_input_exits_with_2_and_one_sentence(tmp_path: Path) -> None:
    done = infosam("versions", tmp_path / "gone", code=2)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "gone" in done.stderr


def test_a_usage_error_exits_with_2(tmp_path: Path) -> None:
    done = infosam("finetune", tmp_path, "--stage", "slow", code=2)
    assert "'slow'" in done.stderr
    assert "'quick'" in done.stderr


def test_an_image_folder_of_junk_is_bad_input(tmp_path: Path) -> None:
    images, masks = tmp_path / "images", tmp_path / "masks"
    for folder in (images, masks):
        folder.mkdir()
        (folder / "a.png").write_bytes(os.urandom(99))
    done = infosam(
        "import", tmp_path / "p", "--images", images, "--masks", masks, code=2
    )
    assert "a.png" in done.stderr
    assert not (tmp_path / "p.infosam").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_loop(project: Path, pairs: tuple[Path, Path]) -> None:
    trained = answer("finetune", project, "--stage", "quick", "--max-seconds", "8")
    assert trained["version"] == "v001"
    assert trained["candidate"]["n_objects"] == trained["base"]["n_objects"] > 0
    assert trained["reason"]

    listed = answer("versions", project)
    assert [version["id"] for version in listed["versions"]] == ["v001"]
    assert listed["active"] == ("v001" if trained["accepted"] else "base")
    assert answer("activate", project, "v001")["active"] == "v001"

    arguments = ("--images", pairs[0], "--masks", pairs[1], "--limit", 2)
    fast = (*arguments, "--project", project, "--max-clicks", 5)
    student = answer("evaluate", *fast, "--version", "active")
    assert student["version"] == "v001"
    assert student["n_images"] == 2
    figures = ("iou_1", "iou_3", "iou_5", "iou_box", "dice_box")
    assert all(0 <= student[name] <= 1 for name in figures)
    assert 1 <= student["noc80"] <= student["noc85"] <= student["noc90"] <= 5
    assert 0 <= student["nof90"] <= student["n_objects"]
    assert student["seconds_per_click"] > 0

    base = answer("evaluate", *fast, "--version", "base")
    assert base["version"] == "base"
    assert base["n_objects"] == student["n_objects"]
    assert base["iou_1"] != student["iou_1"]

    infosam("activate", project, "base")
    assert answer("versions", project)["active"] == "base"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to another process")
def test_ctrl_c_keeps_what_was_learnt(project: Path) -> None:
    with started("finetune", project, "--max-seconds", 110) as process:
        # the first look comes after a fifth of the time, and a checkpoint before it:
        # where a step takes longer than the grace it gets, it is what is left
        read_until(process, "Held-out IoU")
        process.send_signal(signal.SIGINT)
        said = read_until(process, "--resume")
        assert process.wait() == 130
    assert "Traceback" not in said
    assert str(project) in said
    assert answer("versions", project)["versions"] == []

    with started("finetune", project, "--resume") as process:
        read_until(process, "Training the decoder")
        process.send_signal(signal.SIGINT)
        read_until(process, "--resume")
        assert process.wait() == 130


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(os.name == "nt", reason="no SIGTERM to another process")
def test_a_polite_kill_is_like_ctrl_c(project: Path) -> None:
    with started("finetune", project) as process:
        read_until(process, "Training the decoder")
        process.terminate()
        said = read_until(process, "Stopped")
        assert process.wait() == 130
    assert "Traceback" not in said
    # its training process is gone with it
    assert find_running(project) is None


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to another process")
def test_ctrl_c_ends_a_simulation_and_its_training(
    pairs: tuple[Path, Path], tmp_path: Path
) -> None:
    few = ("--images", 2, "--test-images", 1, "--max-objects", 1)
    arguments = ("--data", pairs[0].parent, "--out", tmp_path, *few)
    with started("simulate", *arguments, "--policy", "none,decoder") as process:
        read_until(process, "Training the decoder")
        process.send_signal(signal.SIGINT)
        said = read_until(process, "Stopped")
        assert process.wait() == 130
    assert "Traceback" not in said
    assert find_running(tmp_path / "projects" / "decoder.infosam") is None
    # what was done stays done
    assert not (tmp_path / "decoder.json").exists()
    done = answer("simulate", *arguments, "--policy", "none")
    assert [policy["policy"] for policy in done["policies"]] == ["none"]
