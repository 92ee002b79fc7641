"""What is done to accepted objects, without a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_infosam._napari.object_text import named
from napari_infosam._napari.parts import parts_of
from napari_infosam._napari.session import Session
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.prompts import Point, PromptSet
from napari_infosam.project import Project
from napari_infosam.project import history as journal

from .helpers import DISCS, AtOnce, disc, picture, source

if TYPE_CHECKING:
    from napari_infosam.project.records import Overlap

pytestmark = pytest.mark.session

Said = list[tuple[str, bool]]


def click(session: Session, number: int, positive: bool = True) -> None:
    row, column = DISCS[number]
    session.add_prompt(Point(column, row, positive))


def accept_all(session: Session, *numbers: int) -> None:
    for number in numbers or range(3):
        click(session, number)
        assert session.accept() is not None


def stroke(mask: np.ndarray, value: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what changed by painting a mask with a value."""
    pixels = np.argwhere(mask)
    return pixels, np.full(len(pixels), value)


def square(row: int, column: int, side: int = 8) -> np.ndarray:
    mask = np.zeros(picture().shape, bool)
    mask[row : row + side, column : column + side] = True
    return mask


def project_of(session: Session) -> Project:
    assert session.desk.project is not None
    return session.desk.project


def labels_of(session: Session) -> np.ndarray:
    """Return the label image, after a look that the project has the same."""
    assert session.labels is not None
    assert session.objects.image_id is not None
    stored = project_of(session).label_image(session.objects.image_id)
    np.testing.assert_array_equal(session.labels, stored)
    return stored.copy()


# -------------------------------------------------------------------- delete
def test_undoing_a_delete_takes_no_prompts_up(session: Session) -> None:
    accept_all(session)
    session.delete_at(*DISCS[2])
    session.undo()
    assert not session.prompts
    assert [o.instance_id for o in session.objects.summaries()] == [1, 2, 3]
    session.undo()  # the accept itself, whose prompts are worked on again
    assert session.prompts


# ------------------------------------------------------------------- relabel
def test_the_object_under_the_pointer_gets_the_chosen_class(
    session: Session, said: Said
) -> None:
    accept_all(session)
    session.desk.add_class("nucleus")
    session.class_name = "nucleus"
    session.relabel_at(*DISCS[1])
    assert [o.class_name for o in session.objects.summaries()] == [
        "object",
        "nucleus",
        "object",
    ]
    assert said[-1] == ("Object 2: the class is nucleus now.", False)
    session.relabel_at(*DISCS[1])
    assert said[-1] == ("Object 2: the class is nucleus already.", False)
    session.undo()
    assert said[-1][0] == ("Took back the last change of class; redo does it again.")
    assert {o.class_name for o in session.objects.summaries()} == {"object"}
    session.redo()
    assert said[-1][0] == "Did the last change of class again."
    session.relabel_at(1, 1)
    assert said[-1][0] == "There is no accepted object under the pointer."


def test_colours_are_those_of_the_classes(session: Session) -> None:
    accept_all(session, 0, 1)
    session.desk.add_class("nucleus")
    session.class_name = "nucleus"
    session.objects.relabel([2])
    first, second = (c.color for c in session.desk.class_records())
    assert session.objects.colors() == {1: first, 2: second}
    assert session.objects.next_color() == second


# --------------------------------------------------------------------- paint
def test_a_stroke_is_a_correction(session: Session, said: Said) -> None:
    accept_all(session)
    before = labels_of(session)
    mark = square(40, 40, 30)
    session.objects.paint(*stroke(mark, 1))
    np.testing.assert_array_equal(labels_of(session), np.where(mark, 1, before))
    assert said[-1][0].startswith("Corrected object")
    session.undo()
    np.testing.assert_array_equal(labels_of(session), before)
    assert said[-1][0] == "Took back the last stroke; redo does it again."
    session.redo()
    np.testing.assert_array_equal(labels_of(session), np.where(mark, 1, before))


def test_a_new_value_is_a_new_object_of_the_chosen_class(
    session: Session, said: Said
) -> None:
    accept_all(session, 0)
    session.desk.add_class("nucleus")
    session.class_name = "nucleus"
    session.objects.paint(*stroke(square(100, 130), 7))
    assert [(o.instance_id, o.class_name) for o in session.objects.summaries()] == [
        (1, "object"),
        (7, "nucleus"),
    ]
    assert said[-1][0] == ("Painted object 7 (nucleus); undo takes the stroke back.")
    accept_all(session, 1)
    assert session.objects.summaries()[-1].instance_id == 8


