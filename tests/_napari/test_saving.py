"""File > Save of the objects layer, as napari does it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from napari.layers import Labels

from napari_infosam._napari import layers
from napari_infosam._napari.huge_picture import WindowedPicture
from napari_infosam._napari.saved_picture import KEPT_IN
from napari_infosam._napari.writers import write_coco, write_geojson
from napari_infosam.core.huge_image import HugeImage
from napari_infosam.core.placed import Place, PlacedMask
from napari_infosam.project import Project
from napari_infosam.project.formats import coco, geojson
from napari_infosam.project.formats.importing import write_draft
from napari_infosam.project.formats.targets import Images

from .helpers import DISCS, disc, picture

if TYPE_CHECKING:
    from .window import Window

NAME = "napari-infosam"
NUCLEUS = "#010203"


def save(window: Window, path: Path) -> Any:
    """Save the objects layer as File > Save does; return what is in the file."""
    shown = window.viewer.layers
    shown.selection.active = shown[layers.OBJECTS]
    assert shown.save(str(path), selected=True, plugin=NAME) == [str(path)]
    return json.loads(path.read_text())


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """Return a stack of three slices in a file."""
    path = tmp_path / "stack.tif"
    pixels = np.stack([picture(210 + z) for z in range(3)])
    tifffile.imwrite(path, pixels, metadata={"axes": "ZYX"}, photometric="minisblack")
    return path


@pytest.fixture
def project(tmp_path: Path, stack: Path) -> Project:
    """Return a project of a picture with nested objects, and two slices of a stack."""
    with Project.create(tmp_path / "cells") as made:
        made.add_class("nucleus")
        made.set_class_color("nucleus", NUCLEUS)
        discs = made.add_image(picture(), "discs")
        whole = disc(0) | disc(1)
        made.commit(discs.id, whole)
        made.commit(discs.id, disc(1), class_name="nucleus", score=0.5)
        for z in (2, 0):
            pixels = picture(210 + z)
            image = made.add_image(pixels, f"stack [{z}]", source=str(stack))
            made.commit(image.id, disc(z), class_name="nucleus")
        made.commit(image.id, disc(1))
    return made


def layer_of(project: Project, image_id: int, name: str = layers.OBJECTS) -> Labels:
    """Return the layer that the window has of a picture."""
    with Project.open(project.path, lock=False) as reader:
        labels = reader.label_image(image_id).astype(np.uint16)
    place = (str(project.path), image_id)
    return Labels(labels, name=name, metadata={KEPT_IN: place})


def written(
    write: Callable[..., list[str]], path: Path, layer: Labels
) -> dict[str, Any]:
    data, meta, _ = layer.as_layer_data_tuple()
    write(str(path), data, meta)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_classes_colours_and_overlaps_are_saved(window: Window, tmp_path: Path) -> None:
    session = window.session
    window.accept_at(DISCS[0])
    session.desk.add_class("nucleus")
    session.desk.set_class_color("nucleus", NUCLEUS)
    session.objects.class_name = "nucleus"
    window.accept_at(DISCS[1])
    assert session.desk.project is not None
    # the window draws no object around another; a program may
    below = session.desk.project.commit(1, disc(1) | disc(2), class_name="object")
    session.objects.look_again()
    window.wait(lambda: window.shown_objects() == {1, 2, 3})

    features = save(window, tmp_path / "a.geojson")["features"]
    said = [feature["properties"]["classification"] for feature in features]
    assert [one["name"] for one in said] == ["object", "nucleus", "object"]
    assert said[1]["color"] == [1, 2, 3]

    document = save(window, tmp_path / "a.json")
    names = {one["id"]: one["name"] for one in document["categories"]}
    classes = [names[one["category_id"]] for one in document["annotations"]]
    assert classes == ["object", "nucleus", "object"]
    assert {one["name"]: one["color"] for one in document["categories"]}[
        "nucleus"
    ] == NUCLEUS
    areas = [one["area"] for one in document["annotations"]]
    assert (
        areas[2]
        == below.area
        > np.count_nonzero(window.layer(layers.OBJECTS).data == 3)
    )


def test_all_slices_are_saved(project: Project, tmp_path: Path) -> None:
    layer = layer_of(project, 2)
    document = written(write_coco, tmp_path / "a.json", layer)
    names = [image["file_name"] for image in document["images"]]
    assert names == ["stack [0]", "stack [2]"]
    assert len(document["annotations"]) == 3

    content = written(write_geojson, tmp_path / "stack.geojson", layer)
    assert content["infosam"]["name"] == "stack"
    planes = [f["geometry"]["plane"]["z"] for f in content["features"]]
    assert planes == [0, 0, 2]
    classes = [f["properties"]["classification"]["name"] for f in content["features"]]
    assert classes == ["nucleus", "object", "nucleus"]


@pytest.mark.parametrize("image_id", [1, 2])
@pytest.mark.parametrize("is_there", [False, True])
def test_what_was_saved_comes_back(
    project: Project, stack: Path, tmp_path: Path, image_id: int, is_there: bool
) -> None:
    """Into the project itself nothing, and into an empty one all of it."""
    layer = layer_of(project, image_id)
    written(write_coco, tmp_path / "a.json", layer)
    written(write_geojson, tmp_path / "a.geojson", layer)
    if is_there:
        with Project.open(project.path) as again:
            images = Images(again, None)
            for read, name in ((coco.read, "a.json"), (geojson.read, "a.geojson")):
                report = write_draft(again, read(tmp_path / name, images))
                assert (report.n_objects, report.skipped) == (0, ())
        return
    folder = tmp_path / "images"
    folder.mkdir()
    stack.rename(folder / stack.name)
    tifffile.imwrite(folder / "discs.tif", picture())
    for read, name in ((coco.read, "a.json"), (geojson.read, "a.geojson")):
        with Project.create(tmp_path / name) as other:
            draft = read(tmp_path / name, Images(other, folder))
            assert write_draft(other, draft).n_objects == (2 if image_id == 1 else 3)
            found = {image.name for image in other.images()}
            slices = {"stack [0]", "stack [2]"}
            assert found == ({"discs.tif"} if image_id == 1 else slices)
            assert all(not o.slice_index for o in other.objects())


def test_a_copy_that_was_painted_on_is_saved_as_it_is(
    project: Project, tmp_path: Path
) -> None:
    layer = layer_of(project, 1, "a copy")
    layer.data[disc(2)] = 9
    document = written(write_coco, tmp_path / "a.json", layer)
    ids = [one["instance_id"] for one in document["annotations"]]
    names = {one["id"]: one["name"] for one in document["categories"]}
    classes = [names[one["category_id"]] for one in document["annotations"]]
    # what it shares with the project keeps its class
    assert list(zip(ids, classes, strict=True)) == [
        (1, "object"),
        (2, "nucleus"),
        (9, "object"),
    ]
    assert NUCLEUS in {one["color"] for one in document["categories"]}


def test_without_its_project_the_layer_is_saved(
    project: Project, tmp_path: Path
) -> None:
    layer = layer_of(project, 1)
    project.path.rename(tmp_path / "elsewhere.infosam")
    assert len(written(write_coco, tmp_path / "a.json", layer)["annotations"]) == 2


def test_huge_pictures_are_saved_from_their_project(
    project: Project, tmp_path: Path
) -> None:
    shape = (20_000, 20_000)
    square = PlacedMask(np.ones((10, 10), bool), Place(500, 700, shape))
    with Project.open(project.path) as opened:
        pixels = HugeImage([np.broadcast_to(np.uint8(9), shape)])
        image = opened.add_image(pixels, "slide")
        opened.commit(image.id, square, class_name="nucleus")
    meta = {
        "name": layers.OBJECTS,
        "multiscale": True,
        "metadata": {KEPT_IN: (str(project.path), image.id)},
    }
    write_coco(str(tmp_path / "a.json"), WindowedPicture(shape).levels, meta)
    document = json.loads((tmp_path / "a.json").read_text())
    assert [one["area"] for one in document["annotations"]] == [100]
