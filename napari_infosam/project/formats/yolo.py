"""YOLO segmentation: text files of outlines, ``data.yaml`` and the pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from PIL import Image

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.preprocess import Preprocessing, to_rgb_uint8
from napari_infosam.project.failures import one_sentence
from napari_infosam.project.formats.importing import DEFAULT_CLASS, Draft, refuse
from napari_infosam.project.formats.items import Item, plain_stem
from napari_infosam.project.formats.pictures import SUFFIXES, SkipError
from napari_infosam.project.formats.polygons import fill_ring, one_ring, outline
from napari_infosam.project.formats.progress import AT_ONCE, Tell, nobody, part_of
from napari_infosam.project.formats.targets import file_target
from napari_infosam.project.windows import in_tile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from napari_infosam.core.tiles import Tile
    from napari_infosam.project.formats.items import Done, Picture, Selection
    from napari_infosam.project.formats.targets import Images, Target
    from napari_infosam.project.records import ImageRecord
    from napari_infosam.project.tile_store import Tiles

FILE_NAME = "data.yaml"

_FAR = 2.0
"""In widths and heights of the image; outlines may leave it a little."""

_PARTS = ("train", "val", "test")


def write(selection: Selection, folder: Path, done: Done) -> list[str]:
    """Write a data set into a folder; of huge images their stored tiles.

    Returns
    -------
    list of str
        What is lost, one sentence each.
    """
    numbers = {name: number for number, name in enumerate(selection.colours)}
    for part in _PARTS[:2]:
        (folder / "images" / part).mkdir(parents=True)
        (folder / "labels" / part).mkdir(parents=True)
    joined = 0
    notes = []
    for picture in selection.pictures:
        part = (picture.record and picture.record.split) or "train"
        sheets, unseen = _sheets(selection, picture)
        for sheet in sheets:
            Image.fromarray(sheet.read()).save(
                folder / "images" / part / f"{sheet.stem}.png", compress_level=1
            )
            lines = []
            for item in sheet.items():
                shape = outline(item.rle, item.shape)
                joined += shape.geom_type != "Polygon" or bool(shape.interiors)
                number = numbers[item.class_name or DEFAULT_CLASS]
                lines.append(_line(number, shape, item))
            target = folder / "labels" / part / f"{sheet.stem}.txt"
            target.write_text("".join(lines), "utf-8")
            done(1 / len(sheets))
        if unseen:
            notes.append(
                f"{picture.name}: {unseen} of {len(picture.items)} objects lie in none "
                "of its stored tiles"
            )
        if not sheets:
            done(1)
    # without a path: readers then start from where this file is
    description = {
        "train": "images/train",
        "val": "images/val",
        "names": {number: name for name, number in numbers.items()},
    }
    text = yaml.safe_dump(description, sort_keys=False, allow_unicode=True)
    (folder / FILE_NAME).write_text(text, "utf-8")
    if joined:
        notes.append(
            f"{joined} objects have holes or several parts, joined by lines of no width"
        )
    if not any((folder / "images" / "train").iterdir()):
        notes.append("train has no image, the first one of a project validates")
    return notes


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A picture of the data set: an image, or a tile of a huge one."""

    stem: str
    read: Callable[[], NDArray[np.uint8]]
    items: Callable[[], Iterable[Item]]


def _sheets(selection: Selection, picture: Picture) -> tuple[list[_Sheet], int]:
    """Return the pictures made of an image, and how many objects are in none."""
    record = picture.record
    if record is None or not record.is_huge:

        def read() -> NDArray[np.uint8]:
            return to_rgb_uint8(selection.pixels(picture), how)

        how = record.preprocessing if record else None
        return [_Sheet(picture.stem, read, lambda: picture.items)], 0
    tiles, boxes = selection.project.tiles, [item.xywh for item in picture.items]
    sheets, seen = [], set[int]()
    for tile in tiles.stored(record.id):
        inside = [n for n, box in enumerate(boxes) if _meets(tile, box)]
        seen.update(inside)
        sheets.append(
            _Sheet(
                f"{picture.stem}_y{tile.row}_x{tile.column}_s{tile.stride}",
                partial(_read_tile, tiles, record, tile),
                partial(_cut, [picture.items[n] for n in inside], tile),
            )
        )
    return sheets, len(boxes) - len(seen)


def _read_tile(tiles: Tiles, record: ImageRecord, tile: Tile) -> NDArray[np.uint8]:
    # its contrast is that which the model sees already
    how = Preprocessing(channels=record.preprocessing.channels)
    return to_rgb_uint8(tiles.read(record.id, tile), how)


def _meets(tile: Tile, box: tuple[int, int, int, int]) -> bool:
    x, y, width, height = box
    return (
        x < tile.column + tile.width
        and x + width > tile.column
        and y < tile.row + tile.height
        and y + height > tile.row
    )


def _cut(items: Iterable[Item], tile: Tile) -> Iterator[Item]:
    """Yield what a tile shows of objects, in its own pixels."""
    for item in items:
        mask = in_tile(item, tile)
        if mask.any():
            yield Item.of_mask(mask, class_name=item.class_name)