def test_erasing_an_object_wholly_deletes_it(session: Session, said: Said) -> None:
    accept_all(session, 0, 1)
    assert session.labels is not None
    session.objects.paint(*stroke(session.labels == 2, 0))
    assert session.objects_here() == 1
    assert said[-1][0] == "Erased the object; undo takes the stroke back."
    session.undo()
    assert session.objects_here() == 2


def test_painting_before_anything_was_accepted(session: Session) -> None:
    assert session.objects.can_paint
    session.objects.paint(*stroke(disc(0), 1))
    assert session.objects.can_paint
    assert session.objects_here() == 1
    np.testing.assert_array_equal(labels_of(session), disc(0))


def test_nothing_painted_is_lost_when_the_disk_fails(
    session: Session, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept_all(session, 0)
    first, second = square(100, 10), square(100, 60)

    def fail(*_: object, **__: object) -> None:
        raise InfosamError("The disk is full.")

    with monkeypatch.context() as patched:
        patched.setattr(journal, "record", fail)
        session.objects.paint(*stroke(first, 5))
        assert said[-1] == ("The disk is full.", True)
        assert session.objects_here() == 1
        # it stays in sight, also over another picture and back
        assert session.labels is not None
        assert (session.labels[first] == 5).all()
        session.set_image(source(picture(120), "other"))
        assert not session.labels.any()
        session.set_image(source(picture()))
        assert (session.labels[first] == 5).all()
    session.objects.paint(*stroke(second, 6))
    assert session.objects_here() == 3
    labels = labels_of(session)
    assert (labels[first] == 5).all()
    assert (labels[second] == 6).all()


def test_strokes_wait_until_the_objects_are_known(executor: AtOnce) -> None:
    session = Session(executor)
    executor.holds = True
    session.start()
    session.set_image(source(picture()))
    assert not session.objects.can_paint
    while executor.waiting:
        executor.release(1)
    assert session.objects.can_paint
    session.close()


# -------------------------------------------------------------------- choose
def test_chosen_objects_are_merged(session: Session, said: Said) -> None:
    accept_all(session)
    before = labels_of(session)
    session.objects.merge(session.objects.chosen)
    assert said[-1][0].startswith("Choose two objects or more first")
    session.choose_at(*DISCS[2])
    session.choose_at(*DISCS[0])
    session.choose_at(*DISCS[1])
    session.choose_at(*DISCS[1])
    assert session.objects.chosen == (3, 1)
    assert said[-1][0] == "Chosen: objects 3 and 1."
    session.objects.merge(session.objects.chosen)
    assert said[-1][0] == "Merged objects 3 and 1 into object 3."
    assert session.objects.chosen == (3,)
    np.testing.assert_array_equal(labels_of(session), np.where(before == 1, 3, before))
    session.undo()
    np.testing.assert_array_equal(labels_of(session), before)


def test_what_is_gone_is_not_chosen(session: Session, said: Said) -> None:
    accept_all(session)
    session.objects.choose([1, 2, 3])
    session.objects.delete([1, 3])
    assert said[-1][0] == "Deleted objects 1 and 3; undo brings them back."
    assert session.objects.chosen == (2,)
    session.undo()
    assert session.objects_here() == 3
    session.set_image(source(picture(120), "other"))
    assert session.objects.chosen == ()


def test_a_number_that_nobody_has(session: Session, said: Said) -> None:
    accept_all(session, 0)
    session.objects.delete([4])
    assert said[-1] == ("There is no object 4 in this picture.", True)
    session.objects.relabel([])
    assert said[-1] == ("There is no accepted object: choose one first.", True)
    assert session.objects_here() == 1


# --------------------------------------------------------------------- split
def test_an_object_of_two_pieces_is_split(session: Session, said: Said) -> None:
    accept_all(session)
    session.objects.merge([1, 2])
    session.split_at(*DISCS[0])
    assert said[-1][0] == "Split object 1: objects 1 and 4."
    assert session.objects_here() == 3
    labels_of(session)
    session.undo()
    assert session.objects_here() == 2


def test_an_object_of_one_piece_is_split_between_clicks(
    session: Session, said: Said
) -> None:
    rows, columns = np.mgrid[:128, :160]
    left = np.hypot(rows - 64, columns - 60) < 16
    right = np.hypot(rows - 64, columns - 88) < 16
    session.objects.paint(*stroke(left | right, 1))
    session.split_at(64, 60)
    assert "is in one piece: click once on each of its parts" in said[-1][0]
    session.add_prompt(Point(60, 64))
    session.add_prompt(Point(88, 64))
    session.split_at(64, 60)
    labels = labels_of(session)
    assert set(np.unique(labels)) == {0, 1, 2}
    assert (labels > 0).sum() == (left | right).sum()
    # cut at the neck, which is at column 74
    assert labels[64, 70] != labels[64, 78]
    assert len({*labels[:, 76:][labels[:, 76:] > 0]}) == 1
    assert not session.prompts
    session.undo()
    assert session.prompts  # the clicks come back first
    session.clear()


def test_specks_are_no_parts() -> None:
    mask = np.zeros((60, 90), bool)
    mask[5:45, 5:30] = mask[5:45, 60:80] = True
    mask[50:52, 10:12] = mask[2, 70] = True  # a speck beside each piece
    left, right = parts_of(mask)
    assert left.sum() == 40 * 25 + 4
    assert right.sum() == 40 * 20 + 1
    # what is small throughout is not made of specks
    small = np.zeros((9, 9), bool)
    small[1, 1:4] = small[5, 5] = True
    assert len(parts_of(small)) == 2


def test_parts_are_the_whole() -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((40, 50)) < 0.3
    inside = np.argwhere(mask)[[3, 70, 200]]
    marks = [Point(float(column), float(row)) for row, column in inside]
    for points in ((), marks):
        parts = parts_of(mask, points)
        whole = np.zeros(mask.shape, int)
        for part in parts:
            assert part.place is not None
            row, column = part.place.row, part.place.column
            height, width = part.shape
            whole[row : row + height, column : column + width] += part
        np.testing.assert_array_equal(whole, mask)
        sizes = [part.sum() for part in parts]
        assert sizes == sorted(sizes, reverse=True)
    assert len(parts_of(mask, marks)) == 3
    diagonal = np.eye(5, dtype=bool)
    assert len(parts_of(diagonal)) == 1
    # two clicks on one pixel, or beside the object, are not two parts
    beside = [Point(0, 0), Point(0.2, 0), Point(3, 0), Point(90, -4)]
    assert len(parts_of(diagonal, beside)) == 1


# ------------------------------------------------------------------ continue
def test_an_accepted_object_is_prompted_again(session: Session, said: Said) -> None:
    accept_all(session)
    session.desk.add_class("nucleus")
    session.class_name = "nucleus"
    old = session.objects.find(1)
    assert old is not None
    session.continue_at(*DISCS[0])
    assert session.prompts == old.prompts
    assert session.work.target == 1
    click(session, 1)  # now both discs
    new = session.accept()
    assert new is not None
    assert said[-1][0] == "Object 1 (object) has its new mask."
    assert (new.instance_id, new.class_name) == (1, "object")
    assert len(new.prompts.points) == 2
    assert session.objects_here() == 3
    labels_of(session)
    # one step back: the old mask, with the prompts in hand again
    session.undo()
    assert session.objects.find(1) == old
    assert session.prompts == new.prompts
    session.redo()
    assert session.objects.find(1) == new
    # and the next object is another one
    session.objects.delete([2])
    click(session, 1)
    assert session.work.target is None
    session.clear()


def test_a_painted_object_begins_with_its_box(session: Session) -> None:
    session.objects.paint(*stroke(disc(0), 1))
    session.continue_at(*DISCS[0])
    box = session.prompts.box
    assert box is not None
    assert (box.x0, box.y0) == (DISCS[0][1] - 17, DISCS[0][0] - 17)
    assert session.accept() is not None
    assert session.objects_here() == 1


def test_a_click_after_a_reject_is_another_object(session: Session) -> None:
    accept_all(session, 0)
    session.continue_at(*DISCS[0])
    session.clear()
    click(session, 1)
    assert session.accept() is not None
    assert session.objects_here() == 2


def test_an_object_that_went_while_it_was_prompted_is_accepted_anew(
    session: Session,
) -> None:
    accept_all(session, 0)
    session.continue_at(*DISCS[0])
    session.objects.delete([1])
    record = session.accept()
    assert record is not None
    assert record.instance_id == 2


def test_an_unfinished_object_comes_back_by_undo(session: Session) -> None:
    accept_all(session, 0)
    click(session, 1)
    unfinished = session.prompts
    session.continue_at(*DISCS[0])
    assert session.prompts != unfinished
    session.undo()
    assert session.prompts == unfinished
    assert session.work.target is None
    session.clear()


# ------------------------------------------------------------------- overlap
@pytest.mark.parametrize("overlap", ["allow", "keep", "replace"])
def test_overlap_of_an_accept(session: Session, said: Said, overlap: str) -> None:
    half = disc(0).copy()
    half[:, : DISCS[0][1]] = False
    session.objects.paint(*stroke(half, 1))
    session.objects.overlap = overlap  # type: ignore[assignment]
    click(session, 0)
    answer = session.proposal
    assert answer is not None
    mask = answer.prediction.mask
    record = session.accept()
    assert record is not None
    labels = labels_of(session)
    assert ("earlier objects kept" in said[-1][0]) == (overlap == "keep")
    if overlap == "keep":
        np.testing.assert_array_equal(record.mask(), mask & ~half)
        assert (labels[half] == 1).all()
    else:
        np.testing.assert_array_equal(record.mask(), mask)
        first = session.objects.find(1)
        kept = half if overlap == "allow" else half & ~mask
        left = np.zeros_like(half) if first is None else first.mask()
        np.testing.assert_array_equal(left, kept)
    session.undo()
    np.testing.assert_array_equal(labels_of(session), half)
    assert session.prompts == PromptSet((Point(DISCS[0][1], DISCS[0][0]),))


@pytest.mark.parametrize("answer", ["allow", "keep", "replace", None])
def test_a_person_may_be_asked_each_time(
    session: Session, said: Said, answer: Overlap | None
) -> None:
    asked: list[str] = []

    def ask(laid: str) -> Overlap | None:
        asked.append(laid)
        return answer

    session.objects.ask = ask
    session.objects.overlap = "ask"
    accept_all(session, 0)
    assert not asked  # there is nothing below
    half = disc(0).copy()
    half[:, : DISCS[0][1]] = False
    click(session, 0)
    proposal = session.proposal
    assert proposal is not None
    mask = proposal.prediction.mask
    record = session.accept()
    assert len(asked) == 1
    assert asked[0].endswith("% of the new object is on object 1")
    if answer is None:
        assert record is None
        assert session.proposal is proposal
        assert session.objects_here() == 1
    elif answer == "keep":  # nothing is left of it
        assert record is None
        assert "All of the mask lies on earlier objects" in said[-1][0]
    else:
        assert record is not None
        np.testing.assert_array_equal(record.mask(), mask)
        assert session.objects_here() == (2 if answer == "allow" else 1)
    assert session.objects.overlap == "ask"


def test_a_correction_of_an_object_is_not_asked_about(session: Session) -> None:
    session.objects.overlap = "ask"
    session.objects.ask = lambda laid: pytest.fail(laid)
    accept_all(session, 0)
    session.continue_at(*DISCS[0])
    click(session, 0)
    assert session.accept() is not None
    assert session.objects_here() == 1


def test_what_lies_on_another_object_is_said(session: Session, said: Said) -> None:
    accept_all(session, 0)
    assert said[-1][0] == "Accepted object 1 (object)."
    accept_all(session, 0)
    assert said[-1][0] == "Accepted object 2 (object); 100% of it is on object 1."
    session.objects.overlap = "replace"
    accept_all(session, 0)
    assert said[-1][0] == "Accepted object 3 (object)."


def test_a_correction_on_top_of_a_larger_object_is_asked_about(
    session: Session,
) -> None:
    session.objects.paint(*stroke(np.ones(picture().shape, bool), 1))
    accept_all(session, 0)  # smaller, so it is seen, and object 1 is not
    asked: list[str] = []
    session.objects.ask = asked.append  # type: ignore[assignment]
    session.objects.overlap = "ask"
    session.continue_at(*DISCS[0])
    click(session, 0)
    assert session.accept() is None
    assert asked == ["100% of the new object is on object 1"]


def test_nothing_is_accepted_when_the_picture_changed_during_the_question(
    session: Session,
) -> None:
    accept_all(session, 0)

    def ask(_laid: str) -> Overlap:
        session.set_image(source(picture(180), "other"))
        return "allow"

    session.objects.ask = ask
    session.objects.overlap = "ask"
    click(session, 0)
    assert session.accept() is None
    assert session.desk.project is not None
    assert session.desk.project.n_objects() == 1


def test_a_mask_of_which_nothing_is_left_says_so(session: Session, said: Said) -> None:
    session.objects.paint(*stroke(np.ones(picture().shape, bool), 1))
    session.objects.overlap = "keep"
    click(session, 0)
    assert session.accept() is None
    assert said[-1][1]
    assert "All of the mask lies on earlier objects" in said[-1][0]
    assert session.prompts


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([3], "object 3"),
        ([3, 1], "objects 3 and 1"),
        ([1, 2, 9], "objects 1, 2 and 9"),
        (range(12), "12 objects"),
    ],
)
def test_objects_are_named(numbers: list[int], words: str) -> None:
    assert named(list(numbers)) == words
