"""Trainings that another window, or a terminal, has started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import psutil
import pytest

from napari_infosam._napari import continuous as continuous_module
from napari_infosam._napari.continuous import Continuous
from napari_infosam._napari.learning import Learning
from napari_infosam.core import events
from napari_infosam.core.options import FinetuneOptions
from napari_infosam.core.prompts import Point
from napari_infosam.project import Project
from napari_infosam.training.living import FOLDER_VARIABLE, write_process
from napari_infosam.training.reporter import EVENTS_FILE

from .helpers import DISCS, AtOnce, disc, picture
from .test_versions_in_window import add_version

if TYPE_CHECKING:
    from napari_infosam._napari.session import Session
    from napari_infosam.training.job import TrainingJob

    from .window import Window

pytestmark = pytest.mark.session

Start = Callable[[Path], psutil.Popen]


@pytest.fixture(autouse=True)
def _notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "notes"))


@pytest.fixture
def train() -> Iterator[Start]:
    """Return a function that lets some process be the training of a run."""
    started: list[psutil.Popen] = []

    def train(run_dir: Path) -> psutil.Popen:
        process = psutil.Popen([sys.executable, "-c", "input()"], stdin=-1)
        started.append(process)
        write_process(run_dir, process, 0)
        return process

    yield train
    for process in started:
        end(process)


def end(process: psutil.Popen) -> None:
    if process.returncode is None:
        process.kill()
        process.communicate()


def say(run_dir: Path, *said: events.TrainingEvent) -> None:
    with (run_dir / EVENTS_FILE).open("a", encoding="utf-8") as file:
        file.writelines(event.model_dump_json() + "\n" for event in said)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the projects in which trainings are started; nothing really trains."""
    projects: list[Path] = []

    def start(learning: Learning, project: Path, options: FinetuneOptions) -> None:
        projects.append(project)
        job = SimpleNamespace(running=True, poll=list, run_dir=project)
        learning._follow(cast("TrainingJob", job), "Starting …")

    monkeypatch.setattr(Learning, "start", start)
    return projects


@pytest.fixture
def project(session: Session) -> Project:
    """Return a project with two objects in two images, so that there is enough."""
    session.add_prompt(Point(DISCS[0][1], DISCS[0][0]))
    session.accept()
    made = session.desk.require()
    second = made.add_image(picture(150), "second")
    made.commit(second.id, disc(0))
    session.desk.changed.emit()
    return made


@pytest.fixture
def continuous(session: Session, project: Project) -> Iterator[Continuous]:
    made = Continuous(session, AtOnce())
    yield made
    made.close()


def other_run(tmp_path: Path) -> Path:
    with Project.create(tmp_path / "leaves.infosam") as other:
        return other.new_run(FinetuneOptions())


def test_it_waits_for_the_training_of_another_project(
    session: Session,
    continuous: Continuous,
    begun: list[Path],
    train: Start,
    tmp_path: Path,
) -> None:
    process = train(other_run(tmp_path))
    continuous.switch(True)
    assert begun == []
    assert (
        continuous.reason == "Waits until the training in the project leaves is over."
    )
    assert "another training runs, in the project leaves" in (
        session.desk.trainer.why_not_finetune().lower()
    )
    session.desk.trainer.finetune()
    session.desk.trainer.look_around()
    assert begun == []
    end(process)
    session.desk.trainer.look_around()
    assert begun == [session.desk.path]
    assert session.desk.trainer.why_busy() == ""


def test_another_training_is_seen_at_the_last_moment(
    session: Session,
    continuous: Continuous,
    begun: list[Path],
    train: Start,
    tmp_path: Path,
) -> None:
    looks = continuous._executor = AtOnce()
    looks.holds = True
    continuous.switch(True)
    train(other_run(tmp_path))
    looks.release()
    assert begun == []
    assert "leaves" in continuous.reason
    assert continuous.is_on


def test_a_training_of_a_terminal_is_followed_and_its_version_answers(
    session: Session,
    continuous: Continuous,
    project: Project,
    begun: list[Path],
    train: Start,
    said: list[tuple[str, bool]],
) -> None:
    run_dir = project.new_run(FinetuneOptions())
    process = train(run_dir)
    continuous.switch(True)
    assert session.learning.run_dir == run_dir
    assert begun == []
    assert "A training is running" in continuous.reason
    version = add_version(project)
    project.activate(version)
    gate = events.Gate(
        version_id=version,
        accepted=True,
        reason="better",
        base=None,
        active=None,
        candidate=None,
    )
    done = events.Finished(version_id=version, accepted=True, seconds=1.0)
    say(run_dir, gate, done)
    session.learning.poll()
    assert f"{version} was accepted" in said[-1][0]
    assert continuous.is_on
    continuous.switch(False)
    session.learning.leave()
    # the process has said its last word, but takes a while to go
    session.desk.trainer.look_around()
    assert not session.learning.is_running
    end(process)
    session.add_prompt(Point(DISCS[1][1], DISCS[1][0]))
    session.accept()
    assert session.engine.model is not None
    assert session.engine.model.version == version


