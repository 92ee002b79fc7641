"""Images with label images or binary masks of equal file names, in two folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core.errors import InfosamError
from napari_infosam.project.failures import one_sentence
from napari_infosam.project.formats.importing import Importer, ImportReport
from napari_infosam.project.formats.label_tables import LabelTable, Legend
from napari_infosam.project.formats.mask_files import ColourError, MaskFile
from napari_infosam.project.formats.pictures import SUFFIXES, SkipError, read_array
from napari_infosam.project.formats.progress import Tell, part_of
from napari_infosam.project.formats.targets import (
    ImageFile,
    Target,
    check_image_or_skip,
    open_target,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_infosam.project.formats.items import Item
    from napari_infosam.project.formats.label_tables import Meaning
    from napari_infosam.project.store import Project


def import_folder(
    project: Project,
    images: Path,
    masks: Path,
    *,
    binary: bool = False,
    classes: bool = False,
    on_progress: Callable[[float, int], None] | None = None,
) -> ImportReport:
    """Import pairs of an image and a mask file that have the same stem.

    Importing the same folders again adds nothing. All objects are written in one
    transaction: of an import that fails or is called off nothing stays. Huge images and
    label images are never read as a whole, unless their files can only be.

    Parameters
    ----------
    project
        Open with its lock.
    images, masks
        Folders of png, tif, tiff, jpg, jpeg, bmp or npy files, or one such file. A mask
        is a label image ``(H, W)`` of whole numbers, each value but zero one object. Of
        a stack ``(..., H, W)`` each slice that has objects becomes an image; it may end
        before the stack of images does. The table that an export leaves beside the
        masks gives the classes.
    binary
        Take all of a mask that is not zero as one object. Masks in JPEG files, which
        blur their values, are allowed then and cut at half of their range.
    classes
        A value is that of a class, each connected piece one object of it. The legend
        that an export leaves beside the masks names them.
    on_progress
        Called with (pairs done, pairs in all) after each pair, and after parts of huge
        ones; a pair is half done when it is read. What it raises ends the import.

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
    pairs, unpaired = find_pairs(images, masks)
    skipped: list[str] = []
    folder = masks.parent if masks.is_file() else masks
    meaning = Legend(folder) if classes else LabelTable(folder)

    def tell(share: float) -> None:
        if on_progress:
            on_progress(round(share * len(pairs), 6), len(pairs))

    n_images = 0
    colour: ColourError | None = None
    with Importer(project, meaning.classes) as importer:
        for number, (image_path, mask_path) in enumerate(pairs):
            part = part_of(part_of(tell, 0, 2), number, len(pairs))
            try:
                mask = MaskFile(mask_path, binary=binary)
                planes = _read_planes(image_path, mask, meaning, part_of(part, 0, 2))
            except SkipError as reason:
                skipped.append(f"{image_path.name}: {reason}")
                if isinstance(reason, ColourError):
                    colour = reason
            else:
                for n, (target, items) in enumerate(planes):
                    here = part_of(part_of(part, 1, 2), n, len(planes))
                    skipped += importer.add(target, items, here)
                n_images += len(planes)
            part(1)
        if colour and not n_images:
            raise InfosamError(f"Nothing was imported: {colour}.")
        n_objects = importer.write(part_of(tell, 1, 2))
        n_known = importer.n_known
    return ImportReport(n_images, n_objects, (*skipped, *unpaired), n_known)


def _read_planes(
    image_path: Path, mask: MaskFile, meaning: Meaning, tell: Tell
) -> list[tuple[Target, list[Item]]]:
    """Return image and objects of a pair, or of each slice of a pair of stacks."""
    image = ImageFile(image_path)
    leading = mask.shape[:-2]
    if leading:
        n = len(leading)
        if image.shape[n : n + 2] != mask.shape[-2:] or any(
            size > there for size, there in zip(leading, image.shape, strict=False)
        ):
            raise SkipError(
                f"the image has the shape {image.shape}, its label stack {mask.name} "
                f"{mask.shape}"
            )
    else:
        check_image_or_skip(image.dtype, image.shape)
        _check_size(image.shape, mask.shape, mask.name)
    planes = []
    places = list(np.ndindex(leading))
    for number, position in enumerate(places):
        objects = mask.objects(position, part_of(tell, number, len(places)))
        if objects:
            items = [
                item
                for value, rle in objects
                for item in meaning.items(
                    mask.name, position, value, rle, mask.shape[-2:]
                )
            ]
            planes.append((open_target(image, image_path, position), items))
    if not planes:
        raise SkipError(f"{mask.name} has no objects, all of it is zero")
    return planes


def read_pair(
    image_path: Path, mask_path: Path, *, binary: bool = False
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return an image ``(Y, X[, C])`` and its label image ``(Y, X)``.

    Raises
    ------
    SkipError
        If one of them can not be read, they do not fit, or there is no object.
    """
    image, mask = read_array(image_path), MaskFile(mask_path, binary=binary)
    check_image_or_skip(image.dtype, image.shape)
    if len(mask.shape) != 2:
        raise SkipError(f"{mask.name} has the shape {mask.shape}, a mask is (H, W)")
    _check_size(image.shape, mask.shape, mask.name)
    labels = mask.whole()
    if not labels.any():
        raise SkipError(f"{mask.name} has no objects, all of it is zero")
    return image, labels


def _check_size(image: tuple[int, ...], mask: tuple[int, ...], name: str) -> None:
    if mask != image[:2]:
        raise SkipError(
            f"the image has {image[0]} x {image[1]} pixels, but {name} has "
            f"{mask[0]} x {mask[1]}"
        )


def find_pairs(images: Path, masks: Path) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Return pairs of equal stem, and lines about the files that have no partner.

    Each may be a file instead of a folder, which is then left out of the other folder;
    two files are a pair, whatever their names.
    Images without a mask are one line: where a part is labelled there are many.

    Raises
    ------
    InfosamError
        If a folder or file is missing, both are the same, or there is no pair.
    """
    skipped: list[str] = []
    image_files = _by_stem(images, "images", skipped, masks)
    mask_files = _by_stem(masks, "masks", skipped, images)
    if images.samefile(masks):
        raise InfosamError(
            f"Images and masks are both looked for in {images}: name two folders."
        )
    if images.is_file() and masks.is_file():
        return [(images, masks)], []
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
    skipped += [
        f"{path.name}: there is no image of this name"
        for stem, path in mask_files.items()
        if stem not in image_files
    ]
    unlabelled = [path for stem, path in image_files.items() if stem not in mask_files]
    if len(unlabelled) == 1:
        skipped.append(f"{unlabelled[0].name}: there is no mask of this name")
    elif unlabelled:
        skipped.append(f"{len(unlabelled)} images without a mask of the same name")
    return pairs, skipped


def _by_stem(
    folder: Path, what: str, skipped: list[str], other: Path
) -> dict[str, Path]:
    """Return the files of a folder but one by stem, or the file that it is."""
    found: dict[str, Path] = {}
    with one_sentence(folder):
        if folder.is_file():
            return {folder.stem: folder}
        if not folder.is_dir():
            raise InfosamError(f"There is no folder {folder} of {what}: check it.")
        is_file = other.is_file()
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
                continue
            if is_file and path.samefile(other):
                continue
            first = found.setdefault(path.stem, path)
            if first != path:
                skipped.append(f"{path.name}: {first.name} is taken for this name")
    return found
