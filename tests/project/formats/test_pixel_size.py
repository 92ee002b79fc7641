from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_infosam.project import Project
from napari_infosam.project.formats.export import export_project
from napari_infosam.project.formats.pixel_size import pixel_sizes, pixels_per_centimetre

SHAPE = (20, 30)


def save(path: Path, **how: Any) -> Path:
    tifffile.imwrite(path, np.zeros(SHAPE, np.uint8), **how)
    return path


@pytest.mark.parametrize(
    ("unit", "pixels"),
    [("micron", 2e4), ("um", 2e4), (r"\u00B5m", 2e4), ("mm", 20), ("cm", 2)],
)
def test_imagej_names_a_unit(tmp_path: Path, unit: str, pixels: float) -> None:
    path = save(
        tmp_path / "a.tif", imagej=True, resolution=(2, 4), metadata={"unit": unit}
    )
    assert pixels_per_centimetre(path) == pytest.approx((pixels, 2 * pixels))


def test_tiff_has_inches_and_centimetres(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", resolution=(254, 508), resolutionunit="INCH")
    assert pixels_per_centimetre(path) == pytest.approx((100, 200))
    path = save(tmp_path / "a.tif", resolution=(254, 508), resolutionunit="CENTIMETER")
    assert pixels_per_centimetre(path) == pytest.approx((254, 508))


def test_ome_says_it_in_xml(tmp_path: Path) -> None:
    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25}
    path = save(tmp_path / "a.ome.tif", metadata=sizes)
    assert pixels_per_centimetre(path) == pytest.approx((2e4, 4e4))
    units = {"PhysicalSizeXUnit": "mm", "PhysicalSizeYUnit": "mm"}
    path = save(tmp_path / "a.ome.tif", metadata=sizes | units)
    assert pixels_per_centimetre(path) == pytest.approx((20, 40))


def test_slices_are_apart(tmp_path: Path) -> None:
    stack = np.zeros((3, *SHAPE), np.uint8)
    path = tmp_path / "a.tif"
    metadata: Any = {"unit": "um", "spacing": 1.5, "axes": "ZYX"}
    tifffile.imwrite(path, stack, imagej=True, resolution=(4, 2), metadata=metadata)
    assert pixel_sizes(path) == pytest.approx({"x": 0.25, "y": 0.5, "z": 1.5})
    path = tmp_path / "a.ome.tif"
    metadata = {"PhysicalSizeX": 0.3, "PhysicalSizeY": 0.1, "axes": "ZYX"}
    tifffile.imwrite(path, stack, metadata=metadata)
    assert pixel_sizes(path) == {"x": 0.3, "y": 0.1}
    metadata |= {"PhysicalSizeZ": 500, "PhysicalSizeZUnit": "nm"}
    tifffile.imwrite(path, stack, metadata=metadata)
    assert pixel_sizes(path) == {"x": 0.3, "y": 0.1, "z": 0.5}


def save_zarr(path: Path, units: list[str | None], *steps: list[float]) -> Path:
    """Write an OME-Zarr image whose steps are told for its level and for it all."""
    root = zarr.open_group(path, mode="w", zarr_format=2)
    root.create_array("0", data=np.zeros((3, *SHAPE), np.uint8))
    of_level, *of_all = ([{"type": "scale", "scale": step}] for step in steps)
    about: dict[str, Any] = {
        "axes": [
            {"name": name, "type": "space"} | ({"unit": unit} if unit else {})
            for name, unit in zip("zyx", units, strict=True)
        ],
        "datasets": [{"path": "0", "coordinateTransformations": of_level}],
    }
    if of_all:
        about["coordinateTransformations"] = of_all[0]
    root.attrs["multiscales"] = [about]
    return path


