from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer

from napari_infosam._napari import layers, undoing
from napari_infosam._napari.overlap_question import OverlapQuestion
from napari_infosam._napari.session import Session
from napari_infosam._napari.unfinished import Unfinished
from napari_infosam.core.metrics import iou
from napari_infosam.core.prompts import Point
from napari_infosam.core.rough_mask import RoughMask
from napari_infosam.project import Project

from .helpers import DISCS, AtOnce, source
from .window import Modifier, Window

if TYPE_CHECKING:
    from napari_infosam._napari.image_source import ImageSource
    from napari_infosam.project import ObjectRecord
    from napari_infosam.project.records import Overlap

Key = Qt.Key
ROW, COLUMN = DISCS[0]
N_SLICES, N_SEEN = 6, 4


def truth(z: int) -> np.ndarray:
    """Return a disc that moves and shrinks, and is gone from the fifth slice on."""
    rows, columns = np.mgrid[:128, :160]
    inside = np.hypot(rows - ROW - 2 * z, columns - COLUMN - 3 * z) < 18 - 2 * z
    return inside & (z < N_SEEN)


def stack() -> np.ndarray:
    """Return ``(6, 128, 160)`` with the disc."""
    noise = np.random.default_rng(0).integers(20, 40, (N_SLICES, 128, 160))
    return np.stack(
        [np.where(truth(z), 200, noise[z]) for z in range(N_SLICES)]
    ).astype(np.uint8)


@pytest.fixture
def slices(session: Session) -> list[ImageSource]:
    """Return the slices of the stack, in the first of which the disc is clicked."""
    made = [source(z, f"s [{n}]", slice_index=(n,)) for n, z in enumerate(stack())]
    session.set_image(made[0])
    session.add_prompt(Point(COLUMN, ROW))
    return made


def numbers(session: Session) -> list[tuple[str, int]]:
    project = session.desk.project
    assert project is not None
    names = {image.id: image.name for image in project.images()}
    return [(names[o.image_id], o.instance_id) for o in project.objects()]


def test_an_object_is_followed_until_it_disappears(
    session: Session, slices: list[ImageSource], said: list[tuple[str, bool]]
) -> None:
    propagation = session.propagation
    propagation.start(slices[1:])
    assert not propagation.is_running
    assert "Lost in s [4]" in said[-1][0]
    begun, *found = propagation.waiting.pending
    assert begun[1] is session.work
    assert [one.name for one, _ in found] == ["s [1]", "s [2]", "s [3]"]
    before = truth(0)
    for z, (_, work) in enumerate(found, 1):
        assert work.answer is not None
        assert iou(work.answer.prediction.mask, truth(z)) > 0.75
        # the prompt is the mask before, so that a replay asks for the same
        assert work.prompts.rough is not None
        assert iou(work.prompts.rough.mask(), before) > 0.75
        before = work.answer.prediction.mask


def test_all_are_accepted_with_one_number_and_undone_in_one_step(
    session: Session, slices: list[ImageSource]
) -> None:
    session.accept()
    number = 1
    session.propagation.start(slices[1:], number)
    session.propagation.waiting.accept_all()
    assert not session.propagation.waiting.pending
    everywhere = [(f"s [{z}]", 1) for z in range(N_SEEN)]
    assert numbers(session) == everywhere
    session.set_image(slices[2])
    assert not session.prompts
    assert session.labels is not None
    assert iou(session.labels == 1, truth(2)) > 0.75

    session.undo()
    assert numbers(session) == everywhere[:1]
    assert not session.labels.any()
    assert len(session.propagation.waiting.pending) == N_SEEN - 1
    assert session.is_answered  # the proposal is back in this slice
    session.redo()
    session.redo()
    session.undo()
    session.propagation.waiting.accept_all()
    assert numbers(session) == everywhere
    assert not session.prompts


