"""The switch of continuous mode, and the line that says what it waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_infosam._napari.small_widgets import sentence, silently

if TYPE_CHECKING:
    from napari_infosam._napari.continuous import Continuous

_TIP = (
    "Train by itself: after two images or ten objects, the quick stage first and then "
    "the full one, and again when you have accepted more. A student takes over only "
    "if it is better. Cancel switches this off. A training that fails is tried again "
    "after a while, twice at most."
)


class ContinuousSwitch(QWidget):
    """Shows and steers continuous mode.

    Parameters
    ----------
    continuous
        What trains by itself.
    """

    def __init__(self, continuous: Continuous) -> None:
        super().__init__()
        self._continuous = continuous
        self.box = QCheckBox("Train by itself while I annotate")
        self.box.setToolTip(_TIP)
        self.box.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.box.toggled.connect(continuous.switch)
        self.reason = sentence("continuous_reason")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.box)
        layout.addWidget(self.reason)
        self._retry = QTimer(self)
        self._retry.setSingleShot(True)
        self._retry.timeout.connect(continuous.retry)
        continuous.waiting.connect(self._wait)
        continuous.changed.connect(self._show)
        self._show()

    def close_down(self) -> None:
        """Stop listening."""
        self._retry.stop()
        self._continuous.waiting.disconnect(self._wait)
        self._continuous.changed.disconnect(self._show)

    def _wait(self, seconds: float) -> None:
        self._retry.start(round(seconds * 1000))

    def _show(self) -> None:
        with silently(self.box):
            self.box.setChecked(self._continuous.is_on)
        self.reason.setText(self._continuous.reason)
        self.reason.setVisible(bool(self._continuous.reason))
