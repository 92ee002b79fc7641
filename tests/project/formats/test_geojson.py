from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import shapely
from hypothesis import given

from napari_infosam.core.errors import InfosamError
from napari_infosam.project.formats import geojson
from napari_infosam.project.formats.export import export_project
from napari_infosam.project.formats.targets import Images

from .helpers import (
    CLASSES,
    SHAPE,
    OneImage,
    content,
    import_draft,
    origin,
    picture,
    pictures,
    ring,
    save_images,
)

if TYPE_CHECKING:
    from napari_infosam.project import Project
    from napari_infosam.project.formats.items import Picture


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("geojson") / "cells.geojson"


@given(drawn=pictures())
def test_items_come_back(scratch: Path, drawn: Picture) -> None:
    geojson.write_picture(drawn, CLASSES, scratch)
    draft = geojson.read(scratch, OneImage(drawn.shape))
    ((_, items),) = draft.images
    assert tuple(items) == drawn.items
    assert draft.classes.items() <= CLASSES.items()


def test_a_project_comes_back(project: Project, other: Project, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = export_project(project, "geojson", out)
    assert (report.n_images, report.n_objects, report.notes) == (3, 7, ())
    names = sorted(path.name for path in out.glob("*.geojson"))
    assert names == ["colour.v2.geojson", "deep.geojson", "grey.geojson"]
    images = save_images(project, tmp_path / "images")
    assert import_draft(other, geojson.read(out, Images(other, images))) == (3, 7)
    assert content(other) == content(project)
    colours = {c.name: c.color for c in other.classes()}
    assert colours == {c.name: c.color for c in project.classes()}
    assert import_draft(other, geojson.read(out, Images(other, None))) == (3, 0)


def test_what_qupath_reads(project: Project, tmp_path: Path) -> None:
    export_project(project, "geojson", tmp_path / "out")
    collection = json.loads((tmp_path / "out" / "grey.geojson").read_text())
    assert collection["type"] == "FeatureCollection"
    assert collection["infosam"]["name"] == "grey.png"
    for ours, feature in zip(project.objects(1), collection["features"], strict=True):
        assert feature["type"] == "Feature"
        assert feature["geometry"].keys() == {"type", "coordinates"}
        shape = shapely.from_geojson(json.dumps(feature["geometry"]))
        assert shape.is_valid
        assert shape.area == ours.area
        rows, columns = np.nonzero(ours.mask())
        assert shapely.contains_xy(shape, columns + 0.5, rows + 0.5).all()
        properties = feature["properties"]
        assert properties["objectType"] == "annotation"
        assert properties["classification"] == {
            "name": ours.class_name,
            "color": list(bytes.fromhex(CLASSES[ours.class_name][1:])),
        }
        assert properties["instance_id"] == ours.instance_id
        assert properties["score"] == ours.score
        assert properties["model_version"] == ours.model_version
    holes = collection["features"][0]["geometry"]
    assert holes["type"] == "MultiPolygon"
    assert sorted(map(len, holes["coordinates"])) == [1, 2]


def test_one_image_as_one_file(other: Project, tmp_path: Path) -> None:
    image = other.add_image(picture(), "a.tif")
    masks = [(ring(), origin(slice_index=(3,))), (ring(), origin(slice_index=(2, 5)))]
    other.commit_each(image.id, masks)
    report = export_project(other, "geojson", tmp_path / "b.geojson")
    assert report.path == tmp_path / "b.geojson"
    features = json.loads(report.path.read_text())["features"]
    planes = [feature["geometry"]["plane"] for feature in features]
    assert planes == [{"c": -1, "z": 3, "t": 0}, {"c": -1, "z": 5, "t": 2}]
    assert import_draft(other, geojson.read(report.path, Images(other, None))) == (1, 0)


def test_one_file_holds_one_image(project: Project, tmp_path: Path) -> None:
    with pytest.raises(InfosamError, match=r"b\.geojson would hold one image, but 3"):
        export_project(project, "geojson", tmp_path / "b.geojson")
    assert not (tmp_path / "b.geojson").exists()


SQUARE = {"type": "Polygon", "coordinates": [[[1, 1], [4, 1], [4, 3], [1, 3], [1, 1]]]}


def feature(geometry: Any = SQUARE, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


@pytest.fixture
def read(tmp_path: Path, other: Project) -> Any:
    other.add_image(picture(), "a.png")

    def read_value(value: Any) -> Any:
        path = tmp_path / "a.geojson"
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return geojson.read(path, Images(other, None))

    return read_value


@pytest.mark.parametrize(
    "value",
    [
        {"type": "FeatureCollection", "features": [feature()]},
        [feature()],
        feature(),
        feature(classification={"name": "object", "colorRGB": -65536}),
        feature(classification={"names": ["object"], "color": [1, 2, 300]}),
        {"type": "Feature", "geometry": SQUARE, "properties": None},
    ],
)
def test_files_of_other_programs(read: Any, other: Project, value: Any) -> None:
    assert import_draft(other, read(value)) == (1, 1)
    (record,) = other.objects()
    expected = np.zeros(SHAPE, bool)
    expected[1:3, 1:4] = True
    np.testing.assert_array_equal(record.mask(), expected)
    assert record.class_name == "object"
    assert record.model_version == "import"


def test_what_covers_no_pixel_is_named(read: Any, other: Project) -> None:
    line = {"type": "LineString", "coordinates": [[0, 0], [5, 5]]}
    far = {"type": "Polygon", "coordinates": [[[99, 99], [120, 99], [99, 120]]]}
    draft = read([feature(), feature(line), feature(far), feature(None)])
    assert draft.skipped == ["a.geojson: 3 features cover no pixel"]
    assert import_draft(other, draft) == (1, 1)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "the file: "),
        ("[" * 100_000, "the file: "),
        ({"type": "FeatureCollection"}, "features: Field required"),
        ([feature(), {"type": "Point"}], "features.1.type: Input should be 'Feature'"),
        (
            [feature({"type": "Polygon", "coordinates": [[[0, 0]]]})],
            "feature 1 has bro",
        ),
        ([feature({"type": "Polygon", "coordinates": "a"})], "features.0.geometry.coo"),
        (
            [feature({"type": "Polygon", "coordinates": [["a"]]})],
            "feature 1 has broken",
        ),
        ([feature({"type": "Polygon", "coordinates": []})], "feature 1 has no coordin"),
        (
            [feature(), feature({"type": "MultiPolygon"})],
            "feature 2 has no coordinates",
        ),
        (
            '{"features": [{"type": "Feature", "geometry": {"type": "Polygon", '
            '"coordinates": [[[0, 0], [1e999, 0], [0, 5]]]}}]}',
            "feature 1 has no coordinates that are numbers",
        ),
        ([feature(score="high")], "features.0.properties.score"),
        (
            {"features": [feature()], "infosam": {"height": 9, "width": 9}},
            r"it is about 9 x 9 pixels, but a\.png has 20 x 30",
        ),
    ],
)
def test_broken_files_are_refused(
    read: Any, other: Project, value: Any, words: str
) -> None:
    with pytest.raises(InfosamError, match=f"geojson can not be imported: {words}"):
        read(value)
    assert other.objects() == []


def test_one_broken_file_holds_up_the_others(
    project: Project, other: Project, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    export_project(project, "geojson", out)
    images = save_images(project, tmp_path / "images")
    whole = (out / "grey.geojson").read_text()
    (out / "grey.geojson").write_text(whole[: len(whole) // 2])
    with pytest.raises(InfosamError, match=r"grey\.geojson can not be imported"):
        geojson.read(out, Images(other, images))


def test_files_without_an_image_are_named(
    project: Project, other: Project, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    export_project(project, "geojson", out)
    images = save_images(project, tmp_path / "images")
    (images / "grey.png").unlink()
    draft = geojson.read(out, Images(other, images))
    assert draft.skipped == [f"grey.geojson: there is no image grey.png in {images}"]
    assert import_draft(other, draft) == (2, 3)


def test_an_empty_folder(other: Project, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "gone"):
        with pytest.raises(InfosamError, match=r"There is no \.geojson file in"):
            geojson.read(tmp_path / name, Images(other, None))
