"""Images with label images or binary masks, in two folders of equal file names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.masks import iter_objects
from napari_infosam.project.failures import one_sentence
from napari_infosam.project.files import content_hash
from napari_infosam.project.formats.importing import (
    Importer,
    ImportReport,
    Target,
    check_image_or_skip,
)
from napari_infosam.project.formats.label_files import LabelTable
from napari_infosam.project.formats.pictures import SUFFIXES, SkipError, read_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_infosam.project.formats.items import Item
    from napari_infosam.project.store import Project

_LOSSY = (".jpg", ".jpeg")


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
        image ``(H, W)`` of whole numbers, each value but zero one object. Of a stack
        ``(..., H, W)`` each slice that has objects becomes an image; it may end
        before the stack of images does. The table that an export leaves beside the
        masks gives the classes.
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
    table = LabelTable(Path(masks))
    importer = Importer(project, table.classes)
    n_images = n_objects = 0
    colour: _ColourError | None = None
    for done, (image_path, mask_path) in enumerate(pairs, start=1):
        try:
            planes = list(_read_planes(image_path, mask_path, table, binary))
        except SkipError as reason:
            skipped.append(f"{image_path.name}: {reason}")
            if isinstance(reason, _ColourError):
                colour = reason
        else:
            for target, items in planes:
                n_objects += importer.add(target, items)
            n_images += len(planes)
        if on_progress:
            on_progress(done, len(pairs))
    if colour and not n_images:
        raise InfosamError(f"Nothing was imported: {colour}.")
    return ImportReport(n_images, n_objects, tuple(skipped))


def _read_planes(
    image_path: Path, mask_path: Path, table: LabelTable, binary: bool
) -> Iterator[tuple[Target, list[Item]]]:
    """Yield image and objects of a pair, or of each slice of a pair of stacks."""
    image, labels = read_array(image_path), _read_labels(mask_path, binary)
    if labels.ndim == 2:
        _check_pair(image, labels, mask_path)
        yield _plane(image, labels, image_path, mask_path, table, ())
        return
    leading = labels.shape[:-2]
    n = len(leading)
    if image.shape[n : n + 2] != labels.shape[-2:] or any(
        size > there for size, there in zip(leading, image.shape, strict=False)
    ):
        raise SkipError(
            f"the image has the shape {image.shape}, its label stack {mask_path.name} "
            f"{labels.shape}"
        )
    if not labels.any():
        raise SkipError(f"{mask_path.name} has no objects, all of it is zero")
    for position in np.ndindex(leading):
        if labels[position].any():
            check_image_or_skip(image[position])
            yield _plane(
                image[position],
                labels[position],
                image_path,
                mask_path,
                table,
                position,
            )


def _plane(
    image: NDArray[Any],
    labels: NDArray[Any],
    image_path: Path,
    mask_path: Path,
    table: LabelTable,
    position: tuple[int, ...],
) -> tuple[Target, list[Item]]:
    name = image_path.name
    if position:
        # as the window calls the slices of a layer
        name = f"{image_path.stem} [{', '.join(map(str, position))}]"
    target = Target(
        name=name,
        shape=(labels.shape[0], labels.shape[1]),
        digest=content_hash(image),
        read=lambda: image,
        source=str(image_path.absolute()),
    )
    items = [
        table.item(mask_path.name, position, value, mask)
        for value, mask in iter_objects(labels)
    ]
    return target, items


def read_pair(
    image_path: Path, mask_path: Path, *, binary: bool = False
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return an image ``(Y, X[, C])`` and its label image ``(Y, X)``.

    Raises
    ------
    SkipError
        If one of them can not be read, they do not fit, or there is no object.
    """
    image, labels = read_array(image_path), _read_labels(mask_path, binary)
    _check_pair(image, labels, mask_path)
    return image, labels


def _check_pair(image: NDArray[Any], labels: NDArray[Any], mask_path: Path) -> None:
    check_image_or_skip(image)
    if labels.ndim != 2:
        raise SkipError(
            f"{mask_path.name} has the shape {labels.shape}, a mask is (H, W)"
        )
    if labels.shape != image.shape[:2]:
        raise SkipError(
            f"the image has {image.shape[0]} x {image.shape[1]} pixels, but "
            f"{mask_path.name} has {labels.shape[0]} x {labels.shape[1]}"
        )
    if not labels.any():
        raise SkipError(f"{mask_path.name} has no objects, all of it is zero")


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


def _read_labels(path: Path, binary: bool) -> NDArray[Any]:
    """Return the ``(..., H, W)`` labels of a mask file, bool if it is one object."""
    labels = read_array(path, labels=True)
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
    if labels.ndim < 2:
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
