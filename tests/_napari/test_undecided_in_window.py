"""Boxes and proposals that are not decided about outlast the window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_infosam.core.errors import InfosamError

from .helpers import DISCS, disc, picture
from .window import Button, Modifier, Window, reopen

OpenWindow = Callable[..., Window]
Key = Qt.Key


@pytest.fixture
def listed(
    open_window: OpenWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Window:
    """Return a window at a stack of two slices, which a single picture follows."""
    folder = tmp_path / "kept"
    folder.mkdir()
    np.save(folder / "a.npy", np.stack([picture(200), picture(190)]))
    np.save(folder / "b.npy", picture(180))
    window = open_window()
    window.add_folder(folder, monkeypatch)
    wait_for(window, "a.npy", 0)
    return window


def wait_for(window: Window, layer: str, *slice_index: int) -> None:
    """Go to a slice of an image that is being opened, and wait for the model."""
    session = window.session
    window.wait(lambda: session.source is not None and session.source.layer == layer)
    for place in slice_index:
        window.viewer.dims.set_current_step(0, place)
    window.wait(lambda: session.source.slice_index == slice_index)
    window.wait_ready()


def n_noted(window: Window) -> list[int]:
    """Return how many notes each image of the list has on disk."""
    project = window.session.desk.project
    assert project is not None
    return [len(project.listing.undecided(row)) for row in window.panel.images.rows]


def test_what_is_left_of_proposals_is_there_after_the_window_was_closed(
    listed: Window, open_window: OpenWindow
) -> None:
    window, proposals = listed, listed.panel.proposals
    proposals.points_per_side = 6
    window.viewer.fit_to_view()
    window.key(Key.Key_G)
    window.wait(lambda: len(proposals.offered) == 3)
    window.wait(lambda: n_noted(window) == [3, 0])
    offers = {n: proposals.offered[proposals.number_at(*DISCS[n])] for n in range(3)}
    window.click(*DISCS[0], Button.RightButton)
    window.click(*DISCS[1])
    assert len(window.shown_objects()) == 1
    assert n_noted(window) == [3, 0]  # what was decided just now goes with the window

    again = reopen(window, open_window)
    wait_for(again, "a.npy", 0)
    proposals = again.panel.proposals
    again.wait(lambda: proposals.offered)
    (offer,) = proposals.offered.values()
    np.testing.assert_array_equal(offer.small.mask(), offers[2].small.mask())
    assert offer.small.score == offers[2].small.score
    assert offer.version == "base"
    assert not proposals.number_at(*DISCS[0])
    assert n_noted(again) == [1, 0]
    again.click(*DISCS[2])
    assert len(again.shown_objects()) == 2
    assert proposals.is_empty
    again.wait(lambda: n_noted(again) == [0, 0])
    # what the last undo brings back is kept as well
    again.key(Key.Key_Z, Modifier.ControlModifier)
    again.wait(lambda: n_noted(again) == [1, 0])


def test_boxes_and_proposals_of_all_slices_survive_a_kill(
    listed: Window, open_window: OpenWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash: what was noted in the background is all there is."""
    window, proposals = listed, listed.panel.proposals
    window.key(Key.Key_B, Modifier.ShiftModifier)
    for row, column in DISCS[:2]:
        window.drag((row - 19, column - 19), (row + 19, column + 19))
    window.wait(lambda: len(proposals.offered) == 2)
    wait_for(window, "a.npy", 1)
    assert proposals.is_empty
    row, column = DISCS[2]
    window.drag((row - 19, column - 19), (row + 19, column + 19))
    window.wait(lambda: len(proposals.offered) == 1)
    window.key(Key.Key_PageDown)
    wait_for(window, "b.npy")
    window.drag((row - 19, column - 19), (row + 19, column + 19))
    window.wait(lambda: len(proposals.offered) == 1)
    window.wait(lambda: n_noted(window) == [3, 1])
    assert [row.state for row in window.panel.images.rows.values()] == ["in work"] * 2
    project = window.session.desk.project
    assert project is not None
    first, second = window.panel.images.rows
    notes = project.listing.undecided(first)
    (value, *_) = notes.values()
    assert value is not None
    # one of a slice that is not there, and a box that nobody has answered
    waiting = {"slice": [1], "box": [101, 21, 139, 59]}
    project.listing.begin({}, {first: {98: {**value, "slice": [9]}, 99: waiting}})
    monkeypatch.setattr(project.listing, "begin", lambda *_: None)  # killed

    again = reopen(window, open_window)
    wait_for(again, "b.npy")
    proposals = again.panel.proposals
    again.wait(lambda: len(proposals.offered) == 1)
    assert len(proposals.boxes) == 1
    assert [row.state for row in again.panel.images.rows.values()] == ["in work"] * 2
    again.key(Key.Key_PageUp)
    again.wait(lambda: "1 proposal of a.npy" in again.panel.status.text())
    wait_for(again, "a.npy", 0)
    again.wait(lambda: len(proposals.offered) == 2)
    again.key(Key.Key_C)
    shown = np.asarray(again.layer("InfoSAM objects").data)
    shown = shown[0] if shown.ndim == 3 else shown
    assert (shown[disc(0) | disc(1)] > 0).mean() > 0.9
    wait_for(again, "a.npy", 1)
    again.wait(lambda: len(proposals.offered) == 2)  # the one is answered now
    again.wait(lambda: n_noted(again) == [2, 1])
    again.key(Key.Key_Escape)
    again.wait(lambda: n_noted(again) == [0, 1])
    again.panel.images.go(second)
    wait_for(again, "b.npy")
    again.key(Key.Key_Escape)
    again.wait(lambda: n_noted(again) == [0, 0])
    states = [row.state for row in again.panel.images.rows.values()]
    assert states == ["in work", "new"]  # for what was accepted


def test_a_failing_disk_and_a_busy_thread_lose_nothing(
    listed: Window, open_window: OpenWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    window, proposals = listed, listed.panel.proposals
    project = window.session.desk.project
    assert project is not None

    def drag(number: int) -> None:
        row, column = DISCS[number]
        window.drag((row - 19, column - 19), (row + 19, column + 19))
        window.wait(lambda: len(proposals.offered) == number + 1)

    def fail(*_: object) -> None:
        raise InfosamError("The disk is full.")

    window.key(Key.Key_B, Modifier.ShiftModifier)
    with monkeypatch.context() as patch:
        patch.setattr(project.listing, "begin", fail)
        drag(0)
        window.wait(lambda: "disk is full" in window.panel.status.text())
    assert n_noted(window) == [0, 0]
    drag(1)
    window.wait(lambda: n_noted(window) == [2, 0])

    # what is on its way when the window closes is written by the window
    notes = window.panel._lists[2]
    is_free = Event()
    notes._executor.submit(lambda: is_free.wait(60), lambda _: None, lambda _: None)
    drag(2)
    window.wait(lambda: notes._on_the_way)
    again = reopen(window, open_window)
    is_free.set()
    wait_for(again, "a.npy", 0)
    again.wait(lambda: len(again.panel.proposals.offered) == 3)
    assert n_noted(again) == [3, 0]
