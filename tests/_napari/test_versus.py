"""The A/B key and the difference: seen, never accepted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QApplication

from napari_infosam._napari import layers
from napari_infosam._napari.difference import (
    BOTH,
    ONLY_OTHER,
    ONLY_OWN,
    OTHER_EDGE,
    OTHER_FILL,
    as_other,
    difference,
)
from napari_infosam._napari.outlines import outlined
from napari_infosam._napari.versus import PREVIOUS, Versus
from napari_infosam.core.metrics import iou
from napari_infosam.core.prompts import Point
from napari_infosam.models import Predictor
from napari_infosam.models.student import (
    STUDENT_FILE,
    StudentSpec,
    build_student,
    save_student,
)
from napari_infosam.project import VersionRecord

from .helpers import DISCS, AtOnce, disc, picture

if TYPE_CHECKING:
    from napari_infosam._napari.session import Session

    from .window import Window

Key = Qt.Key
FIRST = Point(DISCS[0][1], DISCS[0][0])
SECOND = Point(DISCS[1][1], DISCS[1][0])


@pytest.fixture
def background() -> AtOnce:
    return AtOnce()


@pytest.fixture
def versus(session: Session, background: AtOnce) -> Iterator[Versus]:
    import torch

    threads = torch.get_num_threads()
    made = Versus(session, background)
    yield made
    made.close()
    torch.set_num_threads(threads)  # it works on a thread of its own otherwise


def add_student(session: Session, *, parent: str = "base", method: str = "decoder"):
    """Add a version that answers otherwise than the base, and let it answer."""
    import torch

    session.desk.require()
    project, base = session.desk.project, session.engine.model
    assert project is not None
    assert base is not None
    base = session.engine.beside()[0].model
    name = project.reserve_version()
    spec = StudentSpec.of(base, method)
    student, _ = build_student(base.sam, spec)
    torch.manual_seed(int(name[1:]))
    with torch.no_grad():
        weights = student.mask_decoder.output_hypernetworks_mlps[0].layers[-1].weight
        weights += 0.3 * weights.std() * torch.randn_like(weights)
    save_student(student, project.version_dir(name) / STUDENT_FILE, spec)
    project.add_version(
        VersionRecord(name, parent, method, "quick", {}, "", {}, "accepted")
    )
    session.desk.activate(name)
    return name


def mask_of_base(session: Session) -> np.ndarray:
    base = session.engine.beside()[0]
    embedding, answer = base.embed(picture()), None
    for prompts in session.prompts.steps():
        answer = Predictor(base.model).answer(prompts, answer, embedding)
    return answer.mask


def own_mask(session: Session) -> np.ndarray:
    assert session.proposal is not None
    return session.proposal.prediction.mask


masks = arrays(np.bool_, (5, 7), elements=st.booleans())


@given(masks, masks)
def test_a_difference_tells_every_pixel_apart(own, other):
    found = difference(own, other)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found == ONLY_OWN, own & ~other)
    np.testing.assert_array_equal(found == ONLY_OTHER, other & ~own)
    np.testing.assert_array_equal(found == BOTH, own & other)
    assert set(np.unique(as_other(outlined(own)))) <= {0, OTHER_FILL, OTHER_EDGE}
    np.testing.assert_array_equal(as_other(outlined(own)) > 0, own)


def test_held_it_shows_the_base_and_then_the_proposal_again(session, versus):
    name = add_student(session)
    session.add_prompt(FIRST)
    proposal = session.proposal
    versus.hold(True)
    base = mask_of_base(session)
    assert (base != own_mask(session)).any()
    np.testing.assert_array_equal(versus.picture()[0], as_other(outlined(base)))
    assert versus.iou() == pytest.approx(iou(own_mask(session), base))
    assert (versus.own, versus.other) == (name, "base")
    versus.hold(True)  # as a key that is held down says again and again
    versus.hold(False)
    assert versus.picture() is None
    assert session.proposal is proposal


def test_what_is_accepted_while_it_is_held_is_the_proposal(session, versus):
    name = add_student(session)
    session.add_prompt(FIRST)
    own = own_mask(session).copy()
    versus.hold(True)
    record = session.accept()
    np.testing.assert_array_equal(record.mask(), own)
    assert record.model_version == name
    # with nothing left to compare it lets go by itself
    assert not versus.held
    assert versus.picture() is None


def test_the_difference_follows_the_prompts(session, versus):
    add_student(session)
    session.add_prompt(FIRST)
    versus.toggle_overlay()
    for prompt in (SECOND, Point(DISCS[2][1], DISCS[2][0], positive=False)):
        own, base = own_mask(session), mask_of_base(session)
        np.testing.assert_array_equal(versus.picture()[0], difference(own, base))
        session.add_prompt(prompt)
    session.accept()
    assert versus.picture() is None
    session.add_prompt(SECOND)
    assert versus.picture() is not None
    versus.toggle_overlay()
    assert versus.picture() is None


def test_answers_to_earlier_prompts_are_not_shown(session, versus, background):
    add_student(session)
    session.add_prompt(FIRST)
    background.holds = True
    versus.hold(True)
    assert versus.activity == "The base is looking at discs …"
    session.add_prompt(SECOND)
    assert len(background.waiting) == 1  # the rest is asked when it has answered
    background.release(1)
    assert versus.picture() is None
    background.release()
    np.testing.assert_array_equal(
        versus.picture()[0], as_other(outlined(mask_of_base(session)))
    )
    assert versus.activity == ""


def test_the_same_is_not_asked_twice(session, versus, background):
    add_student(session)
    session.add_prompt(FIRST)
    versus.hold(True)
    versus.hold(False)
    background.holds = True
    versus.hold(True)
    assert versus.picture() is not None
    assert background.waiting == []


def test_the_previous_version(session, versus):
    first = add_student(session)
    session.add_prompt(FIRST)
    its = own_mask(session).copy()
    session.clear()
    second = add_student(session, parent=first)
    versus.against = PREVIOUS
    assert (versus.own, versus.other) == (second, first)
    session.add_prompt(FIRST)
    versus.hold(True)
    np.testing.assert_array_equal(versus.picture()[0], as_other(outlined(its)))
    # a first version has none before it but the base
    session.clear()
    session.desk.activate(first)
    assert versus.other == "base"


def test_a_base_that_has_not_seen_the_picture_looks_at_it(session, versus):
    add_student(session, method="adapter")
    session.add_prompt(FIRST)
    base, own = (predictor.model for predictor in session.engine.beside())
    assert base.encoder_hash != own.encoder_hash
    versus.toggle_overlay()
    np.testing.assert_array_equal(
        versus.picture()[0], difference(own_mask(session), mask_of_base(session))
    )


def test_without_two_versions_it_says_why(session, versus, said):
    session.add_prompt(FIRST)
    versus.hold(True)
    versus.toggle_overlay()
    assert not versus.held
    assert not versus.overlaid
    assert (
        said == [("The base answers itself: there is nothing to compare.", False)] * 2
    )
    session.clear()
    add_student(session)
    versus.hold(True)
    assert said[-1][0].startswith("Click on an object first")
    assert not versus.held


def test_a_version_that_can_not_answer_is_said_once(session, versus, said):
    first = add_student(session)
    add_student(session, parent=first)
    versus.against = PREVIOUS
    (session.desk.project.version_dir(first) / STUDENT_FILE).write_bytes(b"broken")
    session.add_prompt(FIRST)
    versus.hold(True)
    versus.hold(False)
    versus.hold(True)
    failures = [text for text, failed in said if failed]
    assert len(failures) == 1
    assert "not a student of napari-infosam" in failures[0]
    assert versus.picture() is None
    assert session.is_answered


# ------------------------------------------------------------------------ by hand


def key(window: Window, kind: QEvent.Type, code: Key, *, repeated: bool) -> None:
    event = QKeyEvent(kind, code, Qt.KeyboardModifier.NoModifier, "o", repeated)
    QApplication.sendEvent(window.canvas, event)


def shown(window: Window) -> set[int]:
    return set(np.unique(window.layer(layers.PROPOSAL).data).tolist()) - {0}


def test_the_key_is_held_and_let_go(window: Window) -> None:
    panel, session = window.panel, window.session
    assert not panel.compare.isVisible()
    window.accept_at(DISCS[2])
    name = add_student(session)
    window.wait(lambda: session.engine.model.version == name)
    assert panel.compare.isVisible()
    window.wait_ready()
    window.click(*DISCS[0])
    window.wait_answer()
    proposal = window.layer(layers.PROPOSAL).data.copy()
    assert shown(window) == {1, 2}

    window.canvas.setFocus()
    window.qtbot.keyPress(window.canvas, Key.Key_O)
    window.wait(lambda: shown(window) == {OTHER_FILL, OTHER_EDGE})
    np.testing.assert_array_equal(
        window.layer(layers.PROPOSAL).data, versus_picture(window)
    )
    assert "base" in panel.compare.legend.text()
    # a held key lets go and presses again many times a second, in name; a window that
    # is busy is told so without the mark of a repeat
    seen: list[bool] = []
    panel.versus.changed.connect(lambda: seen.append(panel.versus.held))
    for repeated in (True, False, True, False):
        key(window, QEvent.Type.KeyRelease, Key.Key_O, repeated=repeated)
        key(window, QEvent.Type.KeyPress, Key.Key_O, repeated=repeated)
        assert shown(window) == {OTHER_FILL, OTHER_EDGE}
    assert seen == []
    window.qtbot.keyRelease(window.canvas, Key.Key_O)
    window.wait(lambda: seen == [False])
    np.testing.assert_array_equal(window.layer(layers.PROPOSAL).data, proposal)
    assert not panel.compare.legend.isVisible()

    # with Shift it stays, and says what the colours mean
    window.key(Key.Key_O, Qt.KeyboardModifier.ShiftModifier)
    window.wait(lambda: BOTH in shown(window))
    text = panel.compare.legend.text()
    assert f"only {name}" in text
    assert "only base" in text
    assert f"IoU of both {panel.versus.iou():.2f}" in text
    assert panel.compare.difference.isChecked()
    window.press(panel.compare.difference)
    np.testing.assert_array_equal(window.layer(layers.PROPOSAL).data, proposal)

    # the focus goes elsewhere, and the release of the key with it; Qt says so itself
    # only where a window manager has made the window the active one
    window.qtbot.keyPress(window.canvas, Key.Key_O)
    window.wait(lambda: panel.versus.held)
    QApplication.instance().focusChanged.emit(window.canvas, panel.annotate.classes.add)
    assert not panel.versus.held
    np.testing.assert_array_equal(window.layer(layers.PROPOSAL).data, proposal)

    window.canvas.setFocus()
    window.qtbot.keyPress(window.canvas, Key.Key_O)
    window.key(Key.Key_C)
    window.qtbot.keyRelease(window.canvas, Key.Key_O)
    window.wait(lambda: not panel.compare.legend.isVisible())
    records = session.desk.project.objects()
    assert [record.model_version for record in records] == ["base", name]
    np.testing.assert_array_equal(records[-1].mask(), proposal > 0)
    assert iou(records[-1].mask(), disc(0)) > 0.5


def versus_picture(window: Window) -> np.ndarray:
    found = window.panel.versus.picture()
    assert found is not None
    return found[0]
