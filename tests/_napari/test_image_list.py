"""The list without a window: what is in it, what is shown, what comes next."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_infosam._napari import prefetch as ahead
from napari_infosam._napari.image_filter import ImageFilter
from napari_infosam._napari.image_list import ImageList
from napari_infosam._napari.list_changes import ListChanges
from napari_infosam._napari.listed_pixels import read_listed
from napari_infosam._napari.object_in_work import ObjectInWork
from napari_infosam._napari.prefetch import Prefetch
from napari_infosam._napari.thumbnails import Thumbnails
from napari_infosam._napari.unfinished import (
    Unfinished,
    prompts_from_json,
    prompts_to_json,
    unfinished_from_json,
)
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.prompts import Box, Point, PromptSet
from napari_infosam.core.rough_mask import RoughMask
from napari_infosam.project import Project
from napari_infosam.project.listing import ListedImage

from .helpers import AtOnce, picture, source

if TYPE_CHECKING:
    from napari_infosam._napari.session import Session

pytestmark = pytest.mark.session

Said = list[tuple[str, bool]]


def save(folder: Path, *names: str) -> list[Path]:
    """Write pictures that differ."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        np.save(folder / name, picture(120 + 10 * number))
    return [folder / name for name in names]


@pytest.fixture
def files() -> AtOnce:
    return AtOnce()


@pytest.fixture
def images(session: Session, files: AtOnce) -> Iterator[ImageList]:
    made = ImageList(session, files)
    yield made
    made.close()


@pytest.fixture
def changes(session: Session, images: ImageList, files: AtOnce) -> ListChanges:
    return ListChanges(session, images, files)


def test_a_folder_is_added_to_the_project_of_the_open_picture(
    images: ImageList,
    changes: ListChanges,
    session: Session,
    tmp_path: Path,
    said: Said,
) -> None:
    wanted: list[int] = []
    images.open_wanted.connect(wanted.append)
    save(tmp_path / "day", "a.npy", "b.npy")
    changes.add([tmp_path / "day"])
    assert session.desk.path.stem == "discs"
    assert [row.name for row in images.rows.values()] == ["a.npy", "b.npy"]
    assert said[-1] == ("2 images were added to the list.", False)
    assert wanted == [min(images.rows)]
    changes.add([tmp_path / "day" / "b.npy"], opens=False)
    assert said[-1][0].startswith("0 images were added")
    assert len(wanted) == 1


def test_without_a_picture_the_project_is_named_after_the_folder(
    images: ImageList, changes: ListChanges, session: Session, tmp_path: Path
) -> None:
    session.set_image(None)
    files = save(tmp_path / "day 3", "a.npy")
    changes.add(files)
    assert session.desk.path.stem == "day 3"
    session.desk.close()
    changes.add(files)  # another project: one may not be mixed up with the other
    assert session.desk.path.stem == "day 3 2"


def test_a_folder_without_images_is_said_and_changes_nothing(
    images: ImageList, changes: ListChanges, tmp_path: Path, said: Said
) -> None:
    changes.add([tmp_path])
    assert "holds no images" in said[-1][0]
    assert said[-1][1]
    assert images.rows == {}
    assert changes.working == ""


def test_adding_can_be_cancelled_and_not_be_doubled(
    images: ImageList,
    changes: ListChanges,
    files: AtOnce,
    tmp_path: Path,
    said: Said,
) -> None:
    save(tmp_path / "day", "a.npy", "b.npy")
    files.holds = True
    changes.add([tmp_path / "day"])
    assert changes.working == "Looking for images …"
    changes.add([tmp_path / "day"])
    assert "wait for it, or cancel it" in said[-1][0]
    changes.cancel()
    files.release()
    assert said[-1] == ("Looking for images: cancelled.", False)
    assert changes.working == ""
    assert images.rows == {}


