"""Unfinished objects as plain JSON values, to be kept."""

from __future__ import annotations

import math
import time
from typing import Any, NamedTuple

from napari_infosam._napari.object_in_work import ObjectInWork
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.prompts import Box, Point, PromptSet
from napari_infosam.core.rough_mask import RoughMask
from napari_infosam.project.painting import run_lengths

Damage = (
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    InfosamError,
)
"""What the values of a damaged note may raise when they are read."""


class Unfinished(NamedTuple):
    """An object in work as it is kept, apart from the masks of its answers.

    Attributes
    ----------
    slice_index
        In which slice it is.
    prompts, target, number
        As of `ObjectInWork`.
    at
        When its last prompt was placed; None of what nobody has prompted yet.
    """

    slice_index: tuple[int, ...]
    prompts: PromptSet
    target: int | None
    number: int | None
    at: float | None

    @classmethod
    def of(cls, slice_index: tuple[int, ...], work: ObjectInWork) -> Unfinished:
        """Return what is kept of an object in work."""
        return cls(slice_index, work.prompts, work.target, work.number, work.undo_at)

    def work(self) -> ObjectInWork:
        """Return the object in work again; one undo takes all its prompts back."""
        if self.at is None:
            work = ObjectInWork(self.prompts)
        else:
            work = ObjectInWork()
            work.take_up(self.prompts, self.target, self.at)
        work.number = self.number
        return work

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            **prompts_to_json(self.prompts),
            "slice": list(self.slice_index),
            "target": self.target,
            "number": self.number,
            "at": self.at,
        }


def unfinished_from_json(value: dict[str, Any]) -> Unfinished:
    """Return what `Unfinished.to_json` made a value of.

    Notes of earlier versions have no number and no time.

    Raises
    ------
    Damage
        If the value is another one.
    """
    target, number = value["target"], value.get("number")
    at = value.get("at", 0.0)
    if at is not None and not math.isfinite(at):
        raise ValueError(f"{at} is no time")
    return Unfinished(
        tuple(map(int, value["slice"])),
        prompts_from_json(value),
        None if target is None else int(target),
        None if number is None else int(number),
        None if at is None else min(float(at), time.time()),
    )


def prompts_to_json(prompts: PromptSet) -> dict[str, Any]:
    """Return points as ``[x, y, positive]``, the box as XYXY, and what else there is.

    The rough mask is its compressed COCO encoding, as ``size`` and ``counts``; the
    choice is the number of the meaning that the first click was given. None stands for
    what there is not.
    """
    box, rough = prompts.box, prompts.rough
    return {
        "points": [[p.x, p.y, p.positive] for p in prompts.points],
        "box": None if box is None else [box.x0, box.y0, box.x1, box.y1],
        "rough": None
        if rough is None
        else {"size": list(rough.shape), "counts": rough.rle.decode("ascii")},
        "choice": prompts.choice,
    }


def prompts_from_json(value: dict[str, Any]) -> PromptSet:
    """Return the prompts that `prompts_to_json` made a value of.

    Notes of earlier versions know points and the box alone.

    Raises
    ------
    Damage
        If the value is another one.
    """
    points = tuple(
        Point(float(x), float(y), bool(positive)) for x, y, positive in value["points"]
    )
    box, rough, choice = value["box"], value.get("rough"), value.get("choice")
    return PromptSet(
        points,
        None if box is None else Box(*map(float, box)),
        None if rough is None else _rough_mask(rough),
        None if choice is None else int(choice),
    )


def _rough_mask(value: dict[str, Any]) -> RoughMask:
    return RoughMask(*encoding_from_json(value))


def encoding_from_json(value: dict[str, Any]) -> tuple[bytes, tuple[int, int]]:
    """Return a COCO encoding and its (height, width), from ``counts`` and ``size``.

    Raises
    ------
    Damage
        If its runs do not fill the picture, so that it can not be decoded.
    """
    height, width = map(int, value["size"])
    rle = str(value["counts"]).encode("ascii")
    lengths = run_lengths(rle)
    if (lengths < 0).any() or lengths.sum() != height * width:
        raise ValueError(f"the mask has {lengths.sum()} pixels")
    return rle, (height, width)
