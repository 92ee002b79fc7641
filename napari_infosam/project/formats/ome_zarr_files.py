"""OME-Zarr stores of a project: one for each picture, or for each stack of slices."""

from __future__ import annotations

import math
from collections import Counter
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core.tiles import is_huge
from napari_infosam.project.formats.blocks import SIDE, LabelBlocks
from napari_infosam.project.formats.items import (
    hidden,
    label_dtype,
    paint_items,
    unique_stems,
    value_counts,
)
from napari_infosam.project.formats.ngff import open_multiscale
from napari_infosam.project.formats.ngff_writing import VERSION, Levels, channels
from napari_infosam.project.formats.pictures import tiff_axes
from napari_infosam.project.formats.pixel_size import pixel_sizes
from napari_infosam.project.formats.stacks import Stack, alone, gather

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_infosam.project.formats.items import Done, Picture, Selection
    from napari_infosam.project.formats.ngff import Place
    from napari_infosam.project.formats.stacks import Position

SUFFIX = ".ome.zarr"
LABELS = "objects"

_AXES = "tz"
"""What the leading axes of a stack are taken for, if nothing says it."""


def write(selection: Selection, folder: Path, done: Done) -> list[str]:
    """Write one store for each picture or stack; that of a huge one has labels alone.

    Parameters
    ----------
    done
        Called with a number of images, or a part of one, that are written.

    Returns
    -------
    list of str
        What is lost, one sentence each.
    """
    notes = []
    found = list(_stacks(selection.pictures))
    stems = unique_stems(stack.name for stack, _ in found)
    for (stack, leading), stem in zip(found, stems, strict=True):
        store = _Store(stack, leading, selection, folder / f"{stem}{SUFFIX}")
        if store.is_huge:
            notes.append(
                f"{stack.name}: its pixels are too many to be copied, the store has "
                "its labels alone"
            )
        lost = sum(store.write(position, done) for position in stack.slices)
        store.finish()
        if not store.is_huge and math.prod(stack.sizes) > len(stack.slices):
            notes.append(f"{stack.name}: slices without objects have no pixels there")
        if lost:
            n = sum(len(picture.items) for picture in stack.slices.values())
            notes.append(f"{stack.name}: {lost} of {n} objects lie under others")
    return notes


def slice_key(position: Position) -> str:
    """Return the key of a slice in what is known of a label."""
    return " ".join(map(str, position))


def _stacks(pictures: Iterable[Picture]) -> Iterable[tuple[Stack, str]]:
    """Yield what becomes a store, and the names of its leading axes."""
    for stack in gather(pictures):
        leading = _leading_axes(stack)
        if leading is not None:
            yield stack, leading
            continue
        for picture in stack.slices.values():
            yield alone(picture), ""


def _leading_axes(stack: Stack) -> str | None:
    """Return the names of the leading axes; None if OME-Zarr has no such stacks."""
    n = len(stack.sizes)
    named = ""
    if n and stack.source:
        path = Path(stack.source)
        image = open_multiscale(path) if path.suffix == ".zarr" else None
        axes = "".join(image.axes) if image else tiff_axes(path).lower()
        named = "".join(axis for axis in axes if axis not in "cyxs")
    if named == "zt" or n > len(_AXES):
        return None
    return named if len(named) == n and set(named) <= set(_AXES) else _AXES[2 - n :]


