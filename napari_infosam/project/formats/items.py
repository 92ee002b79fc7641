"""What goes in and out of a project, whatever the format: pictures and objects."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools import mask as coco

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.masks import BoolArray, decode_rle, encode_rle
from napari_infosam.core.placed import fits_coco
from napari_infosam.core.prompts import Box
from napari_infosam.project.encoded import Encoded
from napari_infosam.project.painting import lowest_first, pixels_of, run_lengths
from napari_infosam.project.windows import column_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from napari_infosam.project.records import ClassRecord, ImageRecord, ObjectRecord
    from napari_infosam.project.store import Project

    Done = Callable[[float], None]
    """Called with a number of images, or a part of one, that are written."""

IMPORTED = "import"
"""Model version of objects whose file does not name one."""

_SUFFIX = re.compile(r"\.(png|tiff?|jpe?g|bmp|npy)$", re.IGNORECASE)
_LONGEST_STEM = 120


@dataclass(frozen=True, slots=True)
class Item:
    """An object as a file holds it; what the file does not say is None.

    ``rle`` is the COCO run-length encoding of the ``shape`` (height, width) mask, the
    rest as in `napari_infosam.project.ObjectRecord`.
    """

    rle: bytes
    shape: tuple[int, int]
    class_name: str | None = None
    instance_id: int | None = None
    score: float | None = None
    model_version: str = IMPORTED
    reviewed: bool = True
    slice_index: tuple[int, ...] = ()

    @classmethod
    def of_mask(cls, mask: BoolArray, **values: Any) -> Item:
        """Return the item of an ``(H, W)`` mask."""
        return cls(encode_rle(mask), (mask.shape[0], mask.shape[1]), **values)

    @classmethod
    def of_record(cls, record: ObjectRecord) -> Item:
        """Return the item of an accepted object."""
        return cls(
            rle=record.rle,
            shape=record.shape,
            class_name=record.class_name,
            instance_id=record.instance_id,
            score=record.score,
            model_version=record.model_version,
            reviewed=record.reviewed,
            slice_index=record.slice_index,
        )

    def mask(self) -> BoolArray:
        """Return the ``(H, W)`` mask."""
        return decode_rle(self.rle, self.shape)

    @property
    def area(self) -> int:
        """Number of pixels."""
        if not fits_coco(self.shape):
            return int(run_lengths(self.rle)[1::2].sum())
        return int(coco.area(self._encoded))

    @property
    def xywh(self) -> tuple[int, int, int, int]:
        """The box along pixel edges: left, top, width, height."""
        if not fits_coco(self.shape):
            column, start, stop = column_runs(self.rle, self.shape[0])
            x, y = int(column[0]), int(start.min())
            return x, y, int(column[-1]) + 1 - x, int(stop.max()) - y
        x, y, width, height = coco.toBbox(self._encoded).astype(int).tolist()
        return x, y, width, height

    def encoded(self) -> Encoded:
        """Return the mask, which is not empty, ready to be written to a project."""
        x, y, width, height = self.xywh
        box = Box(float(x), float(y), float(x + width - 1), float(y + height - 1))
        return Encoded(self.rle, self.shape, box, self.area)

    @property
    def _encoded(self) -> dict[str, Any]:
        return {"size": list(self.shape), "counts": self.rle}


@dataclass(frozen=True, slots=True)
class Picture:
    """An image with its objects; ``stem`` names its files and is used once.

    ``record`` is None for a picture that is in no project.
    """

    stem: str
    name: str
    shape: tuple[int, int]
    items: tuple[Item, ...]
    record: ImageRecord | None = None

    @property
    def file_name(self) -> str:
        """The file it came from, as far as that is known, else its name."""
        source = self.record.source if self.record else None
        tail = re.split(r"[/\\]", source)[-1] if source else ""
        return tail if plain_stem(tail) == self.name else self.name


@dataclass(frozen=True, slots=True)
class Selection:
    """What is exported of a project.

    Attributes
    ----------
    project
        Open, a lock is not needed.
    pictures
        Images with at least one object, in the order of the project.
    classes
        All classes of the project.
    """

    project: Project
    pictures: tuple[Picture, ...]
    classes: tuple[ClassRecord, ...]

    @property
    def colours(self) -> dict[str, str]:
        """Names of the classes with their colours ``#rrggbb``."""
        return {record.name: record.color for record in self.classes}

    def pixels(self, picture: Picture) -> NDArray[Any]:
        """Return the original pixels, ``(Y, X)`` or ``(Y, X, C)``."""
        if picture.record is None:
            raise ValueError("a picture of a project is needed")
        return self.project.read_image(picture.record.id)


