"""Label images of a project: one file for each image, or for each stack of slices."""

from __future__ import annotations

import csv
import math
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.tiles import is_huge
from napari_infosam.project.failures import one_sentence
from napari_infosam.project.formats.blocks import SIDE, LabelBlocks
from napari_infosam.project.formats.importing import DEFAULT_CLASS, refuse
from napari_infosam.project.formats.items import (
    IMPORTED,
    Item,
    hidden,
    label_dtype,
    label_values,
    paint_items,
    plain_stem,
    unique_stems,
    value_counts,
)
from napari_infosam.project.formats.pixel_size import pixels_per_centimetre
from napari_infosam.project.images import COLOUR
from napari_infosam.project.split import stacks_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_infosam.project.formats.items import Done, Picture, Selection

TABLE = "infosam-objects.csv"
"""Beside the label images: what they can not hold of their objects."""

_COLUMNS = (
    "file",
    "slice",
    "label",
    "class",
    "color",
    "score",
    "model_version",
    "reviewed",
)
_MOST_PLANES = 1 << 16
_HIGHEST_PNG = np.iinfo(np.uint16).max

Position = tuple[int, ...]


@dataclass(slots=True)
class _File:
    """A label image to be written: its planes by their position in the stack."""

    name: str
    shape: tuple[int, int]
    planes: dict[Position, list[Item]]
    source: str | None = None
    n_pictures: int = 0

    @property
    def stack_shape(self) -> tuple[int, ...]:
        """Sizes of the leading axes, up to the last slice with an object."""
        return tuple(max(axis) + 1 for axis in zip(*self.planes, strict=True))


def write(selection: Selection, folder: Path, done: Done, *, png: bool) -> list[str]:
    """Write label images and their table.

    Parameters
    ----------
    done
        Called with a number of images, or a part of one, that are written.

    Returns
    -------
    list of str
        What is lost, one sentence each.
    """
    notes: list[str] = []
    with (folder / TABLE).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(_COLUMNS)
        for target in _files(selection.pictures, stacks=not png):
            path = folder / f"{target.name}{'.png' if png else '.tif'}"
            if png:
                lost = _write_png(path, target)
            elif is_huge(target.shape):
                lost = _write_tiles(path, target, done)
            else:
                lost = _write_tiff(path, target)
            if lost:
                n = sum(map(len, target.planes.values()))
                notes.append(f"{path.name}: {lost} of {n} objects lie under others")
            _write_rows(table, path.name, target, selection.colours)
            if png or not is_huge(target.shape):
                done(target.n_pictures)
    return notes


def _files(pictures: tuple[Picture, ...], *, stacks: bool) -> list[_File]:
    """Return the files: slices of one stack share one, if there may be stacks."""
    made: dict[object, _File] = {}
    of_stacks = stacks_of([picture.name for picture in pictures])
    for number, (picture, stack) in enumerate(zip(pictures, of_stacks, strict=True)):
        name, start = picture.name, Position()
        source = picture.record.source if picture.record else None
        key: tuple[object, ...] = (number,)
        if stacks and stack:
            name, start = stack
            key = (name, source, picture.shape)
        first = True
        for index, items in _by_slice(picture).items():
            position, own, title = (*start, *index), key, name
            if not stacks and index:
                own, position = (number, index), Position()
                title = f"{plain_stem(name)} [{', '.join(map(str, index))}]"
            own = (*own, len(position))
            if own in made and position in made[own].planes:
                own = (number, index, len(position))
            file = made.setdefault(own, _File(title, picture.shape, {}, source))
            file.planes[position] = items
            file.n_pictures += first
            first = False
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
    labels, lost = _paint(items, file.shape)
    if labels.max() > _HIGHEST_PNG:
        raise InfosamError(
            f"{path.name} would need the label {labels.max()}, PNG files end at "
            f"{_HIGHEST_PNG}: export TIFF files."
        )
    Image.fromarray(labels.astype(np.uint16)).save(path, compress_level=1)
    return lost


def _write_tiff(path: Path, file: _File) -> int:
    """Write all planes; return how many objects others hide."""
    dtype, leading = _checked(file)
    lost = 0

    def planes() -> Iterator[NDArray[Any]]:
        nonlocal lost
        for position in np.ndindex(leading):
            items = file.planes.get(position)
            if items is None:
                yield np.zeros(file.shape, dtype)
                continue
            labels, hides = _paint(items, file.shape)
            lost += hides
            yield labels.astype(dtype)

    _save_tiff(path, file, planes(), dtype, compressionargs={"level": 1})
    return lost