class _Store:
    """A store that is being written, slice by slice.

    Parameters
    ----------
    stack
        What is written.
    leading
        Names of its leading axes.
    selection
        What it is from.
    path
        Of the store.

    Attributes
    ----------
    is_huge
        Whether it has no pixels, but labels.
    """

    def __init__(
        self, stack: Stack, leading: str, selection: Selection, path: Path
    ) -> None:
        import zarr

        self._stack, self._leading, self._selection = stack, leading, selection
        first = stack.first
        self.is_huge = is_huge(first.shape)
        self._root = zarr.open_group(path, mode="w-", zarr_format=2)
        sizes = pixel_sizes(Path(stack.source)) if stack.source else {}
        own: dict[str, Any] = {"name": stack.name, "classes": selection.colours}
        if leading:
            own["stack"] = leading
        self._pixels: Levels | None = None
        self._highest = 0.0
        if self.is_huge:
            own["source"] = stack.source
        elif first.record is not None:
            axes, n_channels = leading, first.record.shape[2:]
            if n_channels:
                axes = "".join(sorted(f"{leading}c", key="tcz".index))
            known = dict(zip(leading, stack.sizes, strict=True))
            shape = [known.get(axis) or n_channels[0] for axis in axes]
            self._pixels = Levels(
                self._root,
                stack.name,
                f"{axes}yx",
                (*shape, *first.shape),
                np.dtype(first.record.dtype),
                sizes,
            )
            own["axes"] = first.record.axes
        self._root.attrs["infosam"] = own
        self._values = _label_values(stack)
        highest = max(max(values) for values in self._values.values())
        self._dtype = label_dtype(highest)
        parent = self._root.create_group("labels")
        parent.attrs["labels"] = [LABELS]
        self._group = parent.create_group(LABELS)
        self._labels = Levels(
            self._group,
            LABELS,
            f"{leading}yx",
            (*stack.sizes, *first.shape),
            self._dtype,
            sizes,
        )

    def write(self, position: Position, done: Done) -> int:
        """Write a slice; return how many objects others hide."""
        picture, values = self._stack.slices[position], self._values[position]
        place = dict(zip(self._leading, position, strict=True))
        if self._pixels is None:
            seen = self._write_blocks(picture, values, place, done)
        else:
            pixels = self._selection.pixels(picture)
            if pixels.ndim == 3:
                pixels = np.moveaxis(pixels, -1, 0)
                self._highest = max(self._highest, _highest(pixels))
            self._pixels.write(place, pixels)
            labels = paint_items(picture.items, values, picture.shape)
            self._labels.write(place, labels.astype(self._dtype))
            seen = value_counts(labels)
            done(1)
        return hidden(picture.items, values, seen)

    def finish(self) -> None:
        """Write what is known when all slices are there."""
        record = self._stack.first.record
        if self._pixels is not None and record is not None and len(record.shape) == 3:
            self._root.attrs["omero"] = channels(
                record.shape[2], np.dtype(record.dtype), self._highest
            )
        self._group.attrs["image-label"] = _image_label(self._stack, self._values)

    def _write_blocks(
        self, picture: Picture, values: list[int], place: Place, done: Done
    ) -> Counter[int]:
        """Write the labels of a huge picture block by block; return their counts."""
        seen = Counter[int]()
        arrays, index = self._labels.arrays, self._labels.index(place)[:-2]
        for level, array in enumerate(arrays):
            blocks = LabelBlocks(
                picture.items, values, picture.shape, self._dtype, stride=2**level
            )
            # what is not written is zero
            for block in blocks.filled:
                labels = blocks.read(block)
                row, column = block[0] * SIDE, block[1] * SIDE
                height, width = labels.shape
                rows, columns = slice(row, row + height), slice(column, column + width)
                array[(*index, rows, columns)] = labels
                if level == 0:
                    seen += value_counts(labels)
                done(1 / len(arrays) / len(blocks.filled))
        return seen


def _highest(pixels: NDArray[Any]) -> float:
    """Return the highest of the values that are finite, 0 at least."""
    return float(np.max(pixels, initial=0.0, where=np.isfinite(pixels)))


def _label_values(stack: Stack) -> dict[Position, list[int]]:
    """Return the value of each object in a label image.

    It is its number, which is one label in all slices where its class is the same. A
    number that stands for something else in an earlier slice gets a new value.
    """
    numbers = [
        item.instance_id or 0
        for picture in stack.slices.values()
        for item in picture.items
    ]
    unused = count(max(numbers) + 1)
    given: dict[tuple[int, str | None, int], int] = {}
    taken = {0}
    values = {}
    for position, picture in sorted(stack.slices.items()):
        times = Counter[tuple[int, str | None]]()
        of_picture = []
        for item in picture.items:
            number = item.instance_id or 0
            what = number, item.class_name
            one = (*what, times[what])
            times[what] += 1
            if one not in given:
                given[one] = next(unused) if number in taken else number
                taken.add(number)
            of_picture.append(given[one])
        values[position] = of_picture
    return values


def _image_label(stack: Stack, values: dict[Position, list[int]]) -> dict[str, Any]:
    """Return what is known of each label.

    No colours: in those of their classes, cells that touch would look like one.
    """
    known: dict[int, dict[str, Any]] = {}
    for position, picture in sorted(stack.slices.items()):
        for item, value in zip(picture.items, values[position], strict=True):
            own = {
                "score": item.score,
                "model_version": item.model_version,
                "reviewed": item.reviewed,
                "slice_index": list(item.slice_index),
            }
            label = known.setdefault(
                value,
                {
                    "label-value": value,
                    "class": item.class_name,
                    "instance_id": item.instance_id,
                },
            )
            if position:
                label.setdefault("slices", {})[slice_key(position)] = own
            else:
                label |= own
    return {
        "version": VERSION,
        "properties": list(known.values()),
        "source": {"image": "../../"},
    }
