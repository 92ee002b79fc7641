"""What the window says to the person: one sentence, the details in the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from psygnal import Signal

from napari_infosam.core.errors import InfosamError
from napari_infosam.training.failures import is_out_of_memory

logger = logging.getLogger(__name__)


class Voice:
    """The one way in which sentences reach the person."""

    said = Signal(str, bool)
    """A sentence, and whether it is about a failure."""

    def say(self, sentence: str) -> None:
        """Tell the person something; '' takes back what was said last."""
        self.said.emit(sentence, False)

    def complain(self, sentence: str) -> None:
        """Tell the person what did not work."""
        self.said.emit(sentence, True)

    def report(self, error: Exception, doing: str) -> str:
        """Turn an exception into a sentence, say and return it.

        Parameters
        ----------
        error
            An `InfosamError` carries its own sentence; anything else is a bug, whose
            traceback goes to the log.
        doing
            What was being done, for example ``loading the model``.
        """
        if isinstance(error, InfosamError):
            sentence = str(error)
        elif is_out_of_memory(error):
            logger.error("While %s", doing, exc_info=error)
            sentence = (
                f"There was not enough memory while {doing}: cancel a training that "
                "runs, close other programs, or choose the CPU in the preferences."
            )
        else:
            logger.error("While %s", doing, exc_info=error)
            sentence = (
                f"Something went wrong while {doing} ({type(error).__name__}: "
                f"{error}); the log has the details."
            )
        self.complain(sentence)
        return sentence

    @contextmanager
    def guard(self, doing: str) -> Iterator[None]:
        """Report whatever the block raises instead of raising it."""
        try:
            yield
        except Exception as error:
            self.report(error, doing)
