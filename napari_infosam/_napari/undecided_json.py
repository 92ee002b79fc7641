"""Boxes and proposals that are not decided about as plain JSON values, to be kept."""

from __future__ import annotations

import math
from dataclasses import astuple
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_infosam._napari.offers import Offer
from napari_infosam._napari.unfinished import encoding_from_json
from napari_infosam.core.masks import decode_rle, encode_rle
from napari_infosam.core.prompts import Box
from napari_infosam.core.small_masks import SmallMask
from napari_infosam.core.tiles import Tile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_infosam.core.masks import BoolArray


class Undecision(NamedTuple):
    """An offer, or a box that has none yet, as it is kept.

    Attributes
    ----------
    slice_index
        In which slice it is.
    what
        The offer or the box.
    """

    slice_index: tuple[int, ...]
    what: Offer | Box

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values: of a mask the part that is not empty, encoded."""
        what = self.what
        value: dict[str, Any] = {"slice": list(self.slice_index)}
        box = what if isinstance(what, Box) else what.box
        if box is not None:
            value["box"] = list(astuple(box))
        if isinstance(what, Offer):
            value |= _offer_to_json(what)
        return value


def undecision_from_json(value: dict[str, Any], shape: tuple[int, int]) -> Undecision:
    """Return what `Undecision.to_json` made a value of.

    Parameters
    ----------
    value
        The JSON values.
    shape
        (height, width) of the picture that it is of.

    Raises
    ------
    Damage
        If the value is another one, or of another picture.
    """
    box = Box(*map(float, value["box"])) if "box" in value else None
    what = _offer(value, box, shape) if "counts" in value else box
    if what is None:
        raise ValueError("there is neither a mask nor a box")
    return Undecision(tuple(map(int, value["slice"])), what)


def _offer_to_json(offer: Offer) -> dict[str, Any]:
    small = offer.small
    value = {
        "of": list(small.shape),
        "at": list(small.corner),
        "size": list(small.part.shape),
        "counts": encode_rle(small.part).decode("ascii") if small.part.size else "",
        "score": float(small.score),
        "version": offer.version,
    }
    return value if small.tile is None else {**value, "tile": astuple(small.tile)}


def _offer(value: dict[str, Any], box: Box | None, shape: tuple[int, int]) -> Offer:
    row, column = map(int, value["at"])
    height, width = map(int, value["size"])
    if tuple(value["of"]) != shape:
        raise ValueError(f"the mask is of a picture of {value['of']}")
    if not _lies_in((row, column, height, width), shape):
        raise ValueError(f"the mask lies at {value['at']}")
    score = float(value["score"])
    if not math.isfinite(score):
        raise ValueError(f"{score} is no score")
    tile = Tile(*map(int, value["tile"])) if "tile" in value else None
    if tile is not None and not (
        _lies_in((tile.row, tile.column, tile.height, tile.width), shape)
        and tile.stride > 0
    ):
        raise ValueError(f"{tile} is no tile of the picture")
    part: BoolArray = np.zeros((height, width), np.bool_)
    if part.size:
        part = decode_rle(*encoding_from_json(value))
    small = SmallMask(part, (row, column), shape, score, tile)
    return Offer(small, box, str(value["version"]))


def _lies_in(place: Sequence[int], shape: tuple[int, int]) -> bool:
    row, column, height, width = place
    is_positive = min(place) >= 0
    return is_positive and row + height <= shape[0] and column + width <= shape[1]
