"""Follow an object through a stack: both ways, progress, cancel, accept all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QProgressBar, QVBoxLayout, QWidget

from napari_infosam._napari.keys import shown
from napari_infosam._napari.small_widgets import allow, button, row

if TYPE_CHECKING:
    from napari_infosam._napari.session import Session
    from napari_infosam._napari.viewer_link import ViewerLink


class PropagateWidget(QWidget):
    """Is in sight where a stack is annotated.

    Parameters
    ----------
    session, link
        What decides, and its hold on the viewer.
    """

    def __init__(self, session: Session, link: ViewerLink) -> None:
        super().__init__()
        self._session = session
        self._link = link
        actions, propagation = link.actions, session.propagation
        tip = (
            "Follow the proposal, or else the chosen accepted object, through the "
            "slices {} until it disappears ({}); along the slider that was moved last, "
            "or else the last one"
        )
        self.backwards = button(
            "\N{LEFTWARDS ARROW} Follow",
            tip.format("before", shown("backwards")),
            actions["backwards"],
        )
        self.forwards = button(
            "Follow \N{RIGHTWARDS ARROW}",
            tip.format("after", shown("forwards")),
            actions["forwards"],
        )
        self.progress = QProgressBar()
        self.progress.setFormat("%v of %m slices")
        self.progress.setToolTip("Slices that were looked at")
        self.cancel = button(
            "Cancel", "Stop here; what was found so far stays", propagation.cancel
        )
        self.accept_all = button(
            "",
            "Accept the object in all slices in which it was found "
            f"({shown('accept_all')}); one undo takes all of it back",
            actions["accept_all"],
        )
        self.discard = button(
            "Discard", "Throw away the proposals that wait", propagation.waiting.discard
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        self._start = row(self.backwards, self.forwards, stretch=(1, 1))
        self._work = row(self.progress, self.cancel, stretch=(1, 0))
        self._decide = row(self.accept_all, self.discard, stretch=(1, 0))
        for line in (self._start, self._work, self._decide):
            layout.addWidget(line)
        propagation.changed.connect(self._show)
        session.image_changed.connect(self._show)
        self._show()

    def close_down(self) -> None:
        """Stop listening."""
        self._session.propagation.changed.disconnect(self._show)
        self._session.image_changed.disconnect(self._show)

    def _show(self) -> None:
        propagation = self._session.propagation
        source = self._session.source
        is_stack = source is not None and bool(source.slice_index)
        pending, running = len(propagation.waiting.pending), propagation.is_running
        self.setVisible(is_stack or running or pending > 0)
        self._start.setVisible(not running)
        self._work.setVisible(running)
        self._decide.setVisible(pending > 0 and not running)
        for made in (self.backwards, self.forwards):
            allow(made, propagation.why_not())
        allow(self.cancel, "" if running else "No object is being followed.")
        none = "No proposals of a followed object wait."
        for made in (self.accept_all, self.discard):
            allow(made, "" if pending else none)
        self.progress.setMaximum(propagation.n_slices)
        self.progress.setValue(propagation.n_done)
        slices = "slice" if pending == 1 else "slices"
        self.accept_all.setText(f"Accept in {pending} {slices}")
