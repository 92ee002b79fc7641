from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_infosam.core.huge_image import HugeImage
from napari_infosam.project import Project
from napari_infosam.project.formats import ome_zarr
from napari_infosam.project.formats.export import export_project
from napari_infosam.project.formats.import_files import import_files

from .helpers import (
    SHAPE,
    content,
    corners,
    import_draft,
    one_pixel,
    origin,
    picture,
    ring,
)

if TYPE_CHECKING:
    from napari_infosam.core.masks import BoolArray
    from napari_infosam.project.formats.items import Item

SMALL = (6, 5)

Described = tuple["BoolArray", dict[str, Any]]


def add_slice(
    project: Project,
    position: tuple[int, ...],
    *objects: Described,
    source: Path | str | None = "/data/stack.tif",
    **how: Any,
) -> None:
    """Annotate a slice of a stack as the window does."""
    place = ", ".join(map(str, position))
    pixels = how.get("pixels", picture(sum(position)))
    name = f"{how.get('name', 'stack')} [{place}]"
    image = project.add_image(pixels, name, source=source and str(source))
    described = [(mask, origin(**more)) for mask, more in objects]
    for _, one in described:
        project.add_class(one.class_name)
    project.commit_each(image.id, described)


def export(project: Project, folder: Path) -> Path:
    return export_project(project, "ome-zarr", folder).path


def axes_of(group: zarr.Group) -> str:
    return "".join(axis["name"] for axis in group.attrs["multiscales"][0]["axes"])


def by_number(project: Project) -> dict[str, list[Item]]:
    """Return what a project holds, whatever came first."""
    return {
        digest: sorted(items, key=lambda item: item.instance_id or 0)
        for digest, items in content(project).items()
    }


def names(project: Project) -> set[str]:
    return {image.name for image in project.images()}


@pytest.mark.parametrize("colours", [(), (3,), (1,)])
def test_slices_become_one_store_and_come_back(
    other: Project, tmp_path: Path, colours: tuple[int, ...]
) -> None:
    shape = (*SHAPE, *colours)
    followed = {"instance_id": 7, "class_name": "cell"}
    with Project.create(tmp_path / "cells") as project:
        add_slice(
            project,
            (4,),
            (ring(), followed | {"score": 0.25, "model_version": "v002"}),
            (one_pixel(), {"instance_id": 2}),
            pixels=picture(4, shape),
        )
        add_slice(
            project,
            (1,),
            (corners(), followed | {"score": 0.75}),
            # another thing, which has got the number of the other by chance
            (one_pixel(), {"instance_id": 2, "class_name": "nucleus"}),
            pixels=picture(1, shape),
        )
        seen: list[float] = []
        report = export_project(
            project,
            "ome-zarr",
            tmp_path / "out",
            on_progress=lambda done, _: seen.append(done),
        )
        before = by_number(project)
    assert seen == [1, 2]
    assert report.notes == ("stack: slices without objects have no pixels there",)
    (store,) = report.path.glob("*.zarr")
    assert store.name == "stack.ome.zarr"
    root = zarr.open_group(store, mode="r")
    assert axes_of(root) == ("czyx" if colours else "zyx")
    assert root["0"].shape == (*colours, 5, *SHAPE)
    assert root["0"].chunks == (*(1 for _ in colours), 1, *SHAPE)
    pixels = root["0"][...]
    expected = picture(4, shape)
    np.testing.assert_array_equal(
        np.moveaxis(pixels[:, 4], 0, -1) if colours else pixels[4], expected
    )
    labels = root["labels/objects"]
    assert axes_of(labels) == "zyx"
    assert labels["0"].chunks == (1, *SHAPE)
    values = labels["0"][...]
    assert not values[[0, 2, 3]].any()
    np.testing.assert_array_equal(values[4] == 7, ring() & ~one_pixel())
    np.testing.assert_array_equal(values[1] == 7, corners())
    np.testing.assert_array_equal(values[1] == 2, one_pixel())
    np.testing.assert_array_equal(values[4] == 8, one_pixel())
    about = labels.attrs["image-label"]["properties"]
    assert {one["label-value"]: one["class"] for one in about} == {
        7: "cell",
        2: "nucleus",
        8: "object",
    }
    # slices without an object take no space
    chunks = (store / "labels" / "objects" / "0").glob("[0-9]*")
    assert {path.name for path in chunks} == {"1", "4"}
    draft = ome_zarr.read(report.path)
    assert (draft.skipped, import_draft(other, draft)) == ([], (2, 4))
    assert by_number(other) == before
    assert names(other) == {"stack [4]", "stack [1]"}
    assert import_draft(other, ome_zarr.read(report.path)) == (2, 0)
    # what was imported is exported as the same store
    (again,) = export(other, tmp_path / "again").glob("*.zarr")
    copied = zarr.open_group(again, mode="r")
    np.testing.assert_array_equal(copied["labels/objects/0"][...], values)
    np.testing.assert_array_equal(copied["0"][...], pixels)


