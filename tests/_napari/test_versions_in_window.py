"""Versions in the window: pinned, named, deleted, compared by mouse and keyboard."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialogButtonBox, QMessageBox

from napari_infosam import models
from napari_infosam.core.events import Metrics
from napari_infosam.core.masks import iter_objects
from napari_infosam.core.options import FinetuneOptions
from napari_infosam.models.student import (
    STUDENT_FILE,
    StudentSpec,
    build_student,
    save_student,
)
from napari_infosam.project import Project, VersionRecord
from napari_infosam.synthetic import make_set

from .helpers import DISCS

if TYPE_CHECKING:
    from napari_infosam._napari.session import Session

    from .window import Window

Key, Answer = Qt.Key, QMessageBox.StandardButton


def metrics(noc85: float) -> dict[str, object]:
    return Metrics(
        n_images=1,
        n_objects=4,
        iou_1=1 - noc85 / 10,
        iou_3=0.9,
        iou_5=0.9,
        iou_box=0.8,
        noc85=noc85,
        noc90=noc85 + 1,
        max_clicks=8,
    ).model_dump()


def add_version(project: Project, parent: str = "base") -> str:
    """Add a version whose weights are those of the base."""
    version_id = project.reserve_version()
    base = models.load_model("vit_t")
    spec = StudentSpec.of(base, "decoder")
    student, _ = build_student(base.sam, spec)
    save_student(student, project.version_dir(version_id) / STUDENT_FILE, spec)
    project.add_version(
        VersionRecord(
            id=version_id,
            parent=parent,
            method="decoder",
            stage="quick",
            options=FinetuneOptions().model_dump(mode="json"),
            data_hash="0",
            metrics={"base": metrics(4), "active": metrics(3), "candidate": metrics(2)},
            status="accepted",
        )
    )
    return version_id


def rows(window: Window) -> list[str]:
    listed = window.panel.learn.versions
    return [listed.item(row).text() for row in range(listed.count())]


def test_versions_are_pinned_named_compared_and_deleted(window: Window) -> None:
    window.accept_at(DISCS[0])
    project, learn = window.session.desk.project, window.panel.learn
    assert project is not None
    tools = learn.tools
    assert not tools.isVisible()
    add_version(project)
    add_version(project, "v001")
    window.session.desk.changed.emit()
    assert tools.isVisible()

    learn.versions.setCurrentRow(1)
    window.press(tools.pin)
    assert tools.pin.text() == "Unpin"
    assert "pinned" in rows(window)[1]
    assert "no training replaces it" in window.panel.status.text()
    assert not tools.delete.isEnabled()
    assert "unpin it first" in tools.delete.toolTip()

    window.press(tools.rename)
    window.qtbot.keyClicks(tools.name, "good one")
    window.key(Key.Key_Return, at=tools.name)
    assert not tools.name.isVisible()
    assert rows(window)[1].startswith("v001 good one")
    assert project.version("v001").name == "good one"

    window.press(tools.compare)
    dialog = tools.comparison
    assert dialog is not None
    assert (dialog.a.currentData(), dialog.b.currentData()) == ("base", "v001")
    dialog.a.setCurrentIndex(2)
    cells = [dialog.table.item(0, column) for column in range(4)]
    assert [c.text() for c in cells] == ["clicks to 0.85 IoU", "2.00", "3.00", "+1.00"]
    assert [c.font().bold() for c in cells] == [False, True, False, False]
    assert "same 4 held-out objects" in dialog.note.text()
    dialog.table.setFocus()
    window.key(Key.Key_Tab, at=dialog.table)
    assert dialog.focusWidget() is dialog.findChild(QDialogButtonBox).buttons()[0]
    dialog.b.setCurrentIndex(2)
    assert dialog.note.text() == "Choose two versions."
    dialog.reject()
    window.wait(lambda: tools.comparison is None)

    window.press(tools.pin)
    for answer, left in ((Answer.No, 2), (Answer.Yes, 1)):
        window.press(tools.delete)
        question = tools.question
        assert question is not None
        assert "v001" in question.text()
        window.press(question.button(answer))
        window.wait(lambda: tools.question is None)
        assert len(project.versions()) == left
    assert not (project.version_dir("v001") / "student.safetensors").exists()
    assert [text.split()[0] for text in rows(window)] == ["v002", "base"]

    # the base is one click away, can be pinned, and stays
    learn.versions.setCurrentRow(1)
    assert not tools.delete.isEnabled()
    assert not tools.rename.isEnabled()
    window.press(tools.pin)
    assert "pinned" in rows(window)[1]


def test_a_key_goes_back_to_the_version_before_and_forth(window: Window) -> None:
    session, learn = window.session, window.panel.learn

    def answers(version: str) -> bool:
        model = session.engine.model
        return model is not None and model.version == version

    window.key(Key.Key_U)
    assert "No other version has answered yet" in window.panel.status.text()
    window.accept_at(DISCS[0])
    project = session.desk.project
    assert project is not None
    add_version(project)
    add_version(project, "v001")
    session.desk.changed.emit()
    window.key(Key.Key_U)
    assert "No other version has answered yet" in window.panel.status.text()
    assert "U goes back" in learn.activate.toolTip()

    for version in ("v001", "v002"):
        learn.versions.setCurrentRow([row[:4] for row in rows(window)].index(version))
        window.press(learn.activate)
        window.wait(lambda v=version: answers(v))
    for version in ("v001", "v002", "v001"):
        window.key(Key.Key_U)
        assert session.desk.active_version == version
        window.wait(lambda v=version: answers(v))
        assert f"{version} answers again" in window.panel.status.text()
        assert learn.versions.currentItem().text().startswith(version)


def test_a_pinned_version_answers_on_when_a_better_one_is_learnt(
    session: Session, said: list[tuple[str, bool]]
) -> None:
    project = session.desk.require()
    pinned, better = add_version(project), add_version(project)
    session.desk.activate(pinned)
    project.shelf.pin(pinned)
    assert project.active_version == pinned
    session.learning.learned.emit(better)
    assert session.engine.model is not None
    assert session.engine.model.version == pinned
    assert said[-1] == (
        "v002 is better, but v001 is pinned and goes on to answer: choose v002 to "
        "change that.",
        False,
    )


@pytest.mark.slow
@pytest.mark.session
def test_a_student_that_a_real_training_made_is_offered_beside_a_pinned_version(
    session: Session, said: list[tuple[str, bool]]
) -> None:
    project, learning = session.desk.require(), session.learning
    for cell in make_set(2, seed=3):
        image = project.add_image(cell.image, cell.name)
        for _, mask in list(iter_objects(cell.labels))[:3]:
            project.commit(image.id, mask)
    pinned = add_version(project)
    session.desk.activate(pinned)
    project.shelf.pin(pinned)
    session.desk.trainer.finetune(FinetuneOptions(max_epochs=12, learning_rate=5e-4))
    while learning.is_running:
        learning.poll()
        time.sleep(0.05)
    record = project.versions()[-1]
    assert (record.id, record.parent) == ("v002", pinned)
    assert record.status == "accepted", record.reason
    assert project.active_version == pinned
    assert session.engine.model is not None
    assert session.engine.model.version == pinned
    assert session.engine.next_version == ""
    offered = "v002 is better, but v001 is pinned and goes on to answer: choose v002"
    assert offered in said[-1][0]
    assert learning.outcome.startswith("v002 was accepted")
    session.desk.activate("v002")  # a person may
    assert session.engine.model.version == "v002"


def test_what_can_not_be_done_is_one_sentence(
    session: Session,
    said: list[tuple[str, bool]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from napari_infosam._napari.version_actions import VersionActions

    actions = VersionActions(session)
    assert not actions.rename("v001", "x")  # there is no project yet
    project = session.desk.require()
    first, second = add_version(project), add_version(project)
    assert actions.rename(first, "one")
    assert not actions.rename(second, "one")
    assert said[-1] == ("v001 has the name 'one' already: choose another one.", True)
    assert "The base stays" in actions.why_not_delete("base")
    session.desk.activate(first)
    assert "answers at the moment" in actions.why_not_delete(first)
    actions.delete(first)
    assert said[-1][1]
    assert len(project.versions()) == 2
    monkeypatch.setattr(
        "napari_infosam.training.removal.find_running", lambda _path: project.path
    )
    actions.delete(second)
    assert "while the project is fine-tuned" in said[-1][0]
    assert len(project.versions()) == 2