def test_open_pictures_are_kept_in_the_project(
    images: ImageList, changes: ListChanges, session: Session, tmp_path: Path
) -> None:
    (path,) = save(tmp_path, "a.npy")
    drawn = source(picture(90), "drawn")
    changes.add_pictures([drawn, source(picture(120), "a", source=str(path))])
    rows = list(images.rows.values())
    assert [(row.name, row.path) for row in rows] == [
        ("drawn", None),
        ("a.npy", str(path)),
    ]
    project = session.desk.project
    assert project is not None
    np.testing.assert_array_equal(
        read_listed(rows[0], project).array, drawn.read(), strict=True
    )


def test_the_first_accept_lists_a_picture_and_counts(
    images: ImageList, session: Session
) -> None:
    session.add_prompt(Point(44, 40))
    session.accept()
    (row,) = images.rows.values()
    assert (row.name, row.n_objects, row.state) == ("discs", 1, "in work")
    images.find(session.source, None)
    assert images.current == row.id
    images.review()
    assert images.rows[row.id].state == "reviewed"
    session.undo()
    assert images.rows[row.id].n_objects == 0
    images.review()
    assert images.rows[row.id].state == "new"


def test_what_is_not_in_the_list_can_not_be_marked(
    images: ImageList, said: Said
) -> None:
    images.review()
    assert "Only an image of the list" in said[-1][0]


def test_missing_files_are_shown_and_found_again(
    images: ImageList,
    changes: ListChanges,
    session: Session,
    tmp_path: Path,
    said: Said,
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    save(old, "a.npy", "b.npy")
    changes.add([old])
    changes.relink(new)
    assert said[-1][0] == "No file of the list is missing."
    os.rename(old, new)
    images.load()
    assert images.n_missing == 2
    images.set_filter(ImageFilter(state="missing"))
    assert len(images.shown) == 2
    project = session.desk.project
    assert project is not None
    row = images.rows[images.shown[0]]
    with pytest.raises(InfosamError, match=r"a\.npy is missing.*Relink"):
        read_listed(row, project)

    changes.relink(new)
    assert said[-1][0] == f"2 of 2 missing files were found in {new}."
    assert images.n_missing == 0
    assert read_listed(images.rows[row.id], project).array is not None


def test_a_missing_file_is_shown_from_the_projects_copy(tmp_path: Path) -> None:
    (path,) = save(tmp_path, "a.npy")
    with Project.create(tmp_path / "p") as project:
        project.listing.add([("a.npy", str(path))])
        project.add_image(picture(), "a.npy", source=str(path))
        path.unlink()
        (row,) = project.listing.rows()
        pixels = read_listed(row, project)
        assert pixels.is_copy
        np.testing.assert_array_equal(pixels.array, picture())


def test_a_broken_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with Project.create(tmp_path / "p") as project:
        row = ListedImage(1, "a.png", str(tmp_path / "a.png"))
        with pytest.raises(InfosamError, match=r"a\.png can not be read"):
            read_listed(row, project)


def test_only_images_without_objects_are_removed(
    images: ImageList,
    changes: ListChanges,
    session: Session,
    tmp_path: Path,
    said: Said,
) -> None:
    session.add_prompt(Point(44, 40))
    session.accept()
    save(tmp_path / "day", "a.npy", "b.npy")
    changes.add([tmp_path / "day"], opens=False)
    changes.remove(list(images.rows))
    assert [row.name for row in images.rows.values()] == ["discs"]
    assert "2 of 3 taken out" in said[-1][0]
    assert (tmp_path / "day" / "a.npy").exists()


def test_next_and_previous_go_along_what_is_shown(
    images: ImageList, changes: ListChanges, tmp_path: Path
) -> None:
    save(tmp_path / "day", *(f"{n}.npy" for n in range(5)))
    changes.add([tmp_path / "day"])
    ids = list(images.rows)
    assert images.neighbour(1, None) == ids[0]
    assert images.neighbour(1, ids[1]) == ids[2]
    assert images.neighbour(-1, ids[1]) == ids[0]
    assert images.neighbour(-1, ids[0]) is images.neighbour(1, ids[4]) is None
    images.set_filter(ImageFilter(text="4"))
    assert images.shown == [ids[4]]
    assert images.neighbour(1, ids[1]) == ids[4]  # from one that is not shown
    assert images.neighbour(-1, ids[1]) is None


# --------------------------------------------------------------------- filter
rows_of_any_kind = st.lists(
    st.builds(
        ListedImage,
        id=st.just(0),
        name=st.text(),
        path=st.none(),
        is_reviewed=st.booleans(),
        is_begun=st.booleans(),
        counts=st.dictionaries(st.sampled_from("ab"), st.integers(1, 5)),
    )
).map(lambda rows: [replace(row, id=n) for n, row in enumerate(rows)])


@given(
    rows_of_any_kind,
    st.text(max_size=2),
    st.sampled_from(["", "new", "in work", "reviewed", "missing"]),
    st.sampled_from(["", "a", "b"]),
    st.integers(0, 6),
)
def test_a_filter_shows_what_every_part_of_it_shows(
    rows: list[ListedImage], text: str, state: str, name: str, least: int
) -> None:
    def is_missing(one: int) -> bool:
        return one % 3 == 0

    parts = [
        ImageFilter(text=text),
        ImageFilter(state=state),
        ImageFilter(class_name=name, least=least),
    ]
    each = [set(part.choose(rows, is_missing)) for part in parts]
    both = ImageFilter(text, state, name, least).choose(rows, is_missing)
    assert both == sorted(each[0] & each[1] & each[2])
    assert ImageFilter().choose(rows, is_missing) == [row.id for row in rows]


def test_a_class_counts_its_own_objects() -> None:
    row = ListedImage(1, "Cell.PNG", None, counts={"a": 2, "b": 1})
    fits = [
        bool(ImageFilter(**values).choose([row], lambda _: False))
        for values in (
            {"class_name": "a", "least": 2},
            {"class_name": "b", "least": 2},
            {"class_name": "c"},
            {"least": 3},
            {"least": 4},
            {"text": " cell"},
        )
    ]
    assert fits == [True, False, False, True, False, True]


# ---------------------------------------------------------------------- rest
points = st.builds(
    Point, st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), positive=st.booleans()
)
boxes = st.builds(Box, *[st.floats(-1e6, 1e6)] * 4)


