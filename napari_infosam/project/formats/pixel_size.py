"""How large the pixels of an image file are, so that its label image says the same."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from napari_infosam.project.formats.ngff import open_multiscale

if TYPE_CHECKING:
    from tifffile import TiffFile

    from napari_infosam.project.formats.ngff import Multiscale

_MICROMETRES = {
    "nm": 1e-3,
    "nanometer": 1e-3,
    "um": 1.0,
    "µm": 1.0,  # the micro sign
    "μm": 1.0,  # the Greek letter
    r"\u00b5m": 1.0,  # as ImageJ writes it
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "inch": 25_400.0,
    "m": 1e6,
    "meter": 1e6,
}
"""Length of the units that files name."""

Sizes = dict[str, float]
"""Micrometres along axes, which are called x, y and z."""


def pixels_per_centimetre(path: Path) -> tuple[float, float] | None:
    """Return the resolution of an image file.

    Parameters
    ----------
    path
        As in `pixel_sizes`.

    Returns
    -------
    tuple or None
        Pixels in a centimetre along (x, y); None where that is not known.
    """
    sizes = pixel_sizes(path)
    return (1e4 / sizes["x"], 1e4 / sizes["y"]) if sizes else None


def pixel_sizes(path: Path) -> Sizes:
    """Return how large pixels are, as OME, ImageJ, plain TIFF or OME-Zarr say it.

    Parameters
    ----------
    path
        Any file, also one that is gone.

    Returns
    -------
    dict
        Micrometres along x and y, and along z where that is known too; empty where
        nothing is known.
    """
    match path.suffix.lower():
        case ".tif" | ".tiff":
            sizes = _of_tiff(path)
        case ".zarr":
            sizes = _of_ngff(open_multiscale(path))
        case _:
            return {}
    known = {a: x for a, x in sizes.items() if math.isfinite(x) and x > 0}
    return known if _is_plane(known) else {}


def _is_plane(sizes: Sizes) -> bool:
    return sizes.keys() >= {"x", "y"}


def _of_tiff(path: Path) -> Sizes:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            sizes = _of_ome(file)
            return sizes if _is_plane(sizes) else _of_tags(file)
    except (OSError, ValueError, LookupError, ArithmeticError, tifffile.TiffFileError):
        return {}


def _of_ome(file: TiffFile) -> Sizes:
    """Return what the OME-XML of the first image says."""
    if file.ome_metadata is None:
        return {}
    try:
        root = ElementTree.fromstring(file.ome_metadata)
    except ElementTree.ParseError:
        return {}
    pixels = root.find(".//{*}Pixels")
    if pixels is None:
        return {}
    sizes = {}
    for axis in "xyz":
        name = f"PhysicalSize{axis.upper()}"
        size = float(pixels.get(name, 0))
        unit = _MICROMETRES.get(pixels.get(f"{name}Unit", "µm").lower())
        if size and unit is not None:
            sizes[axis] = size * unit
    return sizes


def _of_tags(file: TiffFile) -> Sizes:
    """Return what the tags say, in the unit that ImageJ names or TIFF itself has."""
    import tifffile

    tags: Any = file.pages[0].tags  # type: ignore[union-attr]
    if "XResolution" not in tags or "YResolution" not in tags:
        return {}
    of_imagej = file.imagej_metadata or {}
    if of_imagej.get("unit") is not None:
        name = str(of_imagej["unit"]).lower()
    elif "ResolutionUnit" in tags:
        name = tifffile.RESUNIT(tags["ResolutionUnit"].value).name.lower()
    else:
        name = "inch"  # what TIFF means without the tag
    unit = _MICROMETRES.get(name)
    if unit is None:
        return {}
    sizes = {"z": float(of_imagej["spacing"]) * unit} if "spacing" in of_imagej else {}
    for axis in "xy":
        pixels, units = tags[f"{axis.upper()}Resolution"].value
        sizes[axis] = units / pixels * unit
    return sizes


def _of_ngff(found: Multiscale | None) -> Sizes:
    """Return what an OME-Zarr image says of its finest level."""
    if found is None:
        return {}
    sizes = {}
    for axis, unit, size in zip(found.axes, found.units, found.scale, strict=True):
        if axis in ("x", "y", "z") and unit in _MICROMETRES:
            sizes[axis] = size * _MICROMETRES[unit]
    return sizes
