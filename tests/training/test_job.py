"""The real training process, as its owner sees it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from napari_infosam.core import events
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.options import FinetuneOptions
from napari_infosam.training.job import (
    TrainingJob,
    find_resumable,
    find_running,
    finetune,
)

from .runs import STARTED, STOPPED

if TYPE_CHECKING:
    from napari_infosam.project import Project

PATIENCE = 200.0
"""Seconds until a process that should say something counts as stuck."""

EVENTS = "events.jsonl"
SHORT = FinetuneOptions(max_seconds=5, max_epochs=2)
LONG = FinetuneOptions(max_seconds=1000, max_epochs=1000)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def follow(job: TrainingJob, until: Callable[[events.TrainingEvent], bool]) -> list:
    """Return the events up to one; heartbeats are left out."""
    found: list[events.TrainingEvent] = []

    def there() -> bool:
        new = [e for e in job.poll() if not isinstance(e, events.Heartbeat)]
        found.extend(new)
        return any(map(until, new))

    wait_until(there)
    return found


def is_closing(event) -> bool:
    return isinstance(event, events.Finished | events.Failed)


def is_step(stage: str) -> Callable[[events.TrainingEvent], bool]:
    return lambda event: isinstance(event, events.Step) and event.stage == stage


def rest_of(job: TrainingJob) -> list:
    """Return what a job whose process is gone still says, asked often."""
    wait_until(lambda: not job.running)
    found = [event for _ in range(5) for event in job.poll()]
    return [e for e in found if not isinstance(e, events.Heartbeat)]


def seconds_until_gone(job: TrainingJob) -> float:
    start = time.monotonic()
    job.cancel()
    assert time.monotonic() - start < 0.5
    wait_until(lambda: not job.running)
    return time.monotonic() - start


def is_sound(project: Project) -> bool:
    with closing(sqlite3.connect(project.path / "project.sqlite")) as connection:
        return connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.fixture
def jobs() -> Iterator[list[TrainingJob]]:
    """Return a list of jobs that do not outlive the test."""
    started: list[TrainingJob] = []
    yield started
    for job in started:
        job.kill()
        wait_until(lambda j=job: not j.running)


@pytest.fixture
def start(jobs) -> Callable[[Project, FinetuneOptions], TrainingJob]:
    def start(project: Project, options: FinetuneOptions = LONG) -> TrainingJob:
        jobs.append(TrainingJob.start(project.path, options))
        return jobs[-1]

    return start


@pytest.fixture
def resume(jobs) -> Callable[[Path], TrainingJob]:
    def resume(run_dir: Path) -> TrainingJob:
        jobs.append(TrainingJob.resume(run_dir))
        return jobs[-1]

    return resume


# ---------------------------------------------------------------- no process needed


def test_nothing_accepted_is_said_at_once(project_of):
    with project_of([0, 0]) as project:
        with pytest.raises(InfosamError, match="Nothing has been accepted yet"):
            TrainingJob.start(project.path, SHORT)
        with pytest.raises(InfosamError, match="Nothing has been accepted yet"):
            finetune(project, SHORT)
        assert project.runs() == []
        assert find_resumable(project.path) is None


def test_no_project(tmp_path):
    with pytest.raises(InfosamError, match="gone"):
        TrainingJob.start(tmp_path / "gone.infosam", SHORT)


def test_an_unreadable_project(project_of):
    with project_of([1, 1]) as project:
        path = project.path
    for file in path.glob("project.sqlite*"):
        file.unlink()
    (path / "project.sqlite").write_bytes(b"garbage" * 1000)
    with pytest.raises(InfosamError, match="is damaged"):
        TrainingJob.start(path, SHORT)


@pytest.fixture
def old_run(project_of) -> Iterator[tuple[Project, Path]]:
    """Return a project with a run that no process does any more."""
    with project_of([1, 1]) as project:
        yield project, project.new_run(SHORT)


def write_events(run_dir: Path, *said: events.TrainingEvent) -> None:
    text = "".join(event.model_dump_json() + "\n" for event in said)
    (run_dir / EVENTS).write_text(text, "utf-8")


NOTICE = events.Notice(message="hello")
DONE = events.Finished(version_id="v001", accepted=True, seconds=1)
RESUMED = STARTED.model_copy(update={"resumed": True})


def test_events_are_replayed_once(old_run):
    _, run_dir = old_run
    write_events(run_dir, RESUMED, NOTICE, DONE)
    for _ in range(2):
        job = TrainingJob.attach(run_dir)
        assert not job.running
        assert job.poll() == [RESUMED, NOTICE, DONE]
        assert job.poll() == []


def test_a_half_written_line_waits_for_its_other_half(old_run, monkeypatch):
    _, run_dir = old_run
    job = TrainingJob.attach(run_dir)
    monkeypatch.setattr(TrainingJob, "running", True)
    line = NOTICE.model_dump_json().encode()
    with (run_dir / EVENTS).open("ab", 0) as file:
        file.write(line[:20])
        assert job.poll() == []
        file.write(line[20:])
        assert job.poll() == []
        file.write(b"\n" + line[:5])
        assert job.poll() == [NOTICE]
        file.write(line[5:] + b"\n")
        assert job.poll() == [NOTICE]


def test_lines_that_are_no_events_are_passed_over(old_run):
    """Such as those of a newer version, or half a line that a crash has left."""
    _, run_dir = old_run
    lines = [
        NOTICE.model_dump_json(),
        '{"kind": "notice", "mess',
        "",
        "\x00\x00",
        '{"kind": "applause"}',
        "[1, 2]",
        DONE.model_dump_json(),
    ]
    (run_dir / EVENTS).write_text("\n".join(lines) + "\n", "utf-8")
    assert TrainingJob.attach(run_dir).poll() == [NOTICE, DONE]


def test_a_run_without_an_end_has_failed(old_run):
    _, run_dir = old_run
    write_events(run_dir, RESUMED, NOTICE)
    job = TrainingJob.attach(run_dir)
    *replayed, failed = job.poll()
    assert replayed == [RESUMED, NOTICE]
    assert isinstance(failed, events.Failed)
    assert "ended unexpectedly" in failed.message
    assert str(run_dir) in failed.message
    assert "Train again" in failed.message
    assert job.poll() == []
    (run_dir / "checkpoint.pt").write_bytes(b"there")
    assert "Resume it" in TrainingJob.attach(run_dir).poll()[-1].message


def test_a_run_that_was_resumed_and_has_no_end_has_failed(old_run):
    _, run_dir = old_run
    write_events(run_dir, RESUMED, STOPPED, RESUMED, NOTICE)
    found = TrainingJob.attach(run_dir).poll()
    assert found[:4] == [RESUMED, STOPPED, RESUMED, NOTICE]
    assert [type(e) for e in found[4:]] == [events.Failed]


def test_a_cancelled_run_without_an_end_was_cancelled(old_run):
    _, run_dir = old_run
    write_events(run_dir, RESUMED)
    (run_dir / "cancel").touch()
    _, finished = TrainingJob.attach(run_dir).poll()
    assert isinstance(finished, events.Finished)
    assert finished.cancelled


@pytest.mark.parametrize(
    ("said", "resumable"),
    [
        ((RESUMED,), True),
        ((RESUMED, STOPPED), True),
        ((RESUMED, events.Failed(message="full")), True),
        ((RESUMED, DONE), False),
        ((RESUMED, STOPPED, RESUMED, DONE), False),
        ((), True),
    ],
)
def test_what_can_be_resumed(old_run, said, resumable):
    project, run_dir = old_run
    write_events(run_dir, *said)
    assert find_resumable(project.path) is None
    (run_dir / "checkpoint.pt").write_bytes(b"there")
    assert find_resumable(project.path) == (run_dir if resumable else None)
    # only the newest run is offered
    project.new_run(SHORT)
    assert find_resumable(project.path) is None


@pytest.mark.parametrize(
    "note",
    [
        "",
        "{}",
        "[]",
        '{"pid": "x", "created": 1}',
        '{"pid": 99999999, "created": 1}',
        # the number of a process that has ended, given to another
        json.dumps({"pid": os.getpid(), "created": 1.0}),
    ],
    ids=["empty", "object", "list", "text", "nobody", "another"],
)
def test_a_run_is_not_taken_for_alive(old_run, note):
    project, run_dir = old_run
    (run_dir / "process.json").write_text(note, "utf-8")
    assert find_running(project.path) is None
    assert not TrainingJob.attach(run_dir).running


def test_a_run_is_alive_as_long_as_its_process(old_run):
    project, run_dir = old_run
    command = [sys.executable, "-c", "input()"]
    with psutil.Popen(command, stdin=-1) as process:
        note = {"pid": process.pid, "created": process.create_time()}
        (run_dir / "process.json").write_text(json.dumps(note), "utf-8")
        assert find_running(project.path) == run_dir
        assert TrainingJob.attach(run_dir).running
        assert find_resumable(project.path) is None
        with pytest.raises(InfosamError, match="being fine-tuned already"):
            TrainingJob.start(project.path, SHORT)
        with pytest.raises(InfosamError, match="still under way"):
            TrainingJob.resume(run_dir)
        with pytest.raises(InfosamError, match="being fine-tuned already"):
            TrainingJob.resume(project.new_run(SHORT))
        # a process that has said its last word is only tidying up
        write_events(run_dir, RESUMED, DONE)
        assert find_running(project.path) is None
        # but a resumed one has an earlier end before it
        note["position"] = (run_dir / EVENTS).stat().st_size
        (run_dir / "process.json").write_text(json.dumps(note), "utf-8")
        assert find_running(project.path) == run_dir
        process.kill()
        # as long as nobody has waited for it, it is a zombie
        wait_until(lambda: find_running(project.path) is None)
        assert not TrainingJob.attach(run_dir).running


def test_a_run_whose_folder_is_gone(old_run):
    _, run_dir = old_run
    shutil.rmtree(run_dir)
    with pytest.raises(InfosamError, match="could not be started"):
        TrainingJob.resume(run_dir)
    job = TrainingJob.attach(run_dir)
    assert [type(e) for e in job.poll()] == [events.Failed]
    job.cancel()
    assert job.poll() == []


# ---------------------------------------------------------------- before torch is there


def test_cancelled_right_after_the_start(project_of, start):
    with project_of([1, 1]) as project:
        job = start(project)
        assert job.running
        assert seconds_until_gone(job) < 2
        (finished,) = rest_of(job)
        assert isinstance(finished, events.Finished)
        assert finished.cancelled
        assert finished.version_id is None
        assert project.versions() == []
        assert find_resumable(project.path) is None
        assert is_sound(project)


def test_one_run_at_a_time(project_of, start):
    with project_of([1, 1]) as project:
        job = start(project)
        # at once, before the process has said a word
        with pytest.raises(InfosamError, match="being fine-tuned already"):
            start(project)
        assert find_running(project.path) == job.run_dir
        assert len(project.runs()) == 1
        with pytest.raises(InfosamError, match="still under way"):
            TrainingJob.resume(job.run_dir)
        job.kill()
        wait_until(lambda: not job.running)
        assert find_running(project.path) is None
        # it ended, so that another may begin
        other = start(project)
        assert other.run_dir != job.run_dir


def test_killed_from_outside_at_the_start(project_of, start):
    with project_of([1, 1]) as project:
        job = start(project)
        psutil.Process(job._process.pid).kill()
        (failed,) = rest_of(job)
        assert isinstance(failed, events.Failed)
        assert "ended unexpectedly" in failed.message
        assert "\n" not in failed.message
        assert TrainingJob.attach(job.run_dir).poll()[-1].message == failed.message


def test_a_run_that_nobody_follows_leaves_no_zombie(project_of, start, jobs):
    with project_of([1, 1]) as project:
        process = psutil.Process(start(project)._process.pid)
        jobs.clear()
        process.kill()
        wait_until(lambda: not psutil.pid_exists(process.pid))


def test_an_attached_job_can_cancel(project_of, start):
    with project_of([1, 1]) as project:
        job = start(project)
        other = TrainingJob.attach(job.run_dir)
        assert other.running
        assert seconds_until_gone(other) < 2
        assert isinstance(rest_of(job)[-1], events.Finished)


def test_a_held_process_stands_still_and_goes_on(project_of, start):
    with project_of([1, 1]) as project:
        job = start(project)
        assert job.hold()
        assert job.running
        assert job._process.status() == psutil.STATUS_STOPPED
        job.go_on()
        wait_until(lambda: job._process.status() != psutil.STATUS_STOPPED)
        job.hold()
        # its window was killed: the next one that looks for trainings wakes it
        assert find_running(project.path) == job.run_dir
        wait_until(lambda: job._process.status() != psutil.STATUS_STOPPED)
        job.kill()
        wait_until(lambda: not job.running)
        assert not job.hold()
        job.go_on()


# ---------------------------------------------------------------- with torch


@pytest.mark.slow
def test_from_start_to_version(project_of):
    with project_of([2, 1, 1]) as project:
        said: list[events.TrainingEvent] = []
        record = finetune(project, SHORT, said.append)
        (run_dir,) = project.runs()

        spoken = [e for e in said if not isinstance(e, events.Heartbeat)]
        kinds = [e.kind for e in spoken]
        assert kinds[0] == "started"
        assert kinds[-3:] == ["candidate", "gate", "finished"]
        assert "failed" not in kinds
        stages = [e.stage for e in spoken if isinstance(e, events.StageStarted)]
        assert stages == ["prepare", "gate", "quick", "gate"]
        assert spoken[0].pid != os.getpid()
        gate, finished = spoken[-2:]
        assert finished.version_id == gate.version_id == record.id == "v001"
        assert record == project.version("v001")
        active = "v001" if gate.accepted else "base"
        assert project.active_version == active
        card = json.loads((project.version_dir("v001") / "card.json").read_text())
        assert card["reason"] == gate.reason

        # another object, such as one of a new window, hears the same
        job = TrainingJob.attach(run_dir)
        assert not job.running
        assert job.poll() == said
        assert job.poll() == []
        assert find_resumable(project.path) is None
        assert find_running(project.path) is None
        assert is_sound(project)


@pytest.mark.slow
def test_cancelled_resumed_killed_and_resumed(project_of, start, resume):
    options = FinetuneOptions(max_seconds=1000, max_epochs=15)
    with project_of([2, 1]) as project:
        n_objects = project.n_objects()
        job = start(project, options)
        found = follow(job, is_step("quick"))
        assert seconds_until_gone(job) < 2
        found += rest_of(job)
        assert [type(e) for e in found if is_closing(e)] == [events.Finished]
        assert found[-1].cancelled
        assert (job.run_dir / "checkpoint.pt").is_file()
        last = max(e.step for e in found if is_step("quick")(e))
        assert find_resumable(project.path) == job.run_dir

        job = resume(job.run_dir)
        found = follow(job, is_step("quick"))
        assert found[0].resumed
        assert found[-1].step == last + 1
        psutil.Process(job._process.pid).kill()
        found = rest_of(job)
        (failed,) = [e for e in found if is_closing(e)]
        assert isinstance(failed, events.Failed)
        assert "ended unexpectedly" in failed.message
        assert is_sound(project)
        assert project.n_objects() == n_objects
        assert (project.versions(), project.active_version) == ([], "base")
        assert find_resumable(project.path) == job.run_dir
        # a window that comes later hears that it was killed, too
        assert isinstance(TrainingJob.attach(job.run_dir).poll()[-1], events.Failed)

        job = resume(job.run_dir)
        found = follow(job, is_closing)
        assert found[0].resumed
        assert next(e for e in found if is_step("quick")(e)).step == last + 1
        assert found[-1].version_id == "v001"
        assert [r.id for r in project.versions()] == ["v001"]
        assert find_resumable(project.path) is None


@pytest.mark.slow
def test_cancelled_at_any_stage(project_of, start, resume):
    with project_of([2, 1]) as project:
        options = FinetuneOptions(max_epochs=1, stage="full", distill="none")
        run_dir = None
        for stage in ("prepare", "gate", "quick", "full"):
            job = resume(run_dir) if run_dir else start(project, options)
            run_dir = job.run_dir
            follow(job, is_step(stage))
            assert seconds_until_gone(job) < 2
            closing_events = [e for e in rest_of(job) if is_closing(e)]
            assert [e.kind for e in closing_events] == ["finished"]
            assert closing_events[0].cancelled
        assert project.versions() == []
        assert is_sound(project)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_a_terminated_process_keeps_what_it_learnt(project_of, start):
    """As at a shutdown of the machine."""
    with project_of([2, 1]) as project:
        job = start(project)
        follow(job, is_step("quick"))
        os.kill(job._process.pid, signal.SIGTERM)
        assert [e.cancelled for e in rest_of(job) if is_closing(e)] == [True]
        assert find_resumable(project.path) == job.run_dir


@pytest.mark.slow
def test_a_project_that_is_deleted_meanwhile(project_of, start):
    with project_of([1, 1]) as project:
        job = start(project)
        follow(job, lambda event: isinstance(event, events.Started))
        shutil.rmtree(project.path)
        found = rest_of(job)
        (failed,) = [e for e in found if is_closing(e)]
        assert isinstance(failed, events.Failed)
        assert "was deleted" in failed.message


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let the processes that are started write no larger files."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.slow
def test_no_space_for_the_student(project_of, start):
    """Embeddings fit, a student of 16 MB does not."""
    with project_of([1, 1]) as project:
        with file_size_limit(4 * 2**20):
            job = start(project, SHORT)
        found = follow(job, is_closing)
        failed = found[-1]
        assert isinstance(failed, events.Failed)
        assert "could not be written" in failed.message
        assert "Free some space" in failed.message
        assert "\n" not in failed.message
        assert [e for e in rest_of(job) if is_closing(e)] == []
        assert (project.versions(), project.active_version) == ([], "base")
        assert is_sound(project)
        assert not project.version_dir("v001").exists()


@pytest.mark.slow
def test_what_the_process_can_not_do_is_said_in_a_sentence(project_of, start, resume):
    """One object only: nothing could be held out."""
    with project_of([1]) as project:
        job = start(project, SHORT)
        (failed,) = follow(job, is_closing)
        assert isinstance(failed, events.Failed)
        assert "Accept at least two objects" in failed.message
        # a run whose configuration is gone
        (job.run_dir / "config.json").unlink()
        again = resume(job.run_dir)
        (failed,) = follow(again, is_closing)
        assert isinstance(failed, events.Failed)
        assert "\n" not in failed.message
