"""The parts of an object: connected pieces, or what lies around marks in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core.masks import mask_box
from napari_infosam.core.placed import Place, PlacedMask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_infosam.core.masks import BoolArray
    from napari_infosam.core.prompts import Point


_SPECK = 20
_SPECK_SHARE = 0.05
"""A piece of fewer pixels, and a smaller part of the largest one, is no object."""


def parts_of(mask: BoolArray, points: Sequence[Point] = ()) -> list[PlacedMask]:
    """Return the parts of an object, the largest one first.

    Parameters
    ----------
    mask
        ``(H, W)`` bool, not empty.
    points
        Where two or more lie on the mask, each stands for a part, and the mask is cut
        at the necks between them. Otherwise the parts are the connected pieces,
        touching corners included; specks go to the piece that is nearest.

    Returns
    -------
    list of PlacedMask
        Crops of masks ``(H, W)``: there may be hundreds. Together they are the mask,
        and no pixel is in two of them.
    """
    # a quarter of a second for the first one to ask; no matter on a thread
    from scipy import ndimage

    box = mask_box(mask)
    crop = np.s_[int(box.y0) : int(box.y1) + 1, int(box.x0) : int(box.x1) + 1]
    piece = mask[crop]
    labels, n_pieces = ndimage.label(piece, np.ones((3, 3)))
    marks = np.zeros(piece.shape, np.int32)
    offset = (round(box.y0), round(box.x0))
    marked = {(round(p.y) - offset[0], round(p.x) - offset[1]) for p in points}
    inside = [
        (row, column)
        for row, column in sorted(marked)
        if 0 <= row < piece.shape[0] and 0 <= column < piece.shape[1]
        if piece[row, column]
    ]
    if len(inside) > 1:
        for number, place in enumerate(inside, start=1):
            marks[place] = number
        labels = _grown(marks, piece)
    elif n_pieces > 1:
        labels = _without_specks(labels, piece)
    sizes = np.bincount(labels.ravel())[1:]
    boxes = ndimage.find_objects(labels)
    parts = []
    for number in np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)] + 1:
        rows, columns = own = boxes[number - 1]
        at = Place(offset[0] + rows.start, offset[1] + columns.start, mask.shape)
        parts.append(PlacedMask(labels[own] == number, at))
    return parts


def _grown(marks: NDArray[np.int32], mask: BoolArray) -> NDArray[np.int32]:
    """Return marks grown over the pieces that they lie in, which are cut at necks.

    A piece without a mark goes to the mark that is nearest as the crow flies.
    """
    from scipy import ndimage
    from skimage.segmentation import watershed

    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    grown: NDArray[np.int32] = watershed(-depth, marks, mask=mask)
    left = mask & (grown == 0)
    grown[left] = _nearest(marks)[left]
    return grown


def _without_specks(labels: NDArray[Any], mask: BoolArray) -> NDArray[Any]:
    """Return labelled pieces of a mask, of which none is a speck."""
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    is_speck = sizes < min(_SPECK, _SPECK_SHARE * sizes.max())
    if not is_speck[1:].any():
        return labels
    kept = np.where(is_speck[labels], 0, labels)
    return np.where(mask, _nearest(kept), 0)


def _nearest(marks: NDArray[Any]) -> NDArray[Any]:
    """Return for every pixel the mark that is nearest as the crow flies."""
    from scipy import ndimage

    places = ndimage.distance_transform_edt(
        marks == 0, return_distances=False, return_indices=True
    )
    nearest: NDArray[Any] = marks[tuple(places)]
    return nearest
