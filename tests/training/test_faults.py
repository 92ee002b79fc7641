"""What goes wrong while training: one sentence, and the last good version answers."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import SimpleNamespace

import pytest
import torch

from napari_infosam.core import events
from napari_infosam.core.options import FinetuneOptions
from napari_infosam.models import load_version
from napari_infosam.project import database
from napari_infosam.training import __main__ as process
from napari_infosam.training import held_out as held_out_module
from napari_infosam.training import job
from napari_infosam.training import run as run_module
from napari_infosam.training.dataset import count_objects
from napari_infosam.training.evaluate import Evaluation, ObjectResult
from napari_infosam.training.failures import failure_sentence, is_out_of_memory
from napari_infosam.training.job import TrainingJob, find_resumable
from napari_infosam.training.reporter import Reporter
from napari_infosam.training.stages import Stage, StepLoss
from napari_infosam.training.thrift import Portions, fits

from .runs import ONE_EPOCH, Listener


def end_of(project, run_dir=None, cancel_at=lambda _event: False, **options):
    """Return the events of a run and how its process would end."""
    if run_dir is None:
        run_dir = project.new_run(FinetuneOptions(**{**ONE_EPOCH, **options}))
    listener = Listener(run_dir, cancel_at)
    try:
        outcome = process._run(run_dir, listener, time.monotonic())
        Reporter.emit(listener, outcome)
    finally:
        listener.close()
    return listener.events, outcome


def notices(found) -> list[str]:
    sentences = [e.message for e in found if isinstance(e, events.Notice)]
    assert not any("\n" in sentence for sentence in sentences)
    return sentences


def results(iou: float, n_objects: int) -> Evaluation:
    found = [ObjectResult((iou,) * 5, iou, iou) for _ in range(n_objects)]
    return Evaluation(tuple(found), 1, 8, 0.1)


@pytest.fixture
def accepting(frugal, monkeypatch):
    """Let the gate find every student better, without clicking."""

    def evaluate(predictor, samples, **_keywords):
        iou = 0.8 if predictor.model.version == "student" else 0.5
        return results(iou, count_objects(samples))

    monkeypatch.setattr(held_out_module, "evaluate", evaluate)
    # a student is worse as soon as it is a version
    monkeypatch.setattr(held_out_module, "keep_results", lambda *_: None)


# ------------------------------------------------------------------ another version


@pytest.mark.parametrize(
    ("chosen", "answers", "says"),
    [
        ("base", "v003", ""),  # the student was compared with it
        ("v002", "v002", "v003 was accepted, but not compared with v002, which"),
    ],
)
def test_who_answers_is_changed_while_it_trains(
    project_of, accepting, chosen, answers, says
):
    with project_of([2, 2]) as project:
        first, second = (end_of(project, max_steps=1)[1].version_id for _ in range(2))
        assert (first, second) == ("v001", "v002")
        project.activate(first)

        def choose(event) -> bool:
            if event.kind == "step" and event.stage == "quick":
                project.activate(chosen)
            return False

        found, outcome = end_of(project, max_steps=1, cancel_at=choose)
        assert outcome.accepted
        assert project.active_version == answers
        assert says in "".join(notices(found))


# ------------------------------------------------------------------------- memory


def real_refusal() -> Exception:
    """Return what torch raises where the host has too little memory."""
    try:
        torch.empty(2**60, dtype=torch.uint8)
    except RuntimeError as error:
        return error
    raise AssertionError("an exabyte was there")


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (real_refusal(), True),
        (RuntimeError("MPS backend out of memory (allocated: 1 GB)"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("shape '[2]' is invalid for input of size 3"), False),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), False),
    ],
)
def test_what_says_that_memory_is_short(error, is_memory):
    assert is_out_of_memory(error) is is_memory
    assert (failure_sentence(error) is not None) is is_memory


def test_smaller_from_the_beginning():
    assert Portions().begin_smaller("full", 0) is None
    once, often = Portions(), Portions()
    assert "2 images in a batch, and 2 objects" in once.begin_smaller("full", 1)
    assert (once.images("full"), once.images("quick")) == (2, 2)
    assert "1 image in a batch, and 1 object" in often.begin_smaller("quick", 9)
    assert (often.images("quick"), often.objects) == (1, 1)


def test_portions_shrink_to_one_object_of_one_image():
    portions, said = Portions(), []
    assert (portions.images("full"), portions.objects) == (4, 2)
    while (sentence := portions.shrink("full")) is not None:
        said.append((portions.images("full"), portions.objects, sentence))
    assert [step[:2] for step in said] == [(2, 2), (1, 2), (1, 1)]
    assert "2 images in a batch instead of 4" in said[0][2]
    assert "1 object of an image at a time instead of 2" in said[2][2]
    # a later stage begins with what is known to fit
    assert portions.images("quick") == 1


def test_what_a_failed_attempt_held_is_free_afterwards():
    class Hoard:
        alive = 0

        def __init__(self) -> None:
            Hoard.alive += 1

        def __del__(self) -> None:
            Hoard.alive -= 1

    def work() -> None:
        _mine = Hoard()
        raise MemoryError

    assert not fits(work)
    assert Hoard.alive == 0
    with pytest.raises(ValueError, match="a bug"):
        fits(lambda: (_ for _ in ()).throw(ValueError("a bug")).__next__())


@pytest.fixture
def memory(accepting, monkeypatch):
    """Return the objects that fit into a step, on a GPU and on the CPU."""
    room = {"cuda": 100, "cpu": 100}
    device = ["cuda"]
    tried = []
    load_model, step = run_module.load_model, Stage.step

    def load(name, where):
        device[0] = "cpu" if where == "cpu" else "cuda"
        return load_model(name, where)

    def weigh(self, batch, rng):
        size = sum(len(group.indices) for group in batch)
        tried.append((device[0], len(batch), size))
        if size > room[device[0]]:
            if device[0] == "cuda":
                raise torch.OutOfMemoryError("CUDA out of memory.")
            raise MemoryError
        return step(self, batch, rng)

    monkeypatch.setattr(run_module, "load_model", load)
    monkeypatch.setattr(run_module, "resolve_device", torch.device)
    monkeypatch.setattr(Stage, "step", weigh)
    return room, tried


def test_what_was_killed_goes_on_with_less(project_of, accepting):
    """As the system does where memory runs out; nobody could say so."""
    with project_of([2, 2]) as project:
        found, _ = end_of(project, max_steps=1)
        run_dir = project.new_run(FinetuneOptions(**ONE_EPOCH, max_steps=1))
        started = next(e for e in found if isinstance(e, events.Started))
        (run_dir / "events.jsonl").write_text(started.model_dump_json() + "\n")
        # gone before there was a checkpoint: another run takes less, too
        for again in (project.new_run(FinetuneOptions(**ONE_EPOCH)), run_dir):
            found, outcome = end_of(project, again)
            (said,) = notices(found)
            assert said == (
                "The training process vanished, probably because memory ran out: now "
                "it trains with 1 image in a batch, and 2 objects of each at a time."
            )
            assert project.active_version == outcome.version_id
        found, _ = end_of(project, max_steps=1)
        assert notices(found) == []


def test_a_gpu_that_is_too_small_for_anything(project_of, memory):
    """It is tried with less at a time, and then the CPU does it."""
    room, tried = memory
    room["cuda"] = 0
    with project_of([2, 2, 2]) as project:
        found, outcome = end_of(project, device="cuda", max_steps=1)
        said = notices(found)
        assert len(said) == 3
        assert "1 image in a batch instead of 2" in said[0]
        assert "1 object of an image at a time" in said[1]
        assert "on the CPU" in said[2]
        assert tried[:3] == [("cuda", 2, 4), ("cuda", 1, 2), ("cuda", 1, 1)]
        assert {place for place, *_ in tried[3:]} == {"cpu"}
        assert isinstance(outcome, events.Finished)
        (record,) = project.versions()
        assert record.options["device"] == "cpu"
        assert load_version(project, record.id).version == "v001"


def test_a_host_that_is_too_small_for_anything(project_of, memory):
    room, _ = memory
    room["cpu"] = 0
    with project_of([2, 2]) as project:
        found, outcome = end_of(project, device="cpu", max_steps=1)
        assert len(notices(found)) == 2
        assert isinstance(outcome, events.Failed)
        assert "not enough memory to fine-tune" in outcome.message
        assert not outcome.details
        assert (project.versions(), project.active_version) == ([], "base")
        # with more room it goes on where it stood
        room["cpu"] = 1
        found, outcome = end_of(project, project.runs()[-1])
        assert found[0].resumed
        assert isinstance(outcome, events.Finished)


# --------------------------------------------------------------------- no numbers


def test_losses_that_are_no_numbers_end_in_a_sentence(project_of, frugal, monkeypatch):
    monkeypatch.setattr(Stage, "step", lambda *_: StepLoss(float("nan"), {}))
    with project_of([2, 2]) as project:
        found, outcome = end_of(project, max_epochs=100)
        said = notices(found)
        assert "was left out" in said[0]
        assert "back to the last good weights" in said[-1]
        assert isinstance(outcome, events.Failed)
        assert outcome.message == (
            "Training stopped because the loss is not a number, even at 3% of the "
            "learning rate: choose a lower learning rate; the version that answered "
            "goes on."
        )
        assert all(e.loss is None for e in found if e.kind == "step")
        assert (project.versions(), project.active_version) == ([], "base")


# --------------------------------------------------------------------------- disk


def full(*_arguments, **_keywords):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def database_full(*_arguments, **_keywords):
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


@contextmanager
def another_process_writes(project) -> Iterator[None]:
    with closing(sqlite3.connect(project.path / "project.sqlite")) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.rollback()


WRITES = [
    ("napari_infosam.project.versions.numbered_directory", full),
    ("napari_infosam.models.student.save_file", full),
    ("napari_infosam.training.register.write_json", full),
    ("napari_infosam.project.versions.insert", database_full),
    ("napari_infosam.project.settings.put", database_full),
]


def test_a_full_disk_wherever_a_version_is_written(project_of, accepting, monkeypatch):
    """The last good version goes on, nothing is left behind, and a resume makes it."""
    with project_of([2, 2]) as project:
        _, outcome = end_of(project, max_steps=1)
        assert project.active_version == outcome.version_id == "v001"
        run_dir = project.new_run(FinetuneOptions(**ONE_EPOCH, max_steps=1))
        for place, fault in WRITES:
            with monkeypatch.context() as patch:
                patch.setattr(place, fault)
                _, outcome = end_of(project, run_dir)
            assert isinstance(outcome, events.Failed), place
            assert "full" in outcome.message or "No space left" in outcome.message
            assert "\n" not in outcome.message
            assert project.active_version == "v001"
            assert [record.id for record in project.versions()] == ["v001"]
            assert [p.name for p in (project.path / "models").iterdir()] == ["v001"]
            assert find_resumable(project.path) == run_dir
        _, outcome = end_of(project, run_dir)
        assert project.active_version == outcome.version_id == "v002"


def test_a_full_disk_costs_events_and_checkpoints_only(
    project_of, accepting, monkeypatch
):
    monkeypatch.setattr("napari_infosam.training.checkpoint.torch.save", full)
    with project_of([2, 2]) as project:
        run_dir = project.new_run(FinetuneOptions(**ONE_EPOCH, max_steps=1))
        listener = Listener(run_dir)
        kept, listener._file = listener._file, SimpleNamespace(write=full, flush=full)
        outcome = process._run(run_dir, listener, time.monotonic())
        listener._file = kept
        listener.close()
        assert project.active_version == outcome.version_id == "v001"
        assert TrainingJob.attach(run_dir)._read() == []
        assert not (run_dir / "checkpoint.pt").exists()


def test_a_run_that_could_not_say_that_its_disk_is_full(project_of, monkeypatch):
    with project_of([2, 2]) as project:
        run_dir = project.new_run(FinetuneOptions())
        free = SimpleNamespace(free=100)
        monkeypatch.setattr(job.shutil, "disk_usage", lambda _path: free)
        (failed,) = TrainingJob.attach(run_dir).poll()
        assert isinstance(failed, events.Failed)
        assert "because the disk that holds" in failed.message
        assert "\n" not in failed.message


def test_a_database_that_another_process_writes_for_too_long(
    project_of, accepting, monkeypatch
):
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.01)
    with project_of([2, 2]) as project:
        run_dir = project.new_run(FinetuneOptions(**ONE_EPOCH, max_steps=1))
        with another_process_writes(project):
            _, outcome = end_of(project, run_dir)
        assert isinstance(outcome, events.Failed)
        assert "is being written by another process" in outcome.message
        assert project.active_version == "base"
        found, outcome = end_of(project, run_dir)
        assert found[0].resumed
        assert project.active_version == outcome.version_id


# ------------------------------------------------------------------------- images


def remove_pixels(project, number: int) -> str:
    image = project.images()[number]
    (project.path / "images" / f"{image.content_hash}.npy").unlink()
    return image.name


def test_an_image_that_is_gone_is_left_out(project_of, accepting):
    with project_of([1, 1, 1]) as project:
        name = remove_pixels(project, 1)
        found, outcome = end_of(project, max_steps=1)
        (said,) = notices(found)
        assert said.startswith(f"The stored pixels of {name} are missing")
        assert said.endswith("until then training leaves it out.")
        started = next(e for e in found if isinstance(e, events.Started))
        assert (started.n_train_images, started.n_validation_images) == (1, 1)
        assert project.active_version == outcome.version_id


@pytest.mark.parametrize("number", [0, 1])
def test_without_the_only_image_of_a_part_there_is_no_training(project_of, number):
    with project_of([1, 1]) as project:
        name = remove_pixels(project, number)
        found, outcome = end_of(project)
        assert found == []
        assert isinstance(outcome, events.Failed)
        assert outcome.message.startswith(f"The stored pixels of {name} are missing")
        assert outcome.message.count(".npy") == 1
        assert project.active_version == "base"


def test_images_that_go_while_it_trains_are_known_already(project_of, accepting):
    with project_of([1, 1]) as project:

        def remove(event) -> bool:
            if isinstance(event, events.Started):
                remove_pixels(project, 0)
                remove_pixels(project, 1)
            return False

        _, outcome = end_of(project, cancel_at=remove, max_steps=1)
        assert project.active_version == outcome.version_id == "v001"
