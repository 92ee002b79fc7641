"""OME-Zarr (NGFF 0.4): the original pixels with a label image under them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.preprocess import Preprocessing
from napari_infosam.core.tiles import is_huge
from napari_infosam.project.failures import one_sentence
from napari_infosam.project.files import content_hash
from napari_infosam.project.formats.blocks import SIDE, LabelBlocks
from napari_infosam.project.formats.importing import Draft, refuse
from napari_infosam.project.formats.items import (
    IMPORTED,
    Item,
    Picture,
    hidden,
    label_dtype,
    label_values,
    paint_items,
    value_counts,
)
from napari_infosam.project.formats.mask_runs import MaskRuns
from napari_infosam.project.formats.ngff import (
    Plane,
    ngff_attributes,
    own_attributes,
)
from napari_infosam.project.formats.pictures import SkipError
from napari_infosam.project.formats.progress import Tell, nobody, part_of
from napari_infosam.project.formats.targets import Target, file_target
from napari_infosam.project.huge_files import bands
from napari_infosam.project.images import COLOUR, check_pixels

if TYPE_CHECKING:
    import zarr
    from numpy.typing import NDArray

    from napari_infosam.project.formats.items import Done, Selection
    from napari_infosam.project.formats.targets import Images

SUFFIX = ".ome.zarr"
LABELS = "objects"

_VERSION = "0.4"
_CHUNK = SIDE
_RGB = (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))


def write(selection: Selection, folder: Path, done: Done) -> list[str]:
    """Write one store for each image; that of a huge one has no pixels, but labels.

    Returns
    -------
    list of str
        What is lost, one sentence each.
    """
    notes = []
    for picture in selection.pictures:
        store = folder / f"{picture.stem}{SUFFIX}"
        if is_huge(picture.shape):
            lost = _write_huge_picture(picture, selection, store, done)
            notes.append(
                f"{picture.name}: its pixels are too many to be copied, the store has "
                "its labels alone"
            )
        else:
            lost = _write_picture(picture, selection, store)
            done(1)
        if lost:
            n = len(picture.items)
            notes.append(f"{picture.name}: {lost} of {n} objects lie under others")
    return notes


def _write_picture(picture: Picture, selection: Selection, store: Path) -> int:
    """Write the store of one image; return how many objects others hide."""
    import zarr

    pixels = selection.pixels(picture)
    image = pixels if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    root = zarr.open_group(store, mode="w-", zarr_format=2)
    axes = "cyx"[-image.ndim :]
    root.attrs["multiscales"] = _write_levels(root, image, axes, picture.name)
    if image.ndim == 3:
        root.attrs["omero"] = _omero(image)
    root.attrs["infosam"] = {
        "name": picture.name,
        "axes": "YXC"[: pixels.ndim],
        "classes": selection.colours,
    }

    values = label_values(picture.items)
    labels = paint_items(picture.items, values, picture.shape)
    labels = labels.astype(label_dtype(max(values)))
    parent = root.create_group("labels")
    parent.attrs["labels"] = [LABELS]
    group = parent.create_group(LABELS)
    group.attrs["multiscales"] = _write_levels(group, labels, "yx", LABELS)
    group.attrs["image-label"] = _image_label(picture, values)
    return hidden(picture.items, values, value_counts(labels))


def _write_huge_picture(
    picture: Picture, selection: Selection, store: Path, done: Done
) -> int:
    """Write the labels of a huge image block by block; return as `_write_picture`."""
    import zarr

    root = zarr.open_group(store, mode="w-", zarr_format=2)
    source = picture.record.source if picture.record else None
    root.attrs["infosam"] = {
        "name": picture.name,
        "classes": selection.colours,
        "source": source,
    }
    parent = root.create_group("labels")
    parent.attrs["labels"] = [LABELS]
    group = parent.create_group(LABELS)
    values = label_values(picture.items)
    dtype = label_dtype(max(values))
    n_levels = max(0, math.ceil(math.log2(max(picture.shape) / _CHUNK))) + 1
    seen = Counter[int]()
    for level in range(n_levels):
        blocks = LabelBlocks(
            picture.items, values, picture.shape, dtype, stride=2**level
        )
        array = _new_level(group, level, blocks.shape, dtype)
        # what is not written is zero
        for block in blocks.filled:
            labels = blocks.read(block)
            row, column = block[0] * SIDE, block[1] * SIDE
            height, width = labels.shape
            array[row : row + height, column : column + width] = labels
            if level == 0:
                seen += value_counts(labels)
            done(1 / n_levels / len(blocks.filled))
    group.attrs["multiscales"] = _multiscales("yx", LABELS, n_levels)
    group.attrs["image-label"] = _image_label(picture, values)
    return hidden(picture.items, values, seen)


def _write_levels(
    group: zarr.Group, image: NDArray[Any], axes: str, name: str
) -> list[dict[str, Any]]:
    """Write an image at full size, half, a quarter, ...; return its metadata."""
    level, number = image, 0
    while True:
        _new_level(group, number, level.shape, level.dtype)[...] = level
        number += 1
        if max(level.shape[-2:]) <= _CHUNK:
            return _multiscales(axes, name, number)
        # every second pixel: labels and any type of intensities stay what they are
        level = level[..., ::2, ::2]


def _new_level(
    group: zarr.Group, number: int, shape: tuple[int, ...], dtype: Any
) -> zarr.Array[Any]:
    """Make the array of a level, the finest is number 0."""
    import numcodecs

    chunks = tuple(max(1, min(side, _CHUNK)) for side in shape[-2:])
    return group.create_array(
        str(number),
        shape=shape,
        dtype=dtype,
        chunks=(1,) * (len(shape) - 2) + chunks,
        compressors=numcodecs.Blosc(cname="zstd", clevel=3),
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )


def _multiscales(axes: str, name: str, n_levels: int) -> list[dict[str, Any]]:
    """Return the metadata of levels that are each half as fine as the one before."""
    kinds = {"c": "channel", "y": "space", "x": "space"}
    datasets = [
        {
            "path": str(number),
            "coordinateTransformations": [
                {
                    "type": "scale",
                    "scale": [1.0] * (len(axes) - 2) + [float(2**number)] * 2,
                }
            ],
        }
        for number in range(n_levels)
    ]
    return [
        {
            "version": _VERSION,
            "name": name,
            "axes": [{"name": axis, "type": kinds[axis]} for axis in axes],
            "datasets": datasets,
        }
    ]


def _omero(image: NDArray[Any]) -> dict[str, Any]:
    """Return how viewers show the channels of ``(C, Y, X)``: RGB in its colours."""
    n = len(image)
    shown = _RGB if n in (3, 4) else ()
    high = 255.0
    if image.dtype != np.uint8:
        high = float(np.max(image, initial=0.0, where=np.isfinite(image))) or 1.0
    window = {"min": 0.0, "max": high, "start": 0.0, "end": high}
    channels: list[dict[str, Any]] = [
        {"label": label, "color": colour, "window": window, "active": True}
        for label, colour in shown
    ]
    channels += [
        {"label": str(c), "color": "FFFFFF", "window": window, "active": not shown}
        for c in range(len(shown), n)
    ]
    return {"version": _VERSION, "channels": channels}


def _image_label(picture: Picture, values: list[int]) -> dict[str, Any]:
    """Return what is known of each label.

    No colours: in those of their classes, cells that touch would look like one.
    """
    return {
        "version": _VERSION,
        "properties": [
            {
                "label-value": value,
                "class": item.class_name,
                "instance_id": item.instance_id,
                "score": item.score,
                "model_version": item.model_version,
                "reviewed": item.reviewed,
                "slice_index": list(item.slice_index),
            }
            for item, value in zip(picture.items, values, strict=True)
        ],
        "source": {"image": "../../"},
    }


def read(source: Path, images: Images | None = None, tell: Tell = nobody) -> Draft:
    """Read a store, or all stores of a folder, with their label images.

    Parameters
    ----------
    source
        A store, or a folder of them.
    images
        Where to look for the image of a store that has labels alone.

    Raises
    ------
    InfosamError
        If there is none, or one is not as it should be.
    """
    draft, classes = Draft(), dict[str, str | None]()
    stores = _stores(source)
    for number, store in enumerate(stores):
        part = part_of(tell, number, len(stores))
        part(0)
        # whatever a broken store makes zarr stumble over
        try:
            target, items, colours = _read_store(store, images, part)
        except SkipError as reason:
            draft.skipped.append(f"{store.name}: {reason}")
            continue
        except InfosamError:
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise refuse(store, f"it is no readable OME-Zarr image ({what})") from error
        if items:
            draft.images.append((target, items))
            classes |= colours
        else:
            draft.skipped.append(f"{store.name}: it has no labels")
    draft.classes = classes
    return draft


def _stores(source: Path) -> list[Path]:
    with one_sentence(source):
        if _is_store(source):
            return [source]
        inside = sorted(source.iterdir()) if source.is_dir() else []
        stores = [path for path in inside if _is_store(path)]
    if not stores:
        raise InfosamError(f"There is no OME-Zarr image in {source}: check it.")
    return stores


def _is_store(path: Path) -> bool:
    return (path / ".zgroup").is_file() or (path / "zarr.json").is_file()


def _read_store(
    store: Path, images: Images | None, tell: Tell
) -> tuple[Target, list[Item], dict[str, str]]:
    import zarr

    root = zarr.open_group(store, mode="r")
    own = own_attributes(root)
    name = str(own.get("name") or store.name.removesuffix(SUFFIX))
    if "multiscales" not in ngff_attributes(root) and "labels" in root:
        target = _target_of_labels(name, own.get("source"), images)
    else:
        target = _target(name, root, store)
    items: list[Item] = []
    if "labels" in root:
        parent = root["labels"]
        names = ngff_attributes(parent).get("labels", [])
        for number, of_labels in enumerate(names):
            part = part_of(tell, number, len(names))
            items += _read_labels(parent[of_labels], store, target.shape, part)
    colours = {
        str(name): colour
        for name, colour in (own.get("classes") or {}).items()
        if COLOUR.fullmatch(colour)
    }
    return target, items, colours


def _target(name: str, root: Any, store: Path) -> Target:
    plane = Plane(root, store)
    pixels = plane.picture()
    check_pixels(pixels, Preprocessing())
    return Target(
        name=name,
        shape=plane.shape,
        digest=content_hash(pixels),
        read=plane.picture,
        source=str(store.absolute()),
    )


def _target_of_labels(name: str, source: Any, images: Images | None) -> Target:
    """Return the image of labels that have no pixels, as those of huge images."""
    try:
        if images is not None:
            return images.find(name)
    except SkipError:
        pass
    path = Path(str(source or name))
    if path.is_file() or path.suffix == ".zarr":
        return file_target(path)
    raise SkipError(
        f"it has labels alone, and the image {name} is neither in the project nor at "
        f"{path}"
    )


def _read_labels(
    group: Any, store: Path, shape: tuple[int, int], tell: Tell
) -> Iterator[Item]:
    plane = Plane(group, store)
    lazy = plane.index is not None and is_huge(plane.shape)
    labels: Any = plane.levels[0] if lazy else plane.pixels()
    place = plane.index if lazy and plane.index else ()
    if labels.shape[len(place) :] != shape or labels.dtype.kind not in "bui":
        raise refuse(
            store,
            f"its labels {group.basename} have the shape {labels.shape} and type "
            f"{labels.dtype}, its image {shape}",
        )
    runs = MaskRuns(shape)
    for band in bands(labels, len(place)):
        runs.add(np.asarray(labels[(*place, band)]), band.start)
        tell(band.stop / shape[0])
    about = ngff_attributes(group).get("image-label") or {}
    properties = {p["label-value"]: p for p in about.get("properties") or ()}
    for value, rle in runs.rles():
        known = properties.get(value, {})
        name, score = known.get("class"), known.get("score")
        yield Item(
            rle,
            shape,
            class_name=None if name is None else str(name),
            instance_id=int(known.get("instance_id") or value),
            score=None if score is None else float(score),
            model_version=str(known.get("model_version") or IMPORTED),
            reviewed=bool(known.get("reviewed", True)),
            slice_index=tuple(abs(int(i)) for i in known.get("slice_index") or ()),
        )
