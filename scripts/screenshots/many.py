"""Chapter: many objects at once, and tiles of a huge picture."""

from __future__ import annotations

from pathlib import Path

from scripts.screenshots.person import SHIFT, Key, Person, window
from scripts.screenshots.photographs import COINS, coins, glands, sky
from tests._napari.window import Button

_CANVAS = (470, 400)
_HALF = 27
_TIMES = 8
_GALAXY = (3017, 3123)
_UNWANTED = (COINS[6], (126, 44), (126, 155))
"""Coins that are not to be annotated."""


def take(folder: Path, _home: Path) -> None:
    """Take the pictures."""
    with window(folder, ("coins", coins()), size=_CANVAS) as one:
        many, proposals = one.panel.annotate.many, one.panel.proposals
        one.wait_ready()
        one.key(Key.Key_B, SHIFT)
        for row, column in COINS[:4]:
            one.drag((row - _HALF, column - _HALF), (row + _HALF, column + _HALF))
        one.wait(lambda: len(proposals.offered) == 4)
        one.shoot("boxes", many)
        one.key(Key.Key_C)
        one.wait(lambda: len(one.shown_objects()) == 4)
        one.key(Key.Key_S)

        one.key(Key.Key_G)
        one.wait(lambda: proposals.progress is None and proposals.offered)
        for row, column in COINS[4:6]:
            one.point_at(row, column)
            one.key(Key.Key_Y)
        one.shoot("propose", many)
        _reject(one)
        one.shoot("reject", many)

    _take_above(folder)
    huge = list(sky(_TIMES))
    with window(
        folder, ("deep field", huge), size=_CANVAS, rgb=True, multiscale=True
    ) as one:
        one.zoom_to(*_GALAXY, 2.0)
        one.wait_ready()
        one.click_and_wait(*_GALAXY)
        one.shoot("huge", one.panel.annotate)


def _take_above(folder: Path) -> None:
    """Offer the surer half of what is proposed."""
    tissue = ("colonic glands", glands())
    with window(folder, tissue, size=_CANVAS, rgb=True) as one:
        many, proposals = one.panel.annotate.many, one.panel.proposals
        one.wait_ready()
        one.key(Key.Key_G)
        one.wait(lambda: proposals.progress is None and proposals.offered)
        n_half = len(proposals.offered) // 2
        while len(proposals.offered) > n_half and proposals.min_score < 1:
            one.key(Key.Key_Right, at=many.score)
        one.shoot("above", many)


def _reject(one: Person) -> None:
    """Reject proposals: one by its key, the others by the mouse."""
    offered = one.panel.proposals.offered
    n_left = len(offered) - len(_UNWANTED)
    one.point_at(*_UNWANTED[0])
    one.key(Key.Key_I)
    for row, column in _UNWANTED[1:]:
        one.click(row, column, Button.RightButton)
    one.wait(lambda: len(one.panel.proposals.offered) == n_left)
