"""What a single click may mean: SAM's three masks, by size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_infosam.core.geometry import model_shape
from napari_infosam.models.decoder import LOW_RES

if TYPE_CHECKING:
    from napari_infosam.models.decoder import DecoderOutput


def by_size(output: DecoderOutput, shape: tuple[int, int]) -> tuple[int, ...]:
    """Return the indices of the ambiguity masks from the smallest to the largest.

    Parameters
    ----------
    output
        What the decoder says of one object.
    shape
        (height, width) of the image; what lies beside it does not count.
    """
    height, width = model_shape(shape, LOW_RES)
    inside = output.logits[0, 1:, :height, :width] > 0
    areas = inside.flatten(1).sum(dim=1)
    return tuple(1 + int(i) for i in areas.argsort(stable=True))
