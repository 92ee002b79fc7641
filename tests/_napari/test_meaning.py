from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt

from napari_infosam._napari import layers
from napari_infosam.core.prompts import Point

from .helpers import DISCS, AtOnce
from .window import Modifier, Window

if TYPE_CHECKING:
    from napari_infosam._napari.session import Session

Key = Qt.Key


def click(session: Session, number: int = 0, shift: int = 0) -> None:
    row, column = DISCS[number]
    session.add_prompt(Point(column + shift, row))


def test_the_meanings_differ_in_size_and_are_recorded(session: Session) -> None:
    click(session)
    areas, scores = [], []
    for choice in (0, 1, 2):
        session.choose_meaning(choice)
        answer = session.work.answer
        assert answer is not None
        assert answer.prediction.choice == session.work.meaning == choice
        assert session.prompts.choice in (None, choice)
        areas.append(int(answer.prediction.mask.sum()))
        scores.append(answer.prediction.score)
    assert areas == sorted(areas)
    assert areas[0] < areas[2]
    assert answer.prediction.choices == tuple(scores)
    record = session.accept()
    assert record is not None
    assert record.prompts.choice == 2
    assert record.area == areas[2]
    assert record.proposal_ious == (1.0,)


def test_a_later_click_goes_on_from_the_chosen_mask(
    session: Session, executor: AtOnce
) -> None:
    click(session)
    assert session.work.meaning != 2
    session.choose_meaning(2)
    chosen = session.work.answer
    executor.holds = True
    click(session, shift=6)
    assert session.work.previous_answer() is chosen
    executor.release()
    assert session.is_answered
    assert session.prompts.choice == 2
    # too late now, and nothing changes
    before = session.prompts
    session.choose_meaning(1)
    assert session.prompts == before


def test_e_takes_the_meanings_in_turn_and_the_buttons_show_it(window: Window) -> None:
    buttons = window.panel.annotate.meaning.buttons
    assert not any(button.isEnabled() for button in buttons)
    assert "first" in buttons[0].toolTip()
    window.click(*DISCS[0])
    window.wait_answer()
    began = window.session.work.meaning
    assert began is not None
    assert [button.isChecked() for button in buttons].index(True) == began
    assert all(float(button.shown_text().split()[1]) > 0 for button in buttons)
    seen = []
    for _ in range(3):
        window.key(Key.Key_E)
        window.wait_answer()
        seen.append(window.session.work.meaning)
    assert seen == [(began + step) % 3 for step in (1, 2, 3)]

    window.press(buttons[2])
    window.wait_answer()
    assert [button.isChecked() for button in buttons] == [False, False, True]
    answer = window.session.work.answer
    assert answer is not None
    shown = np.asarray(window.layer(layers.PROPOSAL).data) > 0
    np.testing.assert_array_equal(shown, answer.prediction.mask)
    window.key(Key.Key_Z, Modifier.ControlModifier)
    assert window.session.work.meaning == began
    window.click(DISCS[0][0], DISCS[0][1] + 6)
    window.wait_answer()
    assert not any(button.isEnabled() for button in buttons)
    assert "undo" in buttons[0].toolTip()
