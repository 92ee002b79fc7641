"""COCO's ``instances.json``: run-length encoded masks, or polygons."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    TypeAdapter,
    ValidationError,
)

from napari_infosam.core.errors import InfosamError
from napari_infosam.project.failures import one_sentence
from napari_infosam.project.formats.importing import (
    DEFAULT_CLASS,
    Draft,
    files_of,
    refuse,
    refuse_json,
)
from napari_infosam.project.formats.items import IMPORTED, Item
from napari_infosam.project.formats.mask_runs import rle_of_lengths
from napari_infosam.project.formats.pictures import SkipError
from napari_infosam.project.formats.progress import AT_ONCE, Tell, nobody, part_of
from napari_infosam.project.painting import run_lengths

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from napari_infosam.project.formats.items import Done, Picture, Selection
    from napari_infosam.project.formats.targets import Images, Target

FILE_NAME = "annotations.json"

# numbers of up to 35 bits, five in each character
_COUNTS = re.compile(r"(?:[P-o]{0,6}[0-O])+")


class _Record(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)


class _Rle(_Record):
    size: tuple[int, int]
    counts: str | list[int]


class _Own(_Record):
    """What this program adds to an image."""

    name: str | None = None
    content_hash: str | None = None


class _Image(_Record):
    id: int | str
    file_name: str
    height: int
    width: int
    infosam: _Own = _Own()


class _Category(_Record):
    id: int | str
    name: str
    color: str | None = Field(default=None, pattern="^#[0-9a-fA-F]{6}$")


class _Annotation(_Record):
    id: int | str | None = None
    image_id: int | str
    category_id: int | str
    segmentation: _Rle | list[list[float]] | None = None
    iscrowd: int = 0
    score: float | None = None
    instance_id: int | None = None
    model_version: str = IMPORTED
    reviewed: bool = True
    slice_index: tuple[NonNegativeInt, ...] = ()


class _File(_Record):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


_FILE = TypeAdapter(_File)


def write(selection: Selection, path: Path, done: Done, *, polygons: bool) -> None:
    """Write all images into one file."""
    document = make_document(
        selection.pictures, selection.colours, done, polygons=polygons
    )
    # made in one piece: writing to the file bit by bit takes several times as long
    path.write_text(json.dumps(document, allow_nan=False), "utf-8")


def make_document(
    pictures: Iterable[Picture],
    classes: Mapping[str, str],
    done: Done = lambda _: None,
    *,
    polygons: bool = False,
) -> dict[str, Any]:
    """Return what stands in the file.

    Parameters
    ----------
    pictures
        Images with their objects.
    classes
        Their names and colours; the ids count from one in this order.
    done
        Called with 1 after each image.
    polygons
        Write polygons along the edges of pixels instead of run lengths. Objects with
        holes are cut into pieces without.
    """
    numbers = {name: number for number, name in enumerate(classes, start=1)}
    ids = count(1)
    images, annotations = [], []
    for image_id, picture in enumerate(pictures, start=1):
        images.append(_image(image_id, picture))
        for item in picture.items:
            category = numbers[item.class_name or DEFAULT_CLASS]
            annotations.append(
                {"id": next(ids), "image_id": image_id, "category_id": category}
                | _annotation(item, polygons)
            )
        done(1)
    return {
        "info": {"description": "Objects accepted in napari-infosam"},
        "images": images,
        "categories": [
            {"id": numbers[name], "name": name, "supercategory": "", "color": color}
            for name, color in classes.items()
        ],
        "annotations": annotations,
    }


def _image(image_id: int, picture: Picture) -> dict[str, Any]:
    own = {"name": picture.name}
    if picture.record is not None:
        own["content_hash"] = picture.record.content_hash
    return {
        "id": image_id,
        "file_name": picture.file_name,
        "height": picture.shape[0],
        "width": picture.shape[1],
        "infosam": own,
    }


def _annotation(item: Item, polygons: bool) -> dict[str, Any]:
    segmentation: Any = {"size": list(item.shape), "counts": item.rle.decode("ascii")}
    if polygons:
        from napari_infosam.project.formats.polygons import (
            outline,
            pieces_without_holes,
        )

        pieces = pieces_without_holes(outline(item.rle, item.shape))
        segmentation = [piece.astype(int).ravel().tolist() for piece in pieces]
    return {
        "segmentation": segmentation,
        "iscrowd": 0,
        "bbox": list(item.xywh),
        "area": item.area,
        "score": item.score,
        "instance_id": item.instance_id,
        "model_version": item.model_version,
        "reviewed": item.reviewed,
        "slice_index": list(item.slice_index),
    }


def read(path: Path, images: Images, tell: Tell = nobody) -> Draft:
    """Read a file, or that of a folder, and find its images.

    Raises
    ------
    InfosamError
        If anything in the file is not as it should be.
    """
    if path.is_dir():
        path = _file_in(path)
    with one_sentence(path):
        text = path.read_bytes()
    try:
        content = _FILE.validate_json(text)
    except ValidationError as error:
        raise refuse_json(path, error) from error
    reader = _Reader(path, content)
    draft = Draft({category.name: category.color for category in content.categories})
    for number, image in enumerate(content.images):
        part = part_of(tell, number, len(content.images))
        reader.read_image(image, images, draft, part)
        part(1)
    return draft


def _file_in(folder: Path) -> Path:
    """Return the file that an export writes into a folder, or the only one there."""
    if (folder / FILE_NAME).is_file():
        return folder / FILE_NAME
    found = files_of(folder, ".json")
    if len(found) > 1:
        raise InfosamError(
            f"There are {len(found)} .json files in {folder}: name one of them."
        )
    return found[0]


class _Reader:
    """The annotations of a file by image, checked for what they refer to."""

    def __init__(self, path: Path, content: _File) -> None:
        self._path = path
        self._classes = {c.id: c.name for c in content.categories}
        self._of: dict[int | str, list[_Annotation]] = {
            i.id: [] for i in content.images
        }
        if len(self._of) < len(content.images):
            raise refuse(path, "two of its images have the same id")
        self._names = Counter(image.file_name for image in content.images)
        for annotation in content.annotations:
            if annotation.image_id not in self._of:
                raise self._refuse(annotation, f"has no image {annotation.image_id}")
            if annotation.category_id not in self._classes:
                raise self._refuse(
                    annotation, f"has no category {annotation.category_id}"
                )
            self._of[annotation.image_id].append(annotation)

    def read_image(
        self, image: _Image, images: Images, draft: Draft, tell: Tell
    ) -> None:
        """Add an image and its objects to the draft."""
        annotations = self._of[image.id]
        if not annotations:
            return
        try:
            target = images.find(image.file_name, image.infosam.content_hash)
        except SkipError as reason:
            draft.skipped.append(f"{image.file_name}: {reason}")
            return
        self._check(image, target)
        without = crowds = 0
        items = []
        for number, annotation in enumerate(annotations):
            if not number % AT_ONCE:
                tell(number / len(annotations))
            if annotation.iscrowd:
                crowds += 1
                continue
            item = self._item(annotation, target)
            if item is None:
                without += 1
            else:
                items.append(item)
        if crowds:
            draft.skipped.append(
                f"{image.file_name}: {crowds} annotations are crowds, not one object"
            )
        if without:
            draft.skipped.append(
                f"{image.file_name}: {without} annotations cover no pixel"
            )
        draft.images.append((target, items))

    def _check(self, image: _Image, target: Target) -> None:
        if (image.height, image.width) != target.shape:
            raise refuse(
                self._path,
                f"it says that {image.file_name} has {image.height} x {image.width} "
                f"pixels, but it has {target.shape[0]} x {target.shape[1]}",
            )
        alike = self._names[image.file_name]
        if alike > 1 and target.digest != image.infosam.content_hash:
            raise refuse(
                self._path,
                f"{alike} of its images are called {image.file_name}, which one is "
                "which can not be told",
            )

    def _item(self, annotation: _Annotation, target: Target) -> Item | None:
        rle = self._mask(annotation, target.shape)
        if rle is None:
            return None
        item = Item(
            rle,
            target.shape,
            class_name=self._classes[annotation.category_id],
            instance_id=annotation.instance_id,
            score=annotation.score,
            model_version=annotation.model_version,
            reviewed=annotation.reviewed,
            slice_index=annotation.slice_index,
        )
        return item if item.area else None

    def _mask(self, annotation: _Annotation, shape: tuple[int, int]) -> bytes | None:
        match annotation.segmentation:
            case None | []:
                return None
            case _Rle() as rle:
                return rle_of_lengths(self._lengths(annotation, rle, shape), shape)
            case polygons:
                for polygon in polygons:
                    self._check_polygon(annotation, polygon, shape)
                from napari_infosam.project.formats.polygons import fill_polygons

                return fill_polygons(polygons, shape)

    def _check_polygon(
        self, annotation: _Annotation, polygon: list[float], shape: tuple[int, int]
    ) -> None:
        if len(polygon) < 6 or len(polygon) % 2:
            raise self._refuse(
                annotation,
                f"has a polygon of {len(polygon)} numbers, it takes x and y of at "
                "least three points",
            )
        far = max(polygon, key=abs)
        if abs(far) > 2 * max(shape):
            raise self._refuse(
                annotation, f"has a point at {far:g}, far outside of the image"
            )

    def _lengths(
        self, annotation: _Annotation, rle: _Rle, shape: tuple[int, int]
    ) -> NDArray[np.int64]:
        """Return the lengths of runs, which fill the image."""
        if rle.size != shape:
            raise self._refuse(
                annotation,
                f"has a mask of {rle.size[0]} x {rle.size[1]} pixels in an image of "
                f"{shape[0]} x {shape[1]}",
            )
        counts = rle.counts
        if isinstance(counts, str):
            if not _COUNTS.fullmatch(counts):
                raise self._refuse(annotation, "has a broken run-length mask")
            lengths = run_lengths(counts.encode("ascii"))
        else:
            if not all(0 <= number < 2**32 for number in counts):
                raise self._refuse(annotation, "has a broken run-length mask")
            lengths = np.array(counts, np.int64)
        if (lengths < 0).any() or lengths.sum() != shape[0] * shape[1]:
            raise self._refuse(
                annotation,
                f"has a run-length mask of {lengths.sum()} pixels, its image has "
                f"{shape[0] * shape[1]}",
            )
        return lengths

    def _refuse(self, annotation: _Annotation, what: str) -> Exception:
        return refuse(self._path, f"annotation {annotation.id} {what}")
