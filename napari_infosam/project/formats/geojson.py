"""GeoJSON as QuPath reads and writes it: one FeatureCollection for each image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import shapely
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    NonNegativeInt,
    TypeAdapter,
    ValidationError,
)

from napari_infosam.project.failures import one_sentence
from napari_infosam.project.formats.importing import (
    DEFAULT_CLASS,
    Draft,
    files_of,
    refuse,
    refuse_json,
)
from napari_infosam.project.formats.items import IMPORTED, Item
from napari_infosam.project.formats.pictures import SkipError
from napari_infosam.project.formats.polygons import fill, outline
from napari_infosam.project.formats.progress import AT_ONCE, Tell, nobody, part_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_infosam.project.formats.items import Done, Picture, Selection
    from napari_infosam.project.formats.targets import Images, Target

SUFFIX = ".geojson"

_AREAS = ("Polygon", "MultiPolygon")


class _Record(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)


class _Geometry(_Record):
    type: str
    coordinates: list[Any] = []


class _Classification(_Record):
    name: str | None = None
    # QuPath has written classes of more than one name as a list
    names: list[str] = []
    color: tuple[int, int, int] | None = None

    @property
    def label(self) -> str | None:
        return self.name or ": ".join(self.names) or None


class _Properties(_Record):
    classification: _Classification = _Classification()
    instance_id: int | None = None
    score: float | None = None
    model_version: str = IMPORTED
    reviewed: bool = True
    slice_index: tuple[NonNegativeInt, ...] = ()


class _Feature(_Record):
    type: Literal["Feature"]
    geometry: _Geometry | None = None
    properties: Annotated[_Properties, BeforeValidator(lambda value: value or {})] = (
        _Properties()
    )


_Features = dict[int, _Feature]
"""By their number in the file, from one on."""


class _Own(_Record):
    """What this program adds to a collection."""

    name: str | None = None
    content_hash: str | None = None
    height: int | None = None
    width: int | None = None


class _Collection(_Record):
    features: list[_Feature]
    infosam: _Own = _Own()


def _as_collection(value: Any) -> Any:
    """Take a list of features, or one alone, for a collection of them."""
    if isinstance(value, list):
        return {"features": value}
    if isinstance(value, dict) and value.get("type") == "Feature":
        return {"features": [value]}
    return value


_FILE: TypeAdapter[_Collection] = TypeAdapter(
    Annotated[_Collection, BeforeValidator(_as_collection)]
)


def write(selection: Selection, folder: Path, done: Done) -> None:
    """Write one file for each image."""
    for picture in selection.pictures:
        write_picture(picture, selection.colours, folder / f"{picture.stem}{SUFFIX}")
        done(1)


def write_picture(picture: Picture, classes: Mapping[str, str], path: Path) -> None:
    """Write the file of one image; ``classes`` are names with colours."""
    collection = make_collection(picture, classes)
    path.write_text(json.dumps(collection, allow_nan=False), "utf-8")


def make_collection(picture: Picture, classes: Mapping[str, str]) -> dict[str, Any]:
    """Return what stands in the file of one image.

    Parameters
    ----------
    picture
        The image with its objects.
    classes
        Their names, with colours ``#rrggbb``.
    """
    own = {
        "name": picture.name,
        "height": picture.shape[0],
        "width": picture.shape[1],
    }
    if picture.record is not None:
        own["content_hash"] = picture.record.content_hash
    return {
        "type": "FeatureCollection",
        "infosam": own,
        "features": [_feature(item, classes) for item in picture.items],
    }


def _feature(item: Item, classes: Mapping[str, str]) -> dict[str, Any]:
    geometry = shapely.geometry.mapping(outline(item.rle, item.shape))
    if item.slice_index:
        # where QuPath looks for the plane of an annotation
        time, z = (0, 0, *item.slice_index)[-2:]
        geometry["plane"] = {"c": -1, "z": z, "t": time}
    classification: dict[str, Any] = {"name": item.class_name}
    colour = classes.get(item.class_name or DEFAULT_CLASS)
    if colour is not None:
        classification["color"] = list(bytes.fromhex(colour[1:]))
    return {
        "type": "Feature",
        "geometry": geometry,
        "properties": {
            "objectType": "annotation",
            "classification": classification,
            "instance_id": item.instance_id,
            "score": item.score,
            "model_version": item.model_version,
            "reviewed": item.reviewed,
            "slice_index": list(item.slice_index),
        },
    }


def read(source: Path, images: Images, tell: Tell = nobody) -> Draft:
    """Read a file, or all of a folder, and find the images of the same names.

    Raises
    ------
    InfosamError
        If anything in a file is not as it should be.
    """
    draft, classes = Draft(), dict[str, str | None]()
    paths = files_of(source, SUFFIX)
    for number, path in enumerate(paths):
        part = part_of(tell, number, len(paths))
        part(0)
        content = _read_file(path)
        name = content.infosam.name or path.stem
        try:
            targets = _targets(images, path, content, name)
        except SkipError as reason:
            draft.skipped.append(f"{path.name}: {reason}")
            continue
        without = 0
        for place, (target, features) in enumerate(targets):
            _check_size(path, content.infosam, target)
            here = part_of(part, place, len(targets))
            items = _items(path, features, target.shape, here)
            without += len(features) - len(items)
            draft.images.append((target, items))
        if without:
            draft.skipped.append(f"{path.name}: {without} features cover no pixel")
        for feature in content.features:
            label = feature.properties.classification.label
            if label is not None:
                classes.setdefault(label, _hex(feature.properties.classification))
    draft.classes = classes
    return draft


def _targets(
    images: Images, path: Path, content: _Collection, name: str
) -> list[tuple[Target, _Features]]:
    """Return the image of a file, or each slice of a stack, and what lies on it."""
    features = dict(enumerate(content.features, start=1))
    try:
        return [(_find(images, path, name, content.infosam.content_hash), features)]
    except SkipError:
        slices: dict[tuple[int, ...], _Features] = {}
        for number, feature in features.items():
            position = feature.properties.slice_index
            slices.setdefault(position, {})[number] = _in_its_slice(feature)
        if not all(slices):
            raise
        return [
            (images.find(f"{name} [{', '.join(map(str, position))}]"), those)
            for position, those in sorted(slices.items())
        ]


def _in_its_slice(feature: _Feature) -> _Feature:
    """Return a feature as it is in a slice that is an image of its own."""
    properties = feature.properties.model_copy(update={"slice_index": ()})
    return feature.model_copy(update={"properties": properties})


def _find(images: Images, path: Path, name: str, digest: str | None) -> Target:
    """Return the image that has the name of the file, or the one it was made with."""
    try:
        return images.find(path.stem, digest)
    except SkipError:
        if name == path.stem:
            raise
        return images.find(name)


def _read_file(path: Path) -> _Collection:
    with one_sentence(path):
        text = path.read_bytes()
    try:
        return _FILE.validate_json(text)
    except ValidationError as error:
        raise refuse_json(path, error) from error


def _check_size(path: Path, own: _Own, target: Target) -> None:
    height, width = target.shape
    if own.height is not None and (own.height, own.width) != target.shape:
        raise refuse(
            path,
            f"it is about {own.height} x {own.width} pixels, but {target.name} has "
            f"{height} x {width}",
        )


def _items(
    path: Path, features: _Features, shape: tuple[int, int], tell: Tell
) -> list[Item]:
    """Return the objects, without features that have no pixel."""
    items: list[Item] = []
    for done, (number, feature) in enumerate(features.items(), start=1):
        if not done % AT_ONCE:
            tell(done / len(features))
        geometry = feature.geometry
        if geometry is None or geometry.type not in _AREAS:
            continue
        properties = feature.properties
        item = Item(
            fill(_shape(path, number, geometry), shape),
            shape,
            class_name=properties.classification.label,
            instance_id=properties.instance_id,
            score=properties.score,
            model_version=properties.model_version,
            reviewed=properties.reviewed,
            slice_index=properties.slice_index,
        )
        if item.area:
            items.append(item)
    return items


def _shape(path: Path, number: int, geometry: _Geometry) -> Any:
    try:
        made = shapely.geometry.shape(
            {"type": geometry.type, "coordinates": geometry.coordinates}
        )
        bounds = np.array(made.bounds)
    # a broken geometry raises whatever shapely happens to stumble over
    except Exception as error:
        raise refuse(path, f"feature {number} has broken coordinates") from error
    if made.is_empty or not np.isfinite(bounds).all():
        raise refuse(path, f"feature {number} has no coordinates that are numbers")
    return made


def _hex(classification: _Classification) -> str | None:
    colour = classification.color
    if colour is None or not all(0 <= value <= 255 for value in colour):
        return None
    return "#" + bytes(colour).hex()
