"""Any image -> the RGB uint8 picture the model sees.

Clicking, training and evaluation all come through here, so they can not differ.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from napari_infosam.core.errors import InfosamError

RGBImage = NDArray[np.uint8]


class Preprocessing(BaseModel):
    """How the intensities of an image become RGB uint8.

    Attributes
    ----------
    contrast
        ``auto``: uint8 and bool stay as they are, everything else is stretched
        between percentiles. ``percentile``: always stretched. ``fixed``: stretched
        between the two values ``low`` and ``high``.
    low, high
        Percentiles (0-100), or intensities when ``contrast`` is ``fixed``.
    channels
        One channel index to use as grey, two as red and green, or three as RGB; None
        takes them all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    contrast: Literal["auto", "percentile", "fixed"] = "auto"
    low: float = Field(default=0.5, allow_inf_nan=False)
    high: float = Field(default=99.5, allow_inf_nan=False)
    channels: tuple[int, ...] | None = None

    @model_validator(mode="after")
    def _check(self) -> Preprocessing:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        if self.contrast != "fixed" and not 0 <= self.low < self.high <= 100:
            raise ValueError("percentiles lie between 0 and 100")
        if self.channels is not None and len(self.channels) not in (1, 2, 3):
            raise ValueError(f"choose one to three channels, not {self.channels}")
        return self


def check_image(image: NDArray[Any]) -> None:
    """Raise a sentence unless the image is a non-empty YX or YXC array of numbers.

    Raises
    ------
    InfosamError
        For a wrong number of axes, a side of zero pixels, or a type that is not
        bool, integer or float.
    """
    if image.ndim not in (2, 3):
        raise InfosamError(
            f"An image needs the axes YX or YXC, not shape {image.shape}: "
            "choose one slice first."
        )
    if 0 in image.shape:
        raise InfosamError(f"The image of shape {image.shape} has no pixels.")
    if image.dtype.kind not in "buif":
        raise InfosamError(
            f"Images of type {image.dtype} can not be segmented: "
            "convert to an integer or float type."
        )
    if image.ndim == 3 and image.shape[2] > 4:
        raise InfosamError(
            f"The image has {image.shape[2]} channels on its last axis: choose one "
            "to three of them, or one slice of the stack."
        )


def to_rgb_uint8(
    image: NDArray[Any], preprocessing: Preprocessing | None = None
) -> RGBImage:
    """Return the picture the model sees.

    Parameters
    ----------
    image
        ``(Y, X)`` or ``(Y, X, C)``, bool, integer or float. NaN and minus
        infinity become the darkest value, plus infinity the brightest. C = 1 is
        grey, 2 fills red and green, 3 is RGB, 4 is RGB with an alpha channel that
        is dropped. With chosen channels C may be any number.
    preprocessing
        Contrast and channels; the default is `Preprocessing()`.

    Returns
    -------
    numpy.ndarray
        ``(Y, X, 3)`` uint8, C-contiguous.

    Raises
    ------
    InfosamError
        If the image has no pixels, a wrong number of axes, or lacks a chosen channel.
    """
    preprocessing = preprocessing or Preprocessing()
    image = np.asarray(image)
    image = _choose_channels(image, preprocessing.channels)
    check_image(image)
    stretched = _stretch(image, preprocessing)
    return np.ascontiguousarray(_as_rgb(stretched))


def _choose_channels(
    image: NDArray[Any], channels: tuple[int, ...] | None
) -> NDArray[Any]:
    if channels is None:
        return image
    if image.ndim != 3 or not all(0 <= c < image.shape[2] for c in channels):
        raise InfosamError(
            f"The image of shape {image.shape} has no channels {channels}: "
            "choose others in the preprocessing."
        )
    return image[:, :, list(channels)]


def _stretch(image: NDArray[Any], how: Preprocessing) -> RGBImage:
    """Map intensities to uint8, every channel by itself."""
    if image.dtype == np.bool_:
        return image.astype(np.uint8) * 255
    if how.contrast == "auto" and image.dtype == np.uint8:
        return image
    planes = image[..., np.newaxis] if image.ndim == 2 else image
    out = np.empty(planes.shape, np.uint8)
    for c in range(planes.shape[2]):
        with np.errstate(over="ignore"):  # a longdouble may become an infinity
            plane = planes[..., c].astype(np.float64)
        out[..., c] = _stretch_plane(plane, how)
    return out.reshape(image.shape)


def _stretch_plane(plane: NDArray[np.float64], how: Preprocessing) -> RGBImage:
    finite = np.isfinite(plane)
    if not finite.any():
        return np.zeros(plane.shape, np.uint8)
    if how.contrast == "fixed":
        low, high = how.low, how.high
    else:
        low, high = _percentiles(plane[finite], how)
    if high <= low:
        return np.zeros(plane.shape, np.uint8)
    plane = np.clip(np.where(np.isnan(plane), low, plane), low, high)
    # in units of the larger end, so that no intensity of float64 over- or underflows
    unit = max(abs(low), abs(high))
    start = low / unit
    scaled = (plane / unit - start) / (high / unit - start)
    return np.round(scaled * 255).astype(np.uint8)


def _percentiles(
    values: NDArray[np.float64], how: Preprocessing
) -> tuple[float, float]:
    """Return the two percentiles of finite values, or their ends if those are equal."""
    unit = float(np.abs(values).max()) or 1.0
    low, high = np.percentile(values / unit, (how.low, how.high)) * unit
    if low == high:
        low, high = values.min(), values.max()
    return float(low), float(high)


def _as_rgb(image: RGBImage) -> RGBImage:
    if image.ndim == 2:
        image = image[..., np.newaxis]
    match image.shape[2]:
        case 1:
            return np.repeat(image, 3, axis=2)
        case 2:
            return np.pad(image, ((0, 0), (0, 0), (0, 1)))
        case _:
            return image[..., :3]
