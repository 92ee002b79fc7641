"""What is saved of a Labels layer: its project knows more of it than its pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.masks import iter_objects
from napari_infosam.core.tiles import is_huge
from napari_infosam.project import Project
from napari_infosam.project.classes import PALETTE
from napari_infosam.project.database import FILE_NAME
from napari_infosam.project.formats.importing import DEFAULT_CLASS
from napari_infosam.project.formats.items import Item, Picture, select
from napari_infosam.project.painting import paint
from napari_infosam.project.split import stacks_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_infosam.project import ImageRecord, ObjectRecord
    from napari_infosam.project.formats.stacks import Position

KEPT_IN = "infosam picture"
"""In the metadata of a layer of objects: the folder of the project, and its id of the
picture; None while no project has it."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What is saved of a layer.

    Attributes
    ----------
    name
        Of the picture, or of the stack.
    planes
        Those with objects, by their position in the stack; that of a picture is ().
    colours
        Names of classes with their colours ``#rrggbb``.
    """

    name: str
    planes: dict[Position, Picture]
    colours: dict[str, str]

    def joined(self) -> Picture:
        """Return all planes as one picture, whose objects say which slice is theirs."""
        if list(self.planes) == [()]:
            return self.planes[()]
        items = tuple(
            replace(item, slice_index=(*position, *item.slice_index))
            for position, picture in self.planes.items()
            for item in picture.items
        )
        shape = next(iter(self.planes.values())).shape
        return Picture(self.name, self.name, shape, items)


def saved_of(data: Any, meta: dict[str, Any]) -> Saved:
    """Return what is to be saved of a Labels layer.

    What is shown of a picture of a project is taken from there: with classes, colours,
    what lies under other objects, and all slices of its stack. What else a layer holds
    is taken as it is, also what was changed in a copy of such a layer.

    Parameters
    ----------
    data
        ``(..., Y, X)`` label image, each value but zero one object in every plane.
    meta
        As napari gives it. Where its features have the columns ``index`` and
        ``class``, they name the classes.

    Raises
    ------
    InfosamError
        If the layer has no objects, or its project can not be read.
    """
    # the first level of a multiscale layer is the one at full size
    finest = data[0] if meta.get("multiscale") else data
    classes, colours = _classes(meta), dict[str, str]()
    kept = (meta.get("metadata") or {}).get(KEPT_IN)
    if kept is not None and (Path(kept[0]) / FILE_NAME).is_file():
        with Project.open(kept[0], lock=False) as project:
            objects = project.objects(kept[1])
            if _is_shown(objects, finest):
                return _of_project(project, kept[1], str(meta["name"]))
            classes = {record.instance_id: record.class_name for record in objects}
            colours = {record.name: record.color for record in project.classes()}
    return _of_labels(_check(finest, meta), str(meta["name"]), classes, colours)


def _is_shown(objects: list[ObjectRecord], labels: Any) -> bool:
    """Return whether a label image is that of some objects."""
    if labels.ndim != 2 or any(record.shape != labels.shape for record in objects):
        return False
    shape = (int(labels.shape[0]), int(labels.shape[1]))
    # nobody can paint on huge ones
    return is_huge(shape) or np.array_equal(paint(objects, shape), labels)


def _of_project(project: Project, image_id: int, name: str) -> Saved:
    images = project.images()
    own, *_ = (image for image in images if image.id == image_id)
    positions = _slices_beside(own, images)
    selection = select(project, unreviewed=True)
    planes = {
        positions[picture.record.id][1]: picture
        for picture in selection.pictures
        if picture.record is not None and picture.record.id in positions
    }
    if not planes:
        raise _nothing(name)
    return Saved(positions[own.id][0], dict(sorted(planes.items())), selection.colours)


def _slices_beside(
    own: ImageRecord, images: list[ImageRecord]
) -> dict[int, tuple[str, Position]]:
    """Return name and position of the slices of the stack an image is of, by id.

    Of an image that is alone there is but itself, at ().
    """
    stacks = stacks_of([image.name for image in images])
    found = {
        image.id: stack
        for image, stack in zip(images, stacks, strict=True)
        if stack and (image.source, image.shape[:2]) == (own.source, own.shape[:2])
    }
    if own.id not in found:
        return {own.id: (own.name, ())}
    name, position = found[own.id]
    return {
        image_id: stack
        for image_id, stack in found.items()
        if stack[0] == name and len(stack[1]) == len(position)
    }


def _check(finest: Any, meta: dict[str, Any]) -> NDArray[Any]:
    if not isinstance(finest, np.ndarray) and is_huge(finest.shape[-2:]):
        raise InfosamError(
            f"The layer {meta['name']} is too large to be read as a whole: write its "
            "project with 'infosam export'."
        )
    labels: NDArray[Any] = np.asarray(finest)
    if labels.ndim < 2:
        raise InfosamError(f"The layer {meta['name']} is no picture: choose another.")
    if not labels.any():
        raise _nothing(meta["name"])
    return labels


def _nothing(name: str) -> InfosamError:
    return InfosamError(f"The layer {name} has no objects to save: all of it is zero.")


def _of_labels(
    labels: NDArray[Any], name: str, classes: dict[int, str], colours: dict[str, str]
) -> Saved:
    planes = {}
    for position, items in _planes(labels, classes):
        where = f" [{', '.join(map(str, position))}]" if position else ""
        title, shape = f"{name}{where}", (labels.shape[-2], labels.shape[-1])
        planes[position] = Picture(title, title, shape, tuple(items))
    used = {
        item.class_name or DEFAULT_CLASS
        for picture in planes.values()
        for item in picture.items
    }
    missing = sorted(used - set(colours))
    made = {name: PALETTE[n % len(PALETTE)] for n, name in enumerate(missing)}
    return Saved(name, planes, colours | made)


def _planes(
    labels: NDArray[Any], classes: dict[int, str]
) -> Iterator[tuple[Position, list[Item]]]:
    """Yield the position and the objects of every plane that has some."""
    for position in np.ndindex(labels.shape[:-2]):
        items = [
            Item.of_mask(
                mask,
                class_name=classes.get(value) or DEFAULT_CLASS,
                instance_id=value,
            )
            for value, mask in iter_objects(labels[position])
        ]
        if items:
            yield position, items


def _classes(meta: dict[str, Any]) -> dict[int, str]:
    """Return the class of each label, where the layer has such features."""
    features = meta.get("features")
    if features is None or not {"index", "class"} <= set(features):
        return {}
    return {
        int(label): str(name)
        for label, name in zip(features["index"], features["class"], strict=True)
        if isinstance(name, str)
    }
