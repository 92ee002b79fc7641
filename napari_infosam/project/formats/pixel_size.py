"""How large the pixels of an image file are, so that its label image says the same."""

from __future__ import annotations

import math
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
    if path.suffix.lower() not in _SUFFIXES:
        return None
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            found = _of_ome(file) or _of_tags(file)
    except (OSError, ValueError, LookupError, ArithmeticError, tifffile.TiffFileError):
        return None
    if found is None or not all(math.isfinite(x) and x > 0 for x in found):
        return None
    return found


def _of_ome(file: TiffFile) -> tuple[float, float] | None:
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
    found = []
    for axis in "XY":
        size = pixels.get(f"PhysicalSize{axis}")
        unit = _CENTIMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "µm").lower())
        if size is None or unit is None or not float(size):
            return None
        found.append(1 / (float(size) * unit))
    return found[0], found[1]


def _of_tags(file: TiffFile) -> tuple[float, float] | None:
    """Return what the tags say, in the unit that ImageJ names or TIFF itself has."""
    import tifffile

    tags: Any = file.pages[0].tags  # type: ignore[union-attr]
    if "XResolution" not in tags or "YResolution" not in tags:
        return None
    in_imagej = (file.imagej_metadata or {}).get("unit")
    if in_imagej is not None:
        name = str(in_imagej).lower()
    elif "ResolutionUnit" in tags:
        name = tifffile.RESUNIT(tags["ResolutionUnit"].value).name.lower()
    else:
        name = "inch"  # what TIFF means without the tag
    unit = _CENTIMETRES.get(name)
    if unit is None:
        return None
    x, y = (
        tags[f"{axis}Resolution"].value[0] / tags[f"{axis}Resolution"].value[1]
        for axis in "XY"
    )
    return x / unit, y / unit
