"""Classes are added, renamed and coloured in steps of the journal."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from napari_infosam.core.errors import InfosamError
from napari_infosam.project import ClassRecord, HistoryEntry, ImageRecord, Project
from napari_infosam.project.classes import PALETTE
from napari_infosam.project.encoded import encode
from napari_infosam.project.objects import Origin
from napari_infosam.project.records import Action, ClassChange

from .conftest import gradient, square


def step(
    action: Action, before: ClassRecord | None, after: ClassRecord
) -> HistoryEntry:
    change = ClassChange(before, after)
    return HistoryEntry(action, 0, 0, n_objects=0, classes=(change,))


def state(project: Project) -> tuple[list[ClassRecord], list[tuple[int, str]]]:
    """Return the classes, and of which class each object is."""
    found = [(record.id, record.class_name) for record in project.objects()]
    return project.classes(), found


def test_each_change_is_a_step_that_says_what_it_was(
    project: Project, image: ImageRecord
) -> None:
    cell = project.add_class("cell")
    project.commit(image.id, square(1, 1), class_name="cell")
    project.rename_class("cell", "nucleus")
    project.set_class_color("nucleus", "#010203")
    project.delete(1)
    nucleus = ClassRecord(cell.id, "nucleus", cell.color)
    dark = ClassRecord(cell.id, "nucleus", "#010203")
    steps = [
        step("add_class", None, cell),
        HistoryEntry("commit", 1, image.id),
        step("rename_class", cell, nucleus),
        step("recolor_class", nucleus, dark),
        HistoryEntry("delete", 1, image.id),
    ]
    assert [project.undo() for _ in range(6)] == [*steps[::-1], None]
    assert state(project) == ([ClassRecord(1, "object", PALETTE[0])], [])
    assert [project.redo() for _ in range(6)] == [*steps, None]
    assert project.classes()[1] == dark


def test_what_changes_nothing_is_no_step(project: Project) -> None:
    cell = project.add_class("cell")
    project.undo()
    project.add_class("object", "#010203")
    project.rename_class("object", " object ")
    project.set_class_color("object", PALETTE[0])
    for wrong in (
        lambda: project.add_class(" "),
        lambda: project.rename_class("cell", "nucleus"),
        lambda: project.set_class_color("object", "red"),
    ):
        with pytest.raises(InfosamError):
            wrong()
    assert not project.can_undo
    assert project.redo() == step("add_class", None, cell)


def test_a_new_change_ends_redo_and_a_name_is_free_again(
    project: Project, image: ImageRecord
) -> None:
    project.add_class("cell")
    written = project.commit(image.id, square(1, 1), class_name="cell")
    project.undo()
    project.undo()
    with pytest.raises(InfosamError, match="no class 'cell'"):
        project.commit(image.id, square(1, 1), class_name="cell")
    project.rename_class("object", "cell")
    assert project.redo() is None
    other = project.add_class("nucleus")
    assert other.color == PALETTE[1]
    again = project.commit(image.id, square(9, 9), class_name="cell")
    assert again.id > written.id
    assert [o.class_name for o in project.objects()] == ["cell"]
    for _ in range(3):
        project.undo()
    assert [c.name for c in project.classes()] == ["object"]


def test_what_a_project_begins_with_is_no_step(tmp_path: Path) -> None:
    with Project.create(tmp_path / "a", classes=["object", "cell"]) as project:
        names = [(record.name, record.color) for record in project.classes()]
        assert names == [("object", PALETTE[0]), ("cell", PALETTE[1])]
        assert not project.can_undo


def test_classes_of_an_import_belong_to_its_step(
    project: Project, image: ImageRecord
) -> None:
    with project.one_step("import") as done:
        cell = done.add_class("cell", "#010203")
        assert done.add_class("cell") == cell
        for place in (1, 9):
            done.write(image.id, encode(square(place, 1), image), Origin("cell"))
    entry = project.undo()
    assert entry is not None
    assert (entry.n_objects, entry.classes) == (2, (ClassChange(None, cell),))
    assert [c.name for c in project.classes()] == ["object"]
    assert not project.can_undo
    project.redo()
    assert [o.class_name for o in project.objects()] == ["cell", "cell"]


def test_seventy_steps_of_classes_and_objects_survive_closing(tmp_path: Path) -> None:
    states = []
    with Project.create(tmp_path / "a") as project:
        image = project.add_image(gradient(), "a")
        for number in range(70):
            states.append(state(project))
            names = [record.name for record in project.classes()]
            if number % 5 == 0:
                project.add_class(f"class {number}")
            elif number % 5 == 1:
                project.rename_class(names[number % len(names)], f"name {number}")
            elif number % 5 == 2:
                project.set_class_color(names[0], f"#0000{number:02x}")
            else:
                where = square(number % 20, number % 28)
                project.commit(image.id, where, class_name=names[-1])
        states.append(state(project))
    with Project.open(tmp_path / "a") as project:
        for before in states[-2::-1]:
            assert project.undo() is not None
            assert state(project) == before
        assert project.undo() is None
    with Project.open(tmp_path / "a") as project:
        for after in states[1:]:
            assert project.redo() is not None
            assert state(project) == after
        assert project.redo() is None
    with closing(sqlite3.connect(tmp_path / "a.infosam/project.sqlite")) as database:
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []


names = st.sampled_from(["object", "cell", "nucleus", "{0}", "Å"])
colors = st.sampled_from(["#000000", "#ffffff", *PALETTE[:2]])


class Changes(RuleBasedStateMachine):
    """Changes of classes and objects, back and forth, against states seen before."""

    @initialize()
    def start(self) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="infosam-test-"))
        self.project = Project.create(self.place / "a")
        self.image = self.project.add_image(gradient(), "a")
        self.states = [state(self.project)]
        self.at = 0

    @property
    def known(self) -> dict[str, str]:
        return {record.name: record.color for record in self.states[self.at][0]}

    def note(self, classes: dict[str, str], *, n_new: int = 0) -> None:
        """Note what a change came to, if it was one."""
        records, objects = state(self.project)
        assert {record.name: record.color for record in records} == classes
        assert len(objects) == len(self.states[self.at][1]) + n_new
        if (records, objects) != self.states[self.at]:
            self.at += 1
            self.states[self.at :] = [(records, objects)]

    @rule(name=names, color=colors)
    def add(self, name: str, color: str) -> None:
        self.project.add_class(name, color)
        self.note({name: color, **self.known})

    @rule(name=names, new=names)
    def rename(self, name: str, new: str) -> None:
        known = self.known
        if name not in known or (new in known and new != name):
            with pytest.raises(InfosamError):
                self.project.rename_class(name, new)
            return
        self.project.rename_class(name, new)
        self.note({new if old == name else old: c for old, c in known.items()})

    @rule(data=st.data(), color=colors)
    def recolor(self, data: st.DataObject, color: str) -> None:
        name = data.draw(st.sampled_from(sorted(self.known)))
        self.project.set_class_color(name, color)
        self.note({**self.known, name: color})

    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.known)))
        record = self.project.commit(self.image.id, square(2, 2), class_name=name)
        assert record.class_name == name
        self.note(self.known, n_new=1)

    @rule(name=names)
    def bring(self, name: str) -> None:
        with self.project.one_step("import") as done:
            color = done.add_class(name, "#123456").color
            mask = encode(square(5, 5), self.image)
            done.write(self.image.id, mask, Origin(name))
        self.note({name: color, **self.known}, n_new=1)

    @precondition(lambda self: self.states[self.at][1])
    @rule()
    def delete(self) -> None:
        self.project.delete(self.states[self.at][1][0][0])
        self.note(self.known, n_new=-1)

    @rule()
    def undo(self) -> None:
        assert (self.project.undo() is None) == (self.at == 0)
        self.at = max(self.at - 1, 0)

    @rule()
    def redo(self) -> None:
        is_last = self.at == len(self.states) - 1
        assert (self.project.redo() is None) == is_last
        self.at += not is_last

    @rule()
    def reopen(self) -> None:
        self.project.close()
        self.project = Project.open(self.place / "a")

    @invariant()
    def as_before(self) -> None:
        assert state(self.project) == self.states[self.at]

    def teardown(self) -> None:
        self.project.close()
        shutil.rmtree(self.place)


TestChanges = Changes.TestCase
TestChanges.settings = settings(max_examples=25, stateful_step_count=30)
