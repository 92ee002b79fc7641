"""Part, object or whole: what the first click means, with what the model expects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QHBoxLayout,
    QPushButton,
    QStyle,
    QStyleOptionButton,
    QStylePainter,
    QWidget,
)

from napari_infosam._napari.keys import shown
from napari_infosam._napari.small_widgets import allow
from napari_infosam.core.prompts import CHOICES

if TYPE_CHECKING:
    from qtpy.QtGui import QPaintEvent

    from napari_infosam._napari.session import Session
    from napari_infosam._napari.together import Together

_TIPS = (
    "The click means the smallest of the model's three masks",
    "The click means the middle one of the model's three masks",
    "The click means the largest of the model's three masks",
)
_TOO_SOON = "Click on an object first."
_TOO_LATE = "Only the first click can mean one of three masks; undo the later prompts."


class ScoredButton(QPushButton):
    """A button with a number behind its text.

    The number is no part of the text: a text that changes with every click would have
    the whole panel laid out anew.

    Attributes
    ----------
    score
        From 0 to 1, or None.
    """

    score: float | None = None

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCheckable(True)

    def shown_text(self) -> str:
        """Return what stands on the button."""
        known = "" if self.score is None else f" {min(self.score, 1.0):.2f}"
        return self.text() + known

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw the button as its style does, with the number."""
        option = QStyleOptionButton()
        self.initStyleOption(option)
        option.text = self.shown_text()
        painter = QStylePainter(self)
        painter.drawControl(QStyle.ControlElement.CE_PushButton, option)


class MeaningWidget(QWidget):
    """Three small buttons; the one that is in sight is down.

    Parameters
    ----------
    session
        What is shown and steered.
    together
        When it is shown.

    Attributes
    ----------
    buttons
        Part, object, whole.
    """

    def __init__(self, session: Session, together: Together) -> None:
        super().__init__()
        self._session = session
        self._together = together
        self.buttons: list[ScoredButton] = []
        self._scores: tuple[float, ...] = ()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for number in range(len(CHOICES)):
            made = ScoredButton(CHOICES[number].capitalize())
            tip = f"{_TIPS[number]} ({shown('meaning')} takes them in turn)."
            made.setToolTip(f"{tip} The number is the IoU that it expects.")
            made.clicked.connect(lambda _=False, n=number: self._on_clicked(n))
            self.buttons.append(made)
            layout.addWidget(made, 1)
        together.changed.connect(self._show)
        self._show()

    def close_down(self) -> None:
        """Stop listening."""
        self._together.changed.disconnect(self._show)

    def _on_clicked(self, number: int) -> None:
        self._session.choose_meaning(number)
        self._show()

    def _show(self) -> None:
        session = self._session
        possible = session.prompts.is_ambiguous
        answer = session.work.answer
        if not possible:
            self._scores = ()
        elif answer is not None:
            # while another meaning is computed, the three stay what they were
            self._scores = answer.prediction.choices
        for number, made in enumerate(self.buttons):
            known = number < len(self._scores)
            made.score = self._scores[number] if known else None
            made.setChecked(possible and session.work.meaning == number)
            made.update()
            none = _TOO_LATE if session.prompts else _TOO_SOON
            allow(made, "" if possible else none)
