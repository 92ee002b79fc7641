from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_infosam.core.errors import InfosamError
from napari_infosam.project import HistoryEntry, ImageRecord, Project

from .conftest import SHAPE, gradient, square


def test_undo_and_redo_of_a_commit(project: Project, image: ImageRecord) -> None:
    assert not project.can_undo
    written = project.commit(image.id, square(1, 1))
    assert (project.can_undo, project.can_redo) == (True, False)
    entry = HistoryEntry("commit", written.id, image.id)
    assert project.undo() == entry
    assert project.objects() == []
    assert (project.can_undo, project.can_redo) == (False, True)
    assert project.undo() is None
    assert project.redo() == entry
    assert project.objects() == [written]
    assert project.redo() is None
    assert (project.can_undo, project.can_redo) == (True, False)


def test_undo_and_redo_of_a_delete(project: Project, image: ImageRecord) -> None:
    written = project.commit(image.id, square(1, 1))
    project.delete(written.id)
    with pytest.raises(InfosamError, match="was deleted or never accepted"):
        project.delete(written.id)
    entry = HistoryEntry("delete", written.id, image.id)
    assert project.undo() == entry
    assert project.objects() == [written]
    assert project.redo() == entry
    assert project.objects() == []


def test_a_new_action_ends_redo(project: Project, image: ImageRecord) -> None:
    project.commit(image.id, square(1, 1))
    project.commit(image.id, square(2, 2))
    project.undo()
    project.undo()
    third = project.commit(image.id, square(3, 3))
    assert project.redo() is None
    assert project.undo() == HistoryEntry("commit", third.id, image.id)
    assert project.undo() is None


def test_the_journal_survives_reopening(tmp_path: Path) -> None:
    with Project.create(tmp_path / "a") as project:
        image = project.add_image(gradient(), "a")
        written = [project.commit(image.id, square(i, i)) for i in range(4)]
        project.delete(written[0].id)
        project.undo()
        project.undo()
    with Project.open(tmp_path / "a") as project:
        assert project.objects() == written[:3]
        assert project.redo() == HistoryEntry("commit", written[3].id, image.id)
        assert project.redo() == HistoryEntry("delete", written[0].id, image.id)
        assert project.redo() is None
        assert project.objects() == written[1:]


def test_a_hundred_steps_back_and_forth(project: Project, image: ImageRecord) -> None:
    mask = np.zeros(SHAPE, bool)
    mask[0, 0] = True
    written = [project.commit(image.id, np.roll(mask, i)) for i in range(100)]
    for left in reversed(range(100)):
        assert project.undo() == HistoryEntry("commit", left + 1, image.id)
        assert project.n_objects() == left
    while project.redo():
        pass
    assert project.objects() == written


def test_imported_objects_are_steps_of_their_own(
    project: Project, image: ImageRecord
) -> None:
    written = project.commit_many(image.id, [square(1, 1), square(9, 9)])
    assert project.undo() == HistoryEntry("commit", written[1].id, image.id)
    assert project.objects() == written[:1]
