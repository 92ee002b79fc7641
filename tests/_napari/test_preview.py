"""Previews: the newest place only, never in the way of a click, gone when they must."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QApplication

from napari_infosam._napari import layers, preview
from napari_infosam._napari.outlines import dashes
from napari_infosam._napari.preferences import Preferences
from napari_infosam._napari.preview import Preview
from napari_infosam.core.placed import Place, PlacedMask
from napari_infosam.core.prompts import Point, PromptSet

from .helpers import DISCS, AtOnce, disc, picture
from .window import Window

if TYPE_CHECKING:
    from napari_infosam._napari.session import Session

OpenWindow = Callable[..., Window]
Key = Qt.Key


@pytest.fixture(autouse=True)
def _as_installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Return to the usual preferences; the machine that tests may be a busy one."""
    monkeypatch.setattr(preview, "SLOW_SECONDS", 60.0)
    yield
    Preferences().restore()


def at(number: int) -> Point:
    row, column = DISCS[number]
    return Point(column, row)


@pytest.fixture
def asked(session: Session, monkeypatch: pytest.MonkeyPatch) -> list[PromptSet]:
    """Return what the model is asked, as it goes on."""
    predictor = session.engine.predictor
    assert predictor is not None
    real, found = predictor.answer, []

    def answer(prompts: PromptSet, *args: object) -> object:
        found.append(prompts)
        return real(prompts, *args)

    monkeypatch.setattr(predictor, "answer", answer)
    return found


def test_of_many_places_the_newest_is_previewed(
    session: Session, executor: AtOnce, asked: list[PromptSet]
) -> None:
    shown = Preview(session, executor)
    executor.holds = True
    for number in (0, 1, 2):
        shown.want(PromptSet((at(number),)))
    assert len(executor.waiting) == 1
    executor.release()
    assert asked == [PromptSet((at(2),))]
    assert shown.dashes is not None
    assert not session.prompts
    shown.want(None)
    assert shown.dashes is None


def test_a_click_is_answered_by_its_preview(
    session: Session, executor: AtOnce, asked: list[PromptSet]
) -> None:
    shown = Preview(session, executor)
    shown.want(session.prompts.add(at(0)))
    session.add_prompt(at(0))
    assert session.is_answered
    shown.want(session.prompts.add(Point(at(0).x, 100.0, False)))
    session.add_prompt(Point(at(0).x, 100.0, False))
    assert session.is_answered
    assert len(asked) == 2
    executor.holds = True
    session.add_prompt(at(1))
    shown.want(session.prompts.add(at(2)))  # not while a click waits
    assert len(executor.waiting) == 1


def test_slow_previews_come_to_rest(
    session: Session, executor: AtOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Preview(session, executor)
    monkeypatch.setattr(preview, "SLOW_SECONDS", 0.0)
    shown.want(PromptSet((at(0),)))
    assert shown.dashes is None
    executor.holds = True
    shown.want(PromptSet((at(1),)))
    assert not executor.waiting


def test_dashes_lie_on_the_edge() -> None:
    found = dashes(disc(0), 4.0)
    places = found[:, 0] + found[:, 1] / 2
    distance = np.hypot(*(places - DISCS[0]).T)
    assert np.abs(distance - 18).max() < 1
    assert len(found) % 2 == 0
    assert np.hypot(*found[:, 1].T).mean() == pytest.approx(4, abs=0.5)
    crop = PlacedMask(np.ones((3, 4), bool), Place(100, 200, (1000, 1000)))
    np.testing.assert_allclose(dashes(crop, 1.0)[:, 0].mean(axis=0), (101, 201.5))
    assert not len(dashes(np.zeros((5, 5), bool), 1.0))


def test_the_pointer_previews_what_a_click_gives(window: Window) -> None:
    window.point_at(*DISCS[0])
    window.wait(window.n_dashes)
    found = window.layer(layers.PREVIEW).data[:, 0]
    assert np.abs(found.mean(axis=0) - DISCS[0]).max() < 4
    assert window.proposal_area() == 0
    window.click(*DISCS[0])
    window.wait_answer()
    window.wait(lambda: window.n_dashes() == 0)
    window.point_at(DISCS[1][0], DISCS[1][1])  # what both points give
    window.wait(window.n_dashes)
    window.qtbot.wait(50)
    window.key(Key.Key_Escape)

    window.point_at(*DISCS[2])
    window.wait(window.n_dashes)
    window.viewer.mouse_over_canvas = True  # as napari does where the pointer enters
    QApplication.sendEvent(window.canvas, QEvent(QEvent.Type.Leave))
    window.wait(lambda: window.n_dashes() == 0)
    window.qtbot.wait(100)
    window.point_at(*DISCS[2])
    window.wait(window.n_dashes)
    window.point_at(2, -20)  # beside the image
    window.wait(lambda: window.n_dashes() == 0)
    window.point_at(*DISCS[2])
    window.wait(window.n_dashes)
    window.viewer.layers.remove("discs")
    window.wait(lambda: layers.PREVIEW not in window.viewer.layers)


def test_a_box_is_previewed_while_it_is_drawn(window: Window) -> None:
    window.key(Key.Key_B)
    row, column = DISCS[1]
    window.drag_on((row - 20, column - 20), (row + 20, column + 20))
    window.wait(window.n_dashes)
    assert not window.session.prompts
    window.release_at(row + 20, column + 20)
    assert window.session.prompts.box is not None
    window.wait(lambda: window.n_dashes() == 0)


def test_h_ends_previews_for_good(open_window: OpenWindow) -> None:
    window = open_window(("discs", picture()))
    window.wait_ready()
    window.point_at(*DISCS[0])
    window.wait(window.n_dashes)
    window.key(Key.Key_P)  # a brush is in hand
    window.wait(lambda: window.n_dashes() == 0)
    window.key(Key.Key_S)
    window.point_at(*DISCS[1])
    window.wait(window.n_dashes)
    window.key(Key.Key_H)
    assert layers.PREVIEW not in window.viewer.layers
    window.point_at(*DISCS[2])
    window.panel.close_down()
    again = open_window(("discs", picture()))
    assert not again.panel.link.preview.is_on
