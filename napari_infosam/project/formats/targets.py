"""Finds the images that imported objects belong to, without reading huge ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.huge_image import HugeImage
from napari_infosam.core.preprocess import check_image
from napari_infosam.core.tiles import is_huge
from napari_infosam.project.failures import one_sentence
from napari_infosam.project.files import content_hash
from napari_infosam.project.formats.items import plain_stem, unique_stems
from napari_infosam.project.formats.pictures import SUFFIXES, SkipError, read_array
from napari_infosam.project.huge_files import open_huge
from napari_infosam.project.split import slice_name, stack_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_infosam.project.records import ImageRecord
    from napari_infosam.project.store import Project


@dataclass(frozen=True, slots=True)
class Target:
    """The image that objects belong to.

    Attributes
    ----------
    name
        Shown to people.
    shape
        (height, width) in pixels.
    digest
        Content hash of the pixels.
    read
        Returns the pixels, ``(Y, X)`` or ``(Y, X, C)``; of a huge image, what reads it
        tile by tile.
    source
        Where it came from, as text, or None.
    """

    name: str
    shape: tuple[int, int]
    digest: str
    read: Callable[[], NDArray[Any] | HugeImage]
    source: str | None = None


class Images:
    """Finds the image that a file of objects speaks of.

    Parameters
    ----------
    project
        Open; its images are looked through.
    folder
        Folder of image files, or None to look in the project only.

    Raises
    ------
    InfosamError
        If the folder is missing.
    """

    def __init__(self, project: Project, folder: Path | None) -> None:
        self._project = project
        self._folder = folder
        self._known = project.images()
        self._by_stem: dict[str, list[ImageRecord]] = {}
        stems = unique_stems(image.name for image in self._known)
        for image, exported in zip(self._known, stems, strict=True):
            for stem in {plain_stem(image.name), exported}:
                self._by_stem.setdefault(stem, []).append(image)
        self._files: dict[str, Path] = {}
        self._stack: tuple[Path, ImageFile] | None = None
        if folder is not None:
            with one_sentence(folder):
                if not folder.is_dir():
                    raise InfosamError(
                        f"There is no folder {folder} of images: check it."
                    )
                self._files = {
                    path.relative_to(folder).as_posix(): path
                    for path in sorted(folder.rglob("*"))
                    if path.suffix.lower() in SUFFIXES and path.name[0] != "."
                }

    def find(self, name: str, digest: str | None = None) -> Target:
        """Return the image of a name, of which only the stem has to fit.

        Parameters
        ----------
        name
            As the file of objects gives it: a path, a file name, or a stem.
        digest
            Its content hash, if the file of objects has it: an image of the project
            is known by it under any name.

        Raises
        ------
        SkipError
            If there is no such image, more than one, or it can not be read.
        """
        exact = [image for image in self._known if image.content_hash == digest]
        if exact:
            return self._known_target(exact[0])
        if self._folder is not None:
            return self._in_folder(name, self._folder)
        name = _file_name(name)
        # napari leaves the suffix out of the name of a layer
        found = self._by_stem.get(plain_stem(name)) or []
        digests = {image.content_hash for image in found}
        if not found:
            raise SkipError(
                f"the project has no image {name}: give the folder with --images"
            )
        if len(digests) > 1:
            raise SkipError(
                f"the project has {len(digests)} images {name}: give the folder with "
                "--images"
            )
        return self._known_target(found[0])

    def _in_folder(self, name: str, folder: Path) -> Target:
        """Return the file of a name, or a slice of one: ``cells.tif [3]``."""
        path = self._file(name)
        if path is not None:
            return file_target(path)
        wanted = _file_name(name)
        stack = stack_of(wanted) or stack_of(plain_stem(wanted))
        path = None if stack is None else self._file(stack[0])
        if stack is None or path is None:
            raise SkipError(f"there is no image {wanted} in {folder}")
        target = open_target(self._opened(path), path, stack[1])
        # a stack is not kept until all are written
        return replace(target, read=partial(self._slice, path, stack[1]))

    def _slice(self, path: Path, position: tuple[int, ...]) -> NDArray[Any] | HugeImage:
        return self._opened(path).at(position)

    def _opened(self, path: Path) -> ImageFile:
        """Return a stack, of which slice after slice is asked for."""
        if self._stack is None or self._stack[0] != path:
            self._stack = path, ImageFile(path)
        return self._stack[1]

    def _file(self, name: str) -> Path | None:
        wanted = _file_name(name)
        for exact in (name.replace("\\", "/"), wanted):
            if exact in self._files:
                return self._files[exact]
        stem = plain_stem(wanted)
        found = [path for path in self._files.values() if plain_stem(path.name) == stem]
        if len(found) > 1:
            raise SkipError(
                f"{found[0].name} and {found[1].name} in {self._folder} could both be "
                f"the image {name}"
            )
        return found[0] if found else None

    def _known_target(self, record: ImageRecord) -> Target:
        return Target(
            name=record.name,
            shape=(record.shape[0], record.shape[1]),
            digest=record.content_hash,
            read=lambda: self._project.read_image(record.id),
            source=record.source,
        )


def _file_name(path: str) -> str:
    """Return the last part of a path of whatever system."""
    return PurePosixPath(path.replace("\\", "/")).name


class ImageFile:
    """The pixels of a file; of huge pictures nothing is read but what is asked for.

    Parameters
    ----------
    path
        An image, or a stack of images.

    Attributes
    ----------
    shape, dtype
        ``(..., Y, X)`` or ``(..., Y, X, C)``.

    Raises
    ------
    SkipError
        If it can not be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = str(path.absolute())
        huge = open_huge(path)
        self._levels = [read_array(path)] if huge is None else huge.levels
        self.shape = tuple(map(int, self._levels[0].shape))
        self.dtype = np.dtype(self._levels[0].dtype)

    def at(self, position: tuple[int, ...] = ()) -> NDArray[Any] | HugeImage:
        """Return the picture at a position on the leading axes.

        Raises
        ------
        SkipError
            If it is none that can be annotated.
        """
        n = len(position)
        outside = any(i >= size for i, size in zip(position, self.shape, strict=False))
        if n > len(self.shape) - 2 or outside:
            name, place = Path(self._path).name, ", ".join(map(str, position))
            raise SkipError(f"{name} of shape {self.shape} has no slice [{place}]")
        plane = self.shape[n:]
        if len(plane) in (2, 3) and is_huge(plane):
            check_image_or_skip(self._levels[0].dtype, plane)
            return HugeImage(
                self._levels, index=position, rgb=len(plane) == 3, path=self._path
            )
        pixels: NDArray[Any] = np.asarray(self._levels[0][position])
        check_image_or_skip(pixels.dtype, pixels.shape)
        return pixels


