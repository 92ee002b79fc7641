"""Pixels from the files people have: png, tif, jpg, bmp, npy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".npy")


class SkipError(Exception):
    """A file can not be used, for the reason that is the message."""


def read_array(path: Path, *, labels: bool = False) -> NDArray[Any]:
    """Return the array of an image file, or of a file of labels.

    Raises
    ------
    SkipError
        If it can not be read.
    """
    try:
        match path.suffix.lower():
            case ".npy":
                array = np.load(path, allow_pickle=False)
            case ".tif" | ".tiff":
                import tifffile

                array = tifffile.imread(path)
            case _:
                array = _read_picture(path, labels)
    # a broken file raises whatever its reader happens to stumble over
    except Exception as error:
        raise SkipError(f"{path.name} can not be read ({error})") from error
    pixels: NDArray[Any] = np.asarray(array)
    return pixels


def tiff_axes(path: Path) -> str:
    """Return what a TIFF says its axes are, as in ``CYX``; '' if it says nothing."""
    import tifffile

    if path.suffix.lower() not in (".tif", ".tiff"):
        return ""
    try:
        with tifffile.TiffFile(path) as file:
            return str(file.series[0].axes)
    except Exception:  # as in `read_array`, which says it
        return ""


def _read_picture(path: Path, labels: bool) -> NDArray[Any]:
    """Return grey, RGB or RGBA values; of a palette of labels the indices."""
    from PIL import Image

    with Image.open(path) as picture:
        match picture.mode:
            case "LA" | "La":
                return np.array(picture.convert("L"))
            case "P" if labels:
                return np.array(picture)
            case "P" | "PA" | "CMYK" | "YCbCr" | "LAB" | "HSV":
                return np.array(picture.convert("RGB"))
            case _:
                return np.array(picture)
