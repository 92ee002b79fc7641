"""Make the pictures of the window in the docs, from the real window.

Run it from the top of the repository, where there is a display or under Xvfb:

    xvfb-run -s "-screen 0 1600x1000x24" .venv/bin/python scripts/screenshots.py

It opens napari on the bundled synthetic cells, annotates five pictures with the
simulated annotator, trains for two minutes, and takes pictures on the way. What it
accepts goes into a temporary project.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_infosam._napari.widget import InfoSAMWidget

SIZE = (1400, 940)
N_ANNOTATED = 5
SECONDS = 120
ENOUGH_IOU = 0.9
MAX_CLICKS = 8


class Photographer:
    """Works in the window as a person would, and takes pictures of it.

    Parameters
    ----------
    folder
        Where the pictures go.
    """

    def __init__(self, folder: Path) -> None:
        import napari

        self.folder = folder
        self.viewer: Viewer = napari.Viewer()
        self.viewer.window.resize(*SIZE)
        self.viewer.open_sample("napari-infosam", "synthetic")
        _, widget = self.viewer.window.add_plugin_dock_widget(
            "napari-infosam", "InfoSAM"
        )
        self.panel: InfoSAMWidget = widget
        self.truth = np.asarray(self.viewer.layers["synthetic cells, truth"].data)
        self.wait(lambda: self.panel.session.engine.is_ready)
        self.viewer.reset_view()

    def wait(self, condition: Callable[[], Any], seconds: float = 300) -> None:
        """Let the window work until something is so."""
        from qtpy.QtWidgets import QApplication

        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"waited {seconds} s")
            QApplication.processEvents()
            time.sleep(0.01)

    def shoot(self, name: str) -> None:
        """Take a picture of the whole window."""
        now = time.monotonic()
        self.wait(lambda: time.monotonic() > now + 0.5)
        self._close_notifications()
        path = self.folder / f"{name}.png"
        self.viewer.screenshot(str(path), canvas_only=False, flash=False)
        print(path)

    def _close_notifications(self) -> None:
        from qtpy.QtWidgets import QWidget

        window = self.panel.window()
        for widget in window.findChildren(QWidget) if window else ():
            if type(widget).__name__ == "NapariQtNotification":
                widget.close()

    def go_to(self, number: int) -> None:
        """Show one picture of the stack."""
        session = self.panel.session
        self.viewer.dims.set_current_step(0, number)
        self.wait(
            lambda: (
                session.source is not None
                and session.source.slice_index == (number,)
                and session.engine.is_ready
            )
        )

    def click(self, target: np.ndarray) -> bool:
        """Click where a person would; False when nothing is left to correct."""
        from napari_infosam.core.clicks import next_click

        session = self.panel.session
        answer = session.proposal
        seen = np.zeros_like(target) if answer is None else answer.prediction.mask
        point = next_click(target, seen, session.prompts.points)
        if point is None:
            return False
        session.add_prompt(point)
        self.wait(lambda: session.is_answered)
        return True

    def annotate(self, number: int) -> None:
        """Accept every cell of a picture, after as many clicks as it needs."""
        from napari_infosam.core.metrics import iou

        self.go_to(number)
        session = self.panel.session
        for value in np.unique(self.truth[number])[1:]:
            target = self.truth[number] == value
            for _ in range(MAX_CLICKS):
                if not self.click(target):
                    break
                answer = session.proposal
                if answer and iou(answer.prediction.mask, target) > ENOUGH_IOU:
                    break
            self.panel.link.accept()

    def close(self) -> None:
        """Close the window."""
        self.viewer.close()


def take_pictures(folder: Path) -> None:
    """Take all pictures."""
    photographer = Photographer(folder)
    panel = photographer.panel
    session, learning = panel.session, panel.session.learning

    first = photographer.truth[0] == 1
    photographer.go_to(0)
    photographer.click(first)
    photographer.shoot("first_click")
    session.clear()

    for number in range(N_ANNOTATED):
        photographer.annotate(number)
    panel.learn.options.max_seconds.value = SECONDS
    session.desk.finetune()
    photographer.go_to(N_ANNOTATED)
    photographer.click(photographer.truth[N_ANNOTATED] == 1)
    photographer.wait(lambda: len(learning.ious) >= 3 or not learning.is_running)
    photographer.shoot("training")

    photographer.wait(lambda: not learning.is_running)
    session.clear()
    photographer.wait(lambda: not session.engine.loading)
    photographer.click(photographer.truth[N_ANNOTATED] == 1)
    photographer.shoot("trained")
    photographer.close()


def main() -> None:
    """Read the command line and take the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="infosam-pictures-") as home:
        os.environ["INFOSAM_PROJECTS"] = str(Path(home, "projects"))
        os.environ["NAPARI_CONFIG"] = str(Path(home, "napari.yaml"))
        take_pictures(folder.resolve())


if __name__ == "__main__":
    main()
