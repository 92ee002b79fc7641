"""File > Open on a project folder: its images, each with its objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_warning

from napari_infosam._napari.channels import CHOICE
from napari_infosam._napari.huge_layers import features_of, huge_layers
from napari_infosam.core.channels import ChannelChoice
from napari_infosam.project import Project
from napari_infosam.project.database import FILE_NAME
from napari_infosam.project.painting import paint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_infosam.project import ImageRecord

LayerData = tuple[Any, dict[str, Any], str]
AnyPaths = str | Sequence[str]
Reader = Callable[[AnyPaths], list[LayerData] | list[tuple[None]]]


def get_reader(path: AnyPaths) -> Reader | None:
    """Return what reads a project folder, or None if this is none.

    Parameters
    ----------
    path
        Of one folder ``NAME.infosam``, or of several to be opened together.
    """
    if all((Path(one) / FILE_NAME).is_file() for one in _as_list(path)):
        return read_projects
    return None


def read_projects(path: AnyPaths) -> list[LayerData] | list[tuple[None]]:
    """Return the image layers of projects, and a Labels layer above each.

    The projects are only read, so a window may have them open. Of all images the
    first is shown, and is on top. Huge ones are opened from their files, of which the
    project has no copy; those whose files are not there are named and left out.

    Raises
    ------
    InfosamError
        If a project can not be read.
    """
    layers: list[LayerData] = []
    missing: list[str] = []
    for folder in reversed(_as_list(path)):
        with Project.open(folder, lock=False) as project:
            for image in reversed(project.images()):
                if not image.is_huge:
                    layers += _layers(project, image)
                elif found := huge_layers(project, image):
                    layers += found
                else:
                    missing.append(f"{image.name} ({image.source or 'no file known'})")
    for _, settings, _ in layers[:-2]:
        settings["visible"] = False
    if missing:
        show_warning(
            f"Left out, as the project has no copy of huge images and their files are "
            f"not there: {', '.join(missing)}. Open the project in the InfoSAM panel "
            "and find them with Relink, or open the images themselves."
        )
    # napari takes an empty list for a failure of the reader
    return layers or [(None,)]


def _as_list(path: AnyPaths) -> list[str]:
    return [path] if isinstance(path, str) else [str(one) for one in path]


def _layers(project: Project, image: ImageRecord) -> list[LayerData]:
    """Return an image and its objects; where they overlap the smaller is on top."""
    objects = project.objects(image.id)
    labels = paint(objects, (image.shape[0], image.shape[1]))
    pixels: NDArray[Any] = project.read_image(image.id)
    settings: dict[str, Any] = {"name": image.name, "rgb": image.axes == "YXC"}
    if image.axes == "YXC" and image.shape[2] not in (3, 4):
        choice = ChannelChoice(axis=0, seen=image.preprocessing.channels)
        pixels = np.moveaxis(pixels, -1, 0)
        settings |= {"rgb": False, "metadata": {CHOICE: choice}}
    return [
        (pixels, settings, "image"),
        (
            labels,
            {"name": f"{image.name} objects", "features": features_of(objects)},
            "labels",
        ),
    ]
