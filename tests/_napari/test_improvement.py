"""The clicks that training saves, found out between clicks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from napari_infosam._napari import version_text
from napari_infosam._napari.improvement import Improvement
from napari_infosam._napari.version_text import saving, saving_details
from napari_infosam.core.prompts import Point
from napari_infosam.models.student import (
    STUDENT_FILE,
    StudentSpec,
    build_student,
    save_student,
)
from napari_infosam.project import VersionRecord
from napari_infosam.project.versions import known_numbers
from napari_infosam.training.prequential import (
    Comparison,
    Difference,
    RunningFigures,
)

from .helpers import DISCS, AtOnce

if TYPE_CHECKING:
    from napari_infosam._napari.session import Session
    from napari_infosam.core.options import Method

    from .window import Window


@pytest.fixture
def background() -> AtOnce:
    return AtOnce()


@pytest.fixture
def improvement(session: Session, background: AtOnce) -> Iterator[Improvement]:
    import torch

    threads = torch.get_num_threads()
    made = Improvement(session, background)
    yield made
    made.close()
    torch.set_num_threads(threads)  # it works on a thread of its own otherwise


def accept(session: Session, number: int) -> None:
    row, column = DISCS[number]
    session.add_prompt(Point(column, row))
    assert session.accept() is not None


def add_student(session: Session, method: Method = "decoder") -> str:
    """Add a version that equals the base, and has learnt what is there."""
    project, base = session.desk.project, session.engine.model
    assert project is not None
    assert base is not None
    spec = StudentSpec.of(base, method)
    name = project.reserve_version()
    path = project.version_dir(name) / STUDENT_FILE
    save_student(build_student(base.sam, spec)[0], path, spec)
    metrics = {"known_numbers": known_numbers(project.objects())}
    project.add_version(
        VersionRecord(name, "base", method, "quick", {}, "", metrics, "accepted")
    )
    return name


def n_tested(improvement: Improvement) -> int:
    figures = improvement.figures
    return 0 if figures is None or figures.now is None else figures.now.n


def test_every_accept_after_a_swap_is_a_test(
    session: Session, improvement: Improvement
) -> None:
    accept(session, 0)
    assert improvement.figures is not None
    assert saving(improvement.figures) == ""
    session.desk.activate(add_student(session))
    assert n_tested(improvement) == 0
    for number in (1, 2):
        accept(session, number)
        assert n_tested(improvement) == number
    session.delete_at(*DISCS[2])
    assert n_tested(improvement) == 1
    session.undo()
    assert n_tested(improvement) == 2
    # a version that has learnt them takes nothing from what was found out before
    session.desk.activate(add_student(session))
    figures = improvement.figures
    assert figures is not None
    assert figures.now is None
    assert figures.so_far is not None
    assert figures.so_far.n == 2


def test_replays_wait_for_the_person(
    session: Session, improvement: Improvement, background: AtOnce
) -> None:
    accept(session, 0)
    session.desk.activate(add_student(session))
    background.holds = True
    accept(session, 1)
    session.add_prompt(Point(DISCS[2][1], DISCS[2][0]))
    background.release()  # it was queued before the click, and does nothing now
    assert n_tested(improvement) == 0
    assert not background.waiting
    session.clear()
    background.release()
    assert n_tested(improvement) == 1
    assert not background.waiting


def test_the_picture_in_sight_is_embedded_before_anything_is_replayed(
    session: Session, improvement: Improvement, executor: AtOnce, background: AtOnce
) -> None:
    accept(session, 0)
    version = add_student(session, "adapter")
    executor.holds = background.holds = True
    session.desk.activate(version)
    executor.release(1)
    assert session.engine.model is not None
    assert session.engine.model.version == version
    assert not session.engine.is_ready
    assert not background.waiting
    executor.release()
    assert session.engine.is_ready
    assert background.waiting


def test_another_project_has_figures_of_its_own(
    session: Session, improvement: Improvement, background: AtOnce
) -> None:
    accept(session, 0)
    session.desk.activate(add_student(session))
    background.holds = True
    accept(session, 1)
    path = session.desk.path
    session.desk.new(path.with_name("other.infosam"))
    background.release()
    assert n_tested(improvement) == 0
    session.desk.open(path)
    background.release()
    background.release()
    assert n_tested(improvement) == 1


def test_what_goes_wrong_is_for_the_log(
    session: Session,
    improvement: Improvement,
    said: list[tuple[str, bool]],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accept(session, 0)
    project = session.desk.project
    assert project is not None

    def gone() -> None:
        raise OSError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(project, "versions", gone)
        improvement._on_changed()
    assert "running figures are old" in caplog.text
    assert not any(failed for _, failed in said)
    session.desk.activate(add_student(session))
    accept(session, 1)
    assert n_tested(improvement) == 1


def test_the_window_shows_what_was_saved(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(version_text, "_FEWEST", 2)
    learn, session = window.panel.learn, window.session

    def click_and_accept(number: int) -> None:
        window.click(*DISCS[number])
        window.wait_answer()
        window.press(window.panel.annotate.accept)

    click_and_accept(0)
    assert not learn.saving.isVisible()
    session.desk.activate(add_student(session))
    window.wait(lambda: session.engine.model.version == "v001")
    click_and_accept(1)
    window.wait(lambda: n_tested(window.panel.improvement) == 1)
    assert not learn.saving.isVisible()
    assert not learn.saving_details.isVisible()
    click_and_accept(2)
    window.wait(learn.saving.isVisible)
    assert learn.saving.text().endswith("clicks per object</b>")
    assert "base \N{RIGHTWARDS ARROW} v001 (n\N{NO-BREAK SPACE}=" in (
        learn.saving_details.text()
    )
    assert "2)" in learn.saving_details.text().splitlines()[0]


def plain(text: str) -> str:
    return (
        text.replace("\N{NO-BREAK SPACE}", " ")
        .replace("\N{RIGHTWARDS ARROW}", "->")
        .replace("\N{MINUS SIGN}", "-")
    )


CERTAIN = Comparison(
    37, Difference(0.61, 0.83, (0.15, 0.29)), Difference(2.42, 1.31, (-1.52, -0.71))
)
TOO_FEW = Comparison(2, Difference(0.9, 0.2, None), Difference(1.0, 2.0, None))
FEW = Comparison(3, Difference(0.61, 0.83, None), Difference(2.0, 1.0, None))


@pytest.mark.parametrize(
    ("figures", "large", "small"),
    [
        (None, "", ""),
        (RunningFigures("base"), "", ""),
        (
            RunningFigures("v002", CERTAIN, CERTAIN),
            "2.4 -> 1.3",
            "base -> v002 (n = 37, 95 % CI -1.5 to -0.7)\n"
            "First proposal: IoU 0.61 -> 0.83 (95 % CI +0.15 to +0.29)",
        ),
        (
            RunningFigures("v003", FEW, CERTAIN),
            "2.0 -> 1.0",
            "base -> v003 (n = 3)\n"
            "First proposal: IoU 0.61 -> 0.83\n"
            "All versions so far: 2.4 -> 1.3 (n = 37, 95 % CI -1.5 to -0.7)",
        ),
        (
            RunningFigures("base", None, FEW),
            "",
            "Base -> all versions so far: 2.0 -> 1.0 clicks per object (n = 3)",
        ),
        (RunningFigures("v001", TOO_FEW, TOO_FEW), "", ""),
    ],
)
def test_the_figures_in_words(
    figures: RunningFigures | None, large: str, small: str
) -> None:
    assert plain(saving(figures)) == large
    assert plain(saving_details(figures)) == small


def test_no_difference_has_no_sign() -> None:
    even = Comparison(9, Difference(0.9, 0.9, (-0.001, 0.002)), FEW.clicks)
    text = plain(saving_details(RunningFigures("v001", even, even)))
    assert text.endswith("(95 % CI 0.00 to 0.00)")
