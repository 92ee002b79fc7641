from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Any

from napari_infosam._napari import layers
from napari_infosam.models.predictor import Predictor

from .helpers import DISCS

if TYPE_CHECKING:
    import pytest

    from .window import Window


def test_a_click_comes_into_sight_with_its_mask(window: Window) -> None:
    points, seen = window.layer(layers.POINTS), []
    proposal = window.layer(layers.PROPOSAL)
    points.events.data.connect(lambda: seen.append(window.session.is_answered))
    together = window.panel.link.together
    together.patience_ms = 60_000
    window.click(*DISCS[0])
    assert window.n_points == 1
    assert proposal.data.any()
    assert seen
    assert all(seen)


def test_a_click_is_seen_before_a_mask_that_takes_long(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, answer = Event(), Predictor.answer

    def slow(*args: Any) -> Any:
        go_on.wait(60)
        return answer(*args)

    monkeypatch.setattr(Predictor, "answer", slow)
    window.click(*DISCS[0])
    try:
        assert window.n_points == 1
        assert not window.session.is_answered
        assert "being computed" in window.panel.status.text()
    finally:
        go_on.set()
    window.wait_answer()
    assert "expects IoU" in window.panel.status.text()
