"""The training stands still for the moment in which a click is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from napari_infosam._napari.session import Session

_PAINTING_MS = 100
_LONGEST_MS = 1000
"""Where no answer comes, the training goes on after this."""


class GivingWay(QObject):
    """Holds the training from a prompt until its mask is painted.

    Both would otherwise share cores and the memory's bandwidth, whatever their
    priorities are.

    Parameters
    ----------
    session
        Who is asked, and whose training is held.
    parent
        Qt parent.
    """

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._over = QTimer(self)
        self._over.setSingleShot(True)
        self._over.timeout.connect(session.learning.go_on)
        session.engine.asked.connect(self._on_asked)
        session.engine.answered.connect(self._on_answered)

    def stop(self) -> None:
        """Stop listening; the training goes on."""
        self._session.engine.asked.disconnect(self._on_asked)
        self._session.engine.answered.disconnect(self._on_answered)
        self._over.stop()
        self._session.learning.go_on()

    def _on_asked(self) -> None:
        self._session.learning.hold()
        if self._session.learning.is_held:
            self._over.start(_LONGEST_MS)

    def _on_answered(self) -> None:
        if self._over.isActive():
            self._over.start(_PAINTING_MS)
