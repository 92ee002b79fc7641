"""The images of a project, in its database and in ``images/``."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.huge_image import SAMPLED, HugeImage, likeness
from napari_infosam.core.preprocess import Preprocessing, check_image
from napari_infosam.project.failures import one_sentence
from napari_infosam.project.files import content_hash, write_array
from napari_infosam.project.listing import link
from napari_infosam.project.records import ImageRecord


@dataclass(frozen=True, slots=True)
class StoredPixels:
    """The pixels of an image that lie in a project, or those of a huge one outside.

    Attributes
    ----------
    digest
        Content hash.
    shape
        ``(Y, X)`` or ``(Y, X, C)``.
    dtype
        Of the intensities.
    path
        Where a huge image lies, if that is known.
    made
        The file that was written for them; None if it was there, or needs none.
    """

    digest: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    path: str | None = None
    made: Path | None = None


def check_pixels(
    image: NDArray[Any] | HugeImage | StoredPixels, preprocessing: Preprocessing
) -> None:
    """Raise a sentence unless the model can be shown this image.

    Raises
    ------
    InfosamError
        As `napari_infosam.core.preprocess.to_rgb_uint8` would.
    """
    if not isinstance(image, np.ndarray):
        image = np.broadcast_to(np.zeros((), image.dtype), image.shape)
    chosen = preprocessing.channels
    if chosen is None:
        check_image(image)
        return
    if image.ndim != 3 or not all(0 <= c < image.shape[2] for c in chosen):
        raise InfosamError(
            f"The image of shape {image.shape} has no channels {chosen}: "
            "choose others in the preprocessing."
        )
    check_image(image[:1, :1, list(chosen)])


def store_pixels(folder: Path, image: NDArray[Any] | HugeImage) -> StoredPixels:
    """Write an image to its place unless it is there; of a huge one nothing."""
    if isinstance(image, HugeImage):
        return StoredPixels(image.digest, image.shape, image.dtype, path=image.path)
    image = np.ascontiguousarray(image, image.dtype.newbyteorder("="))
    digest = content_hash(image)
    path = pixel_path(folder, digest)
    made = None
    if _load_intact(path, image.shape, image.dtype.name) is None:
        with one_sentence(folder):
            write_array(path, image)
        made = path
    return StoredPixels(digest, image.shape, image.dtype, made=made)


def load_pixels(folder: Path, record: ImageRecord) -> NDArray[Any]:
    """Return an image as a read-only memory map.

    Raises
    ------
    InfosamError
        If the file is missing or damaged.
    """
    if record.is_huge:
        raise InfosamError(
            f"{record.name} is too large to be read as a whole: of "
            f"{record.shape[0]} x {record.shape[1]} pixels the project keeps the tiles "
            "that objects were accepted in."
        )
    path = pixel_path(folder, record.content_hash)
    pixels = _load_intact(path, record.shape, record.dtype)
    if pixels is None:
        raise InfosamError(
            f"The stored pixels of {record.name} are missing or damaged ({path}): "
            "put the file back, or add the same image again."
        )
    return pixels


def _load_intact(path: Path, shape: tuple[int, ...], dtype: str) -> NDArray[Any] | None:
    """Return a stored array if its header and size are as they should be."""
    try:
        pixels: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return pixels if pixels.shape == shape and pixels.dtype.name == dtype else None


def pixel_path(folder: Path, digest: str) -> Path:
    """Return where the image of a content hash lies."""
    return folder / "images" / f"{digest}.npy"


def insert_image(
    connection: sqlite3.Connection,
    pixels: StoredPixels,
    name: str,
    source: str | None,
    preprocessing: Preprocessing,
) -> ImageRecord:
    """Add an image, or return the record it already has."""
    digest = pixels.digest
    known = find_image(connection, digest, preprocessing, pixels.path or source)
    if known is not None:
        link(connection, known.id, known.name, known.source)
        return known
    how = preprocessing.model_dump_json()
    connection.execute(
        "INSERT INTO images"
        " (name, content_hash, shape, axes, dtype, source, preprocessing, created)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            _text(name),
            digest,
            json.dumps(pixels.shape),
            "YXC"[: len(pixels.shape)],
            pixels.dtype.name,
            None if source is None else _text(source),
            how,
            time.time(),
        ),
    )
    row = connection.execute(
        "SELECT * FROM images WHERE content_hash = ? AND preprocessing = ?",
        (digest, how),
    ).fetchone()
    link(connection, row["id"], row["name"], row["source"])
    return _image(row)


def find_image(
    connection: sqlite3.Connection,
    digest: str,
    preprocessing: Preprocessing,
    path: str | None = None,
) -> ImageRecord | None:
    """Return the record of an image, or None.

    A huge image is also found at another path: at the one that its row of the list
    has now, or anywhere if there is no file at that any more.

    Parameters
    ----------
    digest
        Its content hash.
    path
        Where a huge one lies, if that is known.
    """
    how = preprocessing.model_dump_json()
    row = connection.execute(
        "SELECT * FROM images WHERE content_hash = ? AND preprocessing = ?",
        (digest, how),
    ).fetchone()
    if row is not None:
        return _image(row)
    if not digest.startswith(SAMPLED):
        return None
    alike = connection.execute(
        "SELECT images.*, path AS listed_path FROM images"
        " LEFT JOIN listed_images ON image_id = images.id"
        " LEFT JOIN listed ON listed.id = listed_id"
        " WHERE substr(content_hash, 1, ?) = ? AND preprocessing = ?"
        " ORDER BY path = ? DESC, images.id",
        (len(likeness(digest)), likeness(digest), how, path),
    )
    for row in alike:
        listed = row["listed_path"]
        if listed is None or listed == path or not Path(listed).exists():
            return _image(row)
    return None


def select_images(connection: sqlite3.Connection) -> list[ImageRecord]:
    """Return all images in the order in which they were added."""
    rows = connection.execute("SELECT * FROM images ORDER BY id")
    return [_image(row) for row in rows]


def select_image(connection: sqlite3.Connection, image_id: int) -> ImageRecord:
    """Return an image, or raise a sentence."""
    row = connection.execute(
        "SELECT * FROM images WHERE id = ?", (int(image_id),)
    ).fetchone()
    if row is None:
        raise InfosamError(f"The project has no image {image_id}: add the image first.")
    return _image(row)


def update_preprocessing(
    connection: sqlite3.Connection, image_id: int, preprocessing: Preprocessing
) -> None:
    """Change how an image is shown to the model."""
    how = preprocessing.model_dump_json()
    try:
        connection.execute(
            "UPDATE images SET preprocessing = ? WHERE id = ?", (how, image_id)
        )
    except sqlite3.IntegrityError:
        raise InfosamError(
            f"Image {image_id} is in the project a second time with this "
            "preprocessing: annotate that one."
        ) from None


def _text(name: str) -> str:
    """Return a name that can be stored, whatever bytes a file system allowed in it."""
    return name.encode(errors="backslashreplace").decode()


def _image(row: sqlite3.Row) -> ImageRecord:
    return ImageRecord(
        id=row["id"],
        name=row["name"],
        content_hash=row["content_hash"],
        shape=tuple(json.loads(row["shape"])),
        axes=row["axes"],
        dtype=row["dtype"],
        source=row["source"],
        preprocessing=Preprocessing.model_validate_json(row["preprocessing"]),
        split=row["split"],
    )
