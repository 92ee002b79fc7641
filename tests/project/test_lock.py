from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from napari_infosam.core.errors import InfosamError
from napari_infosam.project import Project

HOLD = """
import sys
from napari_infosam.project import Project

project = Project.open(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


def test_a_second_window_is_told_who_has_the_project(project: Project) -> None:
    with pytest.raises(
        InfosamError, match=rf"open in another window \(process {os.getpid()} on .+\)"
    ):
        Project.open(project.path)
    project.close()
    Project.open(project.path).close()
    assert not (project.path / "window.json").exists()


def test_without_its_owner_the_sentence_is_shorter(project: Project) -> None:
    (project.path / "window.json").write_text("[")
    with pytest.raises(InfosamError, match="open in another window: close it there"):
        Project.open(project.path)


def test_a_reader_needs_no_lock(project: Project) -> None:
    with Project.open(project.path, lock=False) as reader:
        assert reader.n_objects() == 0


def test_a_project_that_does_not_open_is_not_left_locked(project: Project) -> None:
    project.close()
    database = project.path / "project.sqlite"
    content = database.read_bytes()
    database.write_bytes(b"broken" * 1000)
    with pytest.raises(InfosamError, match="is damaged"):
        Project.open(project.path)
    database.write_bytes(content)
    Project.open(project.path).close()


def test_a_killed_window_lets_go(tmp_path: Path) -> None:
    Project.create(tmp_path / "cells").close()
    command = [sys.executable, "-c", HOLD, str(tmp_path / "cells")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(InfosamError, match=rf"process {process.pid} on"):
            Project.open(tmp_path / "cells")
        process.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
        process.wait()
        Project.open(tmp_path / "cells").close()
