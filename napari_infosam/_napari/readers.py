"""File > Open on a project folder: its images, each with its objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from napari.utils.notifications import show_warning

from napari_infosam._napari.huge_layers import huge_layers
from napari_infosam._napari.stack_layers import LayerData, stack_layers, stacks_in
from napari_infosam.project import Project
from napari_infosam.project.database import FILE_NAME

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

    Slices of a stack are one layer. Scale and units are those that its file states.
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
            for stack in reversed(stacks_in(project.images())):
                image = stack.image
                if not image.is_huge:
                    layers += stack_layers(project, stack)
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
