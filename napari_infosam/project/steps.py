"""A step of the undo journal while it is put together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_infosam.core.errors import InfosamError
from napari_infosam.project import classes, history
from napari_infosam.project.encoded import Encoded, encode_pixels
from napari_infosam.project.objects import (
    Origin,
    copy_objects,
    require_objects,
    select_objects,
    write_object,
)
from napari_infosam.project.painting import Pixels, among, pixels_of
from napari_infosam.project.records import ClassChange

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Sequence

    from napari_infosam.project.records import (
        Action,
        ClassRecord,
        ImageRecord,
        ObjectRecord,
        Overlap,
    )

OVERLAPS: tuple[Overlap, ...] = ("allow", "keep", "replace")

LEAST_LEFT = 0.02
"""Less of a mask than this is the edge of what is there already, and no object."""


class CoveredError(InfosamError):
    """Earlier objects keep all pixels of a mask, or nearly all."""


class Step:
    """One step of the journal while it is put together, in one transaction.

    Parameters
    ----------
    connection
        In a transaction.
    action
        What the step is.
    """

    def __init__(self, connection: sqlite3.Connection, action: Action) -> None:
        self._connection = connection
        self._action = action
        self._shown: list[int] = []
        self._hidden: list[int] = []
        self._classes: list[ClassChange] = []

    def hide(self, object_ids: Collection[int]) -> None:
        """Take objects out of sight."""
        history.hide(self._connection, object_ids)
        self._hidden += object_ids

    def write(
        self,
        image_id: int,
        mask: Encoded,
        origin: Origin,
        instance_id: int | None = None,
    ) -> int:
        """Write an object, by default with a number of its own; return its place.

        That is where it stands in what `finish` returns.
        """
        written = write_object(self._connection, image_id, mask, origin, instance_id)
        self._shown.append(written)
        return len(self._shown) - 1

    def rewrite(self, record: ObjectRecord, mask: Encoded, origin: Origin) -> None:
        """Give an object another mask or origin; its number stays."""
        self.hide([record.id])
        self.write(record.image_id, mask, origin, record.instance_id)

    def reclass(self, object_ids: Sequence[int], class_name: str) -> None:
        """Give objects another class: no mask is read, so it may be thousands."""
        self.hide(object_ids)
        self._shown += copy_objects(self._connection, object_ids, class_name)

    def repaint(self, record: ObjectRecord, places: Pixels, numbers: Pixels) -> None:
        """Give an object what was painted with its number, and take the rest."""
        old = pixels_of(record.rle)
        touched = places[numbers != record.instance_id]
        gained = places[numbers == record.instance_id]
        gained = gained[~among(gained, old)]
        kept = old[~among(old, touched)]
        if kept.size == old.size and not gained.size:
            return
        meant = gained.size or among(places[numbers == 0], old).any()
        self._put(record, np.sort(np.concatenate((kept, gained))), reviewed=meant)

    def place(
        self,
        image: ImageRecord,
        mask: Encoded,
        origin: Origin,
        overlap: Overlap,
        instance_id: int | None = None,
    ) -> int:
        """Write an object, and settle whose the pixels are that others have.

        Returns
        -------
        int
            Where it stands in what `finish` returns.

        Raises
        ------
        InfosamError
            `CoveredError` if less than a fiftieth of it is left (`LEAST_LEFT`); or if
            ``overlap`` is none.
        """
        if overlap not in OVERLAPS:
            raise InfosamError(
                f"{overlap!r} is no way to overlap: choose one of "
                f"{', '.join(OVERLAPS)}."
            )
        if overlap == "allow":
            return self.write(image.id, mask, origin, instance_id)
        others = select_objects(
            self._connection,
            image_id=image.id,
            slice_index=origin.slice_index,
            box=mask.box,
        )
        pixels = pixels_of(mask.rle)
        if overlap == "keep":
            wanted = pixels.size
            for other in others:
                pixels = pixels[~among(pixels, pixels_of(other.rle))]
            if pixels.size < max(1, LEAST_LEFT * wanted):
                how_much = "All" if not pixels.size else "Nearly all"
                raise CoveredError(
                    f"{how_much} of the mask lies on earlier objects of {image.name}, "
                    "which keep their pixels: let objects overlap, or mark pixels "
                    "beside them."
                )
            mask = encode_pixels(pixels, mask.shape)
        place = self.write(image.id, mask, origin, instance_id)
        if overlap == "replace":
            for other in others:
                theirs = pixels_of(other.rle)
                left = theirs[~among(theirs, pixels)]
                if left.size < theirs.size:
                    self._put(other, left, reviewed=False)
        return place

    def add_class(self, name: str, color: str | None = None) -> ClassRecord:
        """Add a class, or return the one of this name, as `Project.add_class`."""
        made = classes.add_class(self._connection, name, color)
        if isinstance(made, ClassChange):
            self._classes.append(made)
            return made.after
        return made

    def rename_class(self, name: str, new: str) -> None:
        """Give a class another name, as `Project.rename_class`."""
        change = classes.rename_class(self._connection, name, new)
        self._classes += [] if change is None else [change]

    def recolor_class(self, name: str, color: str) -> None:
        """Give a class another colour, as `Project.set_class_color`."""
        change = classes.recolor_class(self._connection, name, color)
        self._classes += [] if change is None else [change]

    def finish(self) -> list[ObjectRecord]:
        """Write the step to the journal, if anything changed.

        Returns
        -------
        list of ObjectRecord
            What is new, in the order in which it was written.
        """
        self.record()
        return require_objects(self._connection, self._shown)

    def record(self) -> None:
        """Write the step to the journal, if anything changed; nothing is read."""
        if self._shown or self._hidden or self._classes:
            history.record(
                self._connection,
                self._action,
                shown=self._shown,
                hidden=self._hidden,
                classes=self._classes,
            )

    def _put(self, record: ObjectRecord, pixels: Pixels, reviewed: object) -> None:
        """Give an object these pixels; without any it is deleted.

        What a model predicted of its own answer does not hold for them. ``reviewed``
        says that a person has looked at this object, and not just at its neighbour.
        """
        if not pixels.size:
            self.hide([record.id])
            return
        origin = replace(
            Origin.of(record),
            score=None,
            reviewed=record.reviewed or bool(reviewed),
            proposal_ious=(),
        )
        self.rewrite(record, encode_pixels(pixels, record.shape), origin)
