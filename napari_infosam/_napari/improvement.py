"""What training has saved this person so far, found out between clicks."""

from __future__ import annotations

import logging
from threading import Event
from typing import TYPE_CHECKING

from psygnal import Signal

if TYPE_CHECKING:
    from napari_infosam._napari.engine import Executor
    from napari_infosam._napari.session import Session
    from napari_infosam.project import Project
    from napari_infosam.training.prequential import Prequential, RunningFigures

logger = logging.getLogger(__name__)

_SECONDS = 2.0
"""After so much replaying the figures are shown, and the rest follows."""


class Improvement:
    """Replays what is accepted on the base and on the version that answers.

    Knows no Qt. It works while no object is in work, on a thread of its own and a
    single core: a replay may have to embed an image first, and a click that came
    meanwhile would have to wait for that on the session's.

    Parameters
    ----------
    session
        Whose objects and models these are.
    executor
        Where replays run.

    Attributes
    ----------
    figures
        What stands at the moment, or None.
    """

    changed = Signal()

    def __init__(self, session: Session, executor: Executor) -> None:
        self._session = session
        self._executor = executor
        self._project: Project | None = None
        self._prequential: Prequential | None = None
        self._is_stale = self._is_working = False
        self._answering: object = None
        self._pause = Event()
        self.figures: RunningFigures | None = None
        session.desk.changed.connect(self._on_changed)
        session.engine.changed.connect(self._on_model)
        session.prompts_changed.connect(self._go_on)

    def close(self) -> None:
        """Stop listening and working."""
        self._pause.set()
        self._executor.close()
        self._session.desk.changed.disconnect(self._on_changed)
        self._session.engine.changed.disconnect(self._on_model)
        self._session.prompts_changed.disconnect(self._go_on)

    def _on_changed(self) -> None:
        """Something was accepted, taken back, or another version is active."""
        self._is_stale = True
        self._go_on()

    def _on_model(self) -> None:
        answering = self._session.engine.model
        if answering is not self._answering:
            self._answering = answering
            self._is_stale = True
        self._go_on()

    def _go_on(self) -> None:
        """Work on if there is something to do and nobody waits for an answer."""
        project = self._session.desk.project
        if project is not self._project:
            self._project, self._prequential = project, None
            self._show(None)
        # a click, or the picture in sight after a swap, comes first
        if self._session.prompts or self._session.engine.activity:
            self._pause.set()
            return
        self._pause.clear()
        pair = self._session.engine.beside()
        if project is None or pair is None or not self._is_stale or self._is_working:
            return
        self._is_stale, self._is_working = False, True
        base, now = pair
        known = self._prequential

        def work() -> tuple[Prequential, bool, RunningFigures]:
            from napari_infosam.models.threads import set_threads
            from napari_infosam.training.prequential import Prequential

            set_threads(1)
            prequential = known or Prequential(project)
            is_done = prequential.advance(
                base, now, seconds=_SECONDS, paused=self._pause.is_set
            )
            return prequential, is_done, prequential.figures()

        def done(result: tuple[Prequential, bool, RunningFigures]) -> None:
            self._is_working = False
            if project is self._project:
                self._prequential, is_done, figures = result
                self._is_stale = self._is_stale or not is_done
                self._show(figures)
            self._go_on()

        def failed(error: Exception) -> None:
            self._is_working = False
            if project is self._project:  # and was not closed meanwhile
                logger.warning("The running figures are old", exc_info=error)
            self._go_on()

        self._executor.submit(work, done, failed)

    def _show(self, figures: RunningFigures | None) -> None:
        if figures != self.figures:
            self.figures = figures
            self.changed.emit()
