"""Many objects at once, without a window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_infosam._napari.proposals import Proposals
from napari_infosam.core.metrics import iou
from napari_infosam.core.prompts import Box, Point

from .helpers import DISCS, AtOnce, disc, picture, source

if TYPE_CHECKING:
    from napari_infosam._napari.session import Session
    from napari_infosam.project.records import Overlap

pytestmark = pytest.mark.session

Said = list[tuple[str, bool]]
BOXES = [Box(c - 19, r - 19, c + 19, r + 19) for r, c in DISCS]


@pytest.fixture
def worker() -> AtOnce:
    return AtOnce()


@pytest.fixture
def proposals(session: Session, worker: AtOnce) -> Iterator[Proposals]:
    made = Proposals(session, worker)
    made.points_per_side = 7
    yield made
    made.close()


def test_boxes_become_objects_in_one_step(
    session: Session, proposals: Proposals, worker: AtOnce, said: Said
) -> None:
    worker.holds = True
    for box in BOXES:
        proposals.add_box(box)
    assert len(worker.waiting) == 1  # the other two wait to be decoded together
    worker.release()
    worker.release()
    assert len(proposals.offered) == 3
    proposals.accept()

    assert said[-1] == ("Accepted 3 objects.", False)
    assert proposals.is_empty
    project = session.desk.project
    assert project is not None
    records = project.objects()
    for number, record in enumerate(records):
        assert iou(record.mask(), disc(number)) > 0.8
        assert record.prompts.box == BOXES[number]
        assert record.proposal_ious == (1.0,)
        assert record.reviewed
    assert session.labels is not None
    assert set(np.unique(session.labels)) == {0, 1, 2, 3}
    session.undo()
    assert project.n_objects() == 0
    session.redo()
    assert project.n_objects() == 3


def test_boxes_are_taken_back_and_drawn_again(
    proposals: Proposals, session: Session
) -> None:
    for number in range(3):
        proposals.set_boxes(BOXES[: number + 1])
    proposals.undo()
    assert len(proposals.offered) == 2
    proposals.redo()
    assert not proposals.can_redo
    assert proposals.boxes == tuple(BOXES)
    assert len(proposals.offered) == 3
    proposals.set_boxes(BOXES[1:])
    assert {offer.box for offer in proposals.offered.values()} == set(BOXES[1:])
    proposals.reject(list(proposals.offered)[:1])
    assert proposals.boxes == (BOXES[2],)
    # another picture: they wait for the return of theirs
    first, offered = session.source, proposals.offered
    session.set_image(source(picture(180), "other"))
    assert proposals.is_empty
    assert not proposals.can_undo
    session.set_image(first)
    assert proposals.boxes == (BOXES[2],)
    assert proposals.offered == offered


def test_rejections_and_changes_are_undone_in_their_order(
    proposals: Proposals, session: Session, said: Said
) -> None:
    proposals.propose()
    shown = proposals.offered
    assert len(shown) == 3
    (dropped, *_) = shown
    proposals.reject([dropped])
    session.add_prompt(Point(*DISCS[0][::-1]))
    session.accept()
    assert not proposals.can_undo  # the accept is the last that was done
    proposals.clear()
    assert proposals.is_empty
    assert said[-1][0] == "Rejected 2 objects; undo brings them back."
    assert proposals.can_undo
    proposals.undo()
    assert len(proposals.offered) == 2
    assert said[-1][0] == "Proposed again: 2 objects."
    assert not proposals.can_undo
    session.undo()
    session.clear()
    proposals.undo()
    assert proposals.offered == shown
    proposals.redo()
    assert set(proposals.offered) == set(shown) - {dropped}
    # proposed again, there is nothing to go back to
    proposals.propose()
    assert not proposals.can_undo
    assert not proposals.can_redo


@pytest.mark.parametrize("boxes", [BOXES, []])
def test_what_was_accepted_is_proposed_again_when_that_is_undone(
    proposals: Proposals, session: Session, boxes: list[Box]
) -> None:
    if boxes:
        proposals.set_boxes(boxes)
    else:
        proposals.propose()
    shown = proposals.offered
    one, rejected, other = shown
    proposals.reject([rejected])
    proposals.accept([one])
    proposals.accept([other])
    assert proposals.is_empty
    session.undo()
    assert set(proposals.offered) == {other}
    session.undo()
    assert set(proposals.offered) == {one, other}
    assert len(proposals.boxes) == (2 if boxes else 0)
    proposals.undo()  # the rejection before
    assert proposals.offered == shown
    proposals.redo()
    session.redo()
    assert set(proposals.offered) == {other}
    # from another picture
    first = session.source
    session.set_image(source(picture(180), "other"))
    session.undo()
    assert proposals.is_empty
    session.set_image(first)
    assert set(proposals.offered) == {one, other}
    session.redo()
    session.redo()
    assert proposals.is_empty
    project = session.desk.project
    assert project is not None
    assert project.n_objects() == 2


def test_everything_in_view_is_proposed_and_nothing_twice(
    session: Session, proposals: Proposals, said: Said
) -> None:
    session.add_prompt(Point(*DISCS[0][::-1]))
    session.accept()
    proposals.propose()
    assert proposals.progress is None
    assert "proposed" in said[-1][0]
    for number in (1, 2):
        found = proposals.number_at(*DISCS[number])
        offer = proposals.offered[found]
        assert iou(offer.small.mask(), disc(number)) > 0.8
    assert not proposals.number_at(*DISCS[0])  # it was accepted before
    picture = proposals.picture()
    assert picture is not None
    assert session.labels is not None
    assert not (picture > 0)[session.labels > 0].any()

    n_offered = len(proposals.offered)
    proposals.min_score = 2
    assert not proposals.offered
    assert proposals.picture() is None
    assert said[-1][0].endswith("below the score: lower it.")
    proposals.min_score = 0.88
    assert len(proposals.offered) == n_offered
    assert said[-1][0].startswith(f"{n_offered} proposed")

    proposals.reject_at(*DISCS[1])
    assert not proposals.number_at(*DISCS[1])
    proposals.accept_at(*DISCS[2])
    assert not proposals.number_at(*DISCS[2])
    assert session.objects_here() == 2
    project = session.desk.project
    assert project is not None
    assert not project.objects()[-1].prompts  # a grid's point is nobody's click
    proposals.accept_at(2, 2)
    assert said[-1] == ("Nothing is proposed under the pointer.", False)


def test_only_what_is_in_view_is_proposed(proposals: Proposals) -> None:
    row, column = DISCS[1]
    proposals.propose(Box(column - 30, row - 30, column + 30, row + 30))
    assert proposals.number_at(row, column)
    assert not proposals.number_at(*DISCS[0])


@pytest.mark.parametrize("overlap", ["keep", "replace", "allow"])
def test_who_has_pixels_is_what_the_policy_says(
    session: Session, proposals: Proposals, overlap: str, said: Said
) -> None:
    first, second = Box(20, 20, 70, 60), Box(22, 22, 66, 62)  # the same disc
    session.objects.overlap = overlap  # type: ignore[assignment]
    proposals.set_boxes([first, second, BOXES[1]])
    session.add_prompt(Point(*DISCS[1][::-1]))
    session.accept()
    proposals.accept()
    project = session.desk.project
    assert project is not None
    masks = [record.mask() for record in project.objects()]
    shared = sum(mask.astype(int) for mask in masks)
    assert (np.max(shared) > 1) == (overlap == "allow")
    assert not any(failed for _, failed in said)


def propose_over_an_object(
    session: Session, proposals: Proposals, ask: Callable[[str], Overlap | None]
) -> None:
    """Propose all discs where one is accepted already, and somebody is asked."""
    session.objects.ask = ask
    session.objects.overlap = "ask"
    session.add_prompt(Point(*DISCS[1][::-1]))
    session.accept()
    proposals.set_boxes(BOXES)


def test_a_person_is_asked_once_for_all_of_them(
    session: Session, proposals: Proposals, said: Said
) -> None:
    answers: list[Overlap | None] = [None, "allow"]
    asked: list[str] = []

    def ask(laid: str) -> Overlap | None:
        asked.append(laid)
        return answers.pop(0)

    propose_over_an_object(session, proposals, ask)
    proposals.accept()
    assert session.objects_here() == 1
    assert len(proposals.offered) == len(BOXES)
    proposals.accept()
    assert session.objects_here() == 1 + len(BOXES)
    assert asked == [f"1 of {len(BOXES)} new objects lies on object 1"] * 2
    assert not any(failed for _, failed in said)


def test_nothing_is_accepted_in_a_picture_that_came_during_the_question(
    session: Session, proposals: Proposals
) -> None:
    def ask(_laid: str) -> Overlap:
        session.set_image(source(picture(180), "other"))
        return "allow"

    propose_over_an_object(session, proposals, ask)
    proposals.accept()
    project = session.desk.project
    assert project is not None
    assert project.n_objects() == 1
    session.set_image(source(picture()))
    assert len(proposals.offered) == len(BOXES)  # they wait where they were


def test_it_can_be_cancelled(
    session: Session, proposals: Proposals, worker: AtOnce, said: Said
) -> None:
    worker.holds = True
    proposals.propose()
    assert proposals.progress == (0, 1)
    assert "cancel" in proposals.why_not()
    proposals.cancel()
    assert proposals.progress is None
    assert not proposals.why_not()
    worker.release()
    assert proposals.is_empty
    assert said[-1] == ("Stopped; nothing was proposed.", False)
    # and a new picture stops it as well
    proposals.propose()
    session.set_image(source(picture(180), "other"))
    worker.release()
    assert proposals.is_empty
    assert not any(failed for _, failed in said)


def test_what_can_not_be_done_is_said(
    session: Session, proposals: Proposals, said: Said
) -> None:
    proposals.accept()
    assert said[-1][0].startswith("There is nothing to accept")
    proposals.set_boxes([Box(500, 500, 600, 600)])
    assert said[-1][1]
    assert "outside the image" in said[-1][0]
    assert proposals.is_empty
    session.set_image(None)
    proposals.propose()
    assert said[-1] == ("Open an image first.", False)
    proposals.set_boxes(BOXES)
    assert proposals.is_empty


def test_covered_boxes_are_said(
    session: Session, proposals: Proposals, said: Said
) -> None:
    session.objects.overlap = "keep"
    proposals.set_boxes(BOXES[:1])
    proposals.accept()
    assert session.labels is not None
    session.labels[:] = 1
    proposals.set_boxes(BOXES[1:2])
    proposals.accept()
    assert said[-1][1]
    assert "earlier objects keep their" in said[-1][0]
    assert len(proposals.offered) == 1  # nothing is lost
