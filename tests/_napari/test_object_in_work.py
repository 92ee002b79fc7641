from __future__ import annotations

import numpy as np

from napari_infosam._napari.object_in_work import Answer, ObjectInWork
from napari_infosam.core.prompts import Box, Point, PromptSet
from napari_infosam.models import Prediction

A, B, C = Point(1, 1), Point(2, 2, positive=False), Point(3, 3)
BOX = Box(0, 0, 5, 5)


def answer(area: int) -> Answer:
    mask = np.zeros((4, 5), bool)
    mask.flat[:area] = True
    return Answer(Prediction(mask, 0.9, np.zeros((256, 256), np.float32)), "base")


def test_undo_and_redo_walk_through_the_prompts() -> None:
    work = ObjectInWork()
    for prompt in (A, BOX, B):
        work.add(prompt)
    assert work.prompts == PromptSet((A, B), BOX)
    assert work.undo()
    assert work.prompts == PromptSet((A,), BOX)
    assert work.undo()
    assert work.undo()
    assert not work.undo()
    assert work.prompts == PromptSet()
    assert work.redo()
    assert work.prompts == PromptSet((A,))


def test_a_new_prompt_drops_what_could_be_redone() -> None:
    work = ObjectInWork()
    work.add(A)
    work.undo()
    work.add(C)
    assert not work.can_redo
    assert work.prompts == PromptSet((C,))


def test_the_same_prompts_again_are_no_step() -> None:
    work = ObjectInWork()
    work.set(PromptSet((A,)))
    work.set(PromptSet((A,)))
    assert work.undo()
    assert not work.can_undo


def test_the_answer_stays_in_sight_until_the_next_one() -> None:
    work = ObjectInWork()
    work.add(A)
    first = answer(3)
    work.remember(work.prompts, first)
    work.add(B)
    assert work.answer is None
    assert work.shown_answer() is first
    work.set(PromptSet())
    assert work.shown_answer() is None


def test_only_answers_to_fewer_of_the_same_prompts_are_refined() -> None:
    work = ObjectInWork()
    work.add(A)
    first = answer(3)
    work.remember(work.prompts, first)
    assert work.previous_answer() is None
    work.add(B)
    assert work.previous_answer() is first
    work.set(PromptSet((C, B)))  # the first point was moved
    assert work.previous_answer() is None


def test_the_object_before_a_clear_is_not_refined() -> None:
    work = ObjectInWork()
    work.add(A)
    work.remember(work.prompts, answer(3))
    work.set(PromptSet())
    work.add(A)
    work.add(B)
    work.undo()
    work.redo()
    assert work.previous_answer() is not None  # the same prompts, the same answer
    work.set(PromptSet((C,)))
    assert work.previous_answer() is None


def test_proposal_ious_count_the_box_first() -> None:
    work = ObjectInWork()
    for prompt, area in ((A, 2), (BOX, 4), (B, 8)):
        work.add(prompt)
        work.remember(work.prompts, answer(area))
    accepted = answer(8).prediction.mask
    assert work.proposal_ious(accepted) == [4 / 8, 2 / 8, 8 / 8]


def test_prompts_that_were_answered_together_share_their_iou() -> None:
    work = ObjectInWork()
    work.add(A)
    work.add(B)
    work.remember(work.prompts, answer(8))
    assert work.proposal_ious(answer(8).prediction.mask) == [1.0, 1.0]
