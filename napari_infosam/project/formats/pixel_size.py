"""How large the pixels of an image file are, so that its label image says the same."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from tifffile import TiffFile

_CENTIMETRES = {
    "nm": 1e-7,
    "um": 1e-4,
    "µm": 1e-4,  # the micro sign
    "μm": 1e-4,  # the Greek letter
    r"\u00b5m": 1e-4,  # as ImageJ writes it
    "micron": 1e-4,
    "microns": 1e-4,
    "micrometer": 1e-4,
    "mm": 0.1,
    "millimeter": 0.1,
    "cm": 1.0,
    "centimeter": 1.0,
    "inch": 2.54,
}
"""Length of the units that files name."""

_SUFFIXES = {".tif", ".tiff"}


_MICROMETRES = 1e4
"""In a centimetre."""


@dataclass(frozen=True, slots=True)
class _Stated:
    """What a file says: centimetres by axis, and whether that is for printing only."""

    sizes: dict[str, float]
    is_print: bool = False


def pixels_per_centimetre(path: Path) -> tuple[float, float] | None:
    """Return the resolution of a TIFF file, as OME, ImageJ or plain TIFF say it.

    Parameters
    ----------
    path
        Any file, also one that is gone.

    Returns
    -------
    tuple or None
        Pixels in a centimetre along (x, y); None where that is not known.
    """
    stated = _stated(path)
    return None if stated is None else (1 / stated.sizes["x"], 1 / stated.sizes["y"])


def pixel_size(path: Path) -> dict[str, float]:
    """Return how large the pixels of a TIFF file are, and how far its planes apart.

    Dots in an inch, which plain TIFF files have for printers, say nothing of that.

    Parameters
    ----------
    path
        Any file, also one that is gone.

    Returns
    -------
    dict
        Micrometres along ``x``, ``y`` and, where that is stated, ``z``; empty where
        nothing is known.
    """
    stated = _stated(path)
    if stated is None or stated.is_print:
        return {}
    return {axis: size * _MICROMETRES for axis, size in stated.sizes.items()}


def _stated(path: Path) -> _Stated | None:
    """Return what a file says of ``x`` and ``y`` at least."""
    if path.suffix.lower() not in _SUFFIXES:
        return None
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            found = _of_ome(file) or _of_tags(file)
    except (OSError, ValueError, LookupError, ArithmeticError, tifffile.TiffFileError):
        return None
    if found is None:
        return None
    sizes = {a: s for a, s in found.sizes.items() if math.isfinite(s) and s > 0}
    # a size of no more than nothing is none of its inverse either
    known = {"x", "y"} <= set(sizes) and all(
        math.isfinite(1 / s) for s in sizes.values()
    )
    return replace(found, sizes=sizes) if known else None


def _of_ome(file: TiffFile) -> _Stated | None:
    """Return what the OME-XML of the first image says."""
    if file.ome_metadata is None:
        return None
    try:
        root = ElementTree.fromstring(file.ome_metadata)
    except ElementTree.ParseError:
        return None
    pixels = root.find(".//{*}Pixels")
    if pixels is None:
        return None
    found = {}
    for axis in "XYZ":
        size = pixels.get(f"PhysicalSize{axis}")
        unit = _CENTIMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "µm").lower())
        if size is not None and unit is not None:
            found[axis.lower()] = float(size) * unit
    return _Stated(found) if {"x", "y"} <= set(found) else None


def _of_tags(file: TiffFile) -> _Stated | None:
    """Return what the tags say, in the unit that ImageJ names or TIFF itself has."""
    import tifffile

    tags: Any = file.pages[0].tags  # type: ignore[union-attr]
    if "XResolution" not in tags or "YResolution" not in tags:
        return None
    of_imagej = file.imagej_metadata or {}
    in_imagej = of_imagej.get("unit")
    if in_imagej is not None:
        name = str(in_imagej).lower()
    elif "ResolutionUnit" in tags:
        name = tifffile.RESUNIT(tags["ResolutionUnit"].value).name.lower()
    else:
        name = "inch"  # what TIFF means without the tag
    unit = _CENTIMETRES.get(name)
    if unit is None:
        return None
    found = {}
    for axis in "xy":
        pixels, units = tags[f"{axis.upper()}Resolution"].value
        found[axis] = unit * units / pixels
    if in_imagej is not None and "spacing" in of_imagej:
        found["z"] = unit * float(of_imagej["spacing"])
    return _Stated(found, is_print=in_imagej is None and name == "inch")
