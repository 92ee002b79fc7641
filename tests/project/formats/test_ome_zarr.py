from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_infosam.core.errors import InfosamError
from napari_infosam.project import Project
from napari_infosam.project.formats import ome_zarr
from napari_infosam.project.formats.export import export_project
from napari_infosam.project.formats.items import Item

from .helpers import (
    CLASSES,
    SHAPE,
    content,
    import_draft,
    make_project,
    origin,
    picture,
    ring,
)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with make_project(tmp_path / "cells", overlaps=False) as made:
        yield made


@pytest.fixture
def out(project: Project, tmp_path: Path) -> Path:
    return export_project(project, "ome-zarr", tmp_path / "out").path


def test_a_project_comes_back(project: Project, other: Project, out: Path) -> None:
    draft = ome_zarr.read(out)
    assert draft.skipped == []
    assert import_draft(other, draft) == (3, 7)
    assert content(other) == content(project)
    ours = {image.content_hash: image for image in project.images()}
    for image in other.images():
        original = ours[image.content_hash]
        assert (image.name, image.shape, image.dtype) == (
            original.name,
            original.shape,
            original.dtype,
        )
    colours = {c.name: c.color for c in other.classes()}
    assert colours == {c.name: c.color for c in project.classes()}
    assert import_draft(other, ome_zarr.read(out)) == (3, 0)
    # one store alone
    assert import_draft(other, ome_zarr.read(out / "grey.ome.zarr")) == (1, 0)


def test_what_the_specification_asks_for(project: Project, out: Path) -> None:
    root = zarr.open_group(out / "colour.v2.ome.zarr", mode="r")
    (multiscale,) = root.attrs["multiscales"]
    assert multiscale["version"] == "0.4"
    assert multiscale["axes"] == [
        {"name": "c", "type": "channel"},
        {"name": "y", "type": "space"},
        {"name": "x", "type": "space"},
    ]
    (dataset,) = multiscale["datasets"]
    (transformation,) = dataset["coordinateTransformations"]
    assert transformation == {"type": "scale", "scale": [1, 1, 1]}
    record = project.images()[2]
    stored = root[dataset["path"]]
    assert stored.metadata.dimension_separator == "/"
    np.testing.assert_array_equal(
        np.moveaxis(stored[...], 0, -1), project.read_image(record.id)
    )
    assert {c["label"]: c["color"] for c in root.attrs["omero"]["channels"]} == {
        "red": "FF0000",
        "green": "00FF00",
        "blue": "0000FF",
    }
    assert root["labels"].attrs["labels"] == ["objects"]
    labels = root["labels/objects"]
    assert labels.attrs["multiscales"][0]["axes"] == multiscale["axes"][1:]
    about = labels.attrs["image-label"]
    assert about["source"] == {"image": "../../"}
    values = labels[labels.attrs["multiscales"][0]["datasets"][0]["path"]][...]
    assert values.dtype == np.uint16
    for ours, seen in zip(project.objects(record.id), about["properties"], strict=True):
        np.testing.assert_array_equal(values == seen["label-value"], ours.mask())
        assert seen["label-value"] == ours.instance_id
        assert seen["class"] == ours.class_name
        assert seen["score"] == ours.score
        assert seen["model_version"] == ours.model_version
    assert root.attrs["infosam"]["classes"] == CLASSES


@settings(max_examples=20)
@given(
    image=st.sampled_from([np.uint8, np.int16, np.float32, np.bool_]).flatmap(
        lambda dtype: arrays(dtype, st.sampled_from([(7, 5), (5, 7, 1), (6, 5, 4)]))
    ),
    data=st.data(),
)
def test_pixels_and_labels_come_back(
    tmp_path_factory: pytest.TempPathFactory, image: np.ndarray, data: st.DataObject
) -> None:
    labels = data.draw(arrays(np.uint8, image.shape[:2], elements=st.integers(0, 3)))
    masks = [labels == value for value in (1, 2, 3) if (labels == value).any()]
    folder = tmp_path_factory.mktemp("zarr")
    with Project.create(folder / "a") as project:
        record = project.add_image(image, "a")
        project.commit_many(record.id, masks)
        if not masks:
            return
        out = export_project(project, "ome-zarr", folder / "out").path
        ((target, items),) = ome_zarr.read(out).images
        assert target.digest == record.content_hash
        pixels = target.read()
        assert pixels.dtype == image.dtype
        np.testing.assert_array_equal(pixels, image)
        assert items == [Item.of_record(o) for o in project.objects()]


def test_large_images_have_levels(other: Project, tmp_path: Path) -> None:
    image = np.arange(2100 * 40, dtype=np.uint32).reshape(2100, 40)
    mask = image % 7 == 0
    other.commit(other.add_image(image, "a").id, mask)
    export_project(other, "ome-zarr", tmp_path / "out")
    root = zarr.open_group(tmp_path / "out" / "a.ome.zarr", mode="r")
    for group, full in ((root, image), (root["labels/objects"], mask)):
        levels = group.attrs["multiscales"][0]["datasets"]
        assert [group[level["path"]].shape for level in levels] == [
            (2100, 40),
            (1050, 20),
            (525, 10),
        ]
        for number, level in enumerate(levels):
            (transformation,) = level["coordinateTransformations"]
            assert transformation["scale"] == [2**number] * 2
            step = 2**number
            np.testing.assert_array_equal(
                group[level["path"]][...], full[::step, ::step]
            )