def test_ome_zarr_says_it_of_its_axes(tmp_path: Path) -> None:
    path = save_zarr(tmp_path / "a.zarr", ["nanometer"] * 3, [2e3, 500, 250])
    assert pixel_sizes(path) == pytest.approx({"x": 0.25, "y": 0.5, "z": 2})
    assert pixels_per_centimetre(path) == pytest.approx((4e4, 2e4))
    units = [None, "millimeter", "micrometer"]
    path = save_zarr(tmp_path / "b.zarr", units, [1, 0.1, 4], [1, 2, 0.5])
    assert pixel_sizes(path) == pytest.approx({"x": 2, "y": 200})
    for name, units in (("c", [None] * 3), ("d", ["parsec", "smoot", "micrometer"])):
        assert pixel_sizes(save_zarr(tmp_path / f"{name}.zarr", units, [1] * 3)) == {}
    (tmp_path / "a.zarr" / ".zattrs").write_text("{")
    assert pixel_sizes(tmp_path / "a.zarr") == {}


def test_what_is_not_known(tmp_path: Path) -> None:
    for path in (
        save(tmp_path / "a.tif"),
        save(tmp_path / "b.tif", imagej=True, resolution=(2, 2)),
        save(tmp_path / "c.tif", resolution=(2, 2), resolutionunit="NONE"),
        save(tmp_path / "d.tif", resolution=(0, 0), resolutionunit="INCH"),
        save(tmp_path / "e.ome.tif", metadata={"PhysicalSizeX": 0.5}),
        tmp_path / "gone.tif",
        tmp_path / "a.png",
        tmp_path / "gone.zarr",
    ):
        assert pixels_per_centimetre(path) is None, path
    broken = save(tmp_path / "f.tif", resolution=(2, 2), resolutionunit="INCH")
    for length in range(0, broken.stat().st_size, 16):
        (tmp_path / "g.tif").write_bytes(broken.read_bytes()[:length])
        pixels_per_centimetre(tmp_path / "g.tif")  # raises nothing


@settings(max_examples=20, deadline=None)
@given(x=st.floats(1e-3, 1e5), y=st.floats(1e-3, 1e5))
def test_it_comes_back(
    tmp_path_factory: pytest.TempPathFactory, x: float, y: float
) -> None:
    path = tmp_path_factory.mktemp("size") / "a.tif"
    save(path, resolution=(x, y), resolutionunit="CENTIMETER")
    assert pixels_per_centimetre(path) == pytest.approx((x, y), rel=1e-3)


@pytest.mark.parametrize("is_known", [True, False])
def test_a_label_image_has_pixels_as_large(tmp_path: Path, is_known: bool) -> None:
    how: Any = {"imagej": True, "metadata": {"unit": "micron"}, "resolution": (2, 4)}
    source = save(tmp_path / "cells.tif", **(how if is_known else {}))
    with Project.create(tmp_path / "p") as project:
        pixels = np.zeros(SHAPE, np.uint8)
        image = project.add_image(pixels, "cells", source=str(source))
        project.commit(image.id, np.ones(SHAPE, bool))
        export_project(project, "labels", tmp_path / "out")
    (written,) = (tmp_path / "out").glob("*.tif")
    expected = pytest.approx((2e4, 4e4)) if is_known else None
    assert pixels_per_centimetre(written) == expected


def test_planes_are_so_far_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    stack: Any = np.zeros((5, *SHAPE), np.uint8)
    how: Any = {"metadata": {"unit": "mm", "spacing": 3.0, "axes": "ZYX"}}
    tifffile.imwrite(path, stack, imagej=True, resolution=(2, 4), **how)
    assert pixel_sizes(path) == pytest.approx({"x": 500, "y": 250, "z": 3000})
    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "PhysicalSizeZ": 2}
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, stack, metadata=sizes | {"axes": "ZYX"})
    assert pixel_sizes(path) == pytest.approx({"x": 0.5, "y": 0.25, "z": 2})


def test_dots_for_a_printer_are_no_size(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", resolution=(72, 72), resolutionunit="INCH")
    assert pixel_sizes(path) == {}
    assert pixels_per_centimetre(path) is not None
    path = save(tmp_path / "b.tif", resolution=(72, 72), resolutionunit="CENTIMETER")
    assert pixel_sizes(path) == pytest.approx({"x": 1e4 / 72, "y": 1e4 / 72})
    assert pixel_sizes(save(tmp_path / "c.tif")) == {}
    assert pixel_sizes(tmp_path / "gone.tif") == {}
