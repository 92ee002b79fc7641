"""Low-res logits as masks: of an image part by part, of a tile at full resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_infosam.core.geometry import MODEL_SIDE, model_shape
from napari_infosam.core.small_masks import SmallMask, trimmed
from napari_infosam.models.decoder import LOW_RES
from napari_infosam.models.sam_model import upscale_logits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_infosam.core.masks import BoolArray
    from napari_infosam.core.tiles import Tile
    from napari_infosam.models.prediction import Prediction

_BAND = 2**22
"""So many pixels of a mask are brought to full resolution at once."""


class Enlarger:
    """Draws low-res logits as masks of the image's size, part by part.

    The two steps of `upscale_logits` are linear along rows and along columns: each is
    a matrix, and a part of the mask is the product of parts of them.

    Parameters
    ----------
    shape
        (height, width) of the image, in its own pixels if it is a tile.
    device
        Where the logits are.
    tile, frame
        The tile of a huge image of (height, width) ``frame`` that it is: masks are
        drawn in the pixels of that.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        device: torch.device,
        tile: Tile | None = None,
        frame: tuple[int, int] | None = None,
    ) -> None:
        self.shape = shape
        self._tile, self._frame = tile, frame or shape
        height, width = model_shape(shape)
        self._rows = _interpolation(height, shape[0], device)
        self._columns = _interpolation(width, shape[1], device)
        self.low_res_shape = (
            -(-height * LOW_RES // MODEL_SIDE),
            -(-width * LOW_RES // MODEL_SIDE),
        )
        """(rows, columns) of the logits that lie in the image; the rest is padding."""

    def mask(self, logits: Tensor, corner: tuple[int, int], score: float) -> SmallMask:
        """Return the mask of a part of an object's low-res logits.

        Parameters
        ----------
        logits
            ``(h, w)`` float32; what lies around it is not above 0.
        corner
            (row, column) of its first one among the ``(256, 256)``.
        score
            Predicted IoU.
        """
        low = tuple(
            slice(start, start + size)
            for start, size in zip(corner, logits.shape, strict=True)
        )
        rows = self._reach(self._rows, low[0])
        columns = self._reach(self._columns, low[1])
        drawn = self._rows[rows, low[0]] @ logits @ self._columns[columns, low[1]].mT
        corner, tile = (rows.start, columns.start), self._tile
        part = (drawn > 0).cpu().numpy()
        if tile is None:
            return trimmed(part, corner, self._frame, score)
        crop, *at = brought_out(part, drawn.cpu(), corner, tile)
        return trimmed(crop, (at[0], at[1]), self._frame, score, tile)

    @staticmethod
    def _reach(matrix: Tensor, low: slice) -> slice:
        """Return the pixels that depend on some of the logits."""
        touched = matrix[:, low].any(dim=1).nonzero().flatten()
        if not len(touched):
            return slice(0, 0)
        return slice(int(touched[0]), int(touched[-1]) + 1)


def full_resolution(
    inside: Prediction, tile: Tile
) -> tuple[NDArray[np.bool_], int, int]:
    """Return the mask of a tile at the resolution of the image, cut to the object.

    Returns as of `brought_out`.
    """
    logits = None
    if tile.stride > 1:
        low_res = torch.from_numpy(inside.low_res_logits)[None, None]
        logits = upscale_logits(low_res, tile.shape)[0, 0]
    return brought_out(inside.mask, logits, (0, 0), tile)


def brought_out(
    mask: BoolArray, logits: Tensor | None, corner: tuple[int, int], tile: Tile
) -> tuple[BoolArray, int, int]:
    """Return the mask of a part of a tile in pixels of the image, cut to the object.

    Parameters
    ----------
    mask
        ``(h, w)`` bool, in pixels of the tile; what lies around it is empty.
    logits
        ``(h, w)`` that it comes from; not needed where the tile has stride 1.
    corner
        (row, column) of its first pixel in the tile.
    tile
        Where that lies.

    Returns
    -------
    crop
        ``(h, w)`` bool; ``(0, 0)`` of an empty mask.
    row, column
        Of its first pixel in the image.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return np.zeros((0, 0), np.bool_), tile.row, tile.column
    step = tile.stride
    # a pixel more on each side: the edge of the finer mask may lie in it
    top, left = max(int(rows[0]) - 1, 0), max(int(columns[0]) - 1, 0)
    bottom = min(int(rows[-1]) + 2, mask.shape[0])
    right = min(int(columns[-1]) + 2, mask.shape[1])
    above, before = (corner[0] + top) * step, (corner[1] + left) * step
    height = min((corner[0] + bottom) * step, tile.height) - above
    width = min((corner[1] + right) * step, tile.width) - before
    row, column = tile.row + above, tile.column + before
    if step == 1 or logits is None:
        return mask[top:bottom, left:right].copy(), row, column
    band = max(1, _BAND // (width * step))
    crop = np.empty((height, width), np.bool_)
    # one column more on each side than is kept, for the interpolation between them
    first_column, last_column = max(left - 1, 0), min(right + 1, mask.shape[1])
    for first in range(top, bottom, band):
        last = min(first + band, bottom)
        first_row, last_row = max(first - 1, 0), min(last + 1, mask.shape[0])
        part = logits[first_row:last_row, first_column:last_column]
        fine = F.interpolate(
            part[None, None], scale_factor=step, mode="bilinear", align_corners=False
        )[0, 0]
        fine = fine[(first - first_row) * step :, (left - first_column) * step :]
        start = (first - top) * step
        stop = min(start + (last - first) * step, height)
        crop[start:stop] = (fine[: stop - start, :width] > 0).numpy()
    return crop, row, column


def _interpolation(square: int, pixels: int, device: torch.device) -> Tensor:
    """Return ``(pixels, 256)``: what each logit of a line adds to each pixel of it."""
    unit = torch.eye(LOW_RES, device=device).unsqueeze(1)
    middle = F.interpolate(unit, MODEL_SIDE, mode="linear", align_corners=False)
    line = F.interpolate(
        middle[..., :square], pixels, mode="linear", align_corners=False
    )
    return line[:, 0].mT.contiguous()
