from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_infosam.project import Project
from napari_infosam.project.formats.export import export_project
from napari_infosam.project.formats.pixel_size import (
    pixel_size,
    pixels_per_centimetre,
)

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


def test_what_is_not_known(tmp_path: Path) -> None:
    for path in (
        save(tmp_path / "a.tif"),
        save(tmp_path / "b.tif", imagej=True, resolution=(2, 2)),
        save(tmp_path / "c.tif", resolution=(2, 2), resolutionunit="NONE"),
        save(tmp_path / "d.tif", resolution=(0, 0), resolutionunit="INCH"),
        save(tmp_path / "e.ome.tif", metadata={"PhysicalSizeX": 0.5}),
        tmp_path / "gone.tif",
        tmp_path / "a.png",
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
    assert pixel_size(path) == pytest.approx({"x": 500, "y": 250, "z": 3000})
    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "PhysicalSizeZ": 2}
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, stack, metadata=sizes | {"axes": "ZYX"})
    assert pixel_size(path) == pytest.approx({"x": 0.5, "y": 0.25, "z": 2})


def test_dots_for_a_printer_are_no_size(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", resolution=(72, 72), resolutionunit="INCH")
    assert pixel_size(path) == {}
    assert pixels_per_centimetre(path) is not None
    path = save(tmp_path / "b.tif", resolution=(72, 72), resolutionunit="CENTIMETER")
    assert pixel_size(path) == pytest.approx({"x": 1e4 / 72, "y": 1e4 / 72})
    assert pixel_size(save(tmp_path / "c.tif")) == {}
    assert pixel_size(tmp_path / "gone.tif") == {}
