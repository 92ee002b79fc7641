"""The prompts of an unfinished object as plain JSON values, to be kept."""

from __future__ import annotations

from typing import Any

from napari_infosam.core.prompts import Box, Point, PromptSet
from napari_infosam.core.rough_mask import RoughMask
from napari_infosam.project.painting import run_lengths


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
    KeyError, TypeError, ValueError, InfosamError
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
    """Return a rough mask whose runs fill its picture, so that it can be decoded."""
    height, width = map(int, value["size"])
    rle = str(value["counts"]).encode("ascii")
    lengths = run_lengths(rle)
    if (lengths < 0).any() or lengths.sum() != height * width:
        raise ValueError(f"the rough mask has {lengths.sum()} pixels")
    return RoughMask(rle, (height, width))
