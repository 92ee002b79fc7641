"""Small pictures of the images of the list, kept in the project's cache."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core.channels import PLAIN, ChannelChoice
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.small_picture import small_picture
from napari_infosam.project.files import atomic_file
from napari_infosam.project.formats.pictures import read_array
from napari_infosam.project.huge_files import has_colours, open_lazily

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_infosam.core.preprocess import RGBImage
    from napari_infosam.project.listing import ListedImage
    from napari_infosam.project.store import Project

logger = logging.getLogger(__name__)

SIDE = 64
"""Pixels of the longer side."""

_MOST_DECODED = 64_000_000
"""Pixels: larger PNG and JPEG files, which are decoded whole, have no thumbnail."""


def thumbnail(row: ListedImage, project: Project) -> RGBImage:
    """Return the small picture of an image, from the cache if it is there.

    Of a stack it is the middle slice, with the channels that the model sees. A huge
    image is not read as a whole. It is slow, and may run on any thread.

    Parameters
    ----------
    row
        The image.
    project
        Whose list it is in; the cache is its own.

    Returns
    -------
    numpy.ndarray
        ``(h, w, 3)`` uint8, neither height nor width above `SIDE`.

    Raises
    ------
    Exception
        Whatever a broken file makes its reader stumble over.
    """
    path = None if row.path is None else Path(row.path)
    if path is not None and path.exists():
        choice = project.channels.get(str(path)) or PLAIN
        state = path.stat()
        key = f"{path} {state.st_size} {state.st_mtime_ns} {choice.model_dump_json()}"
        return _cached(project, key, lambda: _of_file(path, choice))
    ids = project.listing.image_ids(row.id)
    if not ids:
        raise InfosamError(f"The file {row.path} is missing.")
    record = project.image(ids[len(ids) // 2])
    if record.is_huge:
        raise InfosamError(f"{row.name} is huge, and its file is missing.")
    channels = record.preprocessing.channels
    return _cached(
        project,
        f"{record.content_hash} {channels}",
        lambda: small_picture(project.read_image(record.id), SIDE, channels=channels),
    )


def _cached(project: Project, key: str, make: Callable[[], RGBImage]) -> RGBImage:
    """Return what is in the cache under a key; made, and kept there, if it is not."""
    from PIL import Image

    name = hashlib.sha256(f"{SIDE} {key}".encode(errors="replace")).hexdigest()
    kept = project.cache_dir / "thumbnails" / f"{name}.png"
    try:
        with Image.open(kept) as picture:
            return np.array(picture.convert("RGB"))
    except OSError:  # it is not there, or broken
        pass
    made = make()
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(kept) as file:
            Image.fromarray(made).save(file, "PNG")
    except OSError as error:  # a disk that is full, or for reading only
        logger.info("A thumbnail of %s was not kept: %s", key, error)
    return made


def _of_file(path: Path, choice: ChannelChoice) -> RGBImage:
    found = open_lazily(path)
    if found is None:
        _check_size(path)
        array = read_array(path)
        return _middle(array, has_colours(array.shape), choice)
    fine = [level for level in found.levels if max(level.shape[-3:]) >= SIDE]
    return _middle((fine or found.levels)[-1], found.rgb, choice)


def _check_size(path: Path) -> None:
    """Raise a sentence for a picture that takes too long to decode."""
    from PIL import Image

    with Image.open(path) as picture:
        width, height = picture.size
    if width * height > _MOST_DECODED:
        raise InfosamError(f"{path.name} is too large for a thumbnail.")


def _middle(image: Any, rgb: bool, choice: ChannelChoice) -> RGBImage:
    """Return the small picture of the middle slice of a stack."""
    n_leading = len(image.shape) - 2 - rgb
    leading: list[int | slice] = [int(size) // 2 for size in image.shape[:n_leading]]
    channels = choice.seen if rgb else None
    if not rgb and choice.axis is not None and choice.axis < n_leading:
        leading[choice.axis], channels = slice(None), choice.seen
    return small_picture(image, SIDE, leading=tuple(leading), channels=channels)
