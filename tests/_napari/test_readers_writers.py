from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import npe2
import numpy as np
import pytest
import tifffile
from napari.layers import Image, Labels
from npe2 import PluginManager, PluginManifest
from pycocotools.coco import COCO

from napari_infosam._napari import stack_layers
from napari_infosam._napari.channels import CHOICE
from napari_infosam._napari.image_source import source_at
from napari_infosam.core.channels import ChannelChoice
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.preprocess import Preprocessing
from napari_infosam.project import Project

from .helpers import DISCS, disc, picture, source

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_infosam._napari.session import Session

NAME = "napari-infosam"


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[PluginManager]:
    """Return a manager that knows this plugin, and napari's own beside it."""
    manager = PluginManager()
    for name in (NAME, "napari"):
        manager.register(PluginManifest.from_distribution(name))
    monkeypatch.setattr(PluginManager, "instance", lambda: manager)
    return manager


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with Project.create(tmp_path / "cells") as made:
        grey = made.add_image(picture(), "grey")
        made.add_class("nucleus")
        made.commit(grey.id, disc(0), class_name="nucleus", score=0.5)
        made.commit(grey.id, disc(1))
        colour = made.add_image(np.repeat(picture()[..., None], 3, 2), "colour")
        made.commit(colour.id, disc(2), model_version="v003")
        yield made


def test_a_project_opens_while_it_is_locked(project: Project) -> None:
    layers = npe2.read([str(project.path)], stack=False, plugin_name=NAME)
    assert [(settings["name"], kind) for _, settings, kind in layers] == [
        ("colour", "image"),
        ("colour objects", "labels"),
        ("grey", "image"),
        ("grey objects", "labels"),
    ]
    assert [settings.get("visible", True) for _, settings, _ in layers] == [
        False,
        False,
        True,
        True,
    ]
    assert layers[0][1]["rgb"]
    np.testing.assert_array_equal(layers[2][0], picture())
    np.testing.assert_array_equal(layers[3][0], project.label_image(1))
    made = Labels(layers[3][0], **layers[3][1])
    assert made.features.columns.tolist() == ["index", "class", "score", "model"]
    assert made.features["class"].tolist() == ["", "nucleus", "object"]


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """Return a stack of five slices whose pixels have a size."""
    path = tmp_path / "stack.tif"
    tifffile.imwrite(
        path,
        np.stack([picture(200 + z) for z in range(5)]),
        imagej=True,
        metadata={"unit": "micron", "spacing": 2.0, "axes": "ZYX"},
        resolution=(2, 4),
    )
    return path


@pytest.fixture
def slices(tmp_path: Path, stack: Path) -> Path:
    """Return a project of two slices of it, whose objects have the same numbers."""
    with Project.create(tmp_path / "stacks") as made:
        made.add_class("nucleus")
        for z, names in ((3, ("nucleus", "object")), (1, ("object", "object"))):
            image = made.add_image(picture(200 + z), f"stack [{z}]", source=str(stack))
            for number, name in enumerate(names):
                made.commit(image.id, disc(number), class_name=name, score=z / 10)
    return made.path


def read(path: Path) -> list[Any]:
    return npe2.read([str(path)], stack=False, plugin_name=NAME)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_stack_is_one_layer(slices: Path, stack: Path, is_there: bool) -> None:
    if not is_there:
        stack.unlink()
    (pixels, of_image, _), (labels, of_objects, _) = read(slices)
    assert (of_image["name"], of_objects["name"]) == ("stack", "stack objects")
    # slices without a copy come from the file, or are black
    n_slices = 5 if is_there else 4
    assert pixels.shape == labels.shape == (n_slices, 128, 160)
    for z in range(n_slices):
        shown = picture(200 + z) if is_there or z in (1, 3) else 0 * picture()
        np.testing.assert_array_equal(np.asarray(pixels[z]), shown)
        assert labels[z].any() == (z in (1, 3))
    made = Labels(labels, **of_objects)
    names = dict(zip(made.features["index"], made.features["class"], strict=True))
    assert [names[labels[3][disc(n)][0]] for n in (0, 1)] == ["nucleus", "object"]
    assert [names[labels[1][disc(n)][0]] for n in (0, 1)] == ["object", "object"]
    image = Image(pixels, **of_image)
    scale = [2, 0.25, 0.5] if is_there else [1, 1, 1]
    np.testing.assert_allclose(image.scale, scale)
    np.testing.assert_allclose(made.scale, scale)
    unit = "micrometer" if is_there else "pixel"
    assert [str(u) for u in image.units] == [str(u) for u in made.units] == [unit] * 3


