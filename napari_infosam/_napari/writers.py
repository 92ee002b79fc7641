"""File > Save on a Labels layer: GeoJSON and COCO, which napari does not write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from napari_infosam._napari.saved_picture import saved_of
from napari_infosam.project.failures import one_sentence
from napari_infosam.project.files import atomic_file


def write_geojson(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write the objects of a Labels layer as one FeatureCollection, as QuPath reads it.

    Parameters
    ----------
    path
        File to write, replaced if it is there.
    data, meta
        The layer, as napari gives it; see `saved_of`. Objects of a stack name their
        plane.

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

    saved = saved_of(data, meta)
    return _save(path, make_collection(saved.joined(), saved.colours))


def write_coco(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write the objects of a Labels layer as COCO instances with run-length masks.

    Every plane of a stack is an image, ``NAME [3]``. Parameters, what is returned and
    raised as for `write_geojson`.
    """
    from napari_infosam.project.formats.coco import make_document

    saved = saved_of(data, meta)
    return _save(path, make_document(saved.planes.values(), saved.colours))


def _save(path: str, content: dict[str, Any]) -> list[str]:
    with one_sentence(Path(path)), atomic_file(Path(path)) as file:
        file.write(json.dumps(content, allow_nan=False).encode())
    return [path]