def test_a_proposal_is_followed_corrected_and_accepted_slice_by_slice(
    session: Session, slices: list[ImageSource]
) -> None:
    session.propagation.start(slices[1:])
    session.set_image(slices[1])
    assert session.is_answered
    before = session.prompts.rough
    session.add_prompt(Point(COLUMN + 3, ROW + 2))
    record = session.accept()
    assert record is not None
    assert record.prompts.rough == before
    assert len(record.prompts.points) == 1
    session.set_image(slices[2])
    session.clear()
    session.set_image(slices[0])
    assert session.accept() is not None
    assert [one.name for one, _ in session.propagation.waiting.pending] == ["s [3]"]
    session.propagation.waiting.discard()
    session.set_image(slices[3])
    assert not session.prompts
    assert sorted(numbers(session)) == [("s [0]", 1), ("s [1]", 1)]


def test_the_slice_that_it_was_followed_from_is_accepted_with_the_others(
    session: Session, slices: list[ImageSource], said: list[tuple[str, bool]]
) -> None:
    waiting = session.propagation.waiting
    session.propagation.start(slices[1:])
    assert [one.name for one, _ in waiting.pending] == [
        f"s [{z}]" for z in range(N_SEEN)
    ]
    waiting.accept_all()
    assert "in 4 slices" in said[-1][0]
    assert numbers(session) == [(f"s [{z}]", 1) for z in range(N_SEEN)]
    assert not session.prompts
    session.undo()
    assert numbers(session) == []
    assert session.is_answered
    waiting.discard()
    assert not waiting.pending


def test_what_was_accepted_never_waits_again(
    session: Session, slices: list[ImageSource], executor: AtOnce
) -> None:
    waiting = session.propagation.waiting
    executor.holds = True
    session.propagation.start(slices[1:])
    executor.release(1)
    waiting.accept_all()
    waiting.accept_all()  # pressed twice
    executor.holds = False
    while session.propagation.is_running:
        executor.release()
    executor.release()
    assert numbers(session) == [("s [0]", 1), ("s [1]", 1)]
    assert [one.name for one, _ in waiting.pending] == ["s [2]", "s [3]"]
    waiting.accept_all()
    everywhere = [(f"s [{z}]", 1) for z in range(N_SEEN)]
    assert numbers(session) == everywhere
    assert not waiting.pending
    waiting.accept_all()
    assert numbers(session) == everywhere

    session.undo()
    assert [one.name for one, _ in waiting.pending] == ["s [2]", "s [3]"]
    session.undo()
    assert len(waiting.pending) == N_SEEN
    session.redo()
    assert [one.name for one, _ in waiting.pending] == ["s [2]", "s [3]"]
    session.redo()
    assert not waiting.pending
    assert numbers(session) == everywhere


def test_both_directions_make_one_object(
    session: Session, slices: list[ImageSource], said: list[tuple[str, bool]]
) -> None:
    session.clear()
    session.set_image(slices[2])
    session.add_prompt(Point(COLUMN + 6, ROW + 4))
    session.propagation.start(slices[3:])
    session.propagation.start(slices[3:])
    assert "still wait" in said[-1][0]
    session.propagation.start(slices[1::-1])
    waiting = session.propagation.waiting
    assert sorted(one.name for one, _ in waiting.pending) == [
        f"s [{z}]" for z in range(N_SEEN)
    ]
    waiting.accept_all()
    assert sorted(numbers(session)) == [(f"s [{z}]", 1) for z in range(N_SEEN)]


def test_what_is_corrected_while_it_is_written_goes_on_as_a_correction(
    session: Session, slices: list[ImageSource], executor: AtOnce
) -> None:
    session.propagation.start(slices[1:])
    session.set_image(slices[1])
    executor.holds = True
    session.propagation.waiting.accept_all()
    session.add_prompt(Point(COLUMN + 3, ROW + 2))
    executor.holds = False
    executor.release()
    executor.release()
    assert numbers(session) == [(f"s [{z}]", 1) for z in range(N_SEEN)]
    assert session.work.target == 1
    assert len(session.prompts.points) == 1
    assert not session.propagation.waiting.pending
    assert session.accept() is not None
    assert sorted(numbers(session)) == [(f"s [{z}]", 1) for z in range(N_SEEN)]


