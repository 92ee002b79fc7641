"""The training stands still while a click is answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from qtpy.QtCore import QObject

from napari_infosam._napari import giving_way
from napari_infosam._napari.giving_way import GivingWay
from napari_infosam.core.prompts import Point

from .helpers import DISCS
from .test_learning import Job

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from napari_infosam._napari.session import Session

    from .helpers import AtOnce


@pytest.fixture
def job(session: Session, qtbot: QtBot) -> Iterator[Job]:
    """Return the training of a session that gives way."""
    made, parent = Job(), QObject()
    session.learning._follow(made, "Starting …")  # type: ignore[arg-type]
    way = GivingWay(session, parent)
    yield made
    way.stop()


def click(session: Session) -> None:
    row, column = DISCS[0]
    session.add_prompt(Point(column, row))


def test_it_goes_on_when_the_mask_is_painted(
    session: Session, executor: AtOnce, job: Job, qtbot: QtBot
) -> None:
    executor.holds = True
    click(session)
    assert job.held
    executor.release()
    assert job.held  # the mask is not painted yet
    qtbot.waitUntil(lambda: not job.held, timeout=2000)


def test_it_goes_on_where_no_answer_comes(
    session: Session,
    executor: AtOnce,
    job: Job,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(giving_way, "_LONGEST_MS", 50)
    executor.holds = True
    click(session)
    assert job.held
    qtbot.waitUntil(lambda: not job.held, timeout=2000)
    executor.release()
    assert not job.held


def test_while_it_is_held_the_answer_has_all_cores(session: Session, job: Job) -> None:
    assert session.engine._is_training()
    session.learning.hold()
    assert not session.engine._is_training()
