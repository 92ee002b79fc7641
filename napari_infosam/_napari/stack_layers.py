"""The layers of a project's stack: one image and its objects, of all slices."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam._napari.channels import CHOICE
from napari_infosam._napari.huge_layers import features_of, file_of
from napari_infosam._napari.placing import size_settings
from napari_infosam.core.channels import ChannelChoice
from napari_infosam.project.formats.items import label_dtype
from napari_infosam.project.formats.pictures import tiff_axes
from napari_infosam.project.formats.pixel_size import pixel_sizes
from napari_infosam.project.formats.stacks import MOST_PLANES, Position
from napari_infosam.project.huge_files import open_lazily
from napari_infosam.project.images import load_pixels
from napari_infosam.project.painting import paint
from napari_infosam.project.split import stacks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_infosam.project import ImageRecord, ObjectRecord, Project

_AT_ONCE = 1 << 28
"""A label image of more pixels is not made as a whole."""

LayerData = tuple[Any, dict[str, Any], str]


@dataclass(slots=True)
class Stack:
    """A stack, or an image that is alone, which has the one position ().

    Attributes
    ----------
    name
        Of the layer.
    slices
        Its images in the project; the axes before those of an image are its own.
    """

    name: str
    slices: dict[Position, ImageRecord]

    @property
    def image(self) -> ImageRecord:
        """The first of its images: all have one shape, and are of one file."""
        return next(iter(self.slices.values()))

    @property
    def n_axes(self) -> int:
        """How many axes of slices there are."""
        return len(next(iter(self.slices)))

    @property
    def n_slices(self) -> tuple[int, ...]:
        """Sizes of these axes, up to the last of its images."""
        return tuple(max(axis) + 1 for axis in zip(*self.slices, strict=True))


def stacks_in(images: Sequence[ImageRecord]) -> list[Stack]:
    """Return the images of a project, slices of one stack together.

    Those of huge stacks are alone: each is opened from its file.
    """
    found: dict[object, Stack] = {}
    stacks = stacks_of([image.name for image in images])
    for image, place in zip(images, stacks, strict=True):
        key: object = image.id
        name, position = image.name, Position()
        if place is not None and not image.is_huge:
            name, position = place
            kind = image.source, image.shape, image.dtype, image.axes
            key = (name, len(position), kind)
        found.setdefault(key, Stack(name, {})).slices[position] = image
    made: list[Stack] = []
    for stack in found.values():
        if math.prod(stack.n_slices) <= MOST_PLANES:
            made.append(stack)
        else:
            made += [Stack(image.name, {(): image}) for image in stack.slices.values()]
    return made


def stack_layers(project: Project, stack: Stack) -> list[LayerData]:
    """Return the layers of a stack, or of an image that is none and is not huge.

    The pixels of a stack are those of its file, if it is there, else the copies of the
    project: slices without a copy are black. Both are read when they are looked at.
    Where objects overlap the smaller is on top.
    """
    path, image = file_of(project, stack.image), stack.image
    pixels = _pixels(project, stack, path)
    labels, features = _objects(project, stack, pixels.shape[: stack.n_axes])
    sizes = {} if path is None else pixel_sizes(path)
    leading = _leading_axes(path, stack.n_axes)
    of_objects = {
        "name": f"{stack.name} objects",
        "features": features,
        **size_settings(sizes, leading),
    }
    of_image = {"name": stack.name, "rgb": image.axes == "YXC"}
    if _has_channels(image):
        # where napari has them: before the axes of a plane
        pixels, leading = np.moveaxis(pixels, -1, -3), [*leading, "c"]
        choice = ChannelChoice(axis=stack.n_axes, seen=image.preprocessing.channels)
        of_image |= {"rgb": False, "metadata": {CHOICE: choice}}
    of_image |= size_settings(sizes, leading)
    return [(pixels, of_image, "image"), (labels, of_objects, "labels")]


def _has_channels(image: ImageRecord) -> bool:
    """Return whether the last axis holds channels that are no colours."""
    return image.axes == "YXC" and image.shape[2] not in (3, 4)


def _leading_axes(path: Path | None, n_axes: int) -> Sequence[str]:
    """Return the names of the axes of slices, '' where the file does not tell."""
    named = "" if path is None else tiff_axes(path).replace("S", "").lower()
    fits = len(named) == n_axes + 2 and named.endswith("yx")
    return named[:n_axes] if fits else [""] * n_axes


def _pixels(project: Project, stack: Stack, path: Path | None) -> Any:
    """Return ``(..., Y, X)`` or ``(..., Y, X, C)``; of an image alone its copy."""
    image, n_axes = stack.image, stack.n_axes
    if not n_axes:
        return project.read_image(image.id)
    copies = _copies(project.path, stack)
    found = None if path is None or _has_channels(image) else open_lazily(path)
    if found is None:
        return copies
    pixels = found.levels[0]
    shape = tuple(map(int, pixels.shape))
    fits = shape[n_axes:] == image.shape and np.dtype(pixels.dtype) == copies.dtype
    return pixels if fits and np.all(shape >= np.array(copies.shape)) else copies


def _copies(folder: Path, stack: Stack) -> Any:
    """Return the copies of the project, up to the last one."""
    reads = {
        position: partial(load_pixels, folder, image)
        for position, image in stack.slices.items()
    }
    image = stack.image
    return _lazily(reads, stack.n_slices, image.shape, np.dtype(image.dtype))


def _lazily(
    reads: Mapping[Position, Callable[[], NDArray[Any]]],
    n_slices: tuple[int, ...],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
) -> Any:
    """Return a stack whose slices are made when they are looked at; others are zero."""
    import dask.array
    from dask.delayed import delayed

    da: Any = dask.array
    planes = [
        da.from_delayed(delayed(reads[position], pure=False)(), shape, dtype=dtype)
        if position in reads
        else da.zeros(shape, dtype=dtype)
        for position in np.ndindex(n_slices)
    ]
    return da.stack(planes).reshape(*n_slices, *shape)


def _objects(
    project: Project, stack: Stack, n_slices: tuple[int, ...]
) -> tuple[Any, dict[str, list[Any]]]:
    """Return the label image and what its values are; a large one is made lazily."""
    objects = {
        position: project.objects(image.id) for position, image in stack.slices.items()
    }
    if stack.n_axes:
        objects = _numbered(objects)
    everything = [record for records in objects.values() for record in records]
    features = features_of(_once(everything))
    shape = stack.image.shape[0], stack.image.shape[1]
    dtype = np.dtype(label_dtype(max(features["index"])))
    reads = {
        position: partial(_painted, records, shape, dtype)
        for position, records in objects.items()
        if records
    }
    if math.prod((*n_slices, *shape)) > _AT_ONCE:
        return _lazily(reads, n_slices, shape, dtype), features
    labels = np.zeros((*n_slices, *shape), dtype)
    for position, read in reads.items():
        labels[position] = read()
    return labels, features


def _painted(
    objects: list[ObjectRecord], shape: tuple[int, int], dtype: np.dtype[Any]
) -> NDArray[Any]:
    return paint(objects, shape).astype(dtype)


def _numbered(
    objects: dict[Position, list[ObjectRecord]],
) -> dict[Position, list[ObjectRecord]]:
    """Return objects of which no two of another class have the same number.

    In a project numbers are those of a slice; napari's features are those of a layer.
    """
    everything = [record for records in objects.values() for record in records]
    free = max((record.instance_id for record in everything), default=0) + 1
    values: dict[tuple[int, str], int] = {}
    taken: set[int] = set()
    for record in everything:
        key = record.instance_id, record.class_name
        if key in values:
            continue
        if record.instance_id in taken:
            values[key], free = free, free + 1
        else:
            values[key] = record.instance_id
            taken.add(record.instance_id)
    return {
        position: [
            replace(r, instance_id=values[r.instance_id, r.class_name]) for r in records
        ]
        for position, records in objects.items()
    }


def _once(objects: list[ObjectRecord]) -> list[ObjectRecord]:
    """Return one object for each number, with what holds in all slices."""
    found: dict[int, ObjectRecord] = {}
    for record in objects:
        known = found.setdefault(record.instance_id, record)
        if known.score != record.score:
            known = replace(known, score=None)
        if known.model_version != record.model_version:
            known = replace(known, model_version="")
        found[record.instance_id] = known
    return [found[number] for number in sorted(found)]
