"""Embeds the tiles around the last prompt on a huge image, while nobody waits."""

from __future__ import annotations

import logging
from threading import Event
from typing import TYPE_CHECKING

from napari_infosam._napari.prefetch import give_way
from napari_infosam.core.placed import place_of
from napari_infosam.core.prompts import Point
from napari_infosam.core.tiles import neighbours

if TYPE_CHECKING:
    from napari_infosam._napari.engine import Executor
    from napari_infosam._napari.image_source import ImageSource
    from napari_infosam._napari.session import Session
    from napari_infosam.core.tiles import Tile

logger = logging.getLogger(__name__)


class TilePrefetch:
    """Has the neighbours of a tile ready when the work goes on in one of them.

    It begins when a prompt is answered, nearest tile first, on a thread of its own,
    with one core and a low priority. The next prompt stops it after the tile that it
    is at; the neighbours of that prompt's tile follow.

    Parameters
    ----------
    session
        Whose prompts and model these are.
    executor
        A thread for this alone.
    """

    def __init__(self, session: Session, executor: Executor) -> None:
        self._session = session
        self._executor = executor
        self._stop = Event()
        self._last: tuple[ImageSource, Tile, Point] | None = None
        self._target: tuple[object, Tile] | None = None
        session.engine.changed.connect(self._go_on)
        session.prompts_changed.connect(self._go_on)

    def close(self) -> None:
        """Stop."""
        self._stop.set()
        self._executor.close()
        self._session.engine.changed.disconnect(self._go_on)
        self._session.prompts_changed.disconnect(self._go_on)

    def _go_on(self) -> None:
        session = self._session
        if session.prompts and not session.is_answered:
            self._stop.set()
            return
        self._look()
        ready, pair = session.engine.now(), session.engine.beside()
        if self._last is None or ready is None or pair is None:
            return
        source, tile, near = self._last
        if source is not session.source:
            self._stop.set()
            return
        from napari_infosam.models import TiledEmbedding

        embedding, predictor = ready[1], pair[1]
        if not isinstance(embedding, TiledEmbedding):
            return
        target = (embedding, tile)
        if self._target == target and not self._stop.is_set():
            return
        self._stop.set()
        stop = self._stop = Event()
        self._target = target
        tiles = neighbours(tile, embedding.shape, near)

        def work() -> None:
            give_way()
            for other in tiles:
                if stop.is_set():
                    return
                embedding.embed(predictor, other)

        def failed(error: Exception) -> None:
            # it is said when a prompt is placed there
            logger.info("A tile of %s was not read ahead: %s", source.name, error)

        self._executor.submit(work, lambda _: None, failed)

    def _look(self) -> None:
        """Note in which tile the last prompt was answered."""
        session = self._session
        answer, source = session.work.answer, session.source
        place = None if answer is None else place_of(answer.prediction.mask)
        if source is None or place is None or place.tile is None:
            return
        points, box = session.prompts.points, session.prompts.box
        if points:
            near = points[-1]
        elif box is not None:
            near = Point((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
        else:
            return
        self._last = (source, place.tile, near)
