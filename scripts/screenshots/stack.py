"""Chapter: an object is followed through a stack."""

from __future__ import annotations

from pathlib import Path

from scripts.screenshots.person import SHIFT, Key, window
from scripts.screenshots.photographs import passing_coins

_CANVAS = (470, 360)
_COIN = (55, 154)


def take(folder: Path, _home: Path) -> None:
    """Take the pictures."""
    with window(folder, ("passing coins", passing_coins()), size=_CANVAS) as one:
        propagate = one.panel.annotate.propagate
        following = one.session.propagation
        one.go_to_slice(0)
        one.click_and_wait(*_COIN)
        one.key(Key.Key_X)
        one.wait(lambda: following.n_done > 2 or not following.is_running)
        one.shoot("following", one.panel.annotate.mode)
        one.wait(lambda: not following.is_running)
        one.key(Key.Key_C)
        one.go_to_slice(4)
        one.shoot("followed", one.panel.annotate.mode)
        one.key(Key.Key_X, SHIFT)
        one.wait(lambda: not propagate.accept_all.isVisible())
