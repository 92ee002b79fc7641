"""Time from a mouse click to the painted mask, in a real window.

The clock starts before the mouse event is delivered to napari's canvas, and stops when
the frame that has the mask is on the screen. Measured idle and while a training runs.

Run: ``xvfb-run -a python benchmarks/click_latency.py`` (a minute on two cores).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from typing import Any

import napari
import numpy as np
import psutil
import torch
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget
from scipy import ndimage
from skimage.data import coins
from skimage.filters import threshold_otsu

from napari_infosam._napari import layers

WARM_UP = 3
PATIENCE_SECONDS = 120.0


def wait(condition: Any, what: str) -> None:
    """Run the event loop until something is so."""
    until = time.perf_counter() + PATIENCE_SECONDS
    while not condition():
        if time.perf_counter() > until:
            raise TimeoutError(f"{what} took more than {PATIENCE_SECONDS:.0f} s")
        QApplication.processEvents()
        time.sleep(0.0005)


def places() -> list[tuple[float, float]]:
    """Return the middle of every coin as (row, column)."""
    image = ndimage.gaussian_filter(coins().astype(float), 2)
    labels, count = ndimage.label(
        ndimage.binary_fill_holes(image > threshold_otsu(image))
    )
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    large = [number for number in range(1, count + 1) if sizes[number] > 500]
    return ndimage.center_of_mass(labels > 0, labels, large)


class Clicks:
    """Clicks into a window and looks when the mask is painted."""

    def __init__(self, viewer: napari.Viewer, panel: Any) -> None:
        self.viewer, self.panel = viewer, panel
        self.canvas = next(
            child
            for child in panel.window().findChildren(QWidget)
            if type(child).__name__.startswith("CanvasBackend")
        )
        self._swapped = 0.0
        self._clicks = 0
        self.canvas.frameSwapped.connect(self._on_frame)

    def _on_frame(self) -> None:
        if self.viewer.layers[layers.PROPOSAL].data.any() and not self._swapped:
            self._swapped = time.perf_counter()

    def pixel(self, row: float, column: float) -> QPoint:
        """Return where on the canvas a (row, column) of the image is."""
        camera = self.viewer.scene.camera
        offset = (np.array([row, column]) - camera.center[-2:]) * camera.zoom
        return QPoint(
            round(self.canvas.width() / 2 + offset[1]),
            round(self.canvas.height() / 2 + offset[0]),
        )

    def click(self, row: float, column: float) -> float:
        """Return the milliseconds that a click took."""
        where, left = self.pixel(row, column), Qt.MouseButton.LeftButton
        self._swapped = 0.0
        start = time.perf_counter()
        QTest.mouseClick(self.canvas, left, Qt.KeyboardModifier.NoModifier, where)
        wait(lambda: self._swapped, "a click")
        return 1000 * (self._swapped - start)

    def clear(self) -> None:
        """Reject the proposal and let the window come to rest."""
        self.panel.link.actions["clear"]()
        until = time.perf_counter() + 0.15
        wait(lambda: time.perf_counter() > until, "a rest")

    def measure(self, number: int) -> dict[str, float]:
        """Return the distribution of the latency of one-click proposals."""
        spots = places()
        spent = []
        for step in range(number + WARM_UP):
            row, column = spots[step % len(spots)]
            # never the same click twice: its answer would be known already
            self._clicks += 1
            spent.append(self.click(row + self._clicks / 20, column))
            self.clear()
        spent = spent[WARM_UP:]
        p50, p95 = np.percentile(spent, (50, 95))
        return {
            "n": len(spent),
            "p50_ms": round(float(p50), 1),
            "p95_ms": round(float(p95), 1),
            "load_average": round(os.getloadavg()[0], 1),
        }


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clicks", type=int, default=60)
    number = parser.parse_args().clicks
    with tempfile.TemporaryDirectory() as folder:
        os.environ["INFOSAM_PROJECTS"] = folder
        os.environ["INFOSAM_TRAININGS"] = f"{folder}/trainings"
        viewer = napari.Viewer()
        viewer.window.resize(1200, 800)
        viewer.add_image(coins(), name="coins")
        _, panel = viewer.window.add_plugin_dock_widget("napari-infosam", "InfoSAM")
        session = panel.session
        wait(lambda: session.engine.is_ready, "loading and embedding")
        clicks = Clicks(viewer, panel)
        idle = clicks.measure(number)
        for spot in places()[:8]:
            clicks.click(*spot)
            wait(lambda: session.is_answered, "an answer")
            panel.link.actions["accept"]()
        trainer = session.desk.trainer
        trainer.options = trainer.options.model_copy(
            update={"stage": "full", "max_seconds": 600}
        )
        trainer.finetune()
        wait(lambda: session.learning.step > 0, "the start of the training")
        training = clicks.measure(number)
        still_running = session.learning.is_running
        session.learning.cancel()
        wait(lambda: not session.learning.is_running, "the end of the training")
        result = {
            "idle": idle,
            "while_training": {**training, "to_the_end": still_running},
            "ratio_p95": round(training["p95_ms"] / idle["p95_ms"], 2),
            "physical_cores": psutil.cpu_count(logical=False),
            "torch": torch.__version__,
        }
        panel.close_down()
        viewer.close()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