def select(project: Project, *, unreviewed: bool = False) -> Selection:
    """Return the accepted objects of a project with their images.

    Parameters
    ----------
    project
        Open, a lock is not needed.
    unreviewed
        Take objects that no person has accepted as well.

    Raises
    ------
    InfosamError
        If there is none.
    """
    # objects first: whatever is added meanwhile, their images and classes are there
    found = project.objects(reviewed=None if unreviewed else True)
    if not found:
        raise InfosamError(
            f"The project {project.path} has no accepted objects: accept some first."
        )
    by_image: dict[int, list[Item]] = {}
    for record in sorted(found, key=lambda record: record.instance_id):
        by_image.setdefault(record.image_id, []).append(Item.of_record(record))
    images = [image for image in project.images() if image.id in by_image]
    stems = unique_stems(image.name for image in images)
    pictures = (
        Picture(
            stem,
            image.name,
            (image.shape[0], image.shape[1]),
            tuple(by_image[image.id]),
            record=image,
        )
        for stem, image in zip(stems, images, strict=True)
    )
    return Selection(project, tuple(pictures), tuple(project.classes()))


def plain_stem(name: str) -> str:
    """Return a name without the suffix of an image file."""
    return _SUFFIX.sub("", name)


def unique_stems(names: Iterable[str]) -> list[str]:
    """Return a file name without suffix for each name, no two of them equal.

    They are fit for every file system, also where upper and lower case are the same.
    """
    taken: set[str] = set()
    stems = []
    for name in names:
        plain = re.sub(r"[^\w .,()\[\]+-]", "_", plain_stem(name)).strip(" .")
        plain = plain[:_LONGEST_STEM] or "image"
        stem, number = plain, 2
        while stem.casefold() in taken:
            stem = f"{plain} ({number})"
            number += 1
        taken.add(stem.casefold())
        stems.append(stem)
    return stems


def label_values(items: Iterable[Item]) -> list[int]:
    """Return a value for each item in one label image: its instance id if it can be."""
    ids = [item.instance_id or 0 for item in items]
    if len(set(ids)) == len(ids) and all(value > 0 for value in ids):
        return ids
    return list(range(1, len(ids) + 1))


def label_dtype(highest: int) -> type[np.uint16 | np.uint32]:
    """Return the smallest type of label images that holds a value."""
    return np.uint16 if highest <= np.iinfo(np.uint16).max else np.uint32


def paint_items(
    items: Iterable[Item], values: Iterable[int], shape: tuple[int, int]
) -> NDArray[np.int32]:
    """Return the ``(H, W)`` label image of objects, as the window shows it."""
    columns = np.zeros(shape[0] * shape[1], np.int32)
    pairs = zip(items, values, strict=True)
    for item, value in sorted(pairs, key=lambda p: lowest_first(p[0].area, p[1])):
        columns[pixels_of(item.rle)] = value
    return np.ascontiguousarray(columns.reshape(shape[1], shape[0]).T)


def value_counts(labels: NDArray[Any]) -> Counter[int]:
    """Return how many pixels of a label image, or a part of it, have each value."""
    found, counts = np.unique(labels, return_counts=True)
    return Counter(dict(zip(found.tolist(), counts.tolist(), strict=True)))


def hidden(items: Iterable[Item], values: Iterable[int], seen: Counter[int]) -> int:
    """Return how many objects lie in part or altogether under others.

    Parameters
    ----------
    items, values
        The objects and their values in the label image.
    seen
        The `value_counts` of all of it.
    """
    return sum(
        seen[value] < item.area for item, value in zip(items, values, strict=True)
    )