@st.composite
def stacks(draw: st.DrawFn) -> dict[tuple[int, ...], list[Described]]:
    """Draw the slices of a stack, in which no object lies on another."""
    n_axes = draw(st.integers(1, 2))
    positions = st.tuples(*[st.integers(0, 3)] * n_axes)
    numbers = st.lists(st.integers(1, 70_000), min_size=3, max_size=3, unique=True)
    ids = draw(numbers)
    slices = {}
    for position in draw(st.sets(positions, min_size=1, max_size=4)):
        labels = draw(arrays(np.uint8, SMALL, elements=st.integers(0, 3)))
        slices[position] = [
            (
                labels == value,
                {
                    "instance_id": number,
                    "class_name": draw(st.sampled_from(["cell", "nucleus"])),
                    "score": draw(st.none() | st.floats(0, 1)),
                    "reviewed": draw(st.booleans()),
                    "model_version": draw(st.sampled_from(["base", "v003"])),
                },
            )
            for value, number in zip((1, 2, 3), draw(st.permutations(ids)), strict=True)
            if (labels == value).any()
        ]
    return slices


@settings(max_examples=20, deadline=None)
@given(slices=stacks())
def test_any_stack_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    slices: dict[tuple[int, ...], list[Described]],
) -> None:
    folder = tmp_path_factory.mktemp("stack")
    with Project.create(folder / "a") as project:
        for number, (position, objects) in enumerate(slices.items()):
            add_slice(project, position, *objects, pixels=picture(number, SMALL))
        before = by_number(project)
        if not before:
            return
        report = export_project(project, "ome-zarr", folder / "out", unreviewed=True)
        kept = {image.name for image in project.images() if project.objects(image.id)}
    assert len(list(report.path.glob("*.zarr"))) == 1
    with Project.create(folder / "b") as again:
        import_draft(again, ome_zarr.read(report.path))
        assert by_number(again) == before
        assert names(again) == kept


@pytest.mark.parametrize(
    ("axes", "position", "expected"),
    [
        ("ZYX", (2,), ["zyx"]),
        ("TYX", (2,), ["tyx"]),
        ("QYX", (2,), ["zyx"]),
        ("TZYX", (0, 1), ["tzyx"]),
        # not in the order that the format asks for
        ("ZTYX", (0, 1), ["yx"]),
        ("QTZYX", (0, 1, 1), ["yx"]),
    ],
)
def test_axes_are_those_of_the_file(
    other: Project,
    tmp_path: Path,
    axes: str,
    position: tuple[int, ...],
    expected: list[str],
) -> None:
    sizes = {"Z": 3, "T": 4, "Q": 5}
    source = tmp_path / "stack.ome.tif"
    pixels = np.zeros([*(sizes[axis] for axis in axes[:-2]), *SHAPE], np.uint8)
    path = source if "Q" not in axes else tmp_path / "stack.tif"
    tifffile.imwrite(path, pixels, metadata={"axes": axes}, photometric="minisblack")
    add_slice(other, position, (ring(), {}), source=path)
    before = content(other)
    out = export(other, tmp_path / "out")
    stores = [zarr.open_group(store, mode="r") for store in out.glob("*.zarr")]
    assert [axes_of(store["labels/objects"]) for store in stores] == expected
    assert [axes_of(store) for store in stores] == expected
    with Project.create(tmp_path / "again") as again:
        import_draft(again, ome_zarr.read(out))
        assert content(again) == before
        assert names(again) == names(other)


