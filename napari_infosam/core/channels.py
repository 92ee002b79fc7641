"""What of an image is a channel, and which channels the model sees."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

MOST_SEEN = 3
"""One channel is seen as grey, two as red and green, three as RGB."""


class ChannelChoice(BaseModel):
    """What a person chose for a layer.

    Attributes
    ----------
    axis
        The leading axis of the layer that holds the channels; None where they are its
        colours or other layers.
    layers
        Names of layers that are one channel each; empty where they are in one layer.
    seen
        Numbers of the channels that the model sees, one to three, as grey or as red,
        green and blue; None for all colours of an RGB layer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    axis: int | None = Field(default=None, ge=0)
    layers: tuple[str, ...] = ()
    seen: tuple[int, ...] | None = Field(default=None, min_length=1, max_length=3)

    @property
    def is_own_picture(self) -> bool:
        """Whether the pixels are put together from an axis or from layers."""
        return self.axis is not None or bool(self.layers)


PLAIN = ChannelChoice()
"""No axis or other layer is a channel; of colours all are seen."""
