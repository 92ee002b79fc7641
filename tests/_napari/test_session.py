from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from napari_infosam._napari.session import Session
from napari_infosam._napari.trainer import NOTHING_ACCEPTED
from napari_infosam.core.metrics import iou
from napari_infosam.core.prompts import Box, Point, PromptSet
from napari_infosam.models.student import (
    STUDENT_FILE,
    StudentSpec,
    build_student,
    save_student,
)
from napari_infosam.project import Project, VersionRecord

from .helpers import DISCS, AtOnce, disc, picture, source

pytestmark = pytest.mark.session

Said = list[tuple[str, bool]]


def click(session: Session, number: int, positive: bool = True) -> None:
    row, column = DISCS[number]
    session.add_prompt(Point(column, row, positive))


def around(number: int) -> Box:
    row, column = DISCS[number]
    return Box(column - 19, row - 19, column + 19, row + 19)


def add_student(session: Session, method: str) -> Path:
    """Add a version that equals the base; return its weights file."""
    project, base = session.desk.project, session.engine.model
    assert project is not None
    assert base is not None
    spec = StudentSpec(base="vit_t", base_hash=base.weights_hash, method=method)
    student, _ = build_student(base.sam, spec)
    version = project.reserve_version()
    path = project.version_dir(version) / STUDENT_FILE
    save_student(student, path, spec)
    project.add_version(
        VersionRecord(version, "base", method, "quick", {}, "", {}, "accepted")
    )
    return path


def failures(said: Said) -> list[str]:
    return [text for text, failed in said if failed]


def test_a_click_is_answered_and_accepted(session: Session, projects: Path) -> None:
    click(session, 0)
    proposal = session.proposal
    assert proposal is not None
    assert iou(proposal.prediction.mask, disc(0)) > 0.8
    assert not projects.exists()  # looking costs no project

    record = session.accept()

    assert record is not None
    assert record.model_version == "base"
    assert record.prompts.points == (Point(DISCS[0][1], DISCS[0][0]),)
    assert record.proposal_ious == (1.0,)
    assert session.labels is not None
    np.testing.assert_array_equal(session.labels == 1, record.mask())
    assert not session.prompts
    assert session.desk.path == projects / "discs.infosam"
    session.close()
    with Project.open(projects / "discs.infosam", lock=False) as project:
        assert project.n_objects() == 1


def test_a_box_and_a_correction_are_one_object(session: Session) -> None:
    session.add_prompt(around(1))
    assert session.is_answered
    click(session, 0, positive=False)
    record = session.accept()
    assert record is not None
    assert record.prompts.box == around(1)
    assert len(record.proposal_ious) == 2
    assert iou(record.mask(), disc(1)) > 0.8


def test_prompts_that_come_back_are_answered_as_when_they_were_placed(
    session: Session,
) -> None:
    click(session, 0)
    click(session, 1)
    click(session, 2, positive=False)
    answer, prompts = session.work.answer, session.prompts
    assert answer is not None
    later = Session(AtOnce())
    later.start()
    later.set_image(source(picture()))
    later.set_prompts(prompts)
    again = later.work.answer
    later.close()
    assert again is not None
    np.testing.assert_array_equal(again.prediction.mask, answer.prediction.mask)
    assert again.prediction.score == answer.prediction.score


def test_prompts_placed_before_the_model_is_there_are_answered(
    executor: AtOnce,
) -> None:
    executor.holds = True
    session = Session(executor)
    session.start()
    session.set_image(source(picture()))
    click(session, 0)
    click(session, 1)
    assert not session.is_answered
    assert session.engine.activity

    executor.holds = False
    executor.release()

    assert session.is_answered
    assert session.engine.activity == ""
    assert len(session.prompts) == 2
    session.close()


def test_only_the_newest_of_quick_clicks_is_answered(
    session: Session, executor: AtOnce
) -> None:
    executor.holds = True
    for number in (0, 1, 2):
        click(session, number)
    assert len(executor.waiting) == 1
    executor.release()
    executor.release()
    assert session.is_answered
    assert len(session.prompts.points) == 3


