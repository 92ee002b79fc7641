"""Reads and embeds the next image of the list ahead, while nobody waits."""

from __future__ import annotations

import logging
import os
import sys
import threading
from threading import Event
from typing import TYPE_CHECKING

from napari_infosam._napari.listed_pixels import Pixels, read_listed, shown_of

if TYPE_CHECKING:
    from napari_infosam._napari.engine import Executor
    from napari_infosam._napari.image_list import ImageList
    from napari_infosam._napari.session import Session

logger = logging.getLogger(__name__)

_NICE = 10
"""Niceness of the thread: a tenth of a core where others want it, all of it if not."""


class Prefetch:
    """Has one image ready: the one after that which is annotated.

    It begins when the image that is annotated is embedded itself and no answer is
    being waited for, on a thread of its own, with one core and a low priority.
    The embedding goes to the cache in which a click looks for it.

    Parameters
    ----------
    session, images
        Whose model answers, and what comes next.
    executor
        A thread for this alone.
    """

    def __init__(self, session: Session, images: ImageList, executor: Executor) -> None:
        self._session = session
        self._images = images
        self._executor = executor
        self._stop = Event()
        self._target: tuple[int, object] | None = None
        self._ready: tuple[int, Pixels] | None = None
        session.engine.changed.connect(self._go_on)
        session.prompts_changed.connect(self._go_on)
        images.current_changed.connect(self._go_on)
        images.reset.connect(self._go_on)

    def close(self) -> None:
        """Stop."""
        self._stop.set()
        self._executor.close()
        self._session.engine.changed.disconnect(self._go_on)
        self._session.prompts_changed.disconnect(self._go_on)
        self._images.current_changed.disconnect(self._go_on)
        self._images.reset.disconnect(self._go_on)

    def take(self, listed_id: int) -> Pixels | None:
        """Return the pixels of an image if they were read, and forget them."""
        ready, self._ready = self._ready, None
        self._stop.set()  # the person goes there, or elsewhere: either way it is over
        return ready[1] if ready is not None and ready[0] == listed_id else None

    @property
    def ready(self) -> int | None:
        """The image whose pixels lie ready, or None."""
        return None if self._ready is None else self._ready[0]

    def _go_on(self) -> None:
        session, project = self._session, self._images.project
        current, engine = self._images.current, session.engine
        waiting = session.prompts and not session.is_answered
        if project is None or current is None or not engine.is_ready or waiting:
            return
        following = self._images.neighbour(1, current)
        pair = engine.beside()
        if pair is None or following is None:
            return
        target = (following, engine.model)
        if self._target == target and not self._stop.is_set():
            return
        self._stop.set()
        stop = self._stop = Event()
        self._target = target
        row, predictor = self._images.rows[following], pair[1]

        def work() -> None:
            give_way()
            if stop.is_set():
                return
            pixels = read_listed(row, project, cancelled=stop.is_set)
            self._executor.post(lambda: keep(pixels))
            shown = shown_of(pixels, project.channels.get(row.path or ""))
            if shown is not None and not stop.is_set():
                predictor.embed(*shown)

        def keep(pixels: Pixels) -> None:
            if not stop.is_set():
                self._ready = (following, pixels)

        def failed(error: Exception) -> None:
            # it is said when the person goes there
            logger.info("%s was not read ahead: %s", row.name, error)

        self._executor.submit(work, lambda _: None, failed)


def give_way() -> None:
    """Let everything else go before the calling thread."""
    from napari_infosam.models.threads import set_threads

    set_threads(1)
    if sys.platform == "linux":  # elsewhere a thread has no niceness of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
