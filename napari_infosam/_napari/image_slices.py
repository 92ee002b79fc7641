"""The slices of an image that is open, also those that are not in view."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from napari_infosam._napari.channels import finest
from napari_infosam._napari.image_source import slice_axes, source_at

if TYPE_CHECKING:
    from collections.abc import Hashable

    from napari.layers import Image

    from napari_infosam._napari.image_source import ImageSource


class ImageSlices(NamedTuple):
    """An open image.

    Attributes
    ----------
    source
        The picture of it that was in view.
    layer, layers
        Its layer, and all image layers.
    """

    source: ImageSource
    layer: Image | None
    layers: list[Image]

    def at(self, place: tuple[int, ...]) -> ImageSource:
        """Return the picture of a slice.

        Raises
        ------
        ValueError
            If there is no such slice.
        """
        here, layer = self.source, self.layer
        if place == here.slice_index or layer is None:
            return here
        sizes = [finest(layer).shape[axis] for axis in slice_axes(layer, here.choice)]
        if len(place) != len(sizes) or not all(
            0 <= at < size for at, size in zip(place, sizes, strict=True)
        ):
            raise ValueError(f"there is no slice {place}")
        return source_at(layer, place, choice=here.choice, layers=self.layers)


def image_of(source: ImageSource) -> Hashable:
    """Return what all slices of an image have in common."""
    image: Hashable = source.key[0] if isinstance(source.key, tuple) else source.key
    return image
