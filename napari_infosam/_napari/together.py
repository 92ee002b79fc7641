"""Prompt and mask come into sight together where the mask is not long in coming."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_infosam._napari.session import Session


class Together(QObject):
    """Says when prompts and proposal are to be shown anew.

    A click is shown with its mask if that is there within 100 ms, and without it
    otherwise. Without a graphics card every change of the window takes both cores for
    tens of milliseconds; a click that is shown at once keeps its own mask waiting.

    Parameters
    ----------
    session
        What is shown.
    parent
        The panel.

    Attributes
    ----------
    patience_ms
        How long a prompt waits for its mask.
    """

    changed = Signal()
    patience_ms = 100

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self._session = session
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.changed.emit)
        session.prompts_changed.connect(self.follow)

    def close(self) -> None:
        """Stop listening."""
        self._timer.stop()
        self._session.prompts_changed.disconnect(self.follow)

    def follow(self) -> None:
        """Note that prompts, proposal, or what is shown in its place are others."""
        session = self._session
        answer_comes = bool(session.prompts) and not session.is_answered
        if not answer_comes or not session.engine.is_ready:
            self._timer.stop()
            self.changed.emit()
        elif not self._timer.isActive():
            self._timer.start(self.patience_ms)
