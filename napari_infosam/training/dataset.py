"""What a run learns from and what it is judged by: reviewed objects of a project."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.geometry import MODEL_SIDE, model_shape
from napari_infosam.core.masks import BoolArray, decode_rle, encode_rle, iter_objects
from napari_infosam.core.preprocess import Preprocessing, RGBImage, to_rgb_uint8
from napari_infosam.models.decoder import LOW_RES
from napari_infosam.project.formats.labels import read_pair
from napari_infosam.project.formats.pictures import SkipError
from napari_infosam.project.split import group_of
from napari_infosam.project.windows import in_tile

if TYPE_CHECKING:
    from pathlib import Path

    from napari_infosam.project import ImageRecord, ObjectRecord, Project

_AS_PROPOSED = 0.98
"""IoU with the last proposal from which on a mask counts as that proposal."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image (or slice) with its objects.

    Attributes
    ----------
    name
        For people.
    picture
        ``(H, W, 3)`` RGB uint8.
    rles
        COCO run-length encodings of its objects, each a mask of ``(H, W)``.
    authors
        By run-length encoding, the version whose own answer a mask is; only of those
        that were accepted as they were answered.
    group
        What images that are alike have in common, such as slices beside each other;
        '' takes the name for it.
    """

    name: str
    picture: RGBImage
    rles: tuple[bytes, ...]
    authors: Mapping[bytes, str] = field(default_factory=dict)
    group: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the picture."""
        return self.picture.shape[0], self.picture.shape[1]

    @property
    def key(self) -> str:
        """Tells the images of a training apart; slices of a stack have one name."""
        return f"{self.name} {crc32(b''.join(self.rles))}"

    def mask(self, index: int) -> BoolArray:
        """Return the ``(H, W)`` mask of one object."""
        return decode_rle(self.rles[index], self.shape)


@dataclass(frozen=True, slots=True)
class Split:
    """Training and validation samples; no object is in both.

    Attributes
    ----------
    train, validation
        What is learnt from, and what judges.
    by_images
        Whether no image is in both either.
    """

    train: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    by_images: bool = True


def load_split(
    project: Project, say: Callable[[str], None] = lambda _sentence: None
) -> Split:
    """Return the reviewed objects of a project, by its sticky split.

    Where all images validate (the first image does), the objects of those images are
    split instead: every third one validates.

    Parameters
    ----------
    project
        The project.
    say
        Told of each image whose pixels can not be read: it is left out.

    Raises
    ------
    InfosamError
        If without these images there is nothing to train on, or to validate with.
    """
    unreadable: list[InfosamError] = []
    parts: dict[str, list[Sample]] = {"train": [], "val": []}
    for image in project.images():
        objects = project.objects(image.id, reviewed=True)
        if image.split is None or not objects:
            continue
        try:
            if image.is_huge:
                parts[image.split] += tile_samples(project, image, objects)
                continue
            pixels = project.read_image(image.id)
        except InfosamError as error:
            unreadable.append(error)
            continue
        group = group_of(image.name, image.source)
        for index in sorted({o.slice_index for o in objects}):
            picture = to_rgb_uint8(pixels[index], image.preprocessing)
            here = [o for o in objects if o.slice_index == index]
            rles = tuple(o.rle for o in here)
            authors = {o.rle: o.model_version for o in here if is_proposal(o)}
            sample = Sample(image.name, picture, rles, authors, group)
            parts[image.split].append(sample)
    if unreadable and not (parts["train"] and parts["val"]):
        raise unreadable[0]
    for reason in unreadable:
        say(f"{str(reason).removesuffix('.')}; until then training leaves it out.")
    if not parts["train"]:
        return split_objects(parts["val"])
    return Split(tuple(parts["train"]), tuple(parts["val"]))


def tile_samples(
    project: Project, image: ImageRecord, objects: Sequence[ObjectRecord]
) -> list[Sample]:
    """Return the tiles of a huge image in which objects were accepted, with these."""
    how = Preprocessing(channels=image.preprocessing.channels)
    samples = []
    for tile, found in project.tiles.shared_out(image.id, objects).items():
        pixels = project.tiles.read(image.id, tile)
        masks = [(record, in_tile(record, tile)) for record in found]
        seen = [(record, encode_rle(mask)) for record, mask in masks if mask.any()]
        rles = tuple(rle for _, rle in seen)
        authors = {rle: o.model_version for o, rle in seen if is_proposal(o)}
        if rles:
            picture = to_rgb_uint8(pixels, how)
            samples.append(Sample(image.name, picture, rles, authors))
    return samples


