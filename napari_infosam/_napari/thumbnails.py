"""Thumbnails for the rows of the list that are in sight, read one after the other.

Knows no Qt.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_infosam.project.thumbnails import thumbnail

if TYPE_CHECKING:
    from napari_infosam._napari.engine import Executor
    from napari_infosam._napari.image_list import ImageList
    from napari_infosam.core.preprocess import RGBImage
    from napari_infosam.project import Project

logger = logging.getLogger(__name__)

_KEPT = 1000
"""So many thumbnails, of 12 kB at most, are kept in memory."""
_WAITING = 60
"""More rows than are in sight: what was scrolled past is not read."""


class Thumbnails:
    """Has the small pictures of images, or reads them while nobody waits.

    Parameters
    ----------
    images
        The list.
    executor
        A thread for this alone.
    """

    changed = Signal(int)
    """Id of the image whose thumbnail is there now."""

    def __init__(self, images: ImageList, executor: Executor) -> None:
        self._images = images
        self._executor = executor
        self._project: Project | None = None
        self._known: OrderedDict[int, RGBImage | None] = OrderedDict()
        self._wanted: OrderedDict[int, None] = OrderedDict()
        self._is_reading = False
        images.reset.connect(self._on_reset)
        images.rows_changed.connect(self.look_again)

    def close(self) -> None:
        """Stop."""
        self._executor.close()
        self._wanted.clear()
        self._images.reset.disconnect(self._on_reset)
        self._images.rows_changed.disconnect(self.look_again)

    def get(self, listed_id: int) -> RGBImage | None:
        """Return the thumbnail of an image that is in sight now, if there is one yet.

        What was asked for last is read first.
        """
        if listed_id not in self._known:
            self._want(listed_id)
        return self._known.get(listed_id)

    def look_again(self, ids: set[int]) -> None:
        """Read some anew: their files, or the channels that are seen, may be others.

        What is shown of them stays until then.
        """
        for listed_id in ids & self._known.keys():
            self._want(listed_id)

    def _on_reset(self) -> None:
        if self._images.project is not self._project:
            self._project = self._images.project
            self._known.clear()
            self._wanted.clear()

    def _want(self, listed_id: int) -> None:
        self._wanted[listed_id] = None
        self._wanted.move_to_end(listed_id)
        while len(self._wanted) > _WAITING:
            self._wanted.popitem(last=False)
        self._read_next()

    def _read_next(self) -> None:
        project, rows = self._images.project, self._images.rows
        if self._is_reading or project is None:
            return
        listed_id = next((one for one in reversed(self._wanted) if one in rows), None)
        if listed_id is None:
            return
        del self._wanted[listed_id]
        row, self._is_reading = rows[listed_id], True

        def done(picture: RGBImage | None) -> None:
            self._is_reading = False
            if project is self._images.project:
                self._keep(listed_id, picture)
            self._read_next()

        def failed(error: Exception) -> None:
            # it is said when the person goes there
            logger.info("%s has no thumbnail: %s", row.name, error)
            done(None)

        self._executor.submit(lambda: thumbnail(row, project), done, failed)

    def _keep(self, listed_id: int, picture: RGBImage | None) -> None:
        self._known[listed_id] = picture
        self._known.move_to_end(listed_id)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        if picture is not None:
            self.changed.emit(listed_id)
