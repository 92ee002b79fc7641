"""Where layers lie in the world, on each other and in the view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core.geometry import box_around

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from napari.layers import Image, Layer
    from napari.viewer import Viewer

    from napari_infosam.core.prompts import Box


_PLACED_BY = ("scale", "translate", "rotate", "shear", "affine", "units")
"""The events of an image that move it."""
_UNIT = "micrometer"


def seen_at(viewer: Viewer, image: Image) -> float:
    """Return how many pixels of an image are one pixel of the screen."""
    return float(1 / (viewer.scene.camera.zoom * abs(image.scale[-1])))


def in_view(viewer: Viewer, image: Image) -> Box | None:
    """Return the part of an image that the canvas shows, in its pixels.

    None while it was not drawn yet, or where nothing of it is in view.
    """
    corners = image.corner_pixels[:, -2:].astype(float)
    if image.multiscale:
        # of what is drawn in chunks napari keeps those around the view, too
        corners *= image.downsample_factors[image.data_level][-2:]
        camera = viewer.scene.camera
        reach = np.array(viewer.canvas.viewbox_size(viewer.layers)) / camera.zoom / 2
        place = np.array(viewer.dims.point, float)
        ends = []
        for sign in (-1, 1):
            place[list(viewer.dims.displayed[-2:])] = camera.center[-2:] + sign * reach
            ends.append(image.world_to_data(place)[-2:])
        corners = np.clip(np.sort(ends, axis=0), corners[0], corners[1])
    return box_around(corners) if (corners[0] < corners[1]).all() else None


def place(layer: Layer, image: Image) -> None:
    """Give a layer the position of an image's last two axes in the world."""
    affine = image.affine.affine_matrix
    plane = np.eye(3)
    plane[:2, :2] = affine[-3:-1, -3:-1]
    plane[:2, 2] = affine[-3:-1, -1]
    wanted = {
        "scale": image.scale[-2:],
        "translate": image.translate[-2:],
        "rotate": image.rotate[-2:, -2:],
        "shear": image.shear[-1:],
    }
    # each change lets napari look at all layers anew: slices mostly need none
    for name, value in wanted.items():
        if not np.array_equal(getattr(layer, name), value):
            setattr(layer, name, value)
    if not np.array_equal(layer.affine.affine_matrix, plane):
        layer.affine = plane
    if layer.units != image.units[-2:]:
        layer.units = image.units[-2:]


class Companions:
    """Keeps layers where an image is, also when that is moved or its units change.

    Parameters
    ----------
    layers
        Returns the layers that are kept there.
    """

    def __init__(self, layers: Callable[[], Iterable[Layer]]) -> None:
        self._layers = layers
        self._image: Image | None = None

    def follow(self, image: Image | None) -> None:
        """Lay the layers on another image, or leave them where they are."""
        if image is not self._image:
            for event in self._events():
                event.disconnect(self._place)
            self._image = image
            for event in self._events():
                event.connect(self._place)
        self._place()

    def _events(self) -> list[Any]:
        if self._image is None:
            return []
        return [getattr(self._image.events, name) for name in _PLACED_BY]

    def _place(self, _event: Any = None) -> None:
        if self._image is not None:
            for layer in self._layers():
                place(layer, self._image)


def size_settings(sizes: Mapping[str, float], leading: Sequence[str]) -> dict[str, Any]:
    """Return scale and units of a layer, nothing if no sizes are known.

    Parameters
    ----------
    sizes
        Micrometres of a pixel along the axes of which they are known.
    leading
        Names of the axes before ``y`` and ``x``.
    """
    axes = [*leading, "y", "x"]
    if not sizes:
        return {}
    return {
        "scale": [sizes.get(axis, 1.0) for axis in axes],
        "units": [_UNIT if axis in sizes else "pixel" for axis in axes],
    }


def state_size(image: Image, sizes: Mapping[str, float]) -> None:
    """Give an image that has no scale the `size_settings` of its file.

    It is best done before the image is in a viewer.
    """
    if np.all(image.scale == 1):
        leading = list(map(str, image.axis_labels[:-2]))
        for name, value in size_settings(sizes, leading).items():
            setattr(image, name, value)


def fit(viewer: Viewer, image: Image) -> None:
    """Fit an image into the view, or all of them where napari can not do it.

    It can not fit a layer that has fewer dimensions than the viewer.
    """
    if image.ndim == viewer.dims.ndim:
        viewer.fit_to_view(layers=[image])
    else:
        viewer.fit_to_view()


def lie_alike(before: Image | None, image: Image) -> bool:
    """Return whether an image is exactly where one before was, so the view fits."""
    return before is not None and np.array_equal(
        before.extent.world, image.extent.world
    )


def covers(upper: Image, lower: Image) -> bool:
    """Return whether one image layer hides another that lies below it."""
    see_through = upper.opacity < 1 or str(upper.blending) in ("additive", "minimum")
    if see_through or upper.ndim < 2 or lower.ndim < 2:
        return False
    (low, high), (start, end) = (layer.extent.world[:, -2:] for layer in (upper, lower))
    return bool((low < end).all() and (start < high).all())


def bring_to_sight(image: Image, images: Iterable[Image]) -> None:
    """Hide what covers an image: what is seen must be what is annotated.

    Parameters
    ----------
    images
        All image layers, from the bottom to the top.
    """
    image.visible = True
    above = False
    for layer in images:
        if above and layer.visible and covers(layer, image):
            layer.visible = False
        above |= layer == image
