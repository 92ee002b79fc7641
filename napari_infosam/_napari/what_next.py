"""Which image to annotate next: drawn, or the one where student and base differ."""

from __future__ import annotations

import logging
from threading import Event
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_infosam._napari.listed_pixels import read_listed, shown_of
from napari_infosam._napari.prefetch import give_way
from napari_infosam.training.suggest import RANDOM_IMAGES, draw, suggest

if TYPE_CHECKING:
    from napari_infosam._napari.engine import Executor
    from napari_infosam._napari.image_list import ImageList
    from napari_infosam._napari.session import Session

logger = logging.getLogger(__name__)

_LOOKED_AT = 12
"""Images that are compared for a suggestion; more would seldom change it."""


class WhatNext:
    """Suggests an image of the list, and says why.

    Once ten images have objects and a version answers, that version and the base are
    compared on some of the others while nobody waits, with one core and low priority.
    They are shown what a click would show them, and of a stack its middle slice; huge
    images are passed over.

    Parameters
    ----------
    session, images
        Whose models these are, and the list.
    executor
        A thread for this alone.

    Attributes
    ----------
    reason
        Why the last suggestion was made, in one sentence; '' before there is one.
    """

    changed = Signal()

    def __init__(self, session: Session, images: ImageList, executor: Executor) -> None:
        self._session = session
        self._images = images
        self._executor = executor
        self._stop = Event()
        self._is_working = False
        self._model: object = None
        self._found: dict[int, float | None] = {}
        self.reason = ""
        session.engine.changed.connect(self._go_on)
        session.prompts_changed.connect(self._go_on)
        images.reset.connect(self._go_on)
        images.entered.connect(self._forget)

    def close(self) -> None:
        """Stop listening and working."""
        self._stop.set()
        self._executor.close()
        self._session.engine.changed.disconnect(self._go_on)
        self._session.prompts_changed.disconnect(self._go_on)
        self._images.reset.disconnect(self._go_on)
        self._images.entered.disconnect(self._forget)

    def go(self) -> None:
        """Open the image that is suggested, and note the reason."""
        images = self._images
        candidates = self._candidates()
        version = self._session.desk.active_version
        found = suggest(candidates, self._n_annotated(), self._found, version)
        if found is None:
            self._session.voice.say(
                "Every image of the list is begun: add images, or go through them with "
                "Next."
            )
            return
        self.reason = f"{images.rows[found.image].name}: {found.reason}."
        images.go(found.image)
        self.changed.emit()

    def _candidates(self) -> dict[int, str]:
        """Return the names of the images that nobody has begun, by id."""
        images = self._images
        return {
            row.id: row.name
            for row in images.rows.values()
            if row.state == "new"
            and row.id != images.current
            and not images.is_missing(row.id)
        }

    def _n_annotated(self) -> int:
        return sum(bool(row.counts) for row in self._images.rows.values())

    def _forget(self) -> None:
        self._found = {}
        if self.reason:
            self.reason = ""
            self.changed.emit()

    def _go_on(self) -> None:
        """Compare the models on one more image if nobody waits for an answer."""
        session, images = self._session, self._images
        if session.engine.model is not self._model:
            self._model, self._found = session.engine.model, {}
        if session.prompts:
            self._stop.set()
            return
        pair, project = session.engine.beside(), images.project
        if self._is_working or pair is None or project is None:
            return
        base, now = pair
        if now.model.version == base.model.version or not session.engine.is_ready:
            return
        if self._n_annotated() < RANDOM_IMAGES:
            return
        names = self._candidates()
        possible = [one for one in names if self._found.get(one, 0.0) is not None]
        chosen = sorted(possible, key=lambda one: draw(names[one]))[:_LOOKED_AT]
        left = [one for one in chosen if one not in self._found]
        if not left:
            return
        stop = self._stop = Event()
        self._is_working, model, row = True, self._model, images.rows[left[0]]

        def work() -> float | None:
            from napari_infosam.training.disagreement import disagreement

            give_way()
            pixels = read_listed(row, project, huge_too=False)
            chosen = project.channels.get(row.path or "")
            shown = shown_of(pixels, chosen, any_slice=True)
            if shown is None or stop.is_set():
                return None
            return disagreement(base, now, *shown, paused=stop.is_set)

        def done(value: float | None) -> None:
            self._is_working = False
            if model is self._model and (value is not None or not stop.is_set()):
                self._found[row.id] = value
            self._go_on()

        def failed(error: Exception) -> None:
            self._is_working = False
            logger.info("%s was not compared: %s", row.name, error)
            if model is self._model:
                self._found[row.id] = None
            self._go_on()

        self._executor.submit(work, done, failed)
