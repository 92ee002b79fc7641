from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys

import pytest
import torch

from napari_infosam.training.checkpoint import load_checkpoint, save_checkpoint

FIT = {"weights": [torch.arange(5.0)], "step": 7, "best_score": float("-inf")}


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_saved_comes_back(tmp_path):
    save_checkpoint(tmp_path, "quick", FIT, "v002")
    state = load_checkpoint(tmp_path)
    assert (state["stage"], state["begun_with"]) == ("quick", "v002")
    assert state["fit"]["step"] == 7
    assert state["fit"]["best_score"] == float("-inf")
    assert torch.equal(state["fit"]["weights"][0], torch.arange(5.0))
    assert names(tmp_path) == ["checkpoint.pt"]


def test_no_checkpoint_is_none(tmp_path):
    assert load_checkpoint(tmp_path) is None


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_ignored(tmp_path, share):
    save_checkpoint(tmp_path, "quick", FIT, "base")
    path = tmp_path / "checkpoint.pt"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert load_checkpoint(tmp_path) is None


@pytest.mark.parametrize(
    "content", [b"garbage", b"\x80\x04.", b"PK\x03\x04xxxxxxxxxxxx"]
)
def test_garbage_is_ignored(tmp_path, content):
    (tmp_path / "checkpoint.pt").write_bytes(content)
    assert load_checkpoint(tmp_path) is None


@pytest.mark.parametrize("value", [[1, 2], {"stage": "quick"}, torch.ones(2)])
def test_a_file_of_something_else_is_ignored(tmp_path, value):
    torch.save(value, tmp_path / "checkpoint.pt")
    assert load_checkpoint(tmp_path) is None


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def test_code_is_never_run(tmp_path):
    mark = tmp_path / "code was run"
    torch.save({"stage": "quick", "fit": Trap(mark)}, tmp_path / "checkpoint.pt")
    assert load_checkpoint(tmp_path) is None
    (tmp_path / "checkpoint.pt").write_bytes(pickle.dumps(Trap(mark)))
    assert load_checkpoint(tmp_path) is None
    assert not mark.exists()


@pytest.mark.parametrize("call", ["torch.save", "os.fsync", "pathlib.Path.replace"])
def test_a_failing_disk_keeps_the_old_checkpoint(tmp_path, monkeypatch, caplog, call):
    save_checkpoint(tmp_path, "quick", FIT, "base")

    def full(*_arguments, **_keywords):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(call, full)
        save_checkpoint(tmp_path, "full", {**FIT, "step": 8}, "base")
    assert "No checkpoint could be written" in caplog.text
    assert load_checkpoint(tmp_path)["fit"]["step"] == 7
    assert names(tmp_path) == ["checkpoint.pt"]


FULL = """
import resource, sys
from pathlib import Path
import torch
from napari_infosam.training.checkpoint import load_checkpoint, save_checkpoint

folder = Path(sys.argv[1])
save_checkpoint(folder, "quick", {"step": 1}, "base")
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
save_checkpoint(folder, "quick", {"weights": torch.ones(1_000_000)}, "base")
print(load_checkpoint(folder)["fit"]["step"])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_disk_that_is_really_full(tmp_path):
    """Nor may what torch writes as it gives up end the process."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "1"
    assert "No checkpoint could be written" in done.stderr
    assert names(tmp_path) == ["checkpoint.pt"]
