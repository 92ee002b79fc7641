"""How large the pixels of an image file are, so that its label image says the same."""

from __future__ import annotations

import math
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class _Stated:
    """What a file says, and whether that is for printing only."""

    sizes: Sizes
    is_print: bool = False

    @property
    def is_plane(self) -> bool:
        """Whether it says how large pixels are, along both axes."""
        return self.sizes.keys() >= {"x", "y"}


_NOTHING = _Stated({})


def pixels_per_centimetre(path: Path) -> tuple[float, float] | None:
    """Return the resolution of an image file, be it for printing only.

    Parameters
    ----------
    path
        As in `pixel_sizes`.

    Returns
    -------
    tuple or None
        Pixels in a centimetre along (x, y); None where that is not known.
    """
    sizes = _stated(path).sizes
    return (1e4 / sizes["x"], 1e4 / sizes["y"]) if sizes else None


def pixel_sizes(path: Path) -> Sizes:
    """Return how large pixels are, as OME, ImageJ, plain TIFF or OME-Zarr say it.

    Dots in an inch, which plain TIFF files have for printers, say nothing of that.

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
    stated = _stated(path)
    return {} if stated.is_print else stated.sizes


def _stated(path: Path) -> _Stated:
    """Return what a file says of x and y at least."""
    match path.suffix.lower():
        case ".tif" | ".tiff":
            found = _of_tiff(path)
        case ".zarr":
            found = _of_ngff(open_multiscale(path))
        case _:
            return _NOTHING
    # a size of no more than nothing is none of its inverse either
    known = {
        axis: size
        for axis, size in found.sizes.items()
        if math.isfinite(size) and size > 0 and math.isfinite(1e4 / size)
    }
    stated = _Stated(known, found.is_print)
    return stated if stated.is_plane else _NOTHING


def _of_tiff(path: Path) -> _Stated:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            stated = _of_ome(file)
            return stated if stated.is_plane else _of_tags(file)
    except (OSError, ValueError, LookupError, ArithmeticError, tifffile.TiffFileError):
        return _NOTHING


def _of_ome(file: TiffFile) -> _Stated:
    """Return what the OME-XML of the first image says."""
    if file.ome_metadata is None:
        return _NOTHING
    try:
        root = ElementTree.fromstring(file.ome_metadata)
    except ElementTree.ParseError:
        return _NOTHING
    pixels = root.find(".//{*}Pixels")
    if pixels is None:
        return _NOTHING
    sizes = {}
    for axis in "xyz":
        name = f"PhysicalSize{axis.upper()}"
        size = float(pixels.get(name, 0))
        unit = _MICROMETRES.get(pixels.get(f"{name}Unit", "µm").lower())
        if size and unit is not None:
            sizes[axis] = size * unit
    return _Stated(sizes)


def _of_tags(file: TiffFile) -> _Stated:
    """Return what the tags say, in the unit that ImageJ names or TIFF itself has."""
    import tifffile

    tags: Any = file.pages[0].tags  # type: ignore[union-attr]
    if "XResolution" not in tags or "YResolution" not in tags:
        return _NOTHING
    of_imagej = file.imagej_metadata or {}
    in_imagej = of_imagej.get("unit") is not None
    if in_imagej:
        name = str(of_imagej["unit"]).lower()
    elif "ResolutionUnit" in tags:
        name = tifffile.RESUNIT(tags["ResolutionUnit"].value).name.lower()
    else:
        name = "inch"  # what TIFF means without the tag
    unit = _MICROMETRES.get(name)
    if unit is None:
        return _NOTHING
    sizes = {"z": float(of_imagej["spacing"]) * unit} if "spacing" in of_imagej else {}
    for axis in "xy":
        pixels, units = tags[f"{axis.upper()}Resolution"].value
        sizes[axis] = units / pixels * unit
    return _Stated(sizes, is_print=not in_imagej and name == "inch")


def _of_ngff(found: Multiscale | None) -> _Stated:
    """Return what an OME-Zarr image says of its finest level."""
    if found is None:
        return _NOTHING
    sizes = {}
    for axis, unit, size in zip(found.axes, found.units, found.scale, strict=True):
        if axis in ("x", "y", "z") and unit in _MICROMETRES:
            sizes[axis] = size * _MICROMETRES[unit]
    return _Stated(sizes)
