from __future__ import annotations

import gc
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from napari_infosam.core.errors import InfosamError
from napari_infosam.project import Project, schema
from napari_infosam.project.listing import Left, ListedImage, Listing

from .conftest import gradient, square


def add(project: Project, *names: str) -> list[int]:
    return project.listing.add((name, f"/data/{name}") for name in names)


def test_files_are_listed_once_and_in_their_order(project: Project) -> None:
    first, second = add(project, "b.png", "a.png")
    assert add(project, "a.png", "c.png")[0] == second
    assert [row.name for row in project.listing.rows()] == ["b.png", "a.png", "c.png"]
    assert project.listing.rows()[0] == ListedImage(first, "b.png", "/data/b.png")
    assert project.images() == []


def test_adding_is_all_or_nothing(project: Project) -> None:
    def files() -> object:
        yield ("a.png", "/data/a.png")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        project.listing.add(files())  # type: ignore[arg-type]
    assert project.listing.rows() == []


def test_states_follow_objects_prompts_and_the_mark(project: Project) -> None:
    one, other = add(project, "a.png", "b.png")

    def states() -> list[str]:
        return [row.state for row in project.listing.rows()]

    assert states() == ["new", "new"]
    image = project.add_image(gradient(), "a.png", source="/data/a.png")
    assert states() == ["new", "new"]  # kept, but nothing was accepted in it
    record = project.commit(image.id, square(1, 1))
    project.listing.begin({other: {"points": []}})
    assert states() == ["in work", "in work"]
    project.listing.review(one, is_reviewed=True)
    project.listing.begin({other: None})
    assert states() == ["reviewed", "new"]
    project.listing.review(one, is_reviewed=False)
    assert states() == ["in work", "new"]
    project.delete(record.id)
    assert states() == ["new", "new"]
    project.undo()
    assert states() == ["in work", "new"]


def test_slices_of_one_file_are_one_row(project: Project) -> None:
    (listed,) = add(project, "stack.tif")
    project.add_class("nucleus")
    ids = []
    for number in range(3):
        image = project.add_image(
            gradient(number), f"stack [{number}]", source="/data/stack.tif"
        )
        ids.append(image.id)
        project.commit(image.id, square(1, 1))
        project.commit(image.id, square(9, 9), class_name="nucleus")
    (row,) = project.listing.rows()
    assert dict(row.counts) == {"object": 3, "nucleus": 3}
    assert row.n_objects == 6
    assert project.listing.counts() == {listed: {"object": 3, "nucleus": 3}}
    assert project.listing.image_ids(listed) == ids
    assert {project.listing.of_image(one) for one in ids} == {listed}


def test_what_was_never_added_is_listed_with_its_image(project: Project) -> None:
    project.add_image(gradient(0), "screenshot")
    project.add_image(gradient(0), "screenshot")  # the same pixels
    project.add_image(gradient(1), "a.png", source="/data/a.png")
    project.add_image(gradient(2), "seen", source="/data/other.infosam")
    rows = [(row.name, row.path) for row in project.listing.rows()]
    assert rows == [("screenshot", None), ("a.png", "/data/a.png"), ("seen", None)]
    add(project, "a.png")
    assert len(project.listing.rows()) == 3


def test_only_images_without_objects_are_removed(project: Project) -> None:
    one, other = add(project, "a.png", "b.png")
    project.add_image(gradient(), "a.png", source="/data/a.png")
    assert project.listing.remove([one, other]) == 1
    assert [row.id for row in project.listing.rows()] == [one]


def test_how_an_image_was_left(project: Project, tmp_path: Path) -> None:
    one, other = add(project, "a.png", "b.png")
    assert project.listing.last() is None
    left = Left({"zoom": 2.5, "slice": [3]}, {"box": [1.0, 2.0, 3.0, 4.0]})
    project.listing.begin({one: left.unfinished, other: {"box": []}})
    project.listing.begin({other: None})
    project.listing.leave(one, left.view)
    project.listing.leave(other, None)
    assert project.listing.last() == other
    project.close()
    with Project.open(project.path) as again:
        assert again.listing.last() == other
        assert again.listing.left(one) == left
        assert again.listing.left(other) == again.listing.left(99) == Left()
        again.listing.remove([other])
        assert again.listing.last() is None


def test_what_is_undecided_is_a_row_each(project: Project) -> None:
    one, other = add(project, "a.png", "b.png")
    many = {number: {"at": [number]} for number in range(1, 6)}
    project.listing.begin({other: {"slices": []}}, {one: many})
    assert project.listing.undecided(one) == many
    assert project.listing.undecided(other) == project.listing.undecided(99) == {}
    project.listing.begin({}, {one: {2: None, 4: {"at": [9]}, 7: None}})
    assert project.listing.undecided(one) == {
        number: {"at": [9]} if number == 4 else many[number] for number in (1, 3, 4, 5)
    }
    project.listing.begin({other: None})
    assert [row.is_begun for row in project.listing.rows()] == [True, False]
    # with an image that is taken out of the list they go, and none comes after it
    assert project.listing.remove([one]) == 1
    project.listing.begin({}, {one: many})
    assert project.listing.undecided(one) == {}
    with closing(sqlite3.connect(project.path / "project.sqlite")) as connection:
        assert connection.execute("SELECT * FROM undecided").fetchall() == []


