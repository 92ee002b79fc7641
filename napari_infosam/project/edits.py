"""Changes of accepted objects: each is one transaction and one step for undo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.placed import is_on
from napari_infosam.core.prompts import Box, PromptSet
from napari_infosam.project.encoded import encode, encode_pixels
from napari_infosam.project.images import select_image
from napari_infosam.project.lookups import check_one_picture, of_other_class
from napari_infosam.project.objects import (
    Origin,
    require_object,
    require_objects,
    select_objects,
)
from napari_infosam.project.painting import Pixels, box_of, pixels_of, united
from napari_infosam.project.steps import CoveredError, Step

if TYPE_CHECKING:
    import sqlite3

    from numpy.typing import NDArray

    from napari_infosam.core.masks import BoolArray
    from napari_infosam.project.database import Database
    from napari_infosam.project.encoded import Encoded
    from napari_infosam.project.records import (
        Action,
        ImageRecord,
        ObjectRecord,
        Overlap,
    )

PAINTED = "painted"
"""Model version of objects that no model proposed."""


class Edits:
    """What can be done to the accepted objects of a project, as ``project.edits``.

    An object keeps its number (``instance_id``) when it is changed; its row, with
    class, mask and prompts as they were, is hidden, and undo shows it again. Failures
    of the disk, and wrong input, raise `InfosamError` and change nothing.

    Parameters
    ----------
    database
        Of the project.
    require_lock
        Raises a sentence if the project was opened for reading.
    """

    def __init__(self, database: Database, require_lock: Callable[[], None]) -> None:
        self._database = database
        self._require_lock = require_lock

    def delete(self, object_ids: Sequence[int]) -> None:
        """Delete objects of one picture."""
        self._require_lock()
        with self._database.write() as connection:
            step = Step(connection, "delete")
            ids = list(dict.fromkeys(map(int, object_ids)))
            check_one_picture(connection, ids)
            step.hide(ids)
            step.record()

    def relabel(self, object_ids: Sequence[int], class_name: str) -> int:
        """Change the class of objects of one picture.

        Parameters
        ----------
        object_ids
            Ids of the objects. Those that are of the class already stay as they are.
        class_name
            One of the project's classes.

        Returns
        -------
        int
            How many objects were of another class before.
        """
        self._require_lock()
        with self._database.write() as connection:
            step = Step(connection, "relabel")
            ids = list(dict.fromkeys(map(int, object_ids)))
            check_one_picture(connection, ids)
            others = of_other_class(connection, ids, class_name)
            if others:
                step.reclass(others, class_name)
            step.record()
            return len(others)

    def replace(
        self,
        object_id: int,
        mask: BoolArray,
        *,
        prompts: PromptSet | None = None,
        model_version: str | None = None,
        score: float | None = None,
        proposal_ious: Sequence[float] = (),
        overlap: Overlap = "allow",
    ) -> ObjectRecord:
        """Give an object another mask; its number and class stay.

        Parameters
        ----------
        object_id
            The object.
        mask
            ``(H, W)`` bool, as high and wide as the image, not empty.
        prompts, model_version, score, proposal_ious
            How the new mask came about, as in ``Project.commit``; by default the
            prompts and version of the old one are kept.
        overlap
            What becomes of pixels that other objects have, as in ``Project.commit``.
        """
        self._require_lock()
        with self._database.write() as connection:
            record = require_object(connection, object_id)
            image = select_image(connection, record.image_id)
            origin = replace(
                Origin.of(record), score=None, reviewed=True, proposal_ious=()
            )
            if prompts is not None:
                origin = replace(
                    origin,
                    prompts=prompts,
                    model_version=model_version or record.model_version,
                    score=score,
                    proposal_ious=tuple(map(float, proposal_ious)),
                )
            step = Step(connection, "replace")
            step.hide([record.id])
            made = encode(mask, image)
            step.place(image, made, origin, overlap, record.instance_id)
            step.finish()
            return _by_number(connection, record)

    def commit_across(
        self,
        items: Sequence[tuple[int, BoolArray, Origin]],
        *,
        overlap: Overlap = "allow",
        action: Action = "propagate",
    ) -> list[ObjectRecord]:
        """Write masks of one object in several pictures, as one step of undo.

        Parameters
        ----------
        items, overlap, action
            Image, ``(H, W)`` mask and origin of each, whose ``instance_id`` it gets
            unless that is taken; as in ``Project.commit``; the name of the step.

        Returns
        -------
        list of ObjectRecord
            What was written: pictures are left out in which earlier objects keep all of
            its pixels, or nearly all.

        Raises
        ------
        InfosamError
            If they do so in every picture.
        """
        self._require_lock()
        with self._database.write() as connection:
            step, covered = Step(connection, action), list[CoveredError]()
            places: list[int] = []
            for image_id, mask, origin in items:
                image, number = select_image(connection, image_id), origin.instance_id
                is_taken = number is not None and select_objects(
                    connection,
                    image_id=image_id,
                    slice_index=origin.slice_index,
                    instance_ids=[number],
                )
                number = None if is_taken else number
                try:
                    mask_here = encode(mask, image)
                    places.append(step.place(image, mask_here, origin, overlap, number))
                except CoveredError as error:
                    covered.append(error)
            if covered and len(covered) == len(items):
                raise covered[0]
            made = step.finish()
            return [made[place] for place in places]

    def merge(self, object_ids: Sequence[int]) -> ObjectRecord:
        """Make one object of several of one picture.

        It has the number and the class of the first one, and all their prompts.
        """
        self._require_lock()
        with self._database.write() as connection:
            found = _require(connection, object_ids)
            if len(found) < 2:
                raise InfosamError(
                    f"A merge needs two objects or more, not {len(found)}: name others."
                )
            pixels = united([record.rle for record in found])
            mask = encode_pixels(pixels, found[0].shape)
            step = Step(connection, "merge")
            step.hide([record.id for record in found])
            origin = _merged_origin(found, mask.box)
            step.write(found[0].image_id, mask, origin, found[0].instance_id)
            step.finish()
            return _by_number(connection, found[0])

    def split(self, object_id: int, masks: Sequence[BoolArray]) -> list[ObjectRecord]:
        """Make several objects of one.

        Parameters
        ----------
        object_id
            The object.
        masks
            ``(H, W)`` bool, two or more; together they are the object, and no pixel
            is in two of them. The first one keeps the number.
        """
        self._require_lock()
        with self._database.write() as connection:
            record = require_object(connection, object_id)
            image = select_image(connection, record.image_id)
            parts = [encode(mask, image) for mask in masks]
            _check_parts(record, parts)
            step = Step(connection, "split")
            step.hide([record.id])
            for number, (part, mask) in enumerate(zip(parts, masks, strict=True)):
                origin = _part_origin(record, mask)
                kept = None if number else record.instance_id
                step.write(image.id, part, origin, kept)
            return step.finish()

    def paint(
        self,
        image_id: int,
        pixels: NDArray[Any],
        values: NDArray[Any] | int,
        *,
        class_name: str = "object",
        slice_index: tuple[int, ...] = (),
    ) -> list[ObjectRecord]:
        """Correct objects as a brush does on a label image.

        A painted pixel belongs to the object of its value alone, and with 0 to none.
        The label image is afterwards what it was, with these values. A value that no
        object has makes a new one, and an object that loses all pixels is deleted.

        Parameters
        ----------
        image_id
            The image.
        pixels
            ``(N, 2)`` whole numbers: (row, column). Of two of the same, the later
            one counts.
        values
            Number of an object for every pixel, ``(N,)``, or one for all.
        class_name
            Class of objects that are new.
        slice_index
            Position on the leading axes, for a slice of a stack.

        Returns
        -------
        list of ObjectRecord
            The objects that were changed or made, without those that are gone. If
            nothing had to be changed, there is no step for undo either.
        """
        self._require_lock()
        with self._database.write() as connection:
            image = select_image(connection, image_id)
            shape = (image.shape[0], image.shape[1])
            places, numbers = _painted(image, pixels, values)
            step = Step(connection, "paint")
            if not places.size:
                return []
            wanted = [int(number) for number in np.unique(numbers) if number]
            known = _met(connection, image_id, slice_index, places, shape, wanted)
            for record in known.values():
                step.repaint(record, places, numbers)
            for number in wanted:
                if number not in known:
                    mask = encode_pixels(places[numbers == number], shape)
                    origin = Origin(class_name, slice_index, PAINTED)
                    step.write(image_id, mask, origin, number)
            return step.finish()


def _require(
    connection: sqlite3.Connection, object_ids: Sequence[int]
) -> list[ObjectRecord]:
    """Return objects of one picture, each once, or raise a sentence."""
    ids = list(dict.fromkeys(map(int, object_ids)))
    check_one_picture(connection, ids)
    return require_objects(connection, ids)


def _by_number(connection: sqlite3.Connection, record: ObjectRecord) -> ObjectRecord:
    """Return an object as it is now."""
    return select_objects(
        connection,
        image_id=record.image_id,
        slice_index=record.slice_index,
        instance_ids=[record.instance_id],
    )[0]


def _merged_origin(found: Sequence[ObjectRecord], box: Box) -> Origin:
    """Return the origin of several objects that became one."""
    prompts = PromptSet(
        tuple(point for record in found for point in record.prompts.points),
        # a part that only a box stands for would be without a prompt
        box if any(_has_area(record.prompts) for record in found) else None,
    )
    return replace(
        Origin.of(found[0]),
        score=None,
        reviewed=True,
        prompts=prompts,
        proposal_ious=(),
    )


def _has_area(prompts: PromptSet) -> bool:
    return prompts.box is not None or prompts.rough is not None


def _part_origin(record: ObjectRecord, mask: BoolArray) -> Origin:
    """Return the origin of a part of an object: the prompts that lie on it."""
    points = tuple(
        point
        for point in record.prompts.points
        if is_on(mask, round(point.y), round(point.x))
    )
    return replace(
        Origin.of(record),
        score=None,
        reviewed=True,
        prompts=PromptSet(points),
        proposal_ious=(),
    )


def _check_parts(record: ObjectRecord, parts: Sequence[Encoded]) -> None:
    """Raise a sentence unless parts make up an object."""
    if len(parts) < 2:
        raise InfosamError(
            f"A split needs two parts or more, not {len(parts)}: give more masks."
        )
    pixels = np.sort(np.concatenate([pixels_of(part.rle) for part in parts]))
    if not np.array_equal(pixels, pixels_of(record.rle)):
        raise InfosamError(
            f"The {len(parts)} parts are not object {record.instance_id}: give masks "
            f"that share no pixel and are together its {record.area} pixels."
        )


def _painted(
    image: ImageRecord, pixels: NDArray[Any], values: NDArray[Any] | int
) -> tuple[Pixels, Pixels]:
    """Return painted pixels, sorted and each once, and their values."""
    pixels = np.asarray(pixels)
    if pixels.ndim != 2 or pixels.shape[1] != 2 or pixels.dtype.kind not in "iu":
        raise InfosamError(
            f"Pixels of shape {pixels.shape} and type {pixels.dtype} are no (row, "
            "column) pairs: give whole numbers of shape (N, 2)."
        )
    numbers = np.broadcast_to(np.asarray(values), (len(pixels),)).astype(np.int64)
    if numbers.min(initial=0) < 0:
        raise InfosamError(
            f"{numbers.min()} is no number of an object: paint with 0 or more."
        )
    height, width = image.shape[:2]
    outside = (pixels < 0) | (pixels >= (height, width))
    if outside.any():
        row, column = pixels[outside.any(axis=1)][0]
        raise InfosamError(
            f"Pixel ({row}, {column}) lies outside of {image.name}, which is "
            f"{height} x {width} pixels: paint inside."
        )
    places = pixels[:, 1].astype(np.int64) * height + pixels[:, 0]
    unique, last = np.unique(places[::-1], return_index=True)
    return unique, numbers[::-1][last]


def _met(
    connection: sqlite3.Connection,
    image_id: int,
    slice_index: tuple[int, ...],
    places: Pixels,
    shape: tuple[int, int],
    wanted: Sequence[int],
) -> dict[int, ObjectRecord]:
    """Return the objects, by number, that painted pixels may lie on or belong to."""
    picture: dict[str, Any] = {"image_id": image_id, "slice_index": slice_index}
    found = select_objects(connection, box=box_of(places, shape[0]), **picture)
    known = {record.instance_id: record for record in found}
    for number in wanted:
        if number not in known:
            more = select_objects(connection, instance_ids=[number], **picture)
            known.update({record.instance_id: record for record in more})
    return known
