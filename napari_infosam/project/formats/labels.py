"""Images with label images or binary masks, in two folders of equal file names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.masks import encode_rle, iter_objects
from napari_infosam.core.preprocess import check_image
from napari_infosam.project.failures import one_sentence
from napari_infosam.project.files import content_hash

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_infosam.project.records import ImageRecord
    from napari_infosam.project.store import Project

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".npy")
_LOSSY = (".jpg", ".jpeg")


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import brought.

    ``n_images`` counts the pairs that are in the project now, ``n_objects`` the
    objects that are new in it; ``skipped`` names every other file and the reason.
    """

    n_images: int
    n_objects: int
    skipped: tuple[str, ...]


class SkipError(Exception):
    """A pair can not be used, for the reason that is the message."""


class _ColourError(SkipError):
    """A mask file is a colour picture."""


def import_folder(
    project: Project,
    images: Path,
    masks: Path,
    *,
    binary: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Import pairs of an image and a mask file that have the same stem.

    Importing the same folders again adds nothing. The objects of an image are
    written in one transaction, so an import that is interrupted can be repeated.

    Parameters
    ----------
    project
        Open with its lock.
    images, masks
        Folders of png, tif, tiff, jpg, jpeg, bmp or npy files. A mask is a label
        image ``(H, W)`` of whole numbers, each value but zero one object.
    binary
        Take all of a mask that is not zero as one object. Masks in JPEG files, which
        blur their values, are allowed then and cut at half of their range.
    on_progress
        Called with (pairs done, pairs in all) after each pair.

    Returns
    -------
    ImportReport
        Pairs that can not be imported are skipped and named in it.

    Raises
    ------
    InfosamError
        If there is no pair at all, or every mask is a colour picture, or the project
        can not be written to.
    """
    pairs, skipped = find_pairs(Path(images), Path(masks))
    # by pixels alone: a person may have changed the preprocessing since
    known = {record.content_hash: record for record in reversed(project.images())}
    n_images = n_objects = 0
    colour: _ColourError | None = None
    for done, (image_path, mask_path) in enumerate(pairs, start=1):
        try:
            n_objects += _import_pair(project, known, image_path, mask_path, binary)
            n_images += 1
        except SkipError as reason:
            skipped.append(f"{image_path.name}: {reason}")
            if isinstance(reason, _ColourError):
                colour = reason
        if on_progress:
            on_progress(done, len(pairs))
    if colour and not n_images:
        raise InfosamError(f"Nothing was imported: {colour}.")
    return ImportReport(n_images, n_objects, tuple(skipped))


def _import_pair(
    project: Project,
    known: dict[str, ImageRecord],
    image_path: Path,
    mask_path: Path,
    binary: bool,
) -> int:
    """Add an image and the objects it does not have yet; return their number."""
    image, labels = read_pair(image_path, mask_path, binary=binary)
    digest = content_hash(image)
    if digest not in known:
        known[digest] = project.add_image(
            image, image_path.name, source=str(image_path.absolute())
        )
    image_id = known[digest].id
    there = {record.rle for record in project.objects(image_id)}
    masks = (mask for _, mask in iter_objects(labels))
    if there:
        masks = (mask for mask in masks if encode_rle(mask) not in there)
    return len(project.commit_many(image_id, masks))


def read_pair(
    image_path: Path, mask_path: Path, *, binary: bool = False
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return an image ``(Y, X[, C])`` and its label image ``(Y, X)``.

    Raises
    ------
    SkipError
        If one of them can not be read, they do not fit, or there is no object.
    """
    image = _read(image_path)
    try:
        check_image(image)
    except InfosamError as error:
        raise SkipError(str(error)) from error
    labels = _read_labels(mask_path, binary)
    if labels.shape != image.shape[:2]:
        raise SkipError(
            f"the image has {image.shape[0]} x {image.shape[1]} pixels, but "
            f"{mask_path.name} has {labels.shape[0]} x {labels.shape[1]}"
        )
    if not labels.any():
        raise SkipError(f"{mask_path.name} has no objects, all of it is zero")
    return image, labels


def find_pairs(images: Path, masks: Path) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Return pairs of equal stem, and a line for every file that has no partner.

    Raises
    ------
    InfosamError
        If a folder is missing, both are the same, or there is no pair.
    """
    skipped: list[str] = []
    image_files = _by_stem(images, "images", skipped)
    mask_files = _by_stem(masks, "masks", skipped)
    if images.samefile(masks):
        raise InfosamError(
            f"Images and masks are both looked for in {images}: name two folders."
        )
    pairs = [
        (path, mask_files[stem])
        for stem, path in image_files.items()
        if stem in mask_files
    ]
    if not pairs:
        raise InfosamError(
            f"No file in {images} ({len(image_files)} images) and {masks} "
            f"({len(mask_files)} masks) has the same name: an image and its mask need "
            "equal names, such as 001.png and 001.tif."
        )
    for mine, others, what in (
        (image_files, mask_files, "mask"),
        (mask_files, image_files, "image"),
    ):
        skipped += [
            f"{path.name}: there is no {what} of this name"
            for stem, path in mine.items()
            if stem not in others
        ]
    return pairs, skipped


def _by_stem(folder: Path, what: str, skipped: list[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    with one_sentence(folder):
        if not folder.is_dir():
            raise InfosamError(f"There is no folder {folder} of {what}: check it.")
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
                continue
            first = found.setdefault(path.stem, path)
            if first != path:
                skipped.append(f"{path.name}: {first.name} is taken for this name")
    return found


def _read(path: Path, *, labels: bool = False) -> NDArray[Any]:
    """Return the array of an image file, or of a file of labels."""
    try:
        match path.suffix.lower():
            case ".npy":
                array = np.load(path, allow_pickle=False)
            case ".tif" | ".tiff":
                import tifffile

                array = tifffile.imread(path)
            case _:
                array = _read_picture(path, labels)
    # a broken file raises whatever its reader happens to stumble over
    except Exception as error:
        raise SkipError(f"{path.name} can not be read ({error})") from error
    pixels: NDArray[Any] = np.asarray(array)
    return pixels


def _read_picture(path: Path, labels: bool) -> NDArray[Any]:
    """Return grey, RGB or RGBA values; of a palette of labels the indices."""
    from PIL import Image

    with Image.open(path) as picture:
        match picture.mode:
            case "LA" | "La":
                return np.array(picture.convert("L"))
            case "P" if labels:
                return np.array(picture)
            case "P" | "PA" | "CMYK" | "YCbCr" | "LAB" | "HSV":
                return np.array(picture.convert("RGB"))
            case _:
                return np.array(picture)


def _read_labels(path: Path, binary: bool) -> NDArray[Any]:
    """Return the ``(H, W)`` label image of a mask file, bool if it is one object."""
    labels = _read(path, labels=True)
    if labels.ndim == 3 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if labels.ndim == 3 and labels.shape[-1] in (3, 4):
        if not binary:
            raise _ColourError(
                f"{path.name} is a colour picture of shape {labels.shape}, a mask has "
                "one channel with one value for each object"
            )
        # the object may have any colour on black
        labels = labels[..., :3].max(axis=-1)
    if labels.ndim != 2:
        raise SkipError(f"{path.name} has the shape {labels.shape}, a mask is (H, W)")
    kind = labels.dtype.kind
    if kind not in "buif" or (kind == "f" and not np.isfinite(labels).all()):
        raise SkipError(f"{path.name} holds values that are no numbers")
    if path.suffix.lower() in _LOSSY:
        if not binary:
            raise SkipError(
                f"{path.name} is a JPEG file, which blurs labels: save it as PNG or "
                "TIFF, or import it as binary"
            )
        bright: NDArray[np.bool_] = labels > np.iinfo(labels.dtype).max // 2
        return bright
    if binary:
        foreground: NDArray[np.bool_] = labels != 0
        return foreground
    if (kind == "f" and (labels % 1).any()) or labels.min(initial=0) < 0:
        raise SkipError(
            f"{path.name} holds values that are not 0, 1, 2, ...: save a label image"
        )
    return labels
