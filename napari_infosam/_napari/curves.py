"""Live curves of a training run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyqtgraph as pg
from napari.utils.theme import get_theme
from qtpy.QtWidgets import QSizePolicy

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_infosam._napari.learning import Learning

_LOSS, _CLICK, _BOX = "#e69f00", "#2bb3ff", "#cc79a7"
_HEIGHT = 230
_POINTS = 400
"""Losses are thinned to about this many points."""


class Curves(pg.GraphicsLayoutWidget):  # type: ignore[misc]
    """Training loss above, held-out IoU below, over the seconds of the run.

    Parameters
    ----------
    theme
        Name of napari's theme.
    parent
        Qt parent.
    """

    def __init__(self, theme: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Training loss, and how well held-out objects are segmented after one "
            "click and from a box (IoU, 1 is perfect)"
        )
        self._loss = self._plot(0)
        self._iou = self._plot(1)
        self.ci.layout.setSpacing(0)
        self.ci.layout.setContentsMargins(0, 0, 6, 0)
        self._iou.setYRange(0, 1, padding=0.04)
        self._iou.getAxis("left").setTicks([[(0, "0"), (0.5, "0.5"), (1, "1")]])
        self._iou.setLabel("bottom", "seconds")
        self._iou.setXLink(self._loss)
        self._lines = [
            self._loss.plot(pen=pg.mkPen(_LOSS, width=2)),
            self._iou.plot(**_marked(_CLICK)),
            self._iou.plot(**_marked(_BOX)),
        ]
        self.use_theme(theme)

    def _plot(self, row: int) -> pg.PlotItem:
        plot = self.addPlot(row=row, col=0)
        plot.getAxis("left").setWidth(32)
        for side in ("left", "bottom"):
            plot.getAxis(side).enableAutoSIPrefix(False)
        plot.setMouseEnabled(x=False, y=False)
        plot.setMenuEnabled(False)
        plot.hideButtons()
        return plot

    def use_theme(self, name: str) -> None:
        """Take over the colours of a napari theme."""
        theme = get_theme(name)
        self.setBackground(theme.background.as_hex())
        text = theme.text.as_hex()
        for plot in (self._loss, self._iou):
            for side in ("left", "bottom"):
                plot.getAxis(side).setPen(text)
                plot.getAxis(side).setTextPen(text)
        self._loss.setTitle(_colored("training loss", _LOSS), size="8pt")
        legend = (
            f"{_colored('held-out IoU:', text)} {_colored('1 click', _CLICK)} "
            f"{_colored('box', _BOX)}"
        )
        self._iou.setTitle(legend, size="8pt")

    def show_run(self, learning: Learning) -> None:
        """Draw what is known of a run."""
        losses = learning.losses[:: 1 + len(learning.losses) // _POINTS]
        seconds = [point[0] for point in learning.ious]
        self._lines[0].setData([x for x, _ in losses], [y for _, y in losses])
        self._lines[1].setData(seconds, [point[1] for point in learning.ious])
        self._lines[2].setData(seconds, [point[2] for point in learning.ious])


def _colored(text: str, color: str) -> str:
    return f"<span style='color: {color}'>{text}</span>"


def _marked(color: str) -> dict[str, object]:
    return {
        "pen": pg.mkPen(color, width=2),
        "symbol": "o",
        "symbolSize": 5,
        "symbolBrush": color,
        "symbolPen": None,
    }