def test_overlaps_are_noted(tmp_path: Path) -> None:
    with make_project(tmp_path / "cells") as project:
        report = export_project(project, "ome-zarr", tmp_path / "out")
    assert report.notes == ("grey.png: 1 of 4 objects lie under others",)


def test_slices_of_one_picture_keep_apart(other: Project, tmp_path: Path) -> None:
    """Instance ids count anew in every slice; one label image can not repeat them."""
    image = other.add_image(picture(), "a")
    small = np.zeros(SHAPE, bool)
    small[0, 0] = True
    masks = [(ring(), origin(slice_index=(3,))), (small, origin(slice_index=(4,)))]
    other.commit_each(image.id, masks)
    before = content(other)
    out = export_project(other, "ome-zarr", tmp_path / "out").path
    with Project.create(tmp_path / "third") as third:
        assert import_draft(third, ome_zarr.read(out)) == (1, 2)
        assert content(third) == before


def foreign(
    path: Path, image: np.ndarray, axes: Any, labels: np.ndarray | None = None, **v: Any
) -> Path:
    """Write a store as other programs do: version 0.5, or as ``v`` says."""
    root = zarr.open_group(path, mode="w", zarr_format=3)

    def fill(group: Any, pixels: np.ndarray, names: Any, **more: Any) -> None:
        group.create_array("s0", data=pixels)
        scales = {"datasets": [{"path": "s0"}]}
        if names is not None:
            scales["axes"] = names
        group.attrs["ome"] = {"version": "0.5", "multiscales": [scales], **more}

    fill(root, image, axes)
    if labels is not None:
        parent = root.create_group("labels")
        parent.attrs["ome"] = {"labels": ["nuclei"]}
        fill(parent.create_group("nuclei"), labels, v.pop("label_axes", axes), **v)
    return path


FIVE = [{"name": name} for name in "tczyx"]


def test_stores_of_other_programs(other: Project, tmp_path: Path) -> None:
    labels = np.zeros((1, 1, 1, *SHAPE), np.int32)
    labels[..., 3:5, 6:9] = 40
    about = {"image-label": {"properties": [{"label-value": 40, "area": 6}]}}
    image = picture(shape=(1, 1, 1, *SHAPE))
    path = foreign(tmp_path / "b.zarr", image, FIVE, labels, **about)
    assert import_draft(other, ome_zarr.read(path)) == (1, 1)
    (record,) = other.objects()
    np.testing.assert_array_equal(record.mask(), labels[0, 0, 0] > 0)
    assert (record.class_name, record.instance_id) == ("object", 40)
    assert other.images()[0].shape == SHAPE
    # before version 0.3 there were no names of axes
    again = foreign(tmp_path / "c.zarr", image, None, labels)
    assert import_draft(other, ome_zarr.read(again)) == (1, 0)


def test_what_can_not_be_read_is_refused(other: Project, tmp_path: Path) -> None:
    stack = np.zeros((1, 1, 5, *SHAPE), np.uint8)
    plane, yx = stack[0, 0, 0], [{"name": "y"}, {"name": "x"}]
    zyx = [{"name": "z"}, *yx]
    for path, words in (
        (
            foreign(tmp_path / "a.zarr", stack, FIVE, plane, label_axes=yx),
            r"its labels nuclei have the shape \(20, 30\).* image \(1, 5, 20, 30\)",
        ),
        (
            foreign(tmp_path / "f.zarr", plane, yx, stack[0, 0], label_axes=zyx),
            r"its labels nuclei have the shape \(5, 20, 30\)",
        ),
        (
            foreign(
                tmp_path / "g.zarr",
                plane,
                yx,
                stack[0, 0, :3],
                label_axes=[{"name": "c"}, *yx],
            ),
            r"its labels nuclei have the shape \(3, 20, 30\)",
        ),
        (foreign(tmp_path / "b.zarr", plane, FIVE), "it names 5 axes for 2 dimensions"),
        (
            foreign(tmp_path / "c.zarr", plane, yx, plane[:9]),
            r"its labels nuclei have the shape \(9, 30\)",
        ),
        (foreign(tmp_path / "d.zarr", plane, [{}, {}]), "no readable OME-Zarr"),
    ):
        with pytest.raises(InfosamError, match=f"{path.name} can not be imp.*{words}"):
            ome_zarr.read(path)
    zarr.open_group(tmp_path / "e.zarr", mode="w")
    with pytest.raises(InfosamError, match=r"e\.zarr .* it is no readable OME-Zarr"):
        ome_zarr.read(tmp_path / "e.zarr")
    (tmp_path / "d.zarr" / "zarr.json").write_text("{")
    with pytest.raises(InfosamError, match=r"d\.zarr .* it is no readable OME-Zarr"):
        ome_zarr.read(tmp_path / "d.zarr")
    (tmp_path / "empty").mkdir()
    for name in ("empty", "gone"):
        with pytest.raises(InfosamError, match="There is no OME-Zarr image in"):
            ome_zarr.read(tmp_path / name)


def test_a_store_without_labels_is_named(out: Path, tmp_path: Path) -> None:
    foreign(out / "a.zarr", picture(), [{"name": "y"}, {"name": "x"}])
    draft = ome_zarr.read(out)
    assert draft.skipped == ["a.zarr: it has no labels"]
    assert len(draft.images) == 3


def test_broken_pixels_are_refused(out: Path) -> None:
    chunk = out / "grey.ome.zarr" / "0" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:9])
    with pytest.raises(InfosamError, match=r"grey\.ome\.zarr can not be imported"):
        ome_zarr.read(out)