def test_a_stack_opens_in_a_window(
    slices: Path, make_napari_viewer: Callable[..., Viewer]
) -> None:
    viewer = make_napari_viewer()
    viewer.open(str(slices), plugin=NAME)
    assert [layer.name for layer in viewer.layers] == ["stack", "stack objects"]
    assert viewer.dims.ndim == 3
    viewer.dims.set_current_step(0, 3)
    row, column = DISCS[0]
    at = (2 * 3, row / 4, column / 2)  # micrometres
    assert viewer.layers[1].get_value(at, world=True) > 0
    assert viewer.layers[0].get_value(at, world=True) == 203


def test_slices_of_a_stack_are_known_again(slices: Path, session: Session) -> None:
    """What is accepted on the layer goes into the project, slice by slice."""
    pixels, of_image, _ = read(slices)[0]
    made = Image(pixels, **of_image)
    session.set_image(
        replace(source_at(made, (3,)), source=str(slices), key="the slice")
    )
    assert session.desk.path == slices
    assert session.labels is not None
    assert session.labels.max() == 2


def test_a_large_stack_is_read_when_it_is_looked_at(
    slices: Path, stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.unlink()
    monkeypatch.setattr(stack_layers, "_AT_ONCE", 1000)
    painted: list[int] = []
    paint = stack_layers.paint
    monkeypatch.setattr(
        stack_layers, "paint", lambda *args: painted.append(1) or paint(*args)
    )
    (_, _, _), (labels, _, _) = read(slices)
    assert not painted
    assert set(np.unique(np.asarray(labels[1]))) > {0}
    assert len(painted) == 1


def test_channels_of_slices_stay_channels(tmp_path: Path) -> None:
    with Project.create(tmp_path / "p") as project:
        for z in range(2):
            pixels = np.stack([picture(z + 100), picture(z + 150)], axis=-1)
            seen = Preprocessing(channels=(0, 1))
            image = project.add_image(pixels, f"two [{z}]", preprocessing=seen)
            project.commit(image.id, disc(z))
    (pixels, of_image, _), (labels, _, _) = read(project.path)
    assert pixels.shape == (2, 2, 128, 160)
    assert of_image["metadata"][CHOICE] == ChannelChoice(axis=1, seen=(0, 1))
    np.testing.assert_array_equal(np.asarray(pixels[1, 1]), picture(151))
    assert labels.shape == (2, 128, 160)


def test_numbers_that_are_no_positions(tmp_path: Path) -> None:
    with Project.create(tmp_path / "p") as project:
        for z in (0, 10**9):
            project.add_image(picture(z % 97), f"a [{z}]")
        project.add_image(picture(5), "b")
        project.add_image(picture(6), "b [1]")  # napari's number
    layers = read(project.path)
    names = [settings["name"] for _, settings, kind in layers if kind == "image"]
    assert names == ["b [1]", "b", "a [1000000000]", "a [0]"]


def test_napari_chooses_the_reader_by_the_name(project: Project) -> None:
    path = str(project.path)
    _, reader = npe2.read_get_reader(path)
    assert reader.plugin_name == NAME


def test_only_projects_are_read(tmp_path: Path, plugins: PluginManager) -> None:
    (tmp_path / "empty.infosam").mkdir()
    with pytest.raises(ValueError, match="refused the file"):
        npe2.read([str(tmp_path / "empty.infosam")], stack=False, plugin_name=NAME)


def test_it_opens_in_a_window(
    project: Project, make_napari_viewer: Callable[..., Viewer]
) -> None:
    viewer = make_napari_viewer()
    viewer.open(str(project.path), plugin=NAME)
    assert [type(layer) for layer in viewer.layers] == [Image, Labels] * 2
    assert [layer.name for layer in viewer.layers if layer.visible] == [
        "grey",
        "grey objects",
    ]
    assert viewer.layers["grey objects"].features["score"].tolist()[1] == 0.5


def test_what_is_accepted_on_it_goes_into_it(
    project: Project, session: Session, projects: Path
) -> None:
    """Also where the project of that name would lie elsewhere."""
    project.close()
    session.set_image(source(picture(), "grey", source=str(project.path)))
    assert session.desk.path == project.path
    assert session.labels is not None
    assert session.labels.max() == 2
    assert not projects.exists()


def test_a_picture_that_is_not_in_it_has_a_project_of_its_own(
    project: Project, session: Session, projects: Path
) -> None:
    project.close()
    session.set_image(source(picture(90), "grey", source=str(project.path)))
    assert session.desk.path == projects / "grey.infosam"


def layer(name: str = "cells", **settings: Any) -> Labels:
    labels = 3 * disc(0).astype(np.uint16) + 9 * disc(1)
    return Labels(labels, name=name, **settings)


def write(path: Path, *layers: Labels) -> list[str]:
    return npe2.write(str(path), [one.as_layer_data_tuple() for one in layers])


def test_writers_are_offered_for_one_labels_layer(plugins: PluginManager) -> None:
    offered = {
        (writer.display_name, *writer.filename_extensions)
        for writer in plugins.iter_compatible_writers(["labels"])
        if writer.plugin_name == NAME
    }
    assert offered == {("GeoJSON objects", ".geojson"), ("COCO objects", ".json")}
    for others in (["image"], ["labels", "labels"]):
        writers = plugins.iter_compatible_writers(others)
        assert NAME not in {writer.plugin_name for writer in writers}


def test_geojson(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    features = {"index": [0, 9], "class": ["", "nucleus"]}
    assert write(path, layer(features=features)) == [str(path)]
    collection = json.loads(path.read_text())
    assert collection["infosam"] == {"name": "cells", "height": 128, "width": 160}
    found = [feature["properties"] for feature in collection["features"]]
    assert [p["instance_id"] for p in found] == [3, 9]
    assert [p["classification"]["name"] for p in found] == ["object", "nucleus"]
    colours = [tuple(p["classification"]["color"]) for p in found]
    assert len(set(colours)) == 2


def test_coco(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert write(path, layer()) == [str(path)]
    theirs = COCO(str(path))
    first, second = theirs.loadAnns(theirs.getAnnIds())
    np.testing.assert_array_equal(theirs.annToMask(first), disc(0))
    np.testing.assert_array_equal(theirs.annToMask(second), disc(1))
    assert [c["name"] for c in theirs.cats.values()] == ["object"]


def test_what_was_saved_can_be_imported(project: Project, tmp_path: Path) -> None:
    from napari_infosam.project.formats import coco, geojson
    from napari_infosam.project.formats.importing import write_draft
    from napari_infosam.project.formats.targets import Images

    write(tmp_path / "grey.geojson", layer("grey"))
    write(tmp_path / "grey.json", layer("grey"))
    images = Images(project, None)
    # both discs are there already
    draft = geojson.read(tmp_path / "grey.geojson", images)
    assert write_draft(project, draft).n_objects == 1
    draft = coco.read(tmp_path / "grey.json", images)
    assert write_draft(project, draft).n_objects == 0


def test_stacks(tmp_path: Path) -> None:
    stack = np.zeros((2, 4, 128, 160), np.int32)
    stack[1, 3] = disc(0)
    stack[0, 2] = 5 * disc(1)
    labels = Labels(stack, name="stack")
    write(tmp_path / "a.geojson", labels)
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert [f["geometry"]["plane"] for f in features] == [
        {"c": -1, "z": 2, "t": 0},
        {"c": -1, "z": 3, "t": 1},
    ]
    write(tmp_path / "a.json", labels)
    document = json.loads((tmp_path / "a.json").read_text())
    names = [image["file_name"] for image in document["images"]]
    assert names == ["stack [0, 2]", "stack [1, 3]"]

    for annotation in document["annotations"]:
        assert annotation["slice_index"] == []  # in an image that is the slice


def test_multiscale_layers_are_saved_at_full_size(tmp_path: Path) -> None:
    full = disc(0).astype(np.uint8)
    write(tmp_path / "a.json", Labels([full, full[::2, ::2]], name="big"))
    (image,) = json.loads((tmp_path / "a.json").read_text())["images"]
    assert (image["height"], image["width"]) == full.shape


def test_an_empty_layer_is_refused(tmp_path: Path) -> None:
    for name in ("a.json", "a.geojson"):
        with pytest.raises(InfosamError, match="layer empty has no objects"):
            write(tmp_path / name, Labels(np.zeros((9, 9), np.uint8), name="empty"))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_can_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(InfosamError, match="can not be read or written"):
        write(tmp_path / "gone" / "a.json", layer())