def test_what_is_called_as_slices_are(other: Project, tmp_path: Path) -> None:
    """Files of such names, napari's layers of equal names, and dates."""
    add_slice(other, (1,), (ring(), {}), source="/data/stack [1].png")
    add_slice(other, (20240131,), (ring(), {}), name="plate", pixels=picture(9))
    other.commit(other.add_image(picture(7), "layer").id, ring())
    add_slice(other, (1,), (ring(), {}), name="layer", source=None, pixels=picture(8))
    out = export(other, tmp_path / "out")
    stores = {path.name: zarr.open_group(path, mode="r") for path in out.glob("*.zarr")}
    assert stores.keys() == {
        "stack [1].ome.zarr",
        "plate [20240131].ome.zarr",
        "layer.ome.zarr",
        "layer [1].ome.zarr",
    }
    assert {axes_of(store) for store in stores.values()} == {"yx"}
    with Project.create(tmp_path / "again") as again:
        import_draft(again, ome_zarr.read(out))
        assert names(again) == names(other)
        # nor is one that came from a store of such a name
        once_more = export(again, tmp_path / "once more")
        assert {path.name for path in once_more.glob("*.zarr")} == stores.keys()


def test_slices_of_other_sizes_keep_apart(other: Project, tmp_path: Path) -> None:
    add_slice(other, (0,), (ring(), {}))
    add_slice(other, (1,), (ring(), {}), pixels=picture(1).astype(np.uint16))
    small = picture(2, (9, 9))
    add_slice(other, (2,), (small > 100, {}), pixels=small)
    before = content(other)
    out = export(other, tmp_path / "out")
    assert len(list(out.glob("*.zarr"))) == 3
    with Project.create(tmp_path / "again") as again:
        import_draft(again, ome_zarr.read(out))
        assert content(again) == before


def scales(group: zarr.Group) -> tuple[list[str | None], list[list[float]]]:
    (about,) = group.attrs["multiscales"]
    return [axis.get("unit") for axis in about["axes"]], [
        level["coordinateTransformations"][0]["scale"] for level in about["datasets"]
    ]


def test_pixels_are_as_large_as_those_of_the_file(
    other: Project, tmp_path: Path
) -> None:
    source = tmp_path / "stack.tif"
    how: Any = {
        "imagej": True,
        "resolution": (4, 2),
        "metadata": {"unit": "micron", "spacing": 1.5, "axes": "ZYX"},
    }
    tifffile.imwrite(source, np.zeros((3, 1100, 20), np.uint8), **how)
    mask = np.eye(1100, 20, dtype=bool)
    add_slice(other, (1,), (mask, {}), source=source, pixels=picture(1, (1100, 20)))
    rgb = picture(2, (1100, 20, 3))
    add_slice(other, (2,), (mask, {}), source=source, pixels=rgb, name="colour")
    out = export(other, tmp_path / "out")
    stack = zarr.open_group(out / "stack.ome.zarr", mode="r")
    units = ["micrometer"] * 3
    expected = (units, [[1.5, 0.5, 0.25], [1.5, 1.0, 0.5]])
    assert scales(stack) == scales(stack["labels/objects"]) == expected
    colour = zarr.open_group(out / "colour.ome.zarr", mode="r")
    levels = [[1.0, *scale] for scale in expected[1]]
    assert scales(colour) == ([None, *units], levels)
    # the store says it in its turn
    with Project.create(tmp_path / "again") as again:
        import_draft(again, ome_zarr.read(out / "stack.ome.zarr"))
        export(again, tmp_path / "again out")
        masks = export_project(again, "labels", tmp_path / "masks").path
    once_more = tmp_path / "again out" / "stack.ome.zarr"
    assert scales(zarr.open_group(once_more, mode="r")) == expected
    with tifffile.TiffFile(masks / "stack.tif") as file:
        assert file.pages[0].tags["XResolution"].value == (40_000, 1)


def test_pixels_of_an_unknown_size_have_no_unit(other: Project, tmp_path: Path) -> None:
    add_slice(other, (1,), (ring(), {}))
    out = export(other, tmp_path / "out")
    stack = zarr.open_group(out / "stack.ome.zarr", mode="r")
    for group in (stack, stack["labels/objects"]):
        assert scales(group) == ([None] * 3, [[1.0, 1.0, 1.0]])


def test_a_stack_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    side, n = 600, 40
    with Project.create(tmp_path / "deep") as project:
        for z in range(n):
            pixels = np.full((side, side), z, np.uint16)
            add_slice(project, (z,), (np.eye(side, dtype=bool), {}), pixels=pixels)
        tracemalloc.start()
        out = export(project, tmp_path / "out")
        written = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        with Project.create(tmp_path / "again") as again:
            report = import_files(again, "ome-zarr", out)
        read = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (report.n_images, report.n_objects) == (n, n)
    assert max(written, read) < side * side * 2 * n / 3


