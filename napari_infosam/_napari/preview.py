"""The mask that a click would give, before there is a click."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from numpy.typing import NDArray
from psygnal import Signal

from napari_infosam._napari.outlines import dashes
from napari_infosam.core.cores import half_of_the_cores

if TYPE_CHECKING:
    import numpy as np

    from napari_infosam._napari.engine import Executor
    from napari_infosam._napari.session import Session
    from napari_infosam.core.prompts import PromptSet

logger = logging.getLogger(__name__)

SLOW_SECONDS = 0.3
"""A preview that takes longer is no help, and is in the way of clicks."""
_REST = 10
"""After a slow one there is none for so many times as long."""


class Preview:
    """Asks for the prompts that may come next, one set at a time, the newest first.

    Knows no Qt, and never touches the object in work. It stands back whenever something
    is waited for, so that a click finds at most one preview before it: most often that
    of the click itself, whose answer is then there already.

    Parameters
    ----------
    session
        Whose model answers.
    executor
        Where the model answers clicks as well.

    Attributes
    ----------
    dashes
        The edge of the mask, see `napari_infosam._napari.outlines.dashes`; None while
        there is nothing to show.
    """

    changed = Signal()
    """There are other dashes, or none."""
    switched = Signal()
    """It was turned on or off."""

    def __init__(self, session: Session, executor: Executor) -> None:
        self._session = session
        self._executor = executor
        self._is_on = True
        self._wanted: tuple[PromptSet, float] | None = None
        self._about: object = None
        self._is_asking = False
        self._rests_until = 0.0
        self.dashes: NDArray[np.float32] | None = None

    @property
    def is_on(self) -> bool:
        """Whether there are previews at all."""
        return self._is_on

    @is_on.setter
    def is_on(self, value: bool) -> None:
        if value != self._is_on:
            self._is_on = value
            self.want(None)
            self.switched.emit()

    def toggle(self) -> None:
        """Show what a click would give before there is one, or no longer."""
        self.is_on = not self.is_on
        now = "on: the dashed line shows what a click gives" if self.is_on else "off"
        self._session.voice.say(f"Preview {now}.")

    def want(self, prompts: PromptSet | None, length: float = 1.0) -> None:
        """Preview other prompts; what was wanted before is wanted no longer.

        Parameters
        ----------
        prompts
            Those of the object in work and the one that may come; None for no preview.
        length
            Of a dash, in pixels of the image.
        """
        possible = prompts is not None and self._is_on and self._is_free()
        self._wanted = (prompts, length) if prompts and possible else None
        if self._wanted is None or self._about != self._subject():
            self._show(None)
        self._ask()

    def stop(self) -> None:
        """Preview nothing more; what is in sight stays until something else is."""
        self._wanted = None

    def _is_free(self) -> bool:
        """Return whether nothing else is asked of the model."""
        session = self._session
        waiting = session.prompts and not session.is_answered
        busy = session.engine.loading or session.propagation.is_running
        resting = time.monotonic() < self._rests_until
        return not (waiting or busy or resting) and session.engine.is_ready

    def _subject(self) -> object:
        """Return what has to be the same for a preview to be still of use."""
        session = self._session
        return session.source, session.prompts, session.engine.predictor

    def _ask(self) -> None:
        wanted, able = self._wanted, self._session.engine.now()
        if self._is_asking or wanted is None or able is None:
            return
        (predictor, embedding), (prompts, length) = able, wanted
        before = self._session.work.answer_before(prompts)
        previous = None if before is None else before.prediction
        subject, last = self._subject(), self._session.engine.last
        self._is_asking = True

        def work() -> tuple[NDArray[np.float32], float] | None:
            from napari_infosam.models import TiledEmbedding
            from napari_infosam.models.threads import set_threads

            if self._wanted is not wanted:
                return None
            if isinstance(embedding, TiledEmbedding) and not embedding.is_at_hand(
                prompts, previous
            ):
                return None
            start = time.perf_counter()
            set_threads(half_of_the_cores())
            answer = last.answer(predictor, prompts, previous, embedding)
            seconds = time.perf_counter() - start
            return dashes(answer.mask, length), seconds

        def done(found: tuple[NDArray[np.float32], float] | None) -> None:
            self._is_asking = False
            if found is not None and found[1] > SLOW_SECONDS:
                self._rests_until = time.monotonic() + _REST * found[1]
                self._wanted = None
                self._show(None)
            if self._wanted is None:
                return  # a click: what is in sight goes when its mask comes
            if subject != self._subject():
                self._show(None)
            elif found is not None:  # also that of a moment ago, as it is on its way
                self._about = subject
                self._show(found[0])
            elif self._wanted is wanted:
                self._show(None)
            if self._wanted is not wanted:
                self._ask()

        def failed(error: Exception) -> None:
            # a click there says what is wrong
            self._is_asking, self._wanted = False, None
            logger.info("No preview", exc_info=error)
            self._show(None)

        self._executor.submit(work, done, failed)

    def _show(self, found: NDArray[np.float32] | None) -> None:
        if found is not None or self.dashes is not None:
            self.dashes = found
            self.changed.emit()