def _write_tiles(path: Path, file: _File, done: Done) -> int:
    """Write the planes of a huge picture tile by tile; return as `_write_tiff`."""
    dtype, leading = _checked(file)
    empty = zlib.compress(bytes(SIDE * SIDE * np.dtype(dtype).itemsize), 9)
    seen = {position: Counter[int]() for position in file.planes}

    def tiles() -> Iterator[bytes]:
        for position in np.ndindex(leading):
            items = file.planes.get(position, [])
            blocks = LabelBlocks(items, label_values(items), file.shape, dtype)
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
                yield zlib.compress(np.pad(labels, missing).tobytes(), 1)

    _save_tiff(path, file, tiles(), dtype, tile=(SIDE, SIDE))
    return sum(
        hidden(items, label_values(items), seen[position])
        for position, items in file.planes.items()
    )


def _checked(file: _File) -> tuple[type[np.uint16 | np.uint32], tuple[int, ...]]:
    """Return type and leading axes of a label image, if it can be written."""
    highest = max(
        value for items in file.planes.values() for value in label_values(items)
    )
    leading = file.stack_shape
    before = any(index < 0 for position in file.planes for index in position)
    if before or math.prod(leading) > _MOST_PLANES:
        far = min(file.planes) if before else max(file.planes)
        raise InfosamError(
            f"{file.name} has an object in slice {far}, such a stack of label images "
            "is not written: export PNG files or COCO."
        )
    return label_dtype(highest), leading


def _save_tiff(
    path: Path, file: _File, data: Iterator[Any], dtype: type, **how: Any
) -> None:
    import tifffile

    leading = file.stack_shape
    size = pixels_per_centimetre(Path(file.source)) if file.source else None
    tifffile.imwrite(
        path,
        data,
        shape=(*leading, *file.shape),
        dtype=dtype,
        compression="zlib",
        photometric="minisblack",
        metadata={"axes": "TZYX"[-2 - len(leading) :]} if len(leading) <= 2 else None,
        resolution=size,
        resolutionunit=None if size is None else "CENTIMETER",
        **how,
    )


def _paint(items: list[Item], shape: tuple[int, int]) -> tuple[NDArray[np.int32], int]:
    values = label_values(items)
    labels = paint_items(items, values, shape)
    return labels, hidden(items, values, value_counts(labels))


def _write_rows(table: Any, name: str, file: _File, colours: dict[str, str]) -> None:
    for position, items in sorted(file.planes.items()):
        for item, value in zip(items, label_values(items), strict=True):
            table.writerow(
                (
                    name,
                    " ".join(map(str, position)),
                    value,
                    item.class_name,
                    colours[item.class_name or DEFAULT_CLASS],
                    "" if item.score is None else repr(item.score),
                    item.model_version,
                    int(item.reviewed),
                )
            )


class LabelTable:
    """What is known of the objects of label images besides their pixels.

    Parameters
    ----------
    folder
        Folder of label images; without a table in it nothing is known.

    Raises
    ------
    InfosamError
        If there is a table that can not be read.
    """

    def __init__(self, folder: Path) -> None:
        self.classes: dict[str, str | None] = {}
        self._values: dict[tuple[str, Position, int], dict[str, Any]] = {}
        path = folder / TABLE
        with one_sentence(path):
            if not path.exists():
                return
            text = path.read_bytes()
        try:
            rows = csv.DictReader(text.decode("utf-8-sig").splitlines(), strict=True)
            missing = set(_COLUMNS[:4]) - set(rows.fieldnames or ())
            if missing:
                raise refuse(path, f"it has no column {min(missing)}")
            for number, row in enumerate(rows, start=2):
                self._read_row(path, number, row)
        except (UnicodeDecodeError, csv.Error) as error:
            raise refuse(path, f"it is not a table ({error})") from error

    def _read_row(self, path: Path, number: int, row: dict[str, Any]) -> None:
        try:
            position = tuple(map(int, (row["slice"] or "").split()))
            value = int(row["label"])
            score = float(row["score"]) if row.get("score") else None
            reviewed = row.get("reviewed") != "0"
        except (ValueError, TypeError) as error:
            raise refuse(path, f"line {number} holds no numbers ({error})") from error
        name = (row["class"] or "").strip() or None
        colour = row.get("color") or None
        if colour is not None and not COLOUR.fullmatch(colour):
            raise refuse(path, f"line {number} has the colour {colour!r}, not #rrggbb")
        if name is not None and self.classes.get(name) is None:
            self.classes[name] = colour
        self._values[row["file"], position, value] = {
            "class_name": name,
            "score": score,
            "model_version": row.get("model_version") or IMPORTED,
            "reviewed": reviewed,
        }

    def item(
        self,
        name: str,
        position: Position,
        value: int,
        rle: bytes,
        shape: tuple[int, ...],
    ) -> Item:
        """Return the object of a value in a label image.

        Parameters
        ----------
        name
            File name of the label image.
        position
            Of its plane in a stack, else empty.
        value, rle
            The value, and the COCO encoding of the mask of its pixels.
        shape
            (height, width) of the label image.
        """
        known = self._values.get((name, position, value), {})
        return Item(rle, (shape[0], shape[1]), instance_id=value, **known)
