"""Files that are there completely or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.huge_image import HugeImage


def make_folder(folder: Path, instead: str) -> None:
    """Make a folder, and those above it, unless it is there.

    Raises
    ------
    InfosamError
        If that can not be done; the sentence ends with what to do instead.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InfosamError(
            f"The folder {folder} can not be made ({error.strerror}): {instead}."
        ) from error


def why_not_a_folder(folder: Path) -> str:
    """Return why nothing can be written into a folder, made or to be; '' if it can."""
    if not folder.is_absolute():
        return "it does not begin at the root of a disk"
    try:
        place = next(path for path in (folder, *folder.parents) if path.exists())
    except (OSError, StopIteration):
        return "it can not be reached"
    if not place.is_dir():
        return f"{place} is a file"
    if not os.access(place, os.W_OK):
        return f"nothing can be written to {place}"
    return ""


def content_hash(image: NDArray[Any] | HugeImage) -> str:
    """Return the SHA-256 of an image's type, shape and pixels, in hexadecimal.

    The byte order in memory does not count. A huge image is not read for it, see
    `napari_infosam.core.huge_image.HugeImage.digest`.
    """
    if isinstance(image, HugeImage):
        return image.digest
    image = np.ascontiguousarray(image, image.dtype.newbyteorder("="))
    digest = hashlib.sha256(f"{image.dtype.name} {image.shape}".encode())
    digest.update(image.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write an ``.npy`` file atomically and durably."""
    array = np.ascontiguousarray(array)
    header = np.lib.format.header_data_from_array_1_0(array)
    with atomic_file(path) as file:
        # not np.save, whose errors do not say that the disk is full
        np.lib.format.write_array_header_1_0(file, header)
        file.write(array.data)


def write_json(path: Path, value: object) -> None:
    """Write a JSON file atomically and durably."""
    with atomic_file(path) as file:
        file.write((json.dumps(value, indent=2) + "\n").encode())


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file that becomes ``path`` when the block ends well."""
    # not tempfile: its files are for their owner only, a project may be shared
    temporary = path.with_name(f".{path.name}-{uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make new names in a directory survive a power cut, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def numbered_directory(parent: Path, name: Callable[[int], str], start: int) -> Path:
    """Make the first directory ``name(start)``, ``name(start + 1)``, ... not there yet.

    Two processes never get the same one.
    """
    parent.mkdir(exist_ok=True)
    number = start
    while True:
        path = parent / name(number)
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
            continue
        try:
            sync_directory(parent)
        except OSError:
            path.rmdir()
            raise
        return path
