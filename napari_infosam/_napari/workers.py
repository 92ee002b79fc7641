"""Seconds of work off the window's thread.

Minutes of work are the training process's. napari waits without limit for its own
``thread_worker`` threads when it quits; for this thread it need not wait.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

from qtpy.QtCore import QObject, Signal, Slot

logger = logging.getLogger(__name__)

_LINGER_SECONDS = 60.0
"""More than the largest model takes for an image on a CPU."""

T = TypeVar("T")
Callback = Callable[[], None]


class ThreadExecutor(QObject):
    """One background thread; results come back through the event loop of Qt.

    Tasks run one after the other. The window closes without waiting for a task, and
    what a task gives back after `close` is dropped. The process lingers until the
    task is over: Python aborts when it is torn down below a running torch operator.
    """

    _ready = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._tasks: SimpleQueue[Callback | None] = SimpleQueue()
        self._closed = threading.Event()
        self._ready.connect(self._call)
        thread = threading.Thread(target=self._run, name="InfoSAM", daemon=True)
        thread.start()
        atexit.register(_finish, self._tasks, self._closed, thread)

    def submit(
        self,
        work: Callable[[], T],
        done: Callable[[T], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Queue ``work``; then call ``done`` or ``failed`` in the window's thread."""

        def task() -> None:
            try:
                result = work()
            except Exception as error:
                caught = error
                self.post(lambda: failed(caught))
            else:
                self.post(lambda: done(result))

        if not self._closed.is_set():
            self._tasks.put(task)

    def post(self, callback: Callback) -> None:
        """Call back in the window's thread; runs on any thread."""
        if not self._closed.is_set():
            self._ready.emit(callback)

    def close(self) -> None:
        """Take no more work and hand nothing back any more."""
        self._closed.set()
        self._tasks.put(None)

    def _run(self) -> None:
        """Work through the tasks; runs on the thread, must not touch widgets."""
        while (task := self._tasks.get()) is not None:
            if self._closed.is_set():
                break
            try:
                task()
            except RuntimeError:
                # the window, and this object's C++ half with it, is gone already
                logger.debug("A result came after the window had closed")
            del task

    @Slot(object)
    def _call(self, callback: Callback) -> None:
        if not self._closed.is_set():
            callback()


def _finish(
    tasks: SimpleQueue[Callback | None],
    closed: threading.Event,
    thread: threading.Thread,
) -> None:
    closed.set()
    tasks.put(None)
    thread.join(_LINGER_SECONDS)
