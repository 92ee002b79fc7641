"""A key that is held down, as opposed to one that is pressed many times a second."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, QTimer

REPEAT_MS = 80
"""A release that is followed by a press within this time was none."""


class HeldKey(QObject):
    """Hands on that a key goes down, and later, once, that it has come up.

    A system that repeats a held key says release and press again and again. Qt marks
    these as repeats, but not all of them where the window is busy.

    Parameters
    ----------
    hold
        Called with True and False.
    parent
        Qt parent.
    """

    def __init__(self, hold: Callable[[bool], None], parent: QObject) -> None:
        super().__init__(parent)
        self._hold = hold
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REPEAT_MS)
        self._timer.timeout.connect(lambda: self._hold(False))

    def __call__(self, pressed: bool) -> None:
        """Take in a press or a release, real or repeated."""
        if not pressed:
            self._timer.start()
        elif self._timer.isActive():
            self._timer.stop()
        else:
            self._hold(True)
