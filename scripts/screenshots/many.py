"""Chapter: many objects at once, and tiles of a huge picture."""

from __future__ import annotations

from pathlib import Path

from scripts.screenshots.person import SHIFT, Key, window
from scripts.screenshots.photographs import COINS, coins, sky

_CANVAS = (470, 400)
_HALF = 27
_TIMES = 8
_GALAXY = (3017, 3123)


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
        one.point_at(*COINS[6])
        one.key(Key.Key_I)
        one.wait_still()
        one.shoot("propose", many)

    huge = list(sky(_TIMES))
    with window(
        folder, ("deep field", huge), size=_CANVAS, rgb=True, multiscale=True
    ) as one:
        one.zoom_to(*_GALAXY, 2.0)
        one.wait_ready()
        one.click_and_wait(*_GALAXY)
        one.shoot("huge", one.panel.annotate)