masks = arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)))
rough_masks = masks.filter(np.any).map(RoughMask.of)


@given(
    st.builds(
        PromptSet,
        st.lists(points).map(tuple),
        st.none() | boxes,
        st.none() | rough_masks,
        st.none() | st.integers(0, 2),
    )
)
def test_prompts_come_back_from_json(prompts: PromptSet) -> None:
    text = json.dumps(prompts_to_json(prompts))
    assert prompts_from_json(json.loads(text)) == prompts


def test_an_object_in_work_comes_back_as_it_was() -> None:
    found = ObjectInWork(PromptSet((Point(1, 2),)))
    found.number = 4
    work = ObjectInWork()
    work.take_up(PromptSet((Point(1, 2),)), 7)
    for one in (found, work):
        kept = Unfinished.of((2, 3), one)
        again = unfinished_from_json(json.loads(json.dumps(kept.to_json())))
        assert again == kept
        came = again.work()
        assert Unfinished.of((2, 3), came) == kept
        assert came.can_undo == one.can_undo
    # a note of a clock that was ahead, and one of an earlier version
    value = kept.to_json()
    later = unfinished_from_json({**value, "at": 1e12}).at
    assert later is not None
    assert later <= time.time()
    del value["at"], value["number"]
    assert unfinished_from_json(value) == kept._replace(at=0.0)
    with pytest.raises(ValueError, match="nan is no time"):
        unfinished_from_json({**value, "at": float("nan")})