def test_the_button_follows_what_somebody_else_has_begun(
    session: Session,
    project: Project,
    begun: list[Path],
    train: Start,
    said: list[tuple[str, bool]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the note of the process is in the run only."""
    run_dir = project.new_run(FinetuneOptions())
    monkeypatch.setenv(FOLDER_VARIABLE, os.devnull)
    train(run_dir)
    session.desk.trainer.look_around()
    assert not session.learning.is_running
    session.desk.trainer.finetune()
    assert session.learning.run_dir == run_dir
    assert begun == []
    assert not said or not said[-1][1]


def test_what_fails_in_vain_is_begun_anew(
    session: Session,
    continuous: Continuous,
    project: Project,
    begun: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resumed: list[Path] = []
    monkeypatch.setattr(Learning, "resume", lambda _, run_dir: resumed.append(run_dir))
    run_dir = project.new_run(FinetuneOptions())
    (run_dir / "checkpoint.pt").touch()
    session.learning.ended.emit()  # it was interrupted
    assert session.desk.trainer.resumable == run_dir
    monkeypatch.setattr(continuous_module, "failed_in_vain", lambda path: True)
    continuous.switch(True)
    assert (resumed, begun) == ([], [project.path])
    session.learning.leave()
    monkeypatch.setattr(continuous_module, "failed_in_vain", lambda path: False)
    continuous.switch(True)
    assert resumed == [run_dir]


def test_what_a_training_said_stays_until_the_next(
    window: Window, train: Start, tmp_path: Path
) -> None:
    window.accept_at(DISCS[0])
    learning, learn = window.session.learning, window.panel.learn
    project = window.session.desk.require()
    for said in ("An image was left out.", "A smaller batch."):
        run_dir = project.new_run(FinetuneOptions())
        process = train(run_dir)
        window.wait(lambda: learning.is_running)
        assert not learn.notices.isVisible()
        say(run_dir, events.Notice(message=said), events.Failed(message="Over."))
        window.wait(lambda: not learning.is_running)
        end(process)
        assert learn.notices.isVisible()
        assert learn.notices.text() == said
        assert learn.outcome.text() == "Over."


def test_another_project_in_the_same_window_waits_for_the_first(
    session: Session,
    project: Project,
    begun: list[Path],
    train: Start,
    tmp_path: Path,
) -> None:
    run_dir = project.new_run(FinetuneOptions())
    process = train(run_dir)
    session.desk.trainer.look_around()
    assert session.learning.run_dir == run_dir
    session.desk.new(tmp_path / "next.infosam")
    assert not session.learning.is_running
    assert session.desk.trainer.elsewhere == project.path.stem
    session.desk.open(project.path)
    assert session.learning.run_dir == run_dir
    assert session.desk.trainer.elsewhere == ""
    end(process)


def test_the_window_says_who_trains(
    window: Window, train: Start, tmp_path: Path
) -> None:
    window.accept_at(DISCS[0])
    window.accept_at(DISCS[1])
    learn = window.panel.learn
    process = train(other_run(tmp_path))
    window.wait(lambda: not learn.finetune.isEnabled(), 20)
    assert "in the project leaves" in learn.reason.text()
    assert "in the project leaves" in learn.finetune.toolTip()
    end(process)
    window.wait(learn.finetune.isEnabled, 20)
    assert not learn.reason.isVisible()


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_the_command_beside_the_window(session: Session, project: Project) -> None:
    """The real one, until Ctrl-C in the terminal."""
    # a test in the background inherits that SIGINT is ignored: a terminal does not
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from napari_infosam.cli import main; main()"
    )
    command = [sys.executable, "-c", program, "finetune", str(project.path)]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as terminal:
        while not session.learning.is_running:
            assert terminal.poll() is None
            time.sleep(0.1)
            session.desk.trainer.look_around()
        while not session.learning.stage:  # until it is under way
            time.sleep(0.1)
            session.learning.poll()
        terminal.send_signal(signal.SIGINT)
        while session.learning.is_running:
            time.sleep(0.1)
            session.learning.poll()
    assert session.learning.was_cancelled
    assert not session.learning.has_failed