def test_what_is_being_accepted_is_written_when_the_window_closes(
    session: Session, slices: list[ImageSource], executor: AtOnce
) -> None:
    session.propagation.start(slices[1:])
    executor.holds = True
    session.desk.add_class("cell")
    session.class_name = "cell"
    session.propagation.waiting.accept_all()
    session.class_name = "object"
    project = session.desk.project
    assert project is not None
    session.close()
    with Project.open(project.path) as again:
        assert {(o.instance_id, o.class_name) for o in again.objects()} == {(1, "cell")}
        assert again.n_objects() == N_SEEN


def test_what_was_followed_waits_again_after_the_night(
    session: Session, slices: list[ImageSource]
) -> None:
    session.propagation.start(slices[1:])
    kept = [
        (one, Unfinished.of(one.slice_index, work))
        for one, work in session.propagation.waiting.pending
    ]
    masks = [
        work.answer.prediction.mask
        for _, work in session.propagation.waiting.pending
        if work.answer is not None
    ]
    again = Session(AtOnce())
    again.start()
    again.set_image(slices[0])
    waiting = again.propagation.waiting
    for one, unfinished in kept:
        waiting.add(one, unfinished.work())
    for number in (2, 1):
        again.set_image(slices[number])
        assert again.work.answer is not None
        np.testing.assert_array_equal(again.work.answer.prediction.mask, masks[number])
    again.undo()  # takes back the click in the first slice, not what was found
    assert again.is_answered
    # what was seen again
    assert [one.name for one, _ in waiting.pending] == ["s [1]", "s [2]"]
    waiting.accept_all()
    assert sorted(numbers(again)) == [("s [1]", 1), ("s [2]", 1)]
    again.close()