def _line(number: int, shape: Any, item: Item) -> str:
    height, width = item.shape
    points = one_ring(shape) / (width, height)
    return f"{number} {' '.join(f'{value:.8g}' for value in points.ravel())}\n"


def read(source: Path, images: Images | None, tell: Tell = nobody) -> Draft:
    """Read a data set, given as its folder or its yaml file.

    Parameters
    ----------
    source
        Folder or yaml file.
    images
        Where to look for images other than those of the data set, which have 8 bit.

    Raises
    ------
    InfosamError
        If anything in a file is not as it should be.
    """
    path = source / FILE_NAME if source.is_dir() else source
    description = _read_description(path)
    names = _names(path, description)
    draft = Draft(dict.fromkeys(names.values()))
    image_paths = _image_files(path, description)
    for done, image_path in enumerate(image_paths):
        part = part_of(tell, done, len(image_paths))
        part(0)
        label_path = _label_path(image_path)
        if not label_path.is_file():
            continue
        try:
            target = images.find(image_path.name) if images else file_target(image_path)
        except SkipError as reason:
            draft.skipped.append(f"{image_path.name}: {reason}")
            continue
        items = _read_labels(label_path, names, target, part)
        empty = sum(item is None for item in items)
        if empty:
            draft.skipped.append(f"{label_path.name}: {empty} lines cover no pixel")
        draft.images.append((target, [item for item in items if item is not None]))
    return draft


def _read_description(path: Path) -> dict[str, Any]:
    with one_sentence(path):
        if not path.is_file():
            raise InfosamError(f"There is no {path.name} in {path.parent}: check it.")
        text = path.read_bytes()
    try:
        description = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        first = str(error).splitlines()[0]
        raise refuse(path, f"it is not YAML ({first})") from error
    if not isinstance(description, dict):
        raise refuse(path, "it has no names and no folders of images")
    return description


def _names(path: Path, description: dict[str, Any]) -> dict[int, str]:
    match description.get("names"):
        case list() as names:
            numbered = dict(enumerate(map(str, names)))
        case dict() as names if all(isinstance(key, int) for key in names):
            numbered = {key: str(name) for key, name in names.items()}
        case other:
            raise refuse(path, f"names is {other!r}, and not a list of classes")
    if not all(name.strip() for name in numbered.values()):
        raise refuse(path, "one of its classes has no name")
    return numbered


def _image_files(path: Path, description: dict[str, Any]) -> list[Path]:
    """Return the images of all parts in the order of their names."""
    root = path.parent
    if isinstance(given := description.get("path"), str) and (root / given).is_dir():
        root = root / given
    found: dict[Path, None] = {}
    for part in _PARTS:
        places = description.get(part) or []
        for place in [places] if isinstance(places, str) else places:
            folder = root / str(place)
            with one_sentence(folder):
                if not folder.is_dir():
                    raise refuse(path, f"{part} is {place}, which is no folder here")
                found |= dict.fromkeys(
                    file
                    for file in sorted(folder.rglob("*"))
                    if file.suffix.lower() in SUFFIXES and file.name[0] != "."
                )
    if not found:
        raise refuse(path, "none of train, val and test has an image")
    return list(found)


def _label_path(image: Path) -> Path:
    """Return the text file of an image: ``labels`` stands in place of ``images``."""
    parts = list(image.parent.parts)
    for place in range(len(parts) - 1, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return Path(*parts, f"{plain_stem(image.name)}.txt")


def _read_labels(
    path: Path, names: dict[int, str], target: Target, tell: Tell
) -> list[Item | None]:
    """Return the object of every line, None where it has no pixel."""
    with one_sentence(path):
        try:
            lines = path.read_text("utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise refuse(path, "it is not text") from error
    items = []
    for number, line in enumerate(lines, start=1):
        if not number % AT_ONCE:
            tell(number / len(lines))
        if line.strip():
            items.append(_read_line(path, number, line.split(), names, target.shape))
    return items


def _read_line(
    path: Path,
    number: int,
    words: list[str],
    names: dict[int, str],
    shape: tuple[int, int],
) -> Item | None:
    try:
        label, *values = map(float, words)
    except ValueError:
        raise refuse(path, f"line {number} holds more than numbers") from None
    if len(values) == 4:
        raise refuse(path, f"line {number} is a box, an outline is needed")
    if len(values) < 6 or len(values) % 2:
        raise refuse(
            path,
            f"line {number} has {len(values)} numbers after the class, x and y of at "
            "least three points are needed",
        )
    if label not in names:
        raise refuse(path, f"line {number} is of class {words[0]}, which has no name")
    far = next((value for value in values if not abs(value) <= _FAR), None)
    if far is not None:
        raise refuse(
            path,
            f"line {number} has a point at {far:g}, coordinates are parts of the "
            "width and height, from 0 to 1",
        )
    height, width = shape
    points = np.array(values).reshape(-1, 2) * (width, height)
    item = Item(fill_ring(points, shape), shape, class_name=names[int(label)])
    return item if item.area else None