def test_an_answer_for_another_image_is_dropped(
    session: Session, executor: AtOnce
) -> None:
    executor.holds = True
    click(session, 0)
    session.set_image(source(picture(90), "dim"))
    executor.release()
    executor.release()
    assert session.proposal is None
    assert not session.prompts


def test_prompts_wait_for_their_image(session: Session) -> None:
    click(session, 0)
    session.set_image(source(picture(90), "dim"))
    assert not session.prompts
    session.set_image(source(picture()))
    assert len(session.prompts) == 1
    assert session.is_answered


def test_an_accept_before_the_answer_accepts_nothing(
    session: Session, executor: AtOnce, said: Said
) -> None:
    assert session.accept() is None
    executor.holds = True
    click(session, 0)
    assert session.accept() is None
    assert "still being computed" in said[-1][0]
    assert len(session.prompts) == 1


def test_undo_takes_back_prompts_and_then_the_accept(session: Session) -> None:
    click(session, 0)
    session.accept()
    click(session, 1)
    session.undo()
    assert not session.prompts
    session.undo()
    project = session.desk.project
    assert project is not None
    assert project.n_objects() == 0
    assert session.labels is not None
    assert session.labels.max() == 0
    # the prompts are back, to be worked on
    assert len(session.prompts) == 1
    assert session.is_answered

    session.redo()
    assert project.n_objects() == 1
    assert session.labels.max() == 1
    assert not session.prompts


def test_prompts_after_an_undone_accept_make_another_object(session: Session) -> None:
    click(session, 0)
    session.accept()
    session.undo()
    click(session, 2, positive=False)
    record = session.accept()
    assert record is not None
    assert len(record.prompts) == 2
    assert session.desk.project is not None
    assert session.desk.project.n_objects() == 1


def test_a_rejected_proposal_can_be_brought_back(session: Session) -> None:
    click(session, 0)
    session.clear()
    assert not session.prompts
    assert session.proposal is None
    session.undo()
    assert session.is_answered


def test_an_object_is_deleted_under_the_pointer(session: Session, said: Said) -> None:
    click(session, 0)
    session.accept()
    session.delete_at(120, 5)
    assert "no accepted object" in said[-1][0]
    session.delete_at(*DISCS[0])
    assert session.labels is not None
    assert session.labels.max() == 0
    session.undo()
    assert session.labels.max() == 1


def test_objects_come_back_with_their_image(
    session: Session, executor: AtOnce, projects: Path
) -> None:
    click(session, 0)
    session.accept()
    session.close()

    again = Session(AtOnce())
    again.start()
    again.set_image(source(picture()))
    assert again.desk.path == projects / "discs.infosam"
    assert again.labels is not None
    assert again.labels.max() == 1
    assert again.objects_here() == 1
    click(again, 1)
    again.accept()
    assert again.labels.max() == 2
    again.close()


def test_two_slices_are_two_pictures(session: Session) -> None:
    stack = np.stack([picture(), picture(120)])
    for z in (0, 1):
        one = source(stack[z], key=("stack", z), slice_index=(z,), name=f"stack [{z}]")
        session.set_image(one)
        click(session, 0)
        assert session.accept() is not None
        assert session.objects_here() == 1
    assert session.desk.project is not None
    project = session.desk.project
    assert [image.name for image in project.images()] == ["stack [0]", "stack [1]"]
    np.testing.assert_array_equal(project.read_image(2), stack[1])


@pytest.mark.parametrize(
    "image",
    [
        np.dstack([picture()] * 3),
        np.dstack([picture()] * 4),
        picture().astype(np.uint16) * 200,
        np.where(picture() > 100, np.nan, picture().astype(np.float32)),
    ],
    ids=["rgb", "rgba", "16 bit", "NaN"],
)
def test_any_kind_of_image_is_answered(
    session: Session, image: np.ndarray, said: Said
) -> None:
    session.set_image(source(image, "other"))
    click(session, 0)
    assert session.accept() is not None
    assert failures(said) == []


