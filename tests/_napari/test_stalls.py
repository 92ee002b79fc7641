"""Nothing that a person does holds the window's thread up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_infosam._napari import commands
from napari_infosam.project import Project

from .turns import TurnWatch
from .window import Modifier, Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

OpenWindow = Callable[..., Window]
Key = Qt.Key

pytestmark = pytest.mark.skipif(
    not hasattr(time, "pthread_getcpuclockid"), reason="no clock for single threads"
)
LONGEST = 0.05
"""Seconds."""


@pytest.fixture
def watch() -> Iterator[TurnWatch]:
    made = TurnWatch()
    yield made
    made.close()


class Person:
    """Does one thing after the other, and waits until the window is at rest."""

    def __init__(self, window: Window, watch: TurnWatch) -> None:
        self._window = window
        self._watch = watch

    def does(self, what: str, act: Callable[[], object]) -> None:
        with self._watch.doing(what, self._rest):
            act()

    def _rest(self) -> None:
        session = self._window.session
        if session.prompts:
            self._window.wait_answer()
        until = time.monotonic() + 0.15
        self._window.wait(lambda: time.monotonic() > until)


def many_objects(folder: Path, pixels: NDArray[np.uint8]) -> None:
    """Make the project of a 1000 x 1000 picture that has 5,000 objects."""
    with Project.create(folder) as project:
        image = project.add_image(pixels, "many")
        rows, columns = np.mgrid[0:1000, 0:1000]
        labels = (rows // 14) * 71 + columns // 14 + 1
        labels[(rows % 14 > 9) | (columns % 14 > 9) | (rows >= 994)] = 0
        labels[(columns >= 994) | (labels > 5000)] = 0
        places = np.argwhere(labels)
        project.edits.paint(image.id, places, labels[tuple(places.T)])
        assert project.n_objects() == 5000


def test_five_thousand_objects_do_not_hold_the_window_up(
    open_window: OpenWindow, projects: Path, watch: TurnWatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (1000, 1000), np.uint8)
    projects.mkdir()
    many_objects(projects / "many.infosam", pixels)
    window = open_window(("many", pixels))
    window.wait(lambda: window.session.objects_here() == 5000)
    window.wait_ready()
    session, objects = window.session, window.panel.annotate.objects
    control, shift = Modifier.ControlModifier, Modifier.ShiftModifier
    person = Person(window, watch)
    person.does("warming up", lambda: window.click(500, 500))
    person.does("warming up", lambda: window.key(Key.Key_Escape))
    watch.longest.clear()
    person.does("list", lambda: setattr(objects.section, "is_open", True))
    person.does("click", lambda: window.click(300, 300))
    person.does("click again", lambda: window.click(320, 300))
    person.does("accept", lambda: window.key(Key.Key_C))
    person.does("undo", lambda: window.key(Key.Key_Z, control))
    person.does("redo", lambda: window.key(Key.Key_Z, control | shift))
    window.point_at(500, 500)
    person.does("choose", lambda: window.key(Key.Key_A))
    person.does("delete", lambda: window.key(Key.Key_D))
    person.does("relabel", lambda: window.key(Key.Key_R))
    person.does("class colours", lambda: window.key(Key.Key_Q))
    person.does("own colours", lambda: window.key(Key.Key_Q))
    person.does("choose 400", lambda: session.objects.choose(range(1, 401)))
    person.does("delete 400", commands.delete)
    person.does("undo delete", lambda: window.key(Key.Key_Z, control))
    person.does("choose 400", lambda: session.objects.choose(range(1, 401)))
    person.does("merge 400", commands.merge)
    person.does("undo merge", lambda: window.key(Key.Key_Z, control))
    person.does("choose all", lambda: session.objects.choose(range(1, 5001)))
    person.does("delete all", commands.delete)
    person.does("undo all", lambda: window.key(Key.Key_Z, control))
    long = {k: round(v * 1000) for k, v in watch.longest.items()}
    print(long)
    assert max(watch.longest.values()) < LONGEST, long