def test_a_damaged_row_is_none_among_others(project: Project) -> None:
    (one,) = add(project, "a.png")
    project.listing.begin({}, {one: {1: {"at": 1}, 2: {"at": 2}, 3: {"at": 3}}})
    with closing(sqlite3.connect(project.path / "project.sqlite")) as connection:
        connection.execute("UPDATE undecided SET note = X'FF80' WHERE number = 1")
        connection.execute("UPDATE undecided SET note = 'nonsense' WHERE number = 3")
        connection.commit()
    assert project.listing.undecided(one) == {1: None, 2: {"at": 2}, 3: None}


@pytest.mark.parametrize("text", ["nonsense", "[1]", "3"])
def test_a_note_that_can_not_be_read_is_none(project: Project, text: str) -> None:
    (one,) = add(project, "a.png")
    with closing(sqlite3.connect(project.path / "project.sqlite")) as connection:
        connection.execute("UPDATE listed SET view = ?, unfinished = ?", (text, text))
        connection.commit()
    assert project.listing.left(one) == Left()


def test_moved_files_get_new_paths(project: Project) -> None:
    one, other = add(project, "a.png", "b.png")
    project.listing.relink({one: "/new/a.png"})
    assert [row.path for row in project.listing.rows()] == ["/new/a.png", "/data/b.png"]
    with pytest.raises(InfosamError, match=r"/data/b\.png is in the list already"):
        project.listing.relink({one: "/data/b.png"})
    assert [row.path for row in project.listing.rows()] == ["/new/a.png", "/data/b.png"]
    assert other


def test_a_project_that_was_opened_for_reading_keeps_its_list(project: Project) -> None:
    (one,) = add(project, "a.png")
    with Project.open(project.path, lock=False) as reader:
        assert [row.id for row in reader.listing.rows()] == [one]
        for change in (
            lambda: reader.listing.add([("b", "/b")]),
            lambda: reader.listing.review(one, is_reviewed=True),
            lambda: reader.listing.leave(one, None),
            lambda: reader.listing.begin({one: None}),
            lambda: reader.listing.begin({}, {one: {1: None}}),
            lambda: reader.listing.remove([one]),
            lambda: reader.listing.relink({one: "/c"}),
        ):
            with pytest.raises(InfosamError, match="opened for reading"):
                change()


def test_images_of_an_older_schema_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slices of one file become one row, whatever was imported between them."""
    place = schema.MIGRATIONS.index(schema.IMAGE_LIST)
    sources = ["/s.tif", None, "/s.tif", "/p.infosam", "/p.infosam", "/a.png"]
    with Project.create(tmp_path / "old") as project:
        for number, source in enumerate(sources):
            image = project.add_image(
                np.full((8, 8), number, np.uint8), f"i{number}", source=source
            )
            project.commit(image.id, np.eye(8, dtype=bool))
    with closing(sqlite3.connect(project.path / "project.sqlite")) as connection:
        for thing in ("listed_images", "listed"):
            connection.execute(f"DROP TABLE {thing}")
        connection.execute("DROP INDEX objects_of_class")
        connection.execute(f"PRAGMA user_version = {place}")
        connection.commit()
    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[: place + 1])
        patched.setattr(schema, "SCHEMA_VERSION", place + 1)
        with Project.open(project.path) as project:
            rows = [(r.name, r.path, r.n_objects) for r in project.listing.rows()]
            assert rows == [
                ("i0", "/s.tif", 2),
                ("i1", None, 1),
                ("i3", None, 1),
                ("i4", None, 1),
                ("i5", "/a.png", 1),
            ]
            # what comes later goes where it belongs
            project.add_image(gradient(), "i6", source="/s.tif")
            assert len(project.listing.rows()) == 5


def test_ten_thousand_images(project: Project, tmp_path: Path) -> None:
    """The last thousand cost what the first did; reading grows with their number.

    Each is compared with a project of a thousand in the same moment.
    """
    listing, adding, reading = project.listing, [], []
    for block in range(10):
        with Project.create(tmp_path / f"{block}.infosam") as other:
            others = other.listing
            added = seconds(partial(add_thousand, listing, block))
            adding.append(added / seconds(partial(add_thousand, others, 0)))
            assert len(others.rows()) == 1000
            assert len(listing.rows()) == 1000 * (block + 1)
            reading.append(seconds(listing.rows) / seconds(others.rows))
    print([f"{ratio:.2f}" for ratio in adding + reading])
    # were either to grow with the square, adding would be 8.5 and reading 80 times
    assert np.median(adding[-3:]) < 3
    assert np.median(reading[-3:]) < 20


def add_thousand(listing: Listing, block: int) -> None:
    listing.add(
        (f"{i}", f"/data/{i}") for i in range(1000 * block, 1000 * block + 1000)
    )


def seconds(work: Callable[[], object]) -> float:
    """Return what it takes of this thread, whatever else the process and machine do."""
    gc.disable()
    try:
        start = time.thread_time()
        work()
        return time.thread_time() - start
    finally:
        gc.enable()
