"""Masks as polygons along the edges of their pixels, and back.

Coordinates are (x, y) with the corner of the image at zero: the pixel in row r and
column c covers ``[c, c + 1] x [r, r + 1]``. That is what QuPath, COCO and YOLO do,
and differs by half a pixel from prompts, which have pixel centres at whole numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from pycocotools import mask as coco

from napari_infosam.core.placed import join_runs, rle_of_runs
from napari_infosam.project.formats.mask_runs import MaskRuns
from napari_infosam.project.windows import column_runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ring = NDArray[np.float64]

_POINTS_AT_ONCE = 1 << 21
_NO_RUNS = np.zeros((0, 2), np.int64)


def outline(rle: bytes, shape: tuple[int, int]) -> Any:
    """Return a mask as a shapely Polygon or MultiPolygon with holes.

    Parts that meet in a corner only are polygons of their own. `fill` gives the same
    pixels back.

    Parameters
    ----------
    rle
        COCO run-length encoding of a mask that is not empty.
    shape
        (height, width) of the mask.
    """
    x, top, bottom = column_runs(rle, shape[0])
    runs = shapely.union_all(shapely.box(x, top, x + 1, bottom))
    # without the corners of the runs along straight edges
    return shapely.orient_polygons(shapely.simplify(runs, 0))


def fill(geometry: Any, shape: tuple[int, int]) -> bytes:
    """Return the mask of the pixels of an image whose centres lie in a shape.

    Parameters
    ----------
    geometry
        Polygon or MultiPolygon. Where its edges cross, the inside is what they
        surround an odd number of times.
    shape
        (height, width) of the image.

    Returns
    -------
    bytes
        COCO run-length encoding, of an empty mask too.
    """
    runs = MaskRuns(shape)
    x0, y0, x1, y1 = geometry.bounds
    left, right = max(0, int(x0)), min(shape[1], int(np.ceil(x1)))
    top, bottom = max(0, int(y0)), min(shape[0], int(np.ceil(y1)))
    if left < right and top < bottom:
        shapely.prepare(geometry)
        x = np.arange(left, right) + 0.5
        band = max(1, _POINTS_AT_ONCE // len(x))
        for row in range(top, bottom, band):
            y = np.arange(row, min(row + band, bottom)) + 0.5
            inside = shapely.contains_xy(geometry, *np.meshgrid(x, y))
            runs.add(inside, row, left)
    return next((rle for _, rle in runs.rles()), rle_of_runs(_NO_RUNS, shape))


def fill_ring(points: Ring, shape: tuple[int, int]) -> bytes:
    """Return the mask that one closed line, ``(N, 2)``, surrounds, as `fill` does."""
    return fill(shapely.Polygon(points), shape)


def fill_polygons(polygons: list[list[float]], shape: tuple[int, int]) -> bytes:
    """Return the mask of an object that is given as COCO's polygons.

    Parameters
    ----------
    polygons
        x and y of the corners, in turn.
    shape
        (height, width) of the image.

    Returns
    -------
    bytes
        COCO run-length encoding, of an empty mask too.
    """
    # COCO's own rule of which pixels a polygon covers, in the part of the image that
    # they lie in: of a whole one it can not always count the pixels
    x, y = np.concatenate([np.reshape(p, (-1, 2)) for p in polygons]).T
    left, top = (int(max(0, np.floor(v.min()) - 1)) for v in (x, y))
    right = min(shape[1], int(np.ceil(x.max())) + 1)
    bottom = min(shape[0], int(np.ceil(y.max())) + 1)
    if left >= right or top >= bottom:
        return rle_of_runs(_NO_RUNS, shape)
    moved = [(np.reshape(p, (-1, 2)) - (left, top)).ravel().tolist() for p in polygons]
    size = bottom - top, right - left
    drawn = coco.merge(coco.frPyObjects(moved, *size))["counts"]
    column, start, stop = column_runs(drawn, size[0])
    first = (left + column) * shape[0] + top
    runs = np.stack((first + start, first + stop), axis=1)
    return rle_of_runs(join_runs(runs), shape)


def pieces_without_holes(geometry: Any) -> list[Ring]:
    """Cut a shape so that no piece has a hole; return the ``(N, 2)`` outlines.

    The pieces do not overlap, and together they are the shape.
    """
    pieces: list[Ring] = []
    for polygon in shapely.get_parts(geometry):
        lefts = {hole.bounds[0] for hole in polygon.interiors}
        if not lefts:
            pieces.append(_points(polygon.exterior))
            continue
        # a cut along the left side of a hole opens it
        x0, y0, x1, y1 = polygon.bounds
        cuts = np.array([x0, *sorted(lefts), x1])
        strips = shapely.intersection(polygon, shapely.box(cuts[:-1], y0, cuts[1:], y1))
        pieces += [
            _points(shapely.simplify(part, 0).exterior)
            for part in shapely.get_parts(strips)
            if part.geom_type == "Polygon"
        ]
    return pieces


def one_ring(geometry: Any) -> Ring:
    """Return a shape as one closed line, ``(N, 2)``, without the end repeated.

    Holes and further parts are joined to the rest by lines that are gone along twice,
    from corner to corner along the edges of pixels, so that they enclose nothing.
    """
    rings = [
        _points(ring)
        for polygon in shapely.get_parts(geometry)
        for ring in (polygon.exterior, *polygon.interiors)
    ]
    path = rings[0]
    for ring in rings[1:]:
        far = np.abs(path[:, np.newaxis] - ring).sum(axis=2)
        here, there = np.unravel_index(int(far.argmin()), far.shape)
        corner = [[ring[there, 0], path[here, 1]]]
        path = np.concatenate(
            [
                path[: here + 1],
                corner,
                np.roll(ring, -there, axis=0),
                ring[there : there + 1],
                corner,
                path[here:],
            ]
        )
    return path


def _points(ring: Any) -> Ring:
    points: Ring = shapely.get_coordinates(ring)[:-1]
    return points