def file_target(path: Path) -> Target:
    """Return an image file as a target.

    Raises
    ------
    SkipError
        If it can not be read, or is no image that can be annotated.
    """
    target = open_target(ImageFile(path), path)
    # read again when it is its turn: all at once may not fit into memory
    return replace(target, read=lambda: ImageFile(path).at())


def open_target(image: ImageFile, path: Path, position: tuple[int, ...] = ()) -> Target:
    """Return a file that is open as a target, or a slice of a stack in it.

    Raises
    ------
    SkipError
        If there is none, or it is no image that can be annotated.
    """
    # as the window calls the slices of a layer
    name = slice_name(path.stem, position) if position else path.name
    pixels = image.at(position)
    return Target(
        name=name,
        shape=(pixels.shape[0], pixels.shape[1]),
        digest=digest_of(pixels),
        read=lambda: image.at(position),
        source=str(path.absolute()),
    )


def digest_of(pixels: NDArray[Any] | HugeImage) -> str:
    """Return the content hash of a picture.

    Raises
    ------
    SkipError
        If a part of a huge one can not be read.
    """
    try:
        return content_hash(pixels)
    except InfosamError as error:
        raise SkipError(str(error)) from error


def huge_pixels(project: Project, record: ImageRecord) -> HugeImage:
    """Return the pixels of a project's huge image, from the file it is in.

    Raises
    ------
    SkipError
        If there is no such file any more.
    """
    listed = project.listing.path_of_image(record.id) or record.source
    path = None if listed is None else Path(listed)
    found = None if path is None or not path.exists() else open_huge(path)
    stack = stack_of(record.name)
    if found is not None:
        n_leading = found.levels[0].ndim - len(record.shape)
        index = stack[1] if stack else (0,) * n_leading
        shape = tuple(map(int, found.levels[0].shape))
        if len(index) == n_leading and shape[n_leading:] == record.shape:
            return HugeImage(
                found.levels,
                index=index,
                rgb=len(record.shape) == 3,
                path=listed,
                preprocessing=record.preprocessing,
                digest=record.content_hash,
            )
    raise SkipError(
        "its file is not there, so no parts of it are kept to learn its objects from"
    )


def check_image_or_skip(dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Raise `SkipError` unless such an array is an image that can be annotated."""
    try:
        check_image(np.broadcast_to(np.zeros((), dtype), shape))
    except InfosamError as error:
        raise SkipError(str(error)) from error
