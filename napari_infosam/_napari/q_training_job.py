"""The heartbeat that lets the window follow a training process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from napari_infosam._napari.session import Session

_INTERVAL_MS = 200
_LOOK_AROUND_MS = 2000


class QTrainingJob(QObject):
    """Polls the training of a session while one runs, and looks for others.

    Parameters
    ----------
    session
        Whose training is followed.
    parent
        Qt parent; the polling ends with it.
    """

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._timer = QTimer(self)
        self._timer.setInterval(_INTERVAL_MS)
        self._timer.timeout.connect(self._poll)
        self._watch = QTimer(self)
        self._watch.setInterval(_LOOK_AROUND_MS)
        self._watch.timeout.connect(session.desk.trainer.look_around)
        self._watch.start()
        session.learning.changed.connect(self._on_changed)
        self._on_changed()

    def stop(self) -> None:
        """Stop polling and listening."""
        self._timer.stop()
        self._watch.stop()
        self._session.learning.changed.disconnect(self._on_changed)

    def _on_changed(self) -> None:
        running = self._session.learning.is_running
        if running and not self._timer.isActive():
            self._timer.start()
        elif not running:
            self._timer.stop()

    def _poll(self) -> None:
        with self._session.voice.guard("following the training"):
            self._session.learning.poll()
