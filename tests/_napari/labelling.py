"""How the images of a day are labelled, and what is changed in them then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .annotator import CONTROL, Key
from .cells import BESIDE, CENTRES, RADIUS
from .window import Button

if TYPE_CHECKING:
    from collections.abc import Callable

    from .annotator import Annotator

CLASSES = ("cell", "mitosis")


# -------------------------------------------------------------------- labelling
def one_by_one(day: Annotator, first: int = 0) -> None:
    """Label each cell with other prompts."""
    prompts = (
        day.click_on,
        day.box,
        day.click_and_exclude,
        day.click_twice,
        day.box_and_click,
        day.exclude_by_polarity,
    )
    for cell in range(len(CENTRES)):
        day.label(prompts[(first + cell) % len(prompts)], cell)


def otherwise(day: Annotator) -> None:
    one_by_one(day, 2)


def in_boxes_and_painted(day: Annotator) -> None:
    day.label_in_boxes(0, 1, 2)
    day.label(day.paint, 3)
    day.label(day.scribble, 4)
    day.label(day.look_and_click, 5)


def in_boxes(day: Annotator) -> None:
    day.label_in_boxes(*range(len(CENTRES)))


def painted(day: Annotator) -> None:
    day.label(day.scribble, 0, 5)
    day.label(day.paint, 1)
    day.label(day.look_and_click, 2, 3, 4)


def meanings(day: Annotator) -> None:
    day.label_meanings()


def proposed_one_by_one(day: Annotator) -> None:
    """Reject two proposals and accept four, two of them at once."""
    day.propose()
    day.click(*CENTRES[0], Button.RightButton)
    day.over(1, Key.Key_I)
    assert day.n_offered == 4
    day.undo()
    assert day.n_offered == 5
    day.redo()
    day.click(*CENTRES[2])
    day.note_all(2)
    day.over(3, Key.Key_Y)
    day.note_all(3)
    day.press(day.annotate.many.accept)
    day.note_all(4, 5)
    assert day.proposals.is_empty
    day.label(day.click_on, 0)
    day.label(day.box, 1)


def proposed_above_a_score(day: Annotator) -> None:
    """Accept the surer ones, and draw boxes around the others."""
    many = day.annotate.many
    day.propose()
    n_proposed = day.n_offered
    while day.n_offered == n_proposed:
        day.key(Key.Key_Right, at=many.score)
    assert many.accept.text() == f"Accept {day.n_offered}"
    day.press(many.accept)
    cells = {*range(len(CENTRES))}
    sure = {cell for cell in cells if day.number(cell)}
    assert sure
    day.note_all(*sure)
    day.press(many.clear)
    assert day.proposals.is_empty
    day.label(day.box, *sorted(cells - sure))


# ------------------------------------------------------------------ corrections
def undo_and_redo_everything(day: Annotator) -> None:
    """Go back to the beginning of the day, and forth."""
    before = day.labels()
    n_before = day.session.desk.require().n_objects()
    day.undo()
    day.wait_objects(len(day.here) - 1)
    while day.annotate.undo.isEnabled():
        day.undo()
    assert day.session.desk.require().n_objects() == 0
    while day.annotate.redo.isEnabled():
        day.redo()
    assert day.session.desk.require().n_objects() == n_before
    np.testing.assert_array_equal(day.labels(), before)


def delete_and_undo(day: Annotator) -> None:
    before = day.labels()
    day.over(3, Key.Key_D)
    day.wait_objects(5)
    day.undo()
    np.testing.assert_array_equal(day.labels(), before)


def delete_and_label_again(day: Annotator) -> None:
    day.over(2, Key.Key_D)
    del day.here[2]
    day.wait_objects(5)
    day.label(day.click_on, 2)


def merge_and_split(day: Annotator) -> None:
    for cell in (2, 3):
        day.over(cell, Key.Key_A)
    day.key(Key.Key_J)
    day.wait_objects(5)
    assert day.number(2) == day.number(3)
    day.over(2, Key.Key_K)
    day.wait_objects(6)


def paint_a_correction(day: Annotator) -> None:
    row, column = CENTRES[4]
    number, beyond = day.number(4), column + RADIUS + 4
    day.list_row(4)
    day.take_brush(Key.Key_2)
    day.drag((row, column), (row, beyond))
    day.wait(lambda: day.labels()[row, beyond] == number)
    day.key(Key.Key_S)


def erase_a_correction(day: Annotator) -> None:
    row, column = CENTRES[1]
    day.take_brush(Key.Key_1)
    day.drag((row, column + RADIUS + 8), (row, column + RADIUS - 4))
    day.wait(lambda: day.labels()[row, column + RADIUS - 4] == 0)
    day.undo()
    day.wait(lambda: day.labels()[row, column + RADIUS - 4])
    day.redo()
    day.wait(lambda: day.labels()[row, column + RADIUS - 4] == 0)
    day.key(Key.Key_S)


def go_on_with_an_accepted_one(day: Annotator) -> None:
    row, column = CENTRES[5]
    number = day.number(5)
    day.over(5, Key.Key_W)
    day.wait_answer()
    day.click(row + 6, column + 6)
    day.wait_answer()
    day.key(Key.Key_C)
    day.wait(lambda: not day.session.prompts)
    day.wait_objects(6)
    assert day.number(5) == number


def relabel(day: Annotator, cell: int, act: Callable[[], None]) -> None:
    """Give a cell the class that the others have not."""
    name, mask = day.here[cell]
    (other,) = {*CLASSES} - {name}
    day.choose_class(other)
    act()
    day.choose_class(name)
    day.here[cell] = other, mask


def relabel_by_key(day: Annotator) -> None:
    relabel(day, 1, lambda: day.over(1, Key.Key_R))


def change_in_the_list(day: Annotator) -> None:
    """Class, merge and delete by the buttons below the list; undo by its button."""
    objects = day.annotate.objects
    day.list_row(0)
    relabel(day, 0, lambda: day.press(objects.relabel))
    before = day.labels()
    day.list_row(1)
    day.list_row(2, CONTROL)
    day.press(objects.merge)
    day.wait_objects(5)
    day.press(day.annotate.undo)
    day.wait_objects(6)
    day.list_row(3)
    day.press(objects.delete)
    day.wait_objects(5)
    day.press(day.annotate.undo)
    day.wait_objects(6)
    np.testing.assert_array_equal(day.labels(), before)


def reject(day: Annotator) -> None:
    for no in (
        lambda: day.key(Key.Key_Escape),
        lambda: day.press(day.annotate.reject),
    ):
        day.click(*BESIDE)
        day.wait_answer()
        no()
        assert day.proposal_area() == 0
