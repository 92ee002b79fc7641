"""Tables beside label images: what is known of their objects, or of their classes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from napari_infosam.project.classes import COLOUR
from napari_infosam.project.failures import one_sentence
from napari_infosam.project.formats.importing import DEFAULT_CLASS, refuse
from napari_infosam.project.formats.items import IMPORTED, Item
from napari_infosam.project.formats.mask_runs import connected

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from napari_infosam.project.formats.stacks import Position

TABLE = "infosam-objects.csv"
"""Beside label images of objects: what they can not hold of them."""

LEGEND = "infosam-classes.csv"
"""Beside label images of classes: what their numbers stand for."""

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
_LEGEND_COLUMNS = ("label", "class", "color")


def write_table(
    folder: Path,
    planes: Iterable[tuple[str, Position, list[Item], list[int]]],
    colours: Mapping[str, str],
) -> None:
    """Write what is known of the objects of label images.

    Parameters
    ----------
    folder
        Of the label images.
    planes
        Of each plane: the file, the position in its stack, the objects, their values.
    colours
        Of the classes, ``#rrggbb``.
    """
    rows = (
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
        for name, position, items, values in planes
        for item, value in zip(items, values, strict=True)
    )
    _write(folder / TABLE, _COLUMNS, rows)


def write_legend(
    folder: Path, numbers: Mapping[str, int], colours: Mapping[str, str]
) -> None:
    """Write which number stands for which class, and its colour ``#rrggbb``."""
    rows = ((number, name, colours[name]) for name, number in numbers.items())
    _write(folder / LEGEND, _LEGEND_COLUMNS, rows)


def _write(path: Path, columns: tuple[str, ...], rows: Iterable[Iterable[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(rows)


class Meaning(Protocol):
    """What the values of label images stand for.

    ``classes`` are the names of those that are known, with colours where there are.
    """

    classes: dict[str, str | None]

    def items(
        self,
        name: str,
        position: Position,
        value: int,
        rle: bytes,
        shape: tuple[int, ...],
    ) -> list[Item]:
        """Return the objects of a value in a label image.

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
        for number, row in _rows(path, _COLUMNS[:4]):
            self._read_row(path, number, row)

    def _read_row(self, path: Path, number: int, row: dict[str, Any]) -> None:
        try:
            position = tuple(map(int, (row["slice"] or "").split()))
            value = int(row["label"])
            score = float(row["score"]) if row.get("score") else None
            reviewed = row.get("reviewed") != "0"
        except (ValueError, TypeError) as error:
            raise refuse(path, f"line {number} holds no numbers ({error})") from error
        self._values[row["file"], position, value] = {
            "class_name": _take_class(path, number, row, self.classes),
            "score": score,
            "model_version": row.get("model_version") or IMPORTED,
            "reviewed": reviewed,
        }

    def items(
        self,
        name: str,
        position: Position,
        value: int,
        rle: bytes,
        shape: tuple[int, ...],
    ) -> list[Item]:
        """Return the one object of a value; parameters as in `Meaning`."""
        known = self._values.get((name, position, value), {})
        return [Item(rle, (shape[0], shape[1]), instance_id=value, **known)]


class Legend:
    """Which classes the values of label images stand for.

    Parameters
    ----------
    folder
        Folder of label images; a value that no legend in it names is ``class 7``.

    Raises
    ------
    InfosamError
        If there is a legend that can not be read.
    """

    def __init__(self, folder: Path) -> None:
        self.classes: dict[str, str | None] = {}
        self._names: dict[int, str] = {}
        path = folder / LEGEND
        for number, row in _rows(path, _LEGEND_COLUMNS[:2]):
            try:
                value = int(row["label"])
            except (ValueError, TypeError) as error:
                what = f"line {number} holds no number ({error})"
                raise refuse(path, what) from error
            name = _take_class(path, number, row, self.classes)
            if name is not None and self._names.setdefault(value, name) != name:
                raise refuse(path, f"line {number} gives {value} another class")

    def items(
        self,
        name: str,
        position: Position,
        value: int,
        rle: bytes,
        shape: tuple[int, ...],
    ) -> list[Item]:
        """Return the connected pieces of a class; parameters as in `Meaning`."""
        size = shape[0], shape[1]
        class_name = self._names.get(value, f"class {value}")
        return [Item(piece, size, class_name) for piece in connected(rle, size)]


def _rows(path: Path, needed: tuple[str, ...]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line number and cells of the rows of a table, if it is there."""
    with one_sentence(path):
        if not path.exists():
            return
        text = path.read_bytes()
    try:
        rows = csv.DictReader(text.decode("utf-8-sig").splitlines(), strict=True)
        missing = set(needed) - set(rows.fieldnames or ())
        if missing:
            raise refuse(path, f"it has no column {min(missing)}")
        yield from enumerate(rows, start=2)
    except (UnicodeDecodeError, csv.Error) as error:
        raise refuse(path, f"it is not a table ({error})") from error


def _take_class(
    path: Path, number: int, row: dict[str, Any], classes: dict[str, str | None]
) -> str | None:
    """Return the class that a row names, and note its colour."""
    name = (row["class"] or "").strip() or None
    colour = row.get("color") or None
    if colour is not None and not COLOUR.fullmatch(colour):
        raise refuse(path, f"line {number} has the colour {colour!r}, not #rrggbb")
    if name is not None and classes.get(name) is None:
        classes[name] = colour
    return name
