"""Part, object or whole: what the first click means, with what the model expects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_infosam._napari.keys import shown
from napari_infosam._napari.small_widgets import allow, button
from napari_infosam.core.prompts import CHOICES

if TYPE_CHECKING:
    from qtpy.QtWidgets import QPushButton

    from napari_infosam._napari.session import Session

_TIPS = (
    "The click means the smallest of the model's three masks",
    "The click means the middle one of the model's three masks",
    "The click means the largest of the model's three masks",
)
_TOO_SOON = "Click on an object first."
_TOO_LATE = "Only the first click can mean one of three masks; undo the later prompts."


class MeaningWidget(QWidget):
    """Three small buttons; the one that is in sight is down.

    Parameters
    ----------
    session
        What is shown and steered.

    Attributes
    ----------
    buttons
        Part, object, whole.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.buttons: list[QPushButton] = []
        self._scores: tuple[float, ...] = ()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for number in range(len(CHOICES)):
            made = button("", "")
            made.setCheckable(True)
            made.clicked.connect(lambda _=False, n=number: self._on_clicked(n))
            self.buttons.append(made)
            layout.addWidget(made, 1)
        session.prompts_changed.connect(self._show)
        self._show()

    def close_down(self) -> None:
        """Stop listening."""
        self._session.prompts_changed.disconnect(self._show)

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
            name = CHOICES[number].capitalize()
            known = number < len(self._scores)
            score = f" {min(self._scores[number], 1.0):.2f}" if known else ""
            made.setText(name + score)
            made.setChecked(possible and session.work.meaning == number)
            tip = f"{_TIPS[number]} ({shown('meaning')} takes them in turn)."
            made.setToolTip(f"{tip} The number is the IoU that it expects.")
            none = _TOO_LATE if session.prompts else _TOO_SOON
            allow(made, "" if possible else none)
