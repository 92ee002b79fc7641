from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from qtpy.QtCore import Qt

from napari_infosam._napari.session import Session
from napari_infosam.training import continuous
from napari_infosam.training.living import PROCESS_FILE

from .helpers import DISCS, AtOnce, picture, source
from .test_versions_in_window import add_version

if TYPE_CHECKING:
    from .window import Window

Key = Qt.Key


def accept_all(window: Window) -> None:
    for place in DISCS:
        window.click(*place)
        window.wait_answer()
        window.key(Key.Key_C)
    assert window.shown_objects() == {1, 2, 3}


def start(window: Window, seconds: int) -> None:
    learn = window.panel.learn
    learn.options.max_seconds.value = seconds
    window.press(learn.finetune)
    assert window.session.learning.is_running
    assert not learn.finetune.isEnabled()
    assert learn.cancel.isVisible()


def training_process(window: Window) -> psutil.Process:
    run_dir = window.session.learning.run_dir
    assert run_dir is not None
    process = psutil.Process(json.loads((run_dir / PROCESS_FILE).read_text())["pid"])
    assert str(run_dir) in process.cmdline()
    return process


def is_over(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_version_is_learned_while_prompts_go_on(window: Window) -> None:
    accept_all(window)
    learn = window.panel.learn
    start(window, 5)

    window.click(*DISCS[0])
    window.wait_answer()
    assert window.session.learning.is_running
    window.wait(lambda: not window.session.learning.is_running, 150)

    assert learn.finetune.isEnabled()
    assert not learn.cancel.isVisible()
    assert learn.outcome.isVisible()
    assert "v001 was" in learn.outcome.text()
    assert window.session.learning.losses
    assert learn.curves.isVisible()
    # whatever the gate said: the version is there, and one press lets it answer
    record = window.session.desk.versions()[0]
    assert record.id == "v001"
    if record.status == "rejected":
        learn.versions.setCurrentRow(0)
        window.press(learn.activate)
    window.wait(lambda: window.session.engine.next_version == "v001")
    assert window.session.engine.model.version == "base"
    window.key(Key.Key_Escape)
    window.wait(lambda: window.session.engine.model.version == "v001")
    assert "v001 answers" in window.panel.annotate.model_line.text()
    assert "v001" in learn.comparison.text()
    window.click(*DISCS[1])
    window.wait_answer()
    proposal = window.session.proposal
    assert proposal is not None
    assert proposal.version == "v001"
    assert window.shown_objects() == {1, 2, 3}  # no layer was touched

    learn.versions.setCurrentRow(1)
    assert learn.activate.text() == "Use base"
    window.press(learn.activate)
    window.key(Key.Key_Escape)
    window.wait(lambda: window.session.engine.model.version == "base")


def test_training_is_cancelled_in_two_seconds_and_resumed(window: Window) -> None:
    accept_all(window)
    learn = window.panel.learn
    start(window, 600)
    process = training_process(window)
    window.wait(lambda: window.session.learning.losses, 150)

    window.press(learn.cancel)

    assert not learn.cancel.isEnabled()
    window.wait(lambda: is_over(process), 3)
    window.wait(lambda: not window.session.learning.is_running, 5)
    assert "cancelled" in learn.outcome.text()
    assert learn.finetune.isEnabled()
    window.wait(learn.resume.isVisible, 5)

    window.press(learn.resume)
    assert window.session.learning.is_running
    window.press(learn.cancel)
    window.wait(lambda: not window.session.learning.is_running, 10)


def test_a_killed_training_is_one_sentence_and_leaves_live_buttons(
    window: Window,
) -> None:
    accept_all(window)
    start(window, 600)
    training_process(window).kill()
    window.wait(lambda: not window.session.learning.is_running, 10)
    assert "ended unexpectedly" in window.panel.status.text()
    assert window.panel.learn.finetune.isEnabled()
    assert not window.panel.learn.cancel.isVisible()
    window.click(*DISCS[0])
    window.wait_answer()


def test_a_training_that_outlived_its_window_is_found_again(
    window: Window, projects: Path
) -> None:
    accept_all(window)
    start(window, 600)
    process = training_process(window)
    window.panel.close_down()
    assert process.is_running()

    again = Session(AtOnce())
    again.set_image(source(picture()))
    assert again.learning.is_running
    again.learning.cancel()
    window.wait(lambda: is_over(process), 5)
    window.qtbot.waitUntil(
        lambda: again.learning.poll() or not again.learning.is_running
    )
    assert again.desk.trainer.why_not_finetune() == ""
    again.close()


@pytest.fixture(autouse=True)
def _no_training_left() -> Iterator[None]:
    """End what a failed test leaves running."""
    yield
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # one may end at any moment
            if "napari_infosam.training" in child.cmdline():
                child.kill()
                child.wait(5)


def learn_by_itself(window: Window) -> None:
    """Accept objects in two images, so that continuous mode starts a training."""
    learn = window.panel.learn
    window.press(learn.by_itself.box)
    assert "once 2 images have objects" in learn.by_itself.reason.text()
    accept_all(window)
    window.wait(lambda: "another image" in learn.by_itself.reason.text())
    window.viewer.add_image(picture(150), name="second")
    window.wait(lambda: window.session.source.name == "second")
    window.wait_ready()
    window.accept_at(DISCS[0])
    window.wait(lambda: window.session.learning.is_running, 10)


def test_it_trains_by_itself_and_a_cancel_switches_that_off(window: Window) -> None:
    learn = window.panel.learn
    learn_by_itself(window)
    assert window.session.desk.project.is_continuous
    window.click(*DISCS[1])  # prompts go on meanwhile
    window.wait_answer()
    window.wait(lambda: learn.cancel.isEnabled() and learn.cancel.isVisible())
    window.press(learn.cancel)
    window.wait(lambda: not window.session.learning.is_running, 10)
    assert not learn.by_itself.box.isChecked()
    assert "was cancelled" in learn.by_itself.reason.text()
    assert not window.session.desk.project.is_continuous
    window.key(Key.Key_C)
    window.qtbot.wait(300)
    assert not window.session.learning.is_running


@pytest.mark.slow
def test_what_is_killed_again_and_again_is_tried_later_and_then_given_up(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(continuous, "RETRY_SECONDS", (600.0, 1.0))
    learn, session = window.panel.learn, window.session
    learn_by_itself(window)
    good = add_version(session.desk.require())
    session.desk.activate(good)
    window.wait(lambda: session.engine.model.version == good)
    for later in ("10 min", "1 s"):
        training_process(window).kill()
        window.wait(lambda: not session.learning.is_running, 30)
        status = window.panel.status.text()
        assert "ended unexpectedly" in status
        assert "\n" not in status
        assert learn.finetune.isEnabled()
        assert not learn.cancel.isVisible()
        assert learn.by_itself.box.isChecked()
        assert f"tried again in {later}" in learn.by_itself.reason.text()
        assert session.desk.active_version == good
        if later == "10 min":
            window.accept_at(DISCS[1])  # does not hurry it
            assert not session.learning.is_running
            window.panel.continuous.retry()  # as when the time is over
        window.wait(lambda: session.learning.is_running, 30)
    assert len(session.desk.require().runs()) == 3
    training_process(window).kill()
    window.wait(lambda: not session.learning.is_running, 30)
    assert not learn.by_itself.box.isChecked()
    assert "3 trainings in a row failed" in learn.by_itself.reason.text()
    window.click(*DISCS[0])
    window.wait_answer()
    assert session.proposal is not None
    assert session.proposal.version == good
    window.key(Key.Key_C)
    window.qtbot.wait(1500)
    assert not session.learning.is_running
    window.press(learn.by_itself.box)
    window.wait(lambda: session.learning.is_running, 30)
    window.press(learn.cancel)
    window.wait(lambda: not session.learning.is_running, 30)