def test_slices_that_were_accepted_long_ago_do_not_wait_again(
    session: Session, slices: list[ImageSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undoing, "_KEPT", 1)
    session.propagation.start(slices[1:])
    for z in range(N_SEEN):
        session.set_image(slices[z])
        assert session.accept() is not None
    assert not session.propagation.waiting.pending


def test_slices_of_the_same_pixels_are_accepted_as_one_picture(
    session: Session, slices: list[ImageSource]
) -> None:
    twin = source(slices[1].read(), "twin", slice_index=(9,))
    session.propagation.start([slices[1], twin])
    waiting = session.propagation.waiting
    assert len(waiting.pending) == 3
    waiting.accept_all()
    assert not waiting.pending
    assert numbers(session) == [("s [0]", 1), ("s [1]", 1)]
    session.undo()
    assert len(waiting.pending) == 3


def test_what_waits_stays_behind_with_its_project(
    session: Session, slices: list[ImageSource], tmp_path: Path
) -> None:
    session.desk.new(tmp_path / "a.infosam")
    session.propagation.start(slices[1:])
    session.desk.new(tmp_path / "b.infosam")
    assert not session.propagation.waiting.pending
    session.set_image(slices[1])
    assert not session.prompts


def test_another_object_in_the_place_of_a_proposal_is_not_the_followed_one(
    session: Session, slices: list[ImageSource]
) -> None:
    session.propagation.start(slices[1:])
    session.set_image(slices[1])
    session.clear()
    session.add_prompt(Point(100, 100))
    waiting = [one.name for one, _ in session.propagation.waiting.pending]
    assert waiting == ["s [0]", "s [2]", "s [3]"]
    session.propagation.waiting.accept_all()
    assert len(session.prompts.points) == 1
    assert session.accept() is not None
    assert sorted(numbers(session))[:2] == [("s [0]", 1), ("s [1]", 1)]
    assert len(numbers(session)) == 4


def test_an_undo_from_another_slice_brings_the_proposal_back_in_its_own(
    session: Session, slices: list[ImageSource]
) -> None:
    session.propagation.start(slices[1:])
    session.set_image(slices[1])
    session.accept()
    session.set_image(slices[2])
    session.clear()
    while len(numbers(session)):
        session.undo()
    session.set_image(slices[1])
    assert session.is_answered
    session.set_image(slices[2])
    while session.can_redo:
        session.redo()
    assert numbers(session) == [("s [1]", 1)]
    session.set_image(slices[1])
    assert not session.prompts
    waiting = [one.name for one, _ in session.propagation.waiting.pending]
    assert waiting == ["s [0]", "s [3]"]


def test_what_is_begun_in_a_slice_meanwhile_keeps_out_of_the_following(
    session: Session, slices: list[ImageSource], executor: AtOnce
) -> None:
    executor.holds = True
    session.propagation.start(slices[1:])
    executor.release(1)
    executor.holds = False
    session.set_image(slices[1])
    session.clear()
    session.add_prompt(Point(100, 100))
    executor.release()
    waiting = [one.name for one, _ in session.propagation.waiting.pending]
    assert waiting == ["s [0]", "s [2]", "s [3]"]


def test_slices_in_which_earlier_objects_keep_the_pixels_are_left_out(
    session: Session, slices: list[ImageSource], said: list[tuple[str, bool]]
) -> None:
    session.propagation.start(slices[1:])
    (_, wanted), *_ = session.propagation.waiting.pending[1:]
    assert wanted.answer is not None
    mask = wanted.answer.prediction.mask
    project = session.desk.require()
    image = project.add_image(slices[1].read(), "s [1]")
    record = project.commit(image.id, mask)
    session.objects.overlap = "keep"
    session.propagation.waiting.accept_all()
    assert "In one more earlier objects keep" in said[-1][0]
    assert sorted(numbers(session)) == [
        ("s [0]", 1),
        ("s [1]", record.instance_id),
        ("s [2]", 1),
        ("s [3]", 1),
    ]


def lie_below(session: Session, slices: list[ImageSource]) -> ObjectRecord:
    """Follow the disc, and have an object where it was found in the second slice."""
    session.propagation.start(slices[1:])
    _, (found, work), *_ = session.propagation.waiting.pending
    assert work.answer is not None
    project = session.desk.require()
    image = project.add_image(found.read(), found.name)
    return project.commit(image.id, work.answer.prediction.mask)


@pytest.mark.parametrize("answer", ["allow", "keep", "replace"])
def test_a_person_is_asked_once_for_all_slices(
    session: Session,
    slices: list[ImageSource],
    said: list[tuple[str, bool]],
    answer: Overlap,
) -> None:
    record = lie_below(session, slices)
    project = session.desk.require()
    before = project.images(), project.last_step()
    answers: list[Overlap | None] = [None, answer]
    asked: list[str] = []

    def ask(laid: str) -> Overlap | None:
        asked.append(laid)
        return answers.pop(0)

    session.objects.ask, session.objects.overlap = ask, "ask"
    waiting = session.propagation.waiting
    waiting.accept_all()
    assert (project.images(), project.last_step()) == before
    assert len(waiting.pending) == N_SEEN
    assert said[-1] == ("Nothing was accepted: the proposals still wait.", False)

    waiting.accept_all()
    assert asked[0] == asked[1]
    assert asked[0].startswith("In 1 of 4 slices the new object lies on object 1, with")
    share = int(asked[0].removesuffix("% of all its pixels").split()[-1])
    assert 20 < share < 40
    assert not waiting.pending
    here = [o.instance_id for o in project.objects(record.image_id)]
    assert here == {"allow": [1, 2], "keep": [1], "replace": [2]}[answer]
    assert len(numbers(session)) == N_SEEN + (answer == "allow")
    session.undo()
    assert project.objects() == [record]
    assert not answers


def test_nobody_is_asked_about_slices_without_earlier_objects(
    session: Session, slices: list[ImageSource]
) -> None:
    session.objects.ask = lambda laid: pytest.fail(laid)
    session.objects.overlap = "ask"
    session.propagation.start(slices[1:])
    session.propagation.waiting.accept_all()
    assert numbers(session) == [(f"s [{z}]", 1) for z in range(N_SEEN)]


@pytest.mark.parametrize("lies", [False, True])
def test_what_a_question_is_still_to_be_asked_about_is_not_written_at_the_end(
    session: Session, slices: list[ImageSource], executor: AtOnce, lies: bool
) -> None:
    if lies:
        lie_below(session, slices)
    else:
        session.propagation.start(slices[1:])
    session.objects.ask = lambda laid: pytest.fail(laid)
    session.objects.overlap = "ask"
    executor.holds = True
    session.propagation.waiting.accept_all()
    project = session.desk.require()
    session.close()
    with Project.open(project.path) as again:
        assert again.n_objects() == (1 if lies else N_SEEN)


def test_a_new_object_gets_a_number_that_is_free_in_all_slices(
    session: Session, slices: list[ImageSource]
) -> None:
    session.set_image(slices[2])
    session.add_prompt(Point(100, 100))
    session.accept()
    session.set_image(slices[0])
    session.propagation.start(slices[1:])
    session.accept()
    session.propagation.waiting.accept_all()
    assert sorted(numbers(session)) == [
        ("s [0]", 2),
        ("s [1]", 2),
        ("s [2]", 1),
        ("s [2]", 2),
        ("s [3]", 2),
    ]


def test_a_cancel_keeps_what_was_found(
    session: Session, slices: list[ImageSource], executor: AtOnce
) -> None:
    executor.holds = True
    session.propagation.start(slices[1:])
    executor.release(1)
    assert session.propagation.is_running
    session.propagation.cancel()
    executor.release()
    executor.release()
    assert len(session.propagation.waiting.pending) == 2
    session.propagation.start(slices[1:])
    assert not session.propagation.is_running  # what waits is decided first


def test_a_stack_by_mouse_and_keys(open_window: Callable[..., Window]) -> None:
    window = open_window(("stack", stack()))
    propagate = window.panel.annotate.propagate
    window.viewer.dims.set_current_step(0, 0)
    window.wait(lambda: window.session.source.slice_index == (0,))
    window.wait_ready()
    window.click(ROW, COLUMN)
    window.wait_answer()
    assert propagate.isVisible()

    window.key(Key.Key_X)

    assert propagate.progress.isVisible()
    window.wait(lambda: not window.session.propagation.is_running)
    assert propagate.accept_all.text() == "Accept in 4 slices"  # this one, too
    window.key(Key.Key_C)
    window.wait(lambda: propagate.accept_all.text() == "Accept in 3 slices")
    window.key(Key.Key_N)
    window.wait(lambda: window.session.source.slice_index == (1,))
    assert window.session.is_answered
    shown = np.asarray(window.layer(layers.PROPOSAL).data) > 0
    assert iou(shown, truth(1)) > 0.75
    window.wait_ready()
    window.key(Key.Key_C)
    assert window.shown_objects() == {1}
    assert propagate.accept_all.text() == "Accept in 2 slices"
    window.key(Key.Key_X, Modifier.ShiftModifier)
    window.wait(lambda: not propagate.accept_all.isVisible())
    window.wait(lambda: [n for _, n in numbers(window.session)] == [1] * 4)
    window.key(Key.Key_N)
    window.wait(lambda: window.shown_objects() == {1})
    rough = window.session.objects.find(1)
    assert rough is not None
    assert isinstance(rough.prompts.rough, RoughMask)
    window.key(Key.Key_Z, Modifier.ControlModifier)
    window.wait(lambda: window.shown_objects() == set())
    assert window.session.is_answered
    # backwards, from an accepted object
    window.press(propagate.discard)
    window.viewer.dims.set_current_step(0, 1)
    window.wait(lambda: window.shown_objects() == {1})
    window.point_at(ROW + 2, COLUMN + 3)
    window.key(Key.Key_Z)
    window.wait(lambda: not window.session.propagation.is_running)
    assert [
        one.slice_index for one, _ in window.session.propagation.waiting.pending
    ] == [(0,)]


def test_a_question_is_asked_for_all_slices_at_once(
    open_window: Callable[..., Window],
) -> None:
    window = open_window(("stack", stack()))
    propagation = window.session.propagation

    def click_in(z: int) -> None:
        window.viewer.dims.set_current_step(0, z)
        window.wait(lambda: window.session.source.slice_index == (z,))
        window.wait_ready()
        window.click(ROW + 2 * z, COLUMN + 3 * z)
        window.wait_answer()

    for z in (1, 2):
        click_in(z)
        window.key(Key.Key_C)
    click_in(0)
    objects = window.panel.annotate.objects
    objects.overlap.setCurrentIndex(3)
    objects.overlap.activated.emit(3)
    window.key(Key.Key_X)
    window.wait(lambda: not propagation.is_running)
    n_found = len(propagation.waiting.pending)
    assert n_found == N_SEEN
    asked: list[str] = []

    def answer(title: str) -> None:
        """Press a button of the question as soon as it is there."""
        timer = QTimer(window.panel)

        def look() -> None:
            for question in window.panel.findChildren(OverlapQuestion):
                if question.isVisible():
                    timer.stop()
                    asked.append(question.text())
                    (wanted,) = [b for b in question.buttons() if b.text() == title]
                    window.press(wanted)

        timer.timeout.connect(look)
        timer.start(50)

    answer("Cancel")
    window.press(window.panel.annotate.propagate.accept_all)
    window.wait(lambda: "Nothing was accepted" in window.panel.status.text())
    assert len(numbers(window.session)) == 2
    window.wait(lambda: len(propagation.waiting.pending) == N_SEEN)
    answer("New object takes them")
    window.key(Key.Key_X, Modifier.ShiftModifier)
    window.wait(lambda: len(numbers(window.session)) == N_SEEN)
    assert [question.split(", with")[0] for question in asked] == [
        "In 2 of 4 slices the new object lies on object 1"
    ] * 2
    assert not propagation.waiting.pending
    window.key(Key.Key_Z, Modifier.ControlModifier)
    window.wait(lambda: len(numbers(window.session)) == 2)


def test_of_two_sliders_it_is_the_last_one_or_the_one_that_was_moved(
    open_window: Callable[..., Window],
) -> None:
    window = open_window(("stacks", np.stack([stack(), stack()])))
    dims, propagation = window.viewer.dims, window.session.propagation
    dims.set_current_step((0, 1), (0, 0))
    window.wait(lambda: window.session.source.slice_index == (0, 0))
    window.wait_ready()
    window.click(ROW, COLUMN)
    window.wait_answer()
    window.key(Key.Key_X)
    window.wait(lambda: not propagation.is_running)
    found = [one.slice_index for one, _ in propagation.waiting.pending]
    assert found == [(0, z) for z in range(N_SEEN)]

    window.press(window.panel.annotate.propagate.discard)
    dims.set_current_step(0, 1)
    window.wait(lambda: window.session.source.slice_index == (1, 0))
    window.wait_ready()
    window.click(ROW, COLUMN)
    window.wait_answer()
    window.key(Key.Key_Z)
    window.wait(lambda: not propagation.is_running)
    found = [one.slice_index for one, _ in propagation.waiting.pending]
    assert found == [(1, 0), (0, 0)]
