"""Other contents for layers, with no more drawn anew than has to be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Labels, Points
    from numpy.typing import NDArray


@contextmanager
def drawn_once(points: Points) -> Iterator[None]:
    """Change several things of a layer; napari would draw it anew after each.

    Nor is the viewer told of another extent: our points lie within a picture.
    """
    with ExitStack() as quiet:
        for name in ("set_data", "highlight", "symbol", "face_color", "extent"):
            quiet.enter_context(points.events[name].blocker())
        yield
    points.refresh(extent=False)


def fill(layer: Labels, wanted: NDArray[Any]) -> None:
    """Show another label image; only the box of what is new in it is drawn anew.

    New data as a whole let napari build the layer's colours and shaders anew.

    Parameters
    ----------
    layer
        Its data are written into.
    wanted
        ``(H, W)`` uint8, uint16 or int32.
    """
    kinds = [(image.shape, image.dtype) for image in (layer.data, wanted)]
    if layer.multiscale or kinds[0] != kinds[1]:
        layer.data = wanted.copy()
        return
    data: NDArray[Any] = np.asarray(layer.data)
    box = changed_box(data, wanted)
    if box is None:
        return
    data[box] = wanted[box]
    if layer.contour or wanted.dtype.itemsize > 2:
        layer.refresh(extent=False)  # what is drawn is not the numbers themselves
        return
    offset = [side.start for side in box]
    layer.events.labels_update(data=data[box], offset=offset)
    layer.refresh(data_displayed=False, highlight=False, extent=False)


def changed_box(old: NDArray[Any], new: NDArray[Any]) -> tuple[slice, slice] | None:
    """Return the rows and columns in which two ``(H, W)`` images differ, or None."""
    differs = old != new
    rows = np.flatnonzero(differs.any(axis=1))
    if not rows.size:
        return None
    within = slice(int(rows[0]), int(rows[-1]) + 1)
    columns = np.flatnonzero(differs[within].any(axis=0))
    return within, slice(int(columns[0]), int(columns[-1]) + 1)
