"""What is done last is taken back first, in whatever picture it was."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

import pytest

from napari_infosam._napari.many_actions import ManyActions
from napari_infosam._napari.object_in_work import ObjectInWork
from napari_infosam._napari.proposals import Proposals
from napari_infosam._napari.session import Session
from napari_infosam._napari.waiting_works import WaitingWorks
from napari_infosam.core.prompts import Box, Point, PromptSet

from .helpers import DISCS, AtOnce, picture, source

if TYPE_CHECKING:
    from napari_infosam.project import Project

pytestmark = pytest.mark.session

HERE, OTHER = source(picture()), source(picture(90), "dim")


def click(session: Session, number: int) -> None:
    row, column = DISCS[number]
    session.add_prompt(Point(column, row))


def project_of(session: Session) -> Project:
    assert session.desk.project is not None
    return session.desk.project


def test_an_undo_from_another_picture_lets_the_prompts_wait_in_their_own(
    session: Session,
) -> None:
    click(session, 0)
    session.accept()
    session.set_image(OTHER)
    session.undo()
    assert project_of(session).n_objects() == 0
    assert not session.prompts
    session.set_image(HERE)
    assert len(session.prompts) == 1
    assert session.is_answered
    session.set_image(OTHER)
    session.redo()
    assert project_of(session).n_objects() == 1
    session.set_image(HERE)
    assert not session.prompts


def test_what_was_done_last_goes_first_from_any_picture(
    session: Session, said: list[tuple[str, bool]]
) -> None:
    click(session, 0)
    session.accept()
    click(session, 1)
    session.set_image(OTHER)
    click(session, 2)
    session.undo()
    assert not session.prompts
    session.undo()
    assert said[-1] == ("Took back the last prompt in discs.", False)
    assert project_of(session).n_objects() == 1
    session.undo()
    assert project_of(session).n_objects() == 0
    session.undo()
    assert not session.can_undo
    session.redo()
    assert said[-1] == ("Placed the last prompt in discs again.", False)
    session.redo()
    assert project_of(session).n_objects() == 1
    session.redo()
    session.redo()
    assert not session.can_redo
    assert len(session.prompts) == 1
    session.set_image(HERE)
    assert session.prompts.points == (Point(DISCS[1][1], DISCS[1][0]),)


def test_a_delete_is_taken_back_before_older_prompts(session: Session) -> None:
    click(session, 0)
    session.accept()
    click(session, 1)
    session.delete_at(*DISCS[0])
    session.undo()
    assert project_of(session).n_objects() == 1
    assert len(session.prompts) == 1
    session.undo()
    assert not session.prompts


def test_nothing_is_done_again_after_something_else(session: Session) -> None:
    click(session, 0)
    session.accept()
    session.undo()
    session.set_image(OTHER)
    click(session, 1)
    assert not session.can_redo
    session.redo()
    assert project_of(session).n_objects() == 0
    session.undo()
    assert session.can_redo  # it was not lost


def test_fifty_steps_and_more_over_two_pictures(session: Session) -> None:
    states = []

    def state() -> tuple[int, int, int]:
        project, waiting = session.desk.project, session.aside.all()
        return (
            0 if project is None else project.n_objects(),
            len(session.prompts),
            sum(len(work.prompts) for _, work in waiting),
        )

    click(session, 0)
    states.append(state())
    for number in range(60):
        if number % 4 == 3:
            session.accept()
        else:
            row, column = DISCS[number % 3]
            session.add_prompt(Point(column + number % 7, row))
        states.append(state())
        if number == 29:
            session.set_image(OTHER)
    shown = [state()]
    while session.can_undo:
        session.undo()
        shown.append(state())
    totals = [(n, here + there) for n, here, there in states]
    assert [(n, here + there) for n, here, there in shown[:-1]] == totals[::-1]
    assert shown[-1] == (0, 0, 0)
    for total in totals:
        session.redo()
        n, here, there = state()
        assert (n, here + there) == total
    assert not session.can_redo


def test_a_clear_is_taken_back_from_another_picture(session: Session) -> None:
    click(session, 0)
    session.clear()
    session.set_image(OTHER)
    session.undo()
    session.set_image(HERE)
    assert len(session.prompts) == 1


def test_boxes_and_prompts_are_taken_back_in_their_order(session: Session) -> None:
    proposals = Proposals(session, AtOnce())
    actions = ManyActions(session, proposals, cast("Any", None), cast("Any", None))
    click(session, 0)
    row, column = DISCS[1]
    proposals.add_box(Box(column - 19, row - 19, column + 19, row + 19))
    click(session, 2)
    actions.undo()
    assert (len(session.prompts), len(proposals.boxes)) == (1, 1)
    actions.undo()
    assert (len(session.prompts), len(proposals.boxes)) == (1, 0)
    actions.undo()
    assert not session.prompts
    for after in ((1, 0), (1, 1), (2, 1)):
        actions.redo()
        assert (len(session.prompts), len(proposals.boxes)) == after
    proposals.close()


@pytest.mark.parametrize("boxed", [False, True])
def test_what_was_undone_before_something_else_was_done_stays_undone(
    session: Session, boxed: bool
) -> None:
    proposals = Proposals(session, AtOnce())
    actions = ManyActions(session, proposals, cast("Any", None), cast("Any", None))
    for number in (0, 1):
        click(session, number)
        session.accept()
    session.delete_at(*DISCS[1])
    actions.undo()  # the delete
    row, column = DISCS[2]
    if boxed:
        proposals.add_box(Box(column - 19, row - 19, column + 19, row + 19))
    else:
        click(session, 2)
    done = (len(session.prompts), len(proposals.boxes))
    actions.undo()
    assert (len(session.prompts), len(proposals.boxes)) == (0, 0)
    actions.redo()
    assert (len(session.prompts), len(proposals.boxes)) == done
    assert session.objects_here() == 2
    assert not actions.can_redo
    # a step that is undone later can be done again
    actions.undo()
    actions.undo()
    assert session.objects_here() == 1
    actions.redo()
    assert session.objects_here() == 2
    proposals.close()


def test_changes_of_classes_are_taken_back_in_their_order(
    session: Session, said: list[tuple[str, bool]]
) -> None:
    click(session, 0)
    session.accept()
    assert session.desk.add_class("cell")
    session.class_name = "cell"
    click(session, 1)
    session.accept()
    assert session.objects.rename_class(" nucleus ")
    click(session, 2)
    session.desk.set_class_color("nucleus", "#010203")
    session.undo()
    assert session.objects.next_color() != "#010203"
    assert said[-1][0] == (
        "Took back the change of colour of the class nucleus; redo does it again."
    )
    session.undo()
    assert not session.prompts
    session.undo()
    assert session.class_name == "cell"
    assert session.desk.classes() == ["object", "cell"]
    assert [o.class_name for o in session.objects.summaries()] == ["object", "cell"]
    assert said[-1][0] == (
        "Took back the rename of the class cell to nucleus; redo does it again."
    )
    for _ in range(3):  # the accept, its prompt, the class
        session.undo()
    assert session.desk.classes() == ["object"]
    assert session.class_name == "object"
    assert said[-1][0] == (
        "Took back the addition of the class cell; redo does it again."
    )
    assert session.objects_here() == 1
    session.redo()
    assert session.class_name == "cell"  # who added it had chosen it
    assert said[-1][0] == "Did the addition of the class cell again."
    while session.can_redo:
        session.redo()
    assert session.desk.classes() == ["object", "nucleus"]
    assert session.class_name == "nucleus"
    assert session.objects.next_color() == "#010203"
    assert len(session.prompts) == 1
    assert [o.class_name for o in session.objects.summaries()] == ["object", "nucleus"]


def test_a_rename_of_another_class_leaves_the_chosen_one(session: Session) -> None:
    click(session, 0)
    session.accept()
    session.objects.rename_class("cell")
    session.desk.add_class("nucleus")
    session.class_name = "nucleus"
    session.undo()
    session.undo()
    assert session.class_name == "object"
    session.redo()
    session.redo()
    session.class_name = "cell"
    session.undo()
    assert session.class_name == "cell"


def test_a_change_of_a_class_is_something_else_that_was_done(session: Session) -> None:
    click(session, 0)
    session.accept()
    session.delete_at(*DISCS[0])
    session.undo()
    session.desk.set_class_color("object", "#010203")
    assert not session.can_redo
    session.undo()
    assert session.can_redo
    click(session, 1)  # what was undone before it stays undone
    session.undo()
    session.redo()
    assert len(session.prompts) == 1
    assert session.objects.next_color() != "#010203"
    assert not session.can_redo


def test_classes_that_a_project_is_made_with_are_no_steps(session: Session) -> None:
    session.desk.add_class("cell")
    session.class_name = "cell"
    click(session, 0)
    session.accept()
    session.undo()
    session.undo()
    assert not session.prompts
    assert not session.can_undo
    assert session.desk.classes() == ["object", "cell"]
    assert session.class_name == "cell"


def test_a_clock_that_was_ahead_makes_no_old_step_the_newest(session: Session) -> None:
    click(session, 0)
    session.accept()
    path = project_of(session).path
    session.close()
    with closing(sqlite3.connect(path / "project.sqlite")) as connection:
        connection.execute("UPDATE history SET created = ?", (time.time() + 900,))
        connection.commit()
    again = Session(AtOnce())
    again.start()
    again.set_image(HERE)
    click(again, 1)
    again.undo()
    assert not again.prompts
    assert again.objects_here() == 1
    again.undo()
    assert again.objects_here() == 0
    again.redo()
    assert again.objects_here() == 1
    again.close()


def test_only_so_many_cleared_objects_wait() -> None:
    waiting = WaitingWorks()
    for number in range(60):
        work = ObjectInWork()
        work.add(Point(1, 1))
        if number:
            work.set(PromptSet())
        waiting.put(source(picture(), f"{number}"), work)
    names = [one.name for one, _ in waiting.all()]
    assert names == ["0", *(f"{n}" for n in range(10, 60))]
    first, work = waiting.all()[0]
    waiting.put(first, ObjectInWork())  # prompts are not given up for nothing
    assert waiting.take(first) is work
    assert waiting.take(first) is None
