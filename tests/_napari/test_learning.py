from __future__ import annotations

from typing import Any

import pytest

from napari_infosam._napari.learning import CANCELLED, CANCELLED_EARLY, LOST, Learning
from napari_infosam.core import events
from napari_infosam.core.events import Metrics, TrainingEvent

STARTED = events.Started(
    time=100,
    pid=1,
    device="cpu",
    model="vit_t",
    parent="base",
    n_train_images=2,
    n_train_objects=5,
    n_validation_images=1,
    n_validation_objects=1,
)
FINISHED = events.Finished(version_id="v001", accepted=True, seconds=9)
CANCEL = events.Finished(version_id=None, accepted=False, seconds=9, cancelled=True)


class Job:
    """A run whose events are given by the test, one list a poll."""

    def __init__(self, *polls: list[TrainingEvent], running: bool = True) -> None:
        self.polls = list(polls)
        self.running = running
        self.cancelled = 0
        self.has_checkpoint = False
        self.held, self.can_be_held = False, True

    def poll(self) -> list[TrainingEvent]:
        return self.polls.pop(0) if self.polls else []

    def cancel(self) -> None:
        self.cancelled += 1

    def hold(self) -> bool:
        self.held = True
        return self.can_be_held

    def go_on(self) -> None:
        self.held = False


def follow(*polls: list[TrainingEvent]) -> tuple[Learning, Job]:
    learning, job = Learning(), Job(*polls)
    learning._follow(job, "Starting …")  # type: ignore[arg-type]
    return learning, job


def metrics(iou_1: float) -> Metrics:
    return Metrics(
        n_images=5,
        n_objects=9,
        iou_1=iou_1,
        iou_3=0.9,
        iou_5=0.9,
        iou_box=0.9,
        noc85=2,
        max_clicks=8,
    )


def step(number: int, **more: Any) -> events.Step:
    return events.Step(stage="quick", step=number, steps=10, **more)


def test_a_run_is_followed_to_its_end() -> None:
    gate = events.Gate(
        version_id="v001",
        accepted=True,
        reason="better",
        base=metrics(0.6),
        active=None,
        candidate=metrics(0.8),
    )
    learning, _ = follow(
        [STARTED, events.StageStarted(stage="quick", message="Training", steps=10)],
        [step(3, time=104, loss=0.5, seconds_left=7)],
        [events.Validation(time=105, step=3, iou_1=0.7, iou_box=0.8)],
        [events.Notice(message="Few images."), gate, FINISHED],
    )
    learned, ended = [], []
    learning.learned.connect(learned.append)
    learning.ended.connect(lambda: ended.append(learning.is_running))

    learning.poll()
    assert learning.message == "Training"
    learning.poll()
    assert (learning.step, learning.steps, learning.seconds_left) == (3, 10, 7)
    assert learning.losses == [(4, 0.5)]
    learning.poll()
    assert learning.ious == [(5, 0.7, 0.8)]
    learning.poll()
    assert learned == ["v001"]
    assert ended == [False]
    assert learning.notices == ["Few images."]
    assert learning.outcome == "v001 was accepted: better"


def test_it_says_what_a_training_goes_on_from() -> None:
    learning, _ = follow([STARTED], [STARTED.model_copy(update={"begun_with": "v002"})])
    learning.poll()
    assert learning.message.endswith("judged on 1 held-out object")
    learning.poll()
    assert learning.message.endswith("1 held-out object, going on from v002")


def test_a_rejected_version_is_not_learned_and_says_why() -> None:
    gate = events.Gate(
        version_id="v001",
        accepted=False,
        reason="worse by boxes",
        base=None,
        active=None,
        candidate=None,
    )
    learning, _ = follow([STARTED, gate, FINISHED])
    learned: list[str] = []
    learning.learned.connect(learned.append)
    learning.poll()
    assert learned == []
    assert learning.outcome == "v001 was rejected: worse by boxes"


@pytest.mark.parametrize("has_checkpoint", [True, False])
def test_a_cancelled_run_says_so(has_checkpoint: bool) -> None:
    learning, job = follow([STARTED], [step(1), CANCEL])
    job.has_checkpoint = has_checkpoint
    learning.poll()
    learning.cancel()
    learning.cancel()
    assert job.cancelled == 1
    assert learning.is_cancelling
    learning.poll()
    assert not learning.is_running
    assert learning.was_cancelled
    assert learning.outcome == (CANCELLED if has_checkpoint else CANCELLED_EARLY)


def test_a_failure_is_one_sentence_and_leaves_nothing_running(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failed = events.Failed(message="The disk is full.", details="a traceback")
    learning, _ = follow([STARTED, failed])
    said: list[str] = []
    learning.failed.connect(said.append)
    learning.poll()
    assert said == ["The disk is full."]
    assert not learning.is_running
    assert "a traceback" in caplog.text


def test_a_process_that_vanishes_leaves_nothing_running() -> None:
    learning, job = follow([STARTED], [])
    learning.poll()
    job.running = False
    learning.poll()
    assert not learning.is_running
    assert learning.outcome == LOST


def test_the_end_of_an_earlier_part_is_not_the_end_of_a_resumed_run() -> None:
    learning, _ = follow([STARTED, step(1), CANCEL, STARTED, step(2)])
    learning.poll()
    assert learning.is_running
    assert learning.step == 2


def test_leaving_a_project_keeps_no_figures_of_its_run() -> None:
    learning, job = follow([STARTED, step(1, loss=0.5)])
    learning.poll()
    learning.leave()
    assert not learning.is_running
    assert learning.losses == []
    assert job.cancelled == 0


def test_a_training_is_held_for_a_moment() -> None:
    learning, job = follow()
    learning.hold()
    assert (job.held, learning.is_held) == (True, True)
    learning.go_on()
    assert (job.held, learning.is_held) == (False, False)
    learning.hold()
    learning.cancel()  # it must be awake to end itself
    assert (job.held, learning.is_held, job.cancelled) == (False, False, 1)
    learning.hold()
    assert not job.held


def test_a_training_that_nobody_follows_is_not_held() -> None:
    learning, job = follow()
    learning.hold()
    learning.leave()
    assert (job.held, learning.is_held) == (False, False)
    learning.hold()
    assert not learning.is_held


def test_where_a_process_can_not_be_held_it_is_not() -> None:
    learning, job = follow()
    job.can_be_held = False
    learning.hold()
    assert not learning.is_held
