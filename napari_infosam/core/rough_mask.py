"""A roughly painted mask as a prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.geometry import model_shape
from napari_infosam.core.masks import decode_rle, encode_rle, mask_box
from napari_infosam.core.prompts import Box, Point, PromptSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_infosam.core.masks import BoolArray

LOW_RES = 256
"""Side in pixels of ``mask_input``."""

# chosen by IoU on rough masks made of true ones, see docs/window.md
_LEVEL, _LEVEL_OF_SCRIBBLES = 2.0, 4.0
_MARGIN = 0.1
_POINTS = 3
_DISC_PART = 0.2


@dataclass(frozen=True, slots=True)
class RoughMask:
    """A mask that was painted roughly, or that comes from the slice before.

    Attributes
    ----------
    rle, shape
        COCO run-length encoding, and (height, width).
    """

    rle: bytes
    shape: tuple[int, int]

    @classmethod
    def of(cls, mask: BoolArray) -> RoughMask:
        """Return an ``(H, W)`` mask as a prompt.

        Raises
        ------
        InfosamError
            If it is empty.
        """
        if not mask.any():
            raise InfosamError("The rough mask is empty: paint at least one pixel.")
        height, width = mask.shape
        return cls(encode_rle(mask), (height, width))

    def mask(self) -> BoolArray:
        """Return the ``(H, W)`` mask."""
        return decode_rle(self.rle, self.shape)

    def low_res_logits(self) -> NDArray[np.float32]:
        """Return ``(256, 256)`` logits to be given as ``mask_input``.

        Like those of an answer: at a quarter of the model's input picture, padded with
        background to the right and below. They are weak: an edge that was painted
        roughly must not outweigh the one in the picture.
        """
        mask = self.mask()
        height, width = model_shape(self.shape, LOW_RES)
        picture = Image.fromarray(mask.astype(np.float32))
        covered = picture.resize((width, height), Image.Resampling.BILINEAR)
        level = _LEVEL_OF_SCRIBBLES if _Painted(mask).is_scribble else _LEVEL
        logits = np.full((LOW_RES, LOW_RES), -level, np.float32)
        logits[:height, :width] = (2 * np.asarray(covered) - 1) * level
        return logits

    def prompts(self) -> PromptSet:
        """Return what helps the decoder besides the logits.

        A box with a margin for what was painted as an area. A scribble covers a small
        part of the object, whose box would be wrong: a few points on it.
        """
        painted = _Painted(self.mask())
        if painted.is_scribble:
            return PromptSet(painted.spread_points(_POINTS))
        return PromptSet(box=painted.box_with_margin())


class _Painted:
    """A mask, cut out, with the depth of its pixels.

    Parameters
    ----------
    mask
        ``(H, W)`` bool, not empty.
    """

    def __init__(self, mask: BoolArray) -> None:
        self._shape = mask.shape
        self.box = mask_box(mask)
        self._top, self._left = int(self.box.y0), int(self.box.x0)
        rows = slice(self._top, int(self.box.y1) + 1)
        columns = slice(self._left, int(self.box.x1) + 1)
        self._mask = mask[rows, columns]
        padded = np.pad(self._mask, 1)
        self._depth: NDArray[np.float64] = distance_transform_edt(padded)[1:-1, 1:-1]

    @property
    def is_scribble(self) -> bool:
        """Whether the largest disc inside covers little of it."""
        disc = np.pi * float(self._depth.max()) ** 2
        return bool(disc < _DISC_PART * np.count_nonzero(self._mask))

    def box_with_margin(self) -> Box:
        """Return the box, a little larger, within the image."""
        box, (height, width) = self.box, self._shape
        margin = _MARGIN * max(box.x1 - box.x0, box.y1 - box.y0)
        return Box(
            max(box.x0 - margin, 0),
            max(box.y0 - margin, 0),
            min(box.x1 + margin, width - 1),
            min(box.y1 + margin, height - 1),
        )

    def spread_points(self, number: int) -> tuple[Point, ...]:
        """Return points inside, the deepest first and then far from each other."""
        places, depths = np.argwhere(self._mask), self._depth[self._mask]
        chosen = [places[depths.argmax()]]
        inner = places[depths >= np.median(depths) / 2]
        far = np.full(len(inner), np.inf)
        for _ in range(number - 1):
            far = np.minimum(far, np.linalg.norm(inner - chosen[-1], axis=1))
            chosen.append(inner[far.argmax()])
        # a mask of few pixels has some of them twice
        return tuple(
            dict.fromkeys(
                Point(float(column + self._left), float(row + self._top))
                for row, column in chosen
            )
        )


def with_rough_prompts(prompts: PromptSet) -> PromptSet:
    """Return the points and box that stand for all prompts, the rough mask included."""
    if prompts.rough is None:
        return prompts
    stand_ins = prompts.rough.prompts()
    return PromptSet(stand_ins.points + prompts.points, prompts.box or stand_ins.box)
