"""The prompts of an unfinished object as plain JSON values, to be kept."""

from __future__ import annotations

from typing import Any

from napari_infosam.core.prompts import Box, Point, PromptSet


def prompts_to_json(prompts: PromptSet) -> dict[str, Any]:
    """Return points as ``[x, y, positive]`` and the box as XYXY, or None."""
    box = prompts.box
    return {
        "points": [[p.x, p.y, p.positive] for p in prompts.points],
        "box": None if box is None else [box.x0, box.y0, box.x1, box.y1],
    }


def prompts_from_json(value: dict[str, Any]) -> PromptSet:
    """Return the prompts that `prompts_to_json` made a value of.

    Raises
    ------
    KeyError, TypeError, ValueError, InfosamError
        If the value is another one.
    """
    points = tuple(
        Point(float(x), float(y), bool(positive)) for x, y, positive in value["points"]
    )
    box = value["box"]
    return PromptSet(points, None if box is None else Box(*map(float, box)))
