"""The layers of a project's huge image, opened from the file it was annotated on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam._napari.huge_picture import WindowedPicture
from napari_infosam._napari.image_source import KNOWN_AS
from napari_infosam._napari.placing import size_settings
from napari_infosam.core.overview import pyramid
from napari_infosam.project.formats.pixel_size import pixel_sizes
from napari_infosam.project.huge_files import open_huge
from napari_infosam.project.split import stack_of
from napari_infosam.project.windows import label_window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_infosam.project import ImageRecord, ObjectRecord, Project

LayerData = tuple[Any, dict[str, Any], str]


class PlaneOf:
    """A plane of a stack, cut when it is looked at.

    Parameters
    ----------
    stack
        ``(..., Y, X)`` or ``(..., Y, X, C)``.
    index
        Position on the leading axes.
    """

    def __init__(self, stack: Any, index: tuple[int, ...]) -> None:
        self._stack = stack
        self._index = index
        self.shape = tuple(int(size) for size in stack.shape[len(index) :])
        self.ndim = len(self.shape)
        self.size = int(np.prod(self.shape, dtype=np.int64))
        self.dtype = np.dtype(stack.dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        keys = key if isinstance(key, tuple) else (key,)
        return np.asarray(self._stack[(*self._index, *keys)])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[()].astype(dtype or self.dtype, copy=False)


def huge_layers(project: Project, image: ImageRecord) -> list[LayerData]:
    """Return a huge image and its objects; nothing if its file is not as it was.

    Nothing of the image is read, and no label image made, but what is looked at.
    """
    levels = _levels_of(project, image)
    if levels is None:
        return []
    rgb = image.axes == "YXC" and image.shape[2] in (3, 4)
    if len(levels) == 1:
        levels = pyramid(levels[0], rgb=rgb)
    objects = project.objects(image.id)
    shown = WindowedPicture((image.shape[0], image.shape[1]))
    shown.read = lambda rows, columns: label_window(objects, rows, columns)
    path = file_of(project, image)
    placed = size_settings({} if path is None else pixel_sizes(path), ())
    of_image = {
        **placed,
        "name": image.name,
        "rgb": rgb,
        "multiscale": True,
        "metadata": {KNOWN_AS: image.content_hash},
    }
    of_objects = {
        **placed,
        "name": f"{image.name} objects",
        "features": features_of(objects),
        "multiscale": True,
    }
    return [(levels, of_image, "image"), (shown.levels, of_objects, "labels")]


def file_of(project: Project, image: ImageRecord) -> Path | None:
    """Return the file that an image came from, if it is there."""
    listed = project.listing.path_of_image(image.id) or image.source
    path = None if listed is None else Path(listed)
    return path if path is not None and path.exists() else None


def _levels_of(project: Project, image: ImageRecord) -> list[Any] | None:
    """Return the levels of an image's file; None if it is not there, or another."""
    path = file_of(project, image)
    found = None if path is None else open_huge(path)
    if found is None:
        return None
    levels: list[Any] = list(found.levels)
    stack = stack_of(image.name)
    n_leading = levels[0].ndim - len(image.shape)
    index = stack[1] if stack is not None else (0,) * n_leading
    if n_leading:
        sizes = levels[0].shape[:n_leading]
        if len(index) != n_leading or any(np.greater_equal(index, sizes)):
            return None
        levels = [PlaneOf(level, index) for level in levels]
    same = tuple(levels[0].shape) == image.shape
    return levels if same and np.dtype(levels[0].dtype).name == image.dtype else None


def features_of(objects: Sequence[ObjectRecord]) -> dict[str, list[Any]]:
    """Return what a Labels layer says of objects.

    The background has no class, and napari looks rows up by the index.
    """
    return {
        "index": [0, *(record.instance_id for record in objects)],
        "class": ["", *(record.class_name for record in objects)],
        "score": [None, *(record.score for record in objects)],
        "model": ["", *(record.model_version for record in objects)],
    }