def test_notes_of_earlier_versions_and_broken_masks() -> None:
    old = {"points": [[3, 4, True]], "box": None}
    assert prompts_from_json(old) == PromptSet((Point(3, 4),))
    broken = {"size": [50, 60], "counts": RoughMask.of(np.ones((5, 6), bool)).rle}
    broken["counts"] = broken["counts"].decode()
    with pytest.raises(ValueError, match="30 pixels"):
        prompts_from_json({**old, "rough": broken})


def test_the_next_image_is_read_and_embedded_ahead(
    images: ImageList, changes: ListChanges, session: Session, tmp_path: Path
) -> None:
    spare = AtOnce()
    spare.holds = True
    prefetch = Prefetch(session, images, spare)
    save(tmp_path / "day", "a.npy", "b.npy", "c.npy")
    changes.add([tmp_path / "day"], opens=False)
    first, second, third = images.rows
    assert spare.waiting == []  # what is open is not in the list: nothing comes next
    images.find(session.source, first)
    assert len(spare.waiting) == 1
    embedded: list[object] = []
    _, now = session.engine.beside() or (None, None)
    assert now is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            type(now), "embed", lambda _, pixels, *__: embedded.append(pixels)
        )
        patch.setattr(ahead, "give_way", lambda: None)  # this is no thread of its own
        # the person goes elsewhere before it has begun
        images.find(session.source, second)
        spare.release(1)
        assert prefetch.ready is None
        assert embedded == []
        spare.release()
    assert prefetch.ready == third
    np.testing.assert_array_equal(embedded, [picture(140)])
    assert prefetch.take(first) is None
    assert prefetch.ready is None
    prefetch.close()


def test_nothing_is_read_ahead_while_an_answer_is_waited_for(
    images: ImageList,
    changes: ListChanges,
    session: Session,
    executor: AtOnce,
    tmp_path: Path,
) -> None:
    spare = AtOnce()
    spare.holds = True
    prefetch = Prefetch(session, images, spare)
    save(tmp_path / "day", "a.npy", "b.npy")
    changes.add([tmp_path / "day"], opens=False)
    executor.holds = True
    session.add_prompt(Point(44, 40))
    images.find(session.source, min(images.rows))
    assert spare.waiting == []
    executor.release()
    assert len(spare.waiting) == 1
    prefetch.close()


def test_thumbnails_are_read_last_asked_first_and_never_twice(
    images: ImageList, changes: ListChanges, tmp_path: Path, said: Said
) -> None:
    names = ("a.npy", "b.npy", "c.npy", "broken.npy")
    paths = save(tmp_path / "day", *names)
    paths[3].write_bytes(b"no picture")
    changes.add([tmp_path / "day"], opens=False)
    by_name = {row.name: row.id for row in images.rows.values()}
    reading = AtOnce()
    reading.holds = True
    thumbnails = Thumbnails(images, reading)
    there: list[int] = []
    thumbnails.changed.connect(there.append)
    for name in names:
        assert thumbnails.get(by_name[name]) is None
    n_said = len(said)
    while reading.waiting:
        reading.release()
    # the first was being read already when the others were asked for
    wanted = [by_name[name] for name in ("a.npy", "c.npy", "b.npy")]
    assert there == wanted
    assert thumbnails.get(by_name["broken.npy"]) is None
    assert not reading.waiting
    assert len(said) == n_said  # a broken file is said when the person goes there
    picture_of_a = thumbnails.get(by_name["a.npy"])
    assert picture_of_a is not None
    assert picture_of_a.shape == (42, 53, 3)
    # its channels may be others
    thumbnails.look_again({by_name["a.npy"]})
    assert thumbnails.get(by_name["a.npy"]) is picture_of_a
    reading.release()
    assert there == [*wanted, by_name["a.npy"]]
    thumbnails.close()
