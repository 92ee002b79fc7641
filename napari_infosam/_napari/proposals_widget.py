"""The part of the panel for many objects at once: boxes, and all that is in view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QProgressBar, QSlider, QVBoxLayout, QWidget

from napari_infosam._napari.keys import shown
from napari_infosam._napari.proposals import LEAST_SCORE
from napari_infosam._napari.small_widgets import (
    Fold,
    allow,
    button,
    keep_room,
    row,
    sentence,
    silently,
)

if TYPE_CHECKING:
    from napari_infosam._napari.session import Session
    from napari_infosam._napari.viewer_link import ViewerLink

_PERCENT = 100
_NOTHING = "Nothing is offered: propose objects, or draw boxes."


class ProposalsWidget(QWidget):
    """Asks for proposals, and decides about them.

    It unfolds by itself when there is something to decide.

    Parameters
    ----------
    session
        Whose picture it is.
    link
        Has the tool, the actions and the proposals.
    """

    def __init__(self, session: Session, link: ViewerLink) -> None:
        super().__init__()
        self._session = session
        self._link = link
        self._proposals = link.proposals
        self._build()
        self._proposals.changed.connect(self._show)
        session.engine.changed.connect(self._show)
        link.tool.changed.connect(self._show_tool)
        self._show()
        self._show_tool()

    def close_down(self) -> None:
        """Stop listening."""
        self._proposals.changed.disconnect(self._show)
        self._session.engine.changed.disconnect(self._show)
        self._link.tool.changed.disconnect(self._show_tool)

    def _build(self) -> None:
        actions = self._link.actions
        self.each = QCheckBox("One object for each box")
        self.each.setToolTip(
            "Draw as many boxes as you like: each gets an object of its own, and all "
            f"are accepted together ({shown('box_each')} switches)"
        )
        self.each.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.each.toggled.connect(self._on_each)
        self.propose = button("Propose all in view", "", actions["propose"])
        self.cancel = button(
            "Cancel", "Stop; what is accepted stays", self._proposals.cancel
        )
        self.progress = QProgressBar()
        self.progress.setToolTip("How many prompts are answered")
        keep_room(self.progress)  # somebody may be about to press what is around it
        self.score = QSlider(Qt.Orientation.Horizontal)
        self.score.setRange(round(_PERCENT * LEAST_SCORE), _PERCENT)
        self.score.setToolTip(
            "Offer only what the model expects to have this IoU; objects of your own "
            "boxes are always offered"
        )
        self.score.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.score.valueChanged.connect(self._on_score)
        self.score_text = sentence("score")
        self.accept = button("", "", self._proposals.accept)
        self.clear = button(
            "Reject all",
            "Clear all proposals, and boxes that are not accepted "
            f"({shown('clear')} while no object is in work)",
            self._proposals.clear,
        )
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.each)
        layout.addWidget(row(self.propose, self.cancel, stretch=(1, 0)))
        layout.addWidget(row(self.score_text, self.score, stretch=(1, 1)))
        layout.addWidget(row(self.accept, self.clear, stretch=(1, 1)))
        layout.addWidget(self.progress)
        self.fold = Fold(
            "Many at once",
            "Boxes for many objects, and proposals for everything in view",
            content,
        )
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.fold)

    # ------------------------------------------------------------------ show
    def _show(self) -> None:
        proposals = self._proposals
        progress = proposals.progress
        allow(self.cancel, "" if progress is not None else "Nothing is being proposed.")
        self.progress.setVisible(progress is not None)
        if progress is not None:
            done, total = progress
            self.progress.setRange(0, total)
            self.progress.setValue(done)
        reason = proposals.why_not()
        self.propose.setToolTip(
            "Ask the model for every object in view that is not accepted yet "
            f"({shown('propose')}); zoom in for smaller ones"
        )
        allow(self.propose, reason)
        with silently(self.score):
            self.score.setValue(round(_PERCENT * proposals.min_score))
        self.score_text.setText(
            f"IoU \N{GREATER-THAN OR EQUAL TO} {proposals.min_score:.2f}"
        )
        number = len(proposals.offered)
        self.accept.setText(f"Accept {number}" if number else "Accept all")
        self.accept.setToolTip(
            f"Keep all that are offered; one step for undo ({shown('accept')}). A "
            f"click, or {shown('take')}, accepts one; a right-click, or "
            f"{shown('drop')}, rejects it."
        )
        allow(self.accept, "" if number else _NOTHING)
        allow(self.clear, _NOTHING if proposals.is_empty else "")
        if progress is not None or not proposals.is_empty:
            self.fold.is_open = True

    def _show_tool(self) -> None:
        tool = self._link.tool
        with silently(self.each):
            self.each.setChecked(tool.box_each)
        if tool.box_each:
            self.fold.is_open = True

    # ---------------------------------------------------------------- choose
    def _on_each(self, checked: bool) -> None:
        self._link.tool.box_each = checked
        if checked:
            self._link.use_box()

    def _on_score(self, value: int) -> None:
        self._proposals.min_score = value / _PERCENT
