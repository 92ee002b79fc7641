"""Opening napari with the panel: what ``infosam annotate`` and ``demo`` do."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_infosam.core.errors import InfosamError
from napari_infosam.project import Project
from napari_infosam.project.folder import SUFFIX

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_infosam._napari.widget import InfoSAMWidget

PLUGIN, PANEL = "napari-infosam", "InfoSAM"


def run(paths: Sequence[Path], project: Path | None, sample: bool) -> None:
    """Open the window, and return when it is closed.

    Parameters
    ----------
    paths
        Images to open.
    project
        Project to work in; it is made with the first accepted object where there is
        none. Without paths and sample, its images are opened.
    sample
        Open the synthetic sample images.

    Raises
    ------
    InfosamError
        Without a display or Qt, or if the project can not be opened.
    """
    check_display()
    if project is not None:
        project = _full_name(project)
        if project.exists():
            # what is wrong with it is said before a window comes up
            Project.open(project).close()
    try:
        import napari
    except ImportError as error:
        raise InfosamError(
            f"napari can not start ({error}): install Qt with "
            "\"pip install 'napari-infosam[pyqt5]'\"."
        ) from error
    viewer = napari.Viewer()
    fill(viewer, paths, project, sample)
    napari.run()


def fill(
    viewer: Viewer, paths: Sequence[Path], project: Path | None, sample: bool
) -> InfoSAMWidget:
    """Put panel, project and images into a window; parameters as for `run`."""
    _, panel = viewer.window.add_plugin_dock_widget(PLUGIN, PANEL)
    widget: InfoSAMWidget = panel
    desk = widget.session.desk
    if project is not None:
        if project.exists():
            desk.open(project)
        else:
            desk.choose(project)
    if paths:
        # the first image on top, as the next one is looked for below
        viewer.open([str(path) for path in reversed(paths)])
        _show_only_the_first(viewer, widget)
    if sample:
        viewer.open_sample(PLUGIN, "synthetic")
    if not paths and not sample and desk.project is not None:
        for record in reversed(desk.project.images()):
            if record.is_huge:  # the project has no copy of it
                continue
            pixels = np.array(desk.project.read_image(record.id))
            viewer.add_image(pixels, name=record.name, rgb=record.axes == "YXC")
        _show_only_the_first(viewer, widget)
    return widget


def _show_only_the_first(viewer: Viewer, widget: InfoSAMWidget) -> None:
    """Of images that were opened together, show the one to begin with."""
    images = widget.link.images()
    for image in images[:-1]:
        image.visible = False
    if images:
        viewer.fit_to_view(layers=[images[-1]])


def _full_name(project: Path) -> Path:
    """Return the path of the folder, whose suffix people leave out."""
    path = project.absolute()
    return path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)


def check_display() -> None:
    """Raise a sentence where Qt would end the process without one.

    Raises
    ------
    InfosamError
        If no window can be opened.
    """
    wanted = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    if sys.platform.startswith("linux") and not any(map(os.environ.get, wanted)):
        raise InfosamError(
            "There is no display to open a window on (DISPLAY is not set): use "
            "'infosam demo --headless', or run it on a desktop."
        )
