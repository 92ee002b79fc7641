"""File > Save on a Labels layer: GeoJSON and COCO, which napari does not write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.masks import iter_objects
from napari_infosam.core.tiles import is_huge
from napari_infosam.project.failures import one_sentence
from napari_infosam.project.files import atomic_file
from napari_infosam.project.formats.importing import DEFAULT_CLASS
from napari_infosam.project.formats.items import Item, Picture
from napari_infosam.project.images import PALETTE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

Position = tuple[int, ...]


def write_geojson(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write the objects of a Labels layer as one FeatureCollection, as QuPath reads it.

    Parameters
    ----------
    path
        File to write, replaced if it is there.
    data
        ``(..., Y, X)`` label image, each value but zero one object in every plane.
    meta
        As napari gives it. Where its features have the columns ``index`` and
        ``class``, they name the classes.

    Returns
    -------
    list of str
        The file.

    Raises
    ------
    InfosamError
        If the layer has no objects, or the file can not be written.
    """
    from napari_infosam.project.formats.geojson import make_collection

    labels = _check(data, meta)
    items = [item for _, items in _planes(labels, meta) for item in items]
    picture = _picture(str(meta["name"]), labels, items)
    return _save(path, make_collection(picture, _colours(items)))


def write_coco(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write the objects of a Labels layer as COCO instances with run-length masks.

    Every plane of a stack is an image, ``NAME [3]``. Parameters, what is returned and
    raised as for `write_geojson`.
    """
    from napari_infosam.project.formats.coco import make_document

    labels = _check(data, meta)
    pictures = []
    for position, items in _planes(labels, meta):
        where = f" [{', '.join(map(str, position))}]" if position else ""
        pictures.append(_picture(f"{meta['name']}{where}", labels, items))
    everything = [item for picture in pictures for item in picture.items]
    return _save(path, make_document(pictures, _colours(everything)))


def _check(data: Any, meta: dict[str, Any]) -> NDArray[Any]:
    # the first level of a multiscale layer is the one at full size
    finest = data[0] if meta.get("multiscale") else data
    if not isinstance(finest, np.ndarray) and is_huge(finest.shape[-2:]):
        raise InfosamError(
            f"The layer {meta['name']} is too large to be read as a whole: write its "
            "project with 'infosam export'."
        )
    labels: NDArray[Any] = np.asarray(finest)
    if labels.ndim < 2:
        raise InfosamError(f"The layer {meta['name']} is no picture: choose another.")
    if not labels.any():
        raise InfosamError(
            f"The layer {meta['name']} has no objects to save: all of it is zero."
        )
    return labels


def _planes(
    labels: NDArray[Any], meta: dict[str, Any]
) -> Iterator[tuple[Position, list[Item]]]:
    """Yield the position and the objects of every plane that has some."""
    classes = _classes(meta)
    for position in np.ndindex(labels.shape[:-2]):
        items = [
            Item.of_mask(
                mask,
                class_name=classes.get(value) or DEFAULT_CLASS,
                instance_id=value,
                slice_index=position,
            )
            for value, mask in iter_objects(labels[position])
        ]
        if items:
            yield position, items


def _picture(name: str, labels: NDArray[Any], items: list[Item]) -> Picture:
    height, width = labels.shape[-2:]
    return Picture(name, name, (height, width), tuple(items))


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


def _colours(items: list[Item]) -> dict[str, str]:
    names = sorted({item.class_name or DEFAULT_CLASS for item in items})
    return {name: PALETTE[n % len(PALETTE)] for n, name in enumerate(names)}


def _save(path: str, content: dict[str, Any]) -> list[str]:
    with one_sentence(Path(path)), atomic_file(Path(path)) as file:
        file.write(json.dumps(content, allow_nan=False).encode())
    return [path]