def test_an_image_that_can_not_be_shown_says_so(session: Session, said: Said) -> None:
    image = np.zeros((0, 5), np.uint8)
    session.set_image(source(image, "empty"))
    assert failures(said) == ["The image of shape (0, 5) has no pixels."]


def test_an_image_that_can_not_be_read_says_so_and_is_tried_again(
    session: Session, said: Said, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    def read() -> np.ndarray:
        calls.append(1)
        if len(calls) == 1:
            raise OSError("the share is gone")
        return picture()

    with caplog.at_level(logging.ERROR):
        session.set_image(source(picture(), "remote", read=read))
    assert "the share is gone" in failures(said)[0]
    assert "Traceback" in caplog.text
    click(session, 0)
    assert session.is_answered


def test_a_broken_model_says_so_and_another_one_answers(
    executor: AtOnce, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing")
    session = Session(executor, model=str(broken))
    said: Said = []
    session.voice.said.connect(lambda text, failed: said.append((text, failed)))
    session.start()
    session.set_image(source(picture()))
    click(session, 0)
    assert str(broken) in failures(said)[0]
    assert session.engine.load_error == failures(said)[0]
    assert not session.is_answered

    session.desk.set_model("vit_t")
    assert session.is_answered
    assert session.engine.load_error == ""
    session.close()


def test_another_model_works_in_a_project_of_its_own(
    session: Session, said: Said, projects: Path, tmp_path: Path
) -> None:
    click(session, 0)
    session.accept()
    session.desk.set_model(str(tmp_path / "mine.pt"))
    assert session.desk.project is None
    assert session.desk.path == projects / "discs mine.infosam"
    assert session.labels is not None
    assert session.labels.max() == 0

    session.desk.set_model("vit_t")
    assert session.desk.path == projects / "discs.infosam"
    assert session.labels.max() == 1
    click(session, 1)
    assert session.accept() is not None


def test_a_locked_project_offers_another_one(
    session: Session, executor: AtOnce, projects: Path
) -> None:
    click(session, 0)
    session.accept()
    other = Session(AtOnce())
    said: Said = []
    other.voice.said.connect(lambda text, failed: said.append((text, failed)))
    other.start()
    other.set_image(source(picture()))
    assert "open in another window" in failures(said)[0]
    assert other.desk.refused == projects / "discs.infosam"
    click(other, 1)
    assert other.accept() is None
    assert other.is_answered  # nothing is lost

    other.desk.choose(projects / "mine.infosam")
    assert other.accept() is not None
    assert other.desk.path == projects / "mine.infosam"
    other.close()


def test_a_place_that_can_not_be_written_says_so(
    executor: AtOnce, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "a file"
    blocked.touch()
    monkeypatch.setenv("INFOSAM_PROJECTS", str(blocked / "projects"))
    session = Session(executor)
    said: Said = []
    session.voice.said.connect(lambda text, failed: said.append((text, failed)))
    session.start()
    session.set_image(source(picture()))
    click(session, 0)
    assert session.accept() is None
    assert "can not be made" in failures(said)[0]
    assert session.is_answered
    session.close()


def test_another_image_of_the_same_name_gets_its_own_project(
    session: Session, projects: Path
) -> None:
    click(session, 0)
    session.accept()
    session.close()
    for brightness, name in ((90, "discs 2"), (200, "discs"), (90, "discs 2")):
        again = Session(AtOnce())
        again.start()
        again.set_image(source(picture(brightness)))
        assert again.desk.path == projects / f"{name}.infosam"
        if again.desk.project is None:
            click(again, 1)
            again.accept()
        assert again.objects_here() == 1
        again.close()


def test_a_damaged_project_is_said_and_left_alone(
    session: Session, projects: Path
) -> None:
    click(session, 0)
    session.accept()
    session.close()
    database = projects / "discs.infosam" / "project.sqlite"
    database.write_bytes(b"no database at all")
    again = Session(AtOnce())
    said: Said = []
    again.voice.said.connect(lambda text, failed: said.append((text, failed)))
    again.start()
    again.set_image(source(picture()))
    assert "damaged" in failures(said)[0]
    assert again.desk.refused == projects / "discs.infosam"
    click(again, 0)
    assert again.is_answered
    assert database.read_bytes() == b"no database at all"
    again.close()


def test_classes_are_kept_until_there_is_a_project(session: Session) -> None:
    assert session.desk.classes() == ["object"]
    assert session.desk.add_class(" nucleus ")
    session.class_name = "nucleus"
    click(session, 0)
    record = session.accept()
    assert record is not None
    assert record.class_name == "nucleus"
    assert session.desk.classes() == ["object", "nucleus"]
    assert not session.desk.add_class("  ")
    path = session.desk.path
    session.close()
    again = Session(AtOnce())
    again.desk.open(path)
    assert again.class_name == "nucleus"
    again.close()


def test_fine_tuning_nothing_says_why(session: Session, said: Said) -> None:
    assert session.desk.trainer.why_not_finetune() == NOTHING_ACCEPTED
    session.desk.trainer.finetune()
    assert failures(said) == [NOTHING_ACCEPTED]
    assert not session.learning.is_running


def test_a_version_answers_from_the_next_object_on(session: Session) -> None:
    click(session, 0)
    session.accept()
    add_student(session, "decoder")
    click(session, 1)
    embedding = session.engine._embedding

    session.desk.activate("v001")

    assert session.engine.model is not None
    assert session.engine.model.version == "base"
    assert session.engine.next_version == "v001"
    record = session.accept()
    assert record is not None
    assert record.model_version == "base"
    assert session.engine.model.version == "v001"
    assert session.engine._embedding is embedding  # the encoder is the same
    click(session, 2)
    record = session.accept()
    assert record is not None
    assert record.model_version == "v001"


def test_the_same_click_is_answered_anew_by_another_version(session: Session) -> None:
    click(session, 0)
    session.accept()
    add_student(session, "decoder")
    click(session, 1)
    session.desk.activate("v001")
    session.clear()
    click(session, 1)
    proposal = session.proposal
    assert proposal is not None
    assert proposal.version == "v001"


def test_a_version_with_another_encoder_embeds_again(session: Session) -> None:
    click(session, 0)
    session.accept()
    add_student(session, "adapter")
    embedding = session.engine._embedding
    session.desk.activate("v001")
    click(session, 1)
    assert session.is_answered
    assert session.engine._embedding is not embedding
    assert session.desk.active_version == "v001"

    session.clear()
    session.desk.activate("base")
    assert session.engine.model is not None
    assert session.engine.model.version == "base"


def test_a_damaged_version_says_so_and_the_old_one_answers_on(
    session: Session, said: Said
) -> None:
    click(session, 0)
    session.accept()
    add_student(session, "decoder").write_bytes(b"nothing")
    session.desk.activate("v001")
    assert "student" in failures(said)[0]
    assert session.desk.active_version == "base"
    click(session, 1)
    assert session.is_answered


def test_a_version_that_was_damaged_since_leaves_the_base(
    session: Session, projects: Path
) -> None:
    click(session, 0)
    session.accept()
    weights = add_student(session, "decoder")
    session.desk.activate("v001")
    session.close()
    weights.write_bytes(b"nothing")

    again = Session(AtOnce())
    said: Said = []
    again.voice.said.connect(lambda text, failed: said.append((text, failed)))
    again.start()
    again.set_image(source(picture()))
    assert len(failures(said)) == 1
    assert again.desk.active_version == "base"
    click(again, 1)
    assert again.is_answered
    again.close()


def test_moved_prompts_are_one_step(session: Session) -> None:
    click(session, 0)
    row, column = DISCS[1]
    session.set_prompts(PromptSet((Point(column, row),)))
    proposal = session.proposal
    assert proposal is not None
    assert iou(proposal.prediction.mask, disc(1)) > 0.8
    session.undo()
    assert session.prompts.points[0].x == DISCS[0][1]
