"""Objects that were read from files go into a project, all of them or none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.huge_image import HugeImage
from napari_infosam.project.encoded import encode
from napari_infosam.project.failures import one_sentence
from napari_infosam.project.formats.imported_tiles import keep_tiles
from napari_infosam.project.formats.pictures import SkipError
from napari_infosam.project.formats.progress import Tell, nobody, part_of
from napari_infosam.project.formats.targets import huge_pixels
from napari_infosam.project.images import StoredPixels
from napari_infosam.project.objects import Origin

if TYPE_CHECKING:
    from pydantic import ValidationError

    from napari_infosam.project.formats.items import Item
    from napari_infosam.project.formats.targets import Target
    from napari_infosam.project.records import ImageRecord
    from napari_infosam.project.steps import Step
    from napari_infosam.project.store import Project

Classes = Mapping[str, str | None]
"""Names of classes with their colours ``#rrggbb``, None where the file has none."""

DEFAULT_CLASS = "object"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import brought.

    ``n_images`` counts the images that are in the project now, ``n_objects`` the
    objects that are new in it, and ``n_known`` those that it had already; ``skipped``
    names every other file and the reason.
    """

    n_images: int
    n_objects: int
    skipped: tuple[str, ...]
    n_known: int = 0


@dataclass(slots=True)
class Draft:
    """All that is to be imported, read and checked before the first is written."""

    classes: Classes = field(default_factory=dict)
    images: list[tuple[Target, list[Item]]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def write_draft(project: Project, draft: Draft, tell: Tell = nobody) -> ImportReport:
    """Write images and objects, all of them or, if that fails, none.

    What is in the project already is not added again.

    Raises
    ------
    InfosamError
        If there is nothing to import, or the project can not be written to.
    """
    if not any(items for _, items in draft.images):
        because = f", the first because {draft.skipped[0]}" if draft.skipped else ""
        raise InfosamError(f"There are no objects to import{because}.")
    skipped = list(draft.skipped)
    with Importer(project, draft.classes) as importer:
        for number, (target, items) in enumerate(draft.images):
            part = part_of(part_of(tell, 0, 2), number, len(draft.images))
            skipped += importer.add(target, items, part)
            part(1)
        n_objects = importer.write(part_of(tell, 1, 2))
        n_known = importer.n_known
    return ImportReport(len(draft.images), n_objects, tuple(skipped), n_known)


@dataclass(frozen=True, slots=True)
class _Image:
    """An image that waits to be written: its pixels, or the record it has already."""

    name: str
    source: str | None
    pixels: StoredPixels | ImageRecord
    items: Sequence[Item]


class Importer:
    """Adds images with their objects to a project, all or none, and nothing twice.

    Pixels are stored as images come; then `write` adds everything in one transaction.
    As a context manager it removes the pixels again if that does not come about.

    Parameters
    ----------
    project
        Open with its lock.
    classes
        Colours of classes that the project does not have yet.

    Attributes
    ----------
    n_known
        Objects that were not written, because the project has them already.
    """

    def __init__(self, project: Project, classes: Classes) -> None:
        self.n_known = 0
        self._project = project
        self._colours = {_class_name(name): colour for name, colour in classes.items()}
        # by pixels alone: a person may have changed the preprocessing since
        self._known = {
            image.content_hash: image for image in reversed(project.images())
        }
        self._waiting: list[_Image] = []
        self._made: list[Path] = []

    def __enter__(self) -> Importer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            for path in self._made:
                path.unlink(missing_ok=True)

    def add(
        self, target: Target, items: Sequence[Item], tell: Tell = nobody
    ) -> list[str]:
        """Store the pixels of an image; its objects wait for `write`.

        Of a huge image the tiles are kept that show the objects, so that they can be
        learnt.

        Returns
        -------
        list of str
            What is not as it should be, without a reason not to import it.
        """
        known = self._known.get(target.digest)
        image, notes = None, list[str]()
        if known is None:
            image = target.read()
            stored = self._project.store_pixels(image)
            if stored.made is not None:
                self._made.append(stored.made)
        elif known.is_huge:
            try:
                image = huge_pixels(self._project, known)
            except SkipError as reason:
                notes.append(f"{target.name}: {reason}")
        if isinstance(image, HugeImage):
            # one that was moved keeps the hash that it was added with
            moved = known or self._project.find_image(image.digest, image.path)
            digest = moved.content_hash if moved else image.digest
            for path in keep_tiles(self._project.tiles, digest, image, items, tell):
                self._made.append(path)
        pixels = stored if known is None else known
        self._waiting.append(_Image(target.name, target.source, pixels, items))
        return notes

    def write(self, tell: Tell = nobody) -> int:
        """Write all that was added as one step of undo; return how many are new.

        Objects that an image has already are left out.
        """
        written = 0
        with self._project.one_step("import") as step:
            for number, image in enumerate(self._waiting, start=1):
                written += self._write(step, image)
                tell(number / len(self._waiting))
        return written

    def _write(self, step: Step, image: _Image) -> int:
        record = image.pixels
        if isinstance(record, StoredPixels):
            record = self._project.add_image(record, image.name, source=image.source)
        new = _new_items(self._project, record.id, image.items)
        self.n_known += len(image.items) - len(new)
        for name in sorted({_class_name(item.class_name) for item in new}):
            step.add_class(name, self._colours.get(name))
        for item in new:
            step.write(record.id, encode(item.encoded(), record), _origin(item))
        return len(new)


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
