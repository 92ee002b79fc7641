"""Opening napari with the panel: what ``infosam annotate`` and ``demo`` do."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_infosam.core.errors import InfosamError
from napari_infosam.project import Project
from napari_infosam.project.folder import SUFFIX

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_infosam._napari.widget import InfoSAMWidget

PLUGIN, PANEL = "napari-infosam", "InfoSAM"
_WANTED = (1440, 900)
"""Width and height in pixels: the panel shows everything without scrolling."""


def run(paths: Sequence[Path], project: Path | None, sample: bool) -> None:
    """Open the window, and return when it is closed.

    Parameters
    ----------
    paths
        Images to open. With a project they are put on its list, a folder stands for
        the images in it, and the first one is opened.
    project
        Project to work in; it is made with the first accepted object, or with its
        list of images, where there is none. Without paths and sample, it goes on
        with the image that was open last.
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
    _enlarge(viewer)
    fill(viewer, paths, project, sample)
    napari.run()


def _enlarge(viewer: Viewer) -> None:
    """Give the window at least the size that panel and image want, if it fits."""
    from qtpy.QtGui import QGuiApplication

    screen, window = QGuiApplication.primaryScreen(), viewer.window
    if screen is None:
        return
    room = screen.availableGeometry()
    _, _, width, height = window.geometry()
    wanted = (min(_WANTED[0], room.width()), min(_WANTED[1], room.height()))
    window.resize(max(width, wanted[0]), max(height, wanted[1]))


def fill(
    viewer: Viewer, paths: Sequence[Path], project: Path | None, sample: bool
) -> InfoSAMWidget:
    """Put panel, project and images into a window; parameters as for `run`."""
    _, panel = viewer.window.add_plugin_dock_widget(PLUGIN, PANEL)
    widget: InfoSAMWidget = panel
    desk = widget.session.desk
    if sample:
        # before the project: without an image it would go on with its last one
        viewer.open_sample(PLUGIN, "synthetic")
    if project is not None:
        if project.exists():
            desk.open(project)
        else:
            desk.choose(project)
    if paths and project is not None:
        widget.images_view.changes.add(paths)
    elif paths:
        # the first image on top, as the next one is looked for below
        viewer.open([str(path) for path in reversed(paths)])
        _show_only_the_first(viewer, widget)
    return widget


def _show_only_the_first(viewer: Viewer, widget: InfoSAMWidget) -> None:
    """Of images that were opened together, show the one to begin with."""
    images = widget.link.images()
    for image in images[:-1]:
        image.visible = False
    if images:
        from napari_infosam._napari.placing import fit

        fit(viewer, images[-1])


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