def is_proposal(record: ObjectRecord) -> bool:
    """Return whether a mask is what a model answered, and nobody corrected it."""
    if record.proposal_ious:
        return record.proposal_ious[-1] >= _AS_PROPOSED
    return record.score is not None


def split_objects(samples: Sequence[Sample]) -> Split:
    """Split the objects of each sample: every third one validates."""

    def part(validation: bool) -> tuple[Sample, ...]:
        parts = (
            replace(
                s,
                rles=tuple(
                    r for i, r in enumerate(s.rles) if (i % 3 == 1) is validation
                ),
            )
            for s in samples
        )
        return tuple(p for p in parts if p.rles)

    return Split(part(validation=False), part(validation=True), by_images=False)


def read_samples(
    pairs: Iterable[tuple[Path, Path]], *, binary: bool = False
) -> tuple[list[Sample], list[str]]:
    """Return the samples of image and mask files, and a line for each pair not used.

    Parameters
    ----------
    pairs
        Image file and mask file each.
    binary
        Whether all of a mask is one object; otherwise each value is one.
    """
    samples, skipped = list[Sample](), list[str]()
    for image_path, mask_path in pairs:
        try:
            image, labels = read_pair(image_path, mask_path, binary=binary)
        except SkipError as reason:
            skipped.append(f"{image_path.name}: {reason}")
            continue
        rles = tuple(encode_rle(mask) for _, mask in iter_objects(labels))
        samples.append(Sample(image_path.name, to_rgb_uint8(image), rles))
    return samples, skipped


def count_objects(samples: Sequence[Sample]) -> int:
    """Return the number of objects of all samples."""
    return sum(len(s.rles) for s in samples)


DRAW = 2
"""Raised when `limit_objects` draws others: results that are kept name it."""


def limit_objects(
    samples: Sequence[Sample], most: int, seed: int
) -> tuple[Sample, ...]:
    """Return at most this many objects, drawn evenly over the samples.

    Which ones comes of themselves and the seed: most of them are drawn again when there
    are more.
    """

    def lot(rle: bytes) -> bytes:
        return hashlib.blake2b(f"{seed} ".encode() + rle, digest_size=8).digest()

    queues = [(sample, sorted(sample.rles, key=lot)) for sample in samples]
    taken: list[list[bytes]] = [[] for _ in queues]
    left = most
    for turn in range(max((len(order) for _, order in queues), default=0)):
        for number, (_, order) in enumerate(queues):
            if left and turn < len(order):
                taken[number].append(order[turn])
                left -= 1
    return tuple(
        replace(sample, rles=tuple(rles))
        for (sample, _), rles in zip(queues, taken, strict=True)
        if rles
    )


def low_res_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) of the decoder's logits that hold the image."""
    height, width = model_shape(shape)
    step = MODEL_SIDE // LOW_RES
    return -(-height // step), -(-width // step)


def low_res_target(mask: BoolArray) -> Tensor:
    """Return a mask at the decoder's resolution, soft at the border.

    Parameters
    ----------
    mask
        ``(H, W)`` bool.

    Returns
    -------
    Tensor
        ``(1, 1, h, w)`` float in [0, 1], where ``(h, w)`` is `low_res_shape`. At
        least one pixel is above one half, however small the object.
    """
    if mask.shape[1] == 1 < mask.shape[0]:
        # torch takes every row of a single column for the first, with antialiasing
        return low_res_target(mask.T).mT.contiguous()
    full = torch.from_numpy(mask.astype(np.float32))[None, None]
    small = F.interpolate(
        full,
        low_res_shape((mask.shape[0], mask.shape[1])),
        mode="bilinear",
        antialias=True,
        align_corners=False,
    ).clamp(0, 1)
    if not (small > 0.5).any():
        small = (small == small.max()).float()
    return small
