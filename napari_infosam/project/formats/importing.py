"""Objects that were read from files go into a project, one image at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.preprocess import check_image
from napari_infosam.project.failures import one_sentence
from napari_infosam.project.files import content_hash
from napari_infosam.project.formats.items import plain_stem, unique_stems
from napari_infosam.project.formats.pictures import SUFFIXES, SkipError, read_array
from napari_infosam.project.objects import Origin

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydantic import ValidationError

    from napari_infosam.project.formats.items import Item
    from napari_infosam.project.records import ImageRecord
    from napari_infosam.project.store import Project

OnProgress = Callable[[int, int], None]
Classes = Mapping[str, str | None]
"""Names of classes with their colours ``#rrggbb``, None where the file has none."""

DEFAULT_CLASS = "object"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import brought.

    ``n_images`` counts the images that are in the project now, ``n_objects`` the
    objects that are new in it; ``skipped`` names every other file and the reason.
    """

    n_images: int
    n_objects: int
    skipped: tuple[str, ...]


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
        Returns the pixels, ``(Y, X)`` or ``(Y, X, C)``.
    source
        Where it came from, as text, or None.
    """

    name: str
    shape: tuple[int, int]
    digest: str
    read: Callable[[], NDArray[Any]]
    source: str | None = None


@dataclass(slots=True)
class Draft:
    """All that is to be imported, read and checked before the first is written."""

    classes: Classes = field(default_factory=dict)
    images: list[tuple[Target, list[Item]]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def write_draft(
    project: Project, draft: Draft, on_progress: OnProgress | None = None
) -> ImportReport:
    """Write images and objects, all objects of an image in one transaction.

    What is in the project already is not added again.

    Raises
    ------
    InfosamError
        If there is nothing to import, or the project can not be written to.
    """
    if not any(items for _, items in draft.images):
        because = f", the first because {draft.skipped[0]}" if draft.skipped else ""
        raise InfosamError(f"There are no objects to import{because}.")
    importer = Importer(project, draft.classes)
    n_objects = 0
    for done, (target, items) in enumerate(draft.images, start=1):
        n_objects += importer.add(target, items)
        if on_progress:
            on_progress(done, len(draft.images))
    return ImportReport(len(draft.images), n_objects, tuple(draft.skipped))


class Importer:
    """Adds images with their objects to a project, nothing twice.

    Parameters
    ----------
    project
        Open with its lock.
    classes
        Colours of classes that the project does not have yet.
    """

    def __init__(self, project: Project, classes: Classes) -> None:
        self._project = project
        self._colours = {_class_name(name): colour for name, colour in classes.items()}
        # by pixels alone: a person may have changed the preprocessing since
        self._known = {
            image.content_hash: image for image in reversed(project.images())
        }

    def add(self, target: Target, items: Sequence[Item]) -> int:
        """Add the objects that an image does not have yet; return their number."""
        record = self._known.get(target.digest)
        if record is None:
            record = self._project.add_image(
                target.read(), target.name, source=target.source
            )
            self._known[target.digest] = record
        new = _new_items(self._project, record.id, items)
        used = {_class_name(item.class_name) for item in new}
        written = self._project.commit_each(
            record.id,
            ((item.mask(), _origin(item)) for item in new),
            {name: self._colours.get(name) for name in sorted(used)},
        )
        return len(written)


def _new_items(project: Project, image_id: int, items: Sequence[Item]) -> list[Item]:
    """Return the items without those that stand in the project already.

    A mask counts as there if the project has it in the class that the file names;
    where the file names none, in any.
    """
    there: dict[tuple[bytes, tuple[int, ...]], list[str]] = {}
    for record in project.objects(image_id):
        there.setdefault((record.rle, record.slice_index), []).append(record.class_name)
    new = []
    for item in items:
        names = there.get((item.rle, item.slice_index), [])
        name = _class_name(item.class_name)
        if name in names:
            names.remove(name)
        elif item.class_name is None and names:
            names.pop()
        else:
            new.append(item)
    return new


def _origin(item: Item) -> Origin:
    return Origin(
        class_name=_class_name(item.class_name),
        slice_index=item.slice_index,
        model_version=item.model_version,
        score=item.score,
        reviewed=item.reviewed,
        instance_id=item.instance_id,
    )


def _class_name(name: str | None) -> str:
    """Return a name as the project keeps it, whatever a file says."""
    plain = (name or "").encode(errors="backslashreplace").decode().strip()
    return plain or DEFAULT_CLASS


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
            return file_target(self._file(name, self._folder))
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

    def _file(self, name: str, folder: Path) -> Path:
        wanted = _file_name(name)
        for exact in (name.replace("\\", "/"), wanted):
            if exact in self._files:
                return self._files[exact]
        stem = plain_stem(wanted)
        found = [path for path in self._files.values() if plain_stem(path.name) == stem]
        if not found:
            raise SkipError(f"there is no image {wanted} in {folder}")
        if len(found) > 1:
            raise SkipError(
                f"{found[0].name} and {found[1].name} in {folder} could both be "
                f"the image {name}"
            )
        return found[0]

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


def file_target(path: Path) -> Target:
    """Return an image file as a target.

    Raises
    ------
    SkipError
        If it can not be read, or is no image that can be annotated.
    """
    pixels = read_image(path)
    return Target(
        name=path.name,
        shape=(pixels.shape[0], pixels.shape[1]),
        digest=content_hash(pixels),
        # read again when it is its turn: all at once may not fit into memory
        read=lambda: read_image(path),
        source=str(path.absolute()),
    )


def read_image(path: Path) -> NDArray[Any]:
    """Return the pixels ``(Y, X[, C])`` of a file.

    Raises
    ------
    SkipError
        If it can not be read, or is no image that can be annotated.
    """
    pixels = read_array(path)
    check_image_or_skip(pixels)
    return pixels


def check_image_or_skip(pixels: NDArray[Any]) -> None:
    """Raise `SkipError` unless an array is an image that can be annotated."""
    try:
        check_image(pixels)
    except InfosamError as error:
        raise SkipError(str(error)) from error


def refuse_json(path: Path, error: ValidationError) -> InfosamError:
    """Return the sentence about a JSON file that lacks what its format asks for."""
    first = error.errors()[0]
    # without the names of our classes, which pydantic counts as steps of the way
    steps = [str(s) for s in first["loc"] if re.fullmatch(r"[a-z0-9]\w*", str(s))]
    what = re.sub(" or instance of .*", "", first["msg"])
    return refuse(path, f"{'.'.join(steps) or 'the file'}: {what}")


def refuse(path: Path, what: str) -> InfosamError:
    """Return the sentence about a file of objects that can not be imported."""
    return InfosamError(f"{path} can not be imported: {what.removesuffix('.')}.")


def files_of(source: Path, suffix: str) -> list[Path]:
    """Return a file, or the files of a folder with a suffix.

    Raises
    ------
    InfosamError
        If there is none.
    """
    with one_sentence(source):
        if source.is_file():
            return [source]
        found: Iterable[Path] = source.iterdir() if source.is_dir() else ()
        files = sorted(
            path
            for path in found
            if path.name.lower().endswith(suffix) and path.name[0] != "."
        )
    if not files:
        raise InfosamError(f"There is no {suffix} file in {source}: check it.")
    return files