@pytest.mark.parametrize("chunks", [(20, 5, 8), (7, 20, 30)])
def test_planes_of_one_chunk_are_decoded_together(
    other: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    chunks: tuple[int, ...],
) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (1, 20, *SHAPE), np.uint8)
    labels = rng.integers(0, 4, (20, *SHAPE), np.uint8)
    labels[3] = 0
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    parent = root.create_group("labels")
    parent.attrs["labels"] = ["cells"]
    for group, array, axes in (
        (root, pixels, "czyx"),
        (parent.create_group("cells"), labels, "zyx"),
    ):
        shape = (1, *chunks)[-array.ndim :]
        group.create_array("0", data=array, chunks=shape)
        group.attrs["multiscales"] = [
            {"axes": [{"name": a} for a in axes], "datasets": [{"path": "0"}]}
        ]
    n_read = 0
    read = zarr.Array.__getitem__

    def counting(array: Any, key: Any) -> Any:
        nonlocal n_read
        n_read += 1
        return read(array, key)

    monkeypatch.setattr(zarr.Array, "__getitem__", counting)
    seen: list[float] = []
    draft = ome_zarr.read(tmp_path / "a.zarr", tell=seen.append)
    assert n_read == 2 * -(-20 // chunks[0])
    assert seen == sorted(seen)
    assert import_draft(other, draft) == (19, 57)
    for image in other.images():
        z = int(image.name.removeprefix("a [").removesuffix("]"))
        np.testing.assert_array_equal(other.read_image(image.id), pixels[0, z])
        np.testing.assert_array_equal(other.label_image(image.id), labels[z])


def test_axes_in_any_order(other: Project, tmp_path: Path) -> None:
    """No program should write them so, but it can be told what they are."""
    pixels, labels = picture(0, (*SHAPE, 4)), np.zeros((30, 4, 20), np.uint8)
    labels[5:9, 2, 3:5] = 6
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    parent = root.create_group("labels")
    parent.attrs["labels"] = ["cells"]
    for group, array, axes in (
        (root, pixels, "yxz"),
        (parent.create_group("cells"), labels, "xzy"),
    ):
        group.create_array("0", data=array)
        group.attrs["multiscales"] = [{"axes": [*axes], "datasets": [{"path": "0"}]}]
    assert import_draft(other, ome_zarr.read(tmp_path / "a.zarr")) == (1, 1)
    (image,) = other.images()
    assert image.name == "a [2]"
    np.testing.assert_array_equal(other.read_image(image.id), pixels[..., 2])
    np.testing.assert_array_equal(other.label_image(image.id), labels[:, 2].T)


def test_huge_slices_have_labels_alone(other: Project, tmp_path: Path) -> None:
    side = 6000
    path = tmp_path / "slide.zarr"
    array = zarr.create_array(
        path, shape=(4, side, side), chunks=(1, 1024, 1024), dtype=np.uint8
    )
    array[1, 10:30, 40:60] = 9
    array[3, 5000:5020, 40:60] = 8
    squares = {(3,): (5000, 40), (1,): (10, 40)}
    for position, (row, column) in squares.items():
        mask = np.zeros((side, side), bool)
        mask[row : row + 20, column : column + 20] = True
        pixels = HugeImage([array], index=position, path=str(path))
        add_slice(other, position, (mask, {}), pixels=pixels, source=path, name="slide")
    report = export_project(other, "ome-zarr", tmp_path / "out")
    (note,) = report.notes
    assert note.startswith("slide: its pixels are too many")
    (store,) = report.path.glob("*.zarr")
    labels = zarr.open_group(store / "labels" / "objects", mode="r")
    assert axes_of(labels) == "zyx"
    assert [labels[str(level)].shape for level in range(4)] == [
        (4, 6000, 6000),
        (4, 3000, 3000),
        (4, 1500, 1500),
        (4, 750, 750),
    ]
    assert labels["0"][3, 5000:5020, 40:60].all()
    assert labels["3"][...].sum() > 0
    # known by their names
    assert import_files(other, "ome-zarr", store).n_known == 2
    # or found in the file
    with Project.create(tmp_path / "again") as again:
        found = import_files(again, "ome-zarr", store)
        assert (found.n_images, found.n_objects, found.skipped) == (2, 2, ())
        assert content(again) == content(other)
        assert names(again) == {"slide [1]", "slide [3]"}
    path.rename(tmp_path / "moved.zarr")
    with Project.create(tmp_path / "third") as third:
        draft = ome_zarr.read(store)
        assert draft.images == []
        assert len(draft.skipped) == 2
        assert third.images() == []
