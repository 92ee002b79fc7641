"""Watches how long the window's thread works before it looks at its events again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt, Signal, Slot

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

_PAUSE_SECONDS = 0.002
_QUIET_SECONDS = 0.0053
"""What `slowness` adds up takes on a core that does nothing else."""


def slowness() -> float:
    """Return how much longer than on such a core things take now: others use the same.

    On a shared host that changes from one second to the next, by a factor of two.
    """
    spent = []
    for _ in range(3):
        start = time.thread_time()
        sum(range(500_000))
        spent.append(time.thread_time() - start)
    return max(1.0, sorted(spent)[1] / _QUIET_SECONDS)


class TurnWatch(QObject):
    """Sends itself one event after the other, and measures what lies between two.

    It counts the processor time that the window's thread took meanwhile, and not the
    time that passed: other programs take their part of the machine. Turns that are
    shorter than the pause between two events count as one.

    Attributes
    ----------
    longest
        Seconds of the longest turn of the event loop by what was being done then.
    undrawn
        The same without what the canvas took to draw itself: without a graphics card
        that is done in this thread.
    """

    _beat = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.longest: dict[str, float] = {}
        self.undrawn: dict[str, float] = {}
        self._drawing = 0.0
        self._restore: Callable[[], object] = bool
        self._doing, self._last = "", time.thread_time()
        self._arrived, self._over = threading.Event(), threading.Event()
        self._arrived.set()
        self._beat.connect(self._on_beat, Qt.ConnectionType.QueuedConnection)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._restore()
        self._over.set()
        self._thread.join()
        self._beat.disconnect(self._on_beat)

    def time_drawing(self, canvas: QWidget) -> None:
        """Take the time in which canvases of this kind, vispy's, are drawn."""
        kind, paint = type(canvas), type(canvas).paintGL

        def timed(canvas: QWidget) -> None:
            start = time.thread_time()
            paint(canvas)
            self._drawing += time.thread_time() - start

        kind.paintGL = timed
        self._restore = lambda: setattr(kind, "paintGL", paint)

    def clear(self) -> None:
        """Forget all turns."""
        self.longest.clear()
        self.undrawn.clear()

    @contextmanager
    def doing(self, what: str, settle: Callable[[], None]) -> Iterator[None]:
        """Put the turns of a block, and those until it has settled, down to it."""
        self._doing, self._last, self._drawing = what, time.thread_time(), 0.0
        for known in (self.longest, self.undrawn):
            known.setdefault(what, 0.0)
        yield
        settle()
        self._count()
        self._doing = ""

    def _run(self) -> None:
        """Send the next event when the last one has arrived; runs on a thread."""
        while not self._over.wait(_PAUSE_SECONDS):
            if self._arrived.is_set():
                self._arrived.clear()
                self._beat.emit()

    @Slot()
    def _on_beat(self) -> None:
        self._count()
        self._arrived.set()

    def _count(self) -> None:
        """Note how long it took since the last time."""
        now = time.thread_time()
        seconds, self._last = now - self._last, now
        undrawn, self._drawing = seconds - self._drawing, 0.0
        if self._doing:
            self.longest[self._doing] = max(self.longest[self._doing], seconds)
            self.undrawn[self._doing] = max(self.undrawn[self._doing], undrawn)
