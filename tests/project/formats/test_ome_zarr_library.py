"""Our stores are read by ome-zarr, the library of the format, and its stores by us."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from ome_zarr.format import Format, FormatV04, FormatV05
from ome_zarr.io import parse_url
from ome_zarr.reader import Node, Reader
from ome_zarr.writer import write_image, write_labels
from ome_zarr_models.v04 import Image, ImageLabel

from napari_infosam.project import Project
from napari_infosam.project.formats import ome_zarr
from napari_infosam.project.formats.export import export_project

from .helpers import SHAPE, import_draft, make_project, one_pixel, picture, ring
from .test_ome_zarr_stacks import add_slice

FORMATS = [FormatV04(), FormatV05()]
SCALE = {"z": 2.0, "y": 0.5, "x": 0.25}


def nodes(path: Path) -> dict[str, Node]:
    """Return what the library finds in a store, by the ends of the paths."""
    location = parse_url(path, fmt=FormatV04())
    assert location is not None
    found = {}
    for node in Reader(location)():
        inside = Path(node.zarr.path).relative_to(path.resolve())
        found[inside.as_posix()] = node
    return found


def valid(store: Path) -> None:
    """Ask the models of the specification."""
    root = zarr.open_group(store, mode="r")
    Image.from_zarr(root)
    ImageLabel.from_zarr(root["labels/objects"])


def test_the_library_reads_our_pictures(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with make_project(tmp_path / "cells", overlaps=False) as project:
        out = export_project(project, "ome-zarr", tmp_path / "out").path
        masks = [o.mask() for o in project.objects(1)]
        ids = [o.instance_id for o in project.objects(1)]
        (colour,) = (i for i in project.images() if i.axes == "YXC")
        pixels = project.read_image(colour.id)
    with caplog.at_level(logging.WARNING):
        found = nodes(out / "grey.ome.zarr")
        of_colour = nodes(out / "colour.v2.ome.zarr")
    assert caplog.messages == []
    valid(out / "grey.ome.zarr")
    valid(out / "colour.v2.ome.zarr")
    assert found.keys() == {".", "labels", "labels/objects"}
    np.testing.assert_array_equal(found["."].data[0], picture(0))
    node = found["labels/objects"]
    assert [axis["name"] for axis in node.metadata["axes"]] == ["y", "x"]
    labels = np.asarray(node.data[0])
    properties = node.metadata["properties"]
    assert list(properties) == ids
    for mask, number in zip(masks, ids, strict=True):
        np.testing.assert_array_equal(labels == number, mask)
        assert properties[number]["instance_id"] == number
    assert {one["class"] for one in properties.values()} == {"object", "Kern: groß, 2"}
    assert node.metadata["color"] == {}
    image = of_colour["."]
    np.testing.assert_array_equal(np.moveaxis(image.data[0], 0, -1), pixels)
    assert image.metadata["channel_names"] == ["red", "green", "blue"]
    assert [axis["type"] for axis in image.metadata["axes"]] == [
        "channel",
        "space",
        "space",
    ]


@pytest.mark.parametrize("colours", [(), (3,)])
def test_the_library_reads_our_stacks(
    other: Project, tmp_path: Path, colours: tuple[int, ...]
) -> None:
    source = tmp_path / "stack.ome.tif"
    sizes = {f"PhysicalSize{axis.upper()}": size for axis, size in SCALE.items()}
    tifffile.imwrite(
        source, np.zeros((4, *SHAPE), np.uint8), metadata={"axes": "ZYX"} | sizes
    )
    for z, mask in ((1, ring()), (3, one_pixel())):
        what = {"instance_id": 4, "class_name": "cell", "score": z / 4}
        pixels = picture(z, (*SHAPE, *colours))
        add_slice(other, (z,), (mask, what), source=source, pixels=pixels)
    out = export_project(other, "ome-zarr", tmp_path / "out").path
    valid(out / "stack.ome.zarr")
    found = nodes(out / "stack.ome.zarr")
    image, labels = found["."], found["labels/objects"]
    expected = np.zeros((4, *SHAPE), int)
    expected[1][ring()], expected[3][one_pixel()] = 4, 4
    np.testing.assert_array_equal(labels.data[0], expected)
    assert labels.metadata["axes"] == [
        {"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"
    ]
    for node in (image, labels):
        ((scale,),) = node.metadata["coordinateTransformations"]
        assert scale == {
            "type": "scale",
            "scale": [1.0] * (node.data[0].ndim - 3) + list(SCALE.values()),
        }
    (known,) = labels.metadata["properties"].values()
    assert known["class"] == "cell"
    assert {key: one["score"] for key, one in known["slices"].items()} == {
        "1": 0.25,
        "3": 0.75,
    }


def write(
    path: Path, pixels: np.ndarray, labels: np.ndarray, axes: str, fmt: Format
) -> Path:
    """Write a store as the library does, with a pyramid."""
    root = zarr.open_group(path, mode="w", zarr_format=fmt.zarr_format)
    known: dict[str, Any] = {
        "fmt": fmt,
        "scale_factors": (2, 4),
        "scale": {axis: SCALE.get(axis, 1.0) for axis in axes},
        "axes_units": {axis: "micrometer" for axis in axes if axis in SCALE},
    }
    write_image(pixels, root, axes=axes, **known)
    write_labels(
        labels,
        root,
        name="cells",
        axes=axes,
        scaler=None,
        label_metadata={
            "colors": [
                {"label-value": 1, "rgba": [1, 2, 3, 255]},
                {"label-value": 2, "rgba": [4, 5, 6, 255]},
                {"label-value": 3, "rgba": [7, 8, 9, 255]},
            ],
            "properties": [
                {"label-value": 1, "class": "nucleus", "area": 12},
                {"label-value": 2, "class": "cell"},
                {"label-value": 3, "class": "cell"},
            ],
        },
        **known,
    )
    return path


def check(
    project: Project,
    pixels: np.ndarray,
    labels: np.ndarray,
    place: Callable[[str], Any],
) -> None:
    """Compare a project with what was written, at the places the names say."""
    classes = {1: "nucleus", 2: "cell", 3: "cell", 300: "object"}
    n_objects = 0
    for image in project.images():
        at = place(image.name)
        np.testing.assert_array_equal(project.read_image(image.id), pixels[at])
        np.testing.assert_array_equal(project.label_image(image.id), labels[at])
        for record in project.objects(image.id):
            assert record.class_name == classes[record.instance_id]
            n_objects += 1
    found = labels.reshape(-1, *labels.shape[-2:])
    assert n_objects == sum(np.unique(plane[plane > 0]).size for plane in found)


def test_colours_of_classes_that_have_one(other: Project, tmp_path: Path) -> None:
    labels = np.zeros(SHAPE, np.uint16)
    labels[3, 4], labels[5, 6:9], labels[8, 8], labels[9, 9:] = 1, 2, 3, 300
    path = write(tmp_path / "a.zarr", picture(), labels, "yx", FormatV04())
    assert import_draft(other, ome_zarr.read(path)) == (1, 4)
    check(other, picture(), labels, lambda _: ())
    colours = {record.name: record.color for record in other.classes()}
    assert colours["nucleus"] == "#010203"
    assert colours["cell"] not in ("#040506", "#070809")


def position_of(name: str) -> tuple[int, ...]:
    return tuple(map(int, name.removeprefix("a [").removesuffix("]").split(", ")))


@settings(max_examples=20, deadline=None)
@given(
    shape=st.sampled_from(["yx", "zyx", "tyx", "tzyx"]),
    fmt=st.sampled_from(FORMATS),
    data=st.data(),
)
def test_we_read_its_stores(
    tmp_path_factory: pytest.TempPathFactory,
    shape: str,
    fmt: Format,
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("library")
    sizes = {"t": 2, "z": 3, "y": 13, "x": 9}
    full = tuple(sizes[axis] for axis in shape)
    values = st.sampled_from([0, 1, 2, 3, 300])
    labels = data.draw(arrays(np.uint16, full, elements=values))
    pixels = np.random.default_rng(0).integers(0, 255, full, np.uint8)
    path = write(folder / "a.zarr", pixels, labels, shape, fmt)
    draft = ome_zarr.read(path)
    if not labels.any():
        assert draft.skipped == ["a.zarr: it has no labels"]
        return
    with Project.create(folder / "p") as project:
        import_draft(project, draft)
        check(project, pixels, labels, position_of if len(full) > 2 else lambda _: ())


def test_we_read_its_five_axes(other: Project, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (1, 3, 4, *SHAPE), np.uint8)
    labels = np.zeros((1, 1, 4, *SHAPE), np.uint16)
    labels[0, 0, 2, 3:5, 6:9], labels[0, 0, 0, 1, 1] = 2, 1
    path = write(tmp_path / "a.zarr", pixels, labels, "tczyx", FormatV05())
    assert import_draft(other, ome_zarr.read(path)) == (2, 2)
    assert {image.name for image in other.images()} == {"a [0, 0]", "a [0, 2]"}
    check(
        other,
        np.moveaxis(pixels, 1, -1),
        labels[:, 0],
        lambda name: position_of(name),
    )
    # and it is one stack again, of the axes and sizes that it had
    out = export_project(other, "ome-zarr", tmp_path / "out").path
    node = nodes(out / "a.ome.zarr")["labels/objects"]
    assert "".join(axis["name"] for axis in node.metadata["axes"]) == "tzyx"
    assert [axis.get("unit") for axis in node.metadata["axes"]] == [
        None,
        *["micrometer"] * 3,
    ]
    ((scale,),) = node.metadata["coordinateTransformations"]
    assert scale["scale"] == [1.0, *SCALE.values()]
    np.testing.assert_array_equal(node.data[0], labels[:, 0, :3])
