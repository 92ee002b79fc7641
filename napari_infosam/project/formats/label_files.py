"""Label images of a project: one file for each image, or for each stack of slices."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.tiles import is_huge
from napari_infosam.project.formats.blocks import SIDE, LabelBlocks
from napari_infosam.project.formats.importing import DEFAULT_CLASS
from napari_infosam.project.formats.items import (
    Item,
    hidden,
    label_dtype,
    label_values,
    paint_items,
    plain_stem,
    unique_stems,
    value_counts,
)
from napari_infosam.project.formats.label_tables import write_legend, write_table
from napari_infosam.project.formats.pixel_size import pixels_per_centimetre
from napari_infosam.project.formats.stacks import (
    MOST_PLANES,
    Position,
    alone,
    gather,
)
from napari_infosam.project.split import slice_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_infosam.project.formats.items import Done, Picture, Selection

_HIGHEST_PNG = np.iinfo(np.uint16).max

LabelType = type[np.uint8 | np.uint16 | np.uint32]
Numbers = Mapping[str, int]


@dataclass(slots=True)
class _File:
    """A label image to be written: its planes by their position in the stack.

    With ``numbers`` of classes it holds these, and else the numbers of objects.
    """

    name: str
    shape: tuple[int, int]
    planes: dict[Position, list[Item]]
    source: str | None = None
    numbers: Numbers | None = None
    n_pictures: int = 0

    @property
    def stack_shape(self) -> tuple[int, ...]:
        """Sizes of the leading axes, up to the last slice with an object."""
        return tuple(max(axis) + 1 for axis in zip(*self.planes, strict=True))

    @property
    def dtype(self) -> LabelType:
        """The smallest type that holds what stands in the file."""
        if self.numbers is None:
            return self.painted_dtype
        highest = max(self.numbers.values())
        small = highest <= np.iinfo(np.uint8).max
        return np.uint8 if small else label_dtype(highest)

    @property
    def painted_dtype(self) -> type[np.uint16 | np.uint32]:
        """The type that holds the `values` of objects."""
        values = (max(self.values(items)) for items in self.planes.values())
        return label_dtype(max(values))

    def values(self, items: list[Item]) -> list[int]:
        """Return what stands for each object of a plane while it is painted."""
        if self.numbers is None:
            return label_values(items)
        return list(range(1, len(items) + 1))

    def written(self, items: list[Item], labels: NDArray[Any]) -> NDArray[Any]:
        """Return a painted plane, or a part of it, as it stands in the file."""
        if self.numbers is None:
            return labels.astype(self.dtype, copy=False)
        names = (item.class_name or DEFAULT_CLASS for item in items)
        numbers = np.array([0, *(self.numbers[name] for name in names)], self.dtype)
        written: NDArray[Any] = numbers[labels]
        return written


def write(
    selection: Selection, folder: Path, done: Done, *, png: bool, classes: bool = False
) -> list[str]:
    """Write label images, and a table of what they can not hold.

    Parameters
    ----------
    done
        Called with a number of images, or a part of one, that are written.
    classes
        A pixel has the number of the class, and not that of the object.

    Returns
    -------
    list of str
        What is lost, one sentence each.
    """
    notes: list[str] = []
    colours = selection.colours
    numbers = {name: n for n, name in enumerate(colours, start=1)} if classes else None
    files = _files(selection.pictures, stacks=not png, numbers=numbers)
    suffix = ".png" if png else ".tif"
    for target in files:
        path = folder / f"{target.name}{suffix}"
        if png:
            lost = _write_png(path, target)
        elif is_huge(target.shape):
            lost = _write_tiles(path, target, done)
        else:
            lost = _write_tiff(path, target)
        if lost:
            n = sum(map(len, target.planes.values()))
            notes.append(f"{path.name}: {lost} of {n} objects lie under others")
        if png or not is_huge(target.shape):
            done(target.n_pictures)
    if numbers is not None:
        write_legend(folder, numbers, colours)
    else:
        planes = (
            (f"{target.name}{suffix}", position, items, target.values(items))
            for target in files
            for position, items in sorted(target.planes.items())
        )
        write_table(folder, planes, colours)
    return notes


def _files(
    pictures: tuple[Picture, ...], *, stacks: bool, numbers: Numbers | None
) -> list[_File]:
    """Return the files: slices of one stack share one, if there may be stacks."""
    made: dict[object, _File] = {}
    for number, stack in enumerate(
        gather(pictures) if stacks else map(alone, pictures)
    ):
        for start, picture in stack.slices.items():
            for n_before, (index, items) in enumerate(_by_slice(picture).items()):
                position, title = (*start, *index), stack.name
                own: tuple[object, ...] = (number, len(position))
                if not stacks and index:
                    title = slice_name(plain_stem(title), index)
                    own, position = (number, index), ()
                new = _File(title, picture.shape, {}, stack.source, numbers)
                file = made.setdefault(own, new)
                file.planes[position] = items
                file.n_pictures += n_before == 0
    found = list(made.values())
    for file, stem in zip(found, unique_stems(f.name for f in found), strict=True):
        file.name = stem
    return found


def _by_slice(picture: Picture) -> dict[Position, list[Item]]:
    slices: dict[Position, list[Item]] = {}
    for item in picture.items:
        slices.setdefault(item.slice_index, []).append(item)
    return slices


def _write_png(path: Path, file: _File) -> int:
    """Write one plane; return how many objects others hide."""
    from PIL import Image

    ((_, items),) = file.planes.items()
    if is_huge(file.shape):
        raise InfosamError(
            f"{file.name} has {file.shape[0]} x {file.shape[1]} pixels, too many for a "
            "PNG file, which is made as a whole: export TIFF files."
        )
    labels, lost = _paint(file, items)
    if labels.max() > _HIGHEST_PNG:
        raise InfosamError(
            f"{path.name} would need the label {labels.max()}, PNG files end at "
            f"{_HIGHEST_PNG}: export TIFF files."
        )
    small = labels.astype(np.uint16) if labels.dtype == np.uint32 else labels
    Image.fromarray(small).save(path, compress_level=1)
    return lost


def _write_tiff(path: Path, file: _File) -> int:
    """Write all planes; return how many objects others hide."""
    leading = _checked(file)
    lost = 0

    def planes() -> Iterator[NDArray[Any]]:
        nonlocal lost
        for position in np.ndindex(leading):
            items = file.planes.get(position)
            if items is None:
                yield np.zeros(file.shape, file.dtype)
                continue
            labels, hides = _paint(file, items)
            lost += hides
            yield labels

    _save_tiff(path, file, planes(), compressionargs={"level": 1})
    return lost


def _write_tiles(path: Path, file: _File, done: Done) -> int:
    """Write the planes of a huge picture tile by tile; return as `_write_tiff`."""
    leading = _checked(file)
    painted = file.painted_dtype
    empty = zlib.compress(bytes(SIDE * SIDE * np.dtype(file.dtype).itemsize), 9)
    seen = {position: Counter[int]() for position in file.planes}

    def tiles() -> Iterator[bytes]:
        for position in np.ndindex(leading):
            items = file.planes.get(position, [])
            blocks = LabelBlocks(items, file.values(items), file.shape, painted)
            filled, (n_rows, n_columns) = set(blocks.filled), blocks.grid
            for block in np.ndindex(n_rows, n_columns):
                # nobody asks for what comes after the last tile
                if block[1] == n_columns - 1:
                    done(file.n_pictures / math.prod(leading) / n_rows)
                if block not in filled:
                    yield empty
                    continue
                labels = blocks.read(block)
                seen[position] += value_counts(labels)
                missing = [(0, SIDE - size) for size in labels.shape]
                tile = np.pad(file.written(items, labels), missing)
                yield zlib.compress(tile.tobytes(), 1)

    _save_tiff(path, file, tiles(), tile=(SIDE, SIDE))
    return sum(
        hidden(items, file.values(items), seen[position])
        for position, items in file.planes.items()
    )


def _checked(file: _File) -> tuple[int, ...]:
    """Return the leading axes of a label image, if it can be written."""
    leading = file.stack_shape
    before = any(index < 0 for position in file.planes for index in position)
    if before or math.prod(leading) > MOST_PLANES:
        far = min(file.planes) if before else max(file.planes)
        raise InfosamError(
            f"{file.name} has an object in slice {far}, such a stack of label images "
            "is not written: export PNG files or COCO."
        )
    return leading


def _save_tiff(path: Path, file: _File, data: Iterator[Any], **how: Any) -> None:
    import tifffile

    leading = file.stack_shape
    size = pixels_per_centimetre(Path(file.source)) if file.source else None
    tifffile.imwrite(
        path,
        data,
        shape=(*leading, *file.shape),
        dtype=file.dtype,
        compression="zlib",
        photometric="minisblack",
        metadata={"axes": "TZYX"[-2 - len(leading) :]} if len(leading) <= 2 else None,
        resolution=size,
        resolutionunit=None if size is None else "CENTIMETER",
        **how,
    )


def _paint(file: _File, items: list[Item]) -> tuple[NDArray[Any], int]:
    """Return a plane as it is written, and how many objects others hide."""
    values = file.values(items)
    labels = paint_items(items, values, file.shape)
    return file.written(items, labels), hidden(items, values, value_counts(labels))
