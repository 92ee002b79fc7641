from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt
from scipy.ndimage import binary_erosion

from napari_infosam._napari import layers
from napari_infosam.core.metrics import iou
from napari_infosam.core.prompts import Point, PromptSet
from napari_infosam.core.rough_mask import RoughMask
from napari_infosam.training.prequential import replay

from .helpers import DISCS, disc, picture
from .window import Modifier, Window

if TYPE_CHECKING:
    from napari_infosam._napari.session import Session

Key = Qt.Key


def test_the_model_refines_a_rough_mask(session: Session) -> None:
    rough = binary_erosion(disc(0), iterations=4)
    session.set_prompts(PromptSet(rough=RoughMask.of(rough)))
    answer = session.work.answer
    assert answer is not None
    assert iou(answer.prediction.mask, disc(0)) > max(0.85, iou(rough, disc(0)) + 0.15)

    # a click goes on from it, and both are kept with the object
    row, column = DISCS[0]
    session.add_prompt(Point(column + 14, row))
    record = session.accept()
    assert record is not None
    assert record.prompts.rough == RoughMask.of(rough)
    assert len(record.proposal_ious) == len(record.prompts) == 2

    # a replay asks what the author asked
    predictors = session.engine.beside()
    assert predictors is not None
    embedding = predictors[0].embed(picture())
    again = replay(predictors[0], embedding, record.prompts, record.mask())
    np.testing.assert_allclose(again.ious, record.proposal_ious, atol=1e-6)


def test_what_is_painted_with_the_brush_is_a_prompt(window: Window) -> None:
    assert layers.ROUGH not in window.viewer.layers
    window.key(Key.Key_P)
    assert window.panel.annotate.mode.buttons[2].isChecked()
    rough = window.layer(layers.ROUGH)
    assert rough.mode == "paint"
    assert window.viewer.layers.selection.active is rough
    rough.brush_size = 16
    row, column = DISCS[0]

    window.drag((row, column - 10), (row, column + 10))

    window.wait(lambda: window.session.prompts.rough is not None)
    window.wait_answer()
    assert len(window.session.prompts) == 1
    assert window.proposal_area() > 0

    window.drag((row - 10, column), (row + 10, column))
    painted = np.asarray(rough.data) > 0
    window.wait(lambda: window.session.prompts.rough == RoughMask.of(painted))
    window.wait_answer()
    assert iou(np.asarray(window.layer(layers.PROPOSAL).data) > 0, disc(0)) > 0.85
    window.key(Key.Key_Z, Modifier.ControlModifier)
    assert np.count_nonzero(rough.data) < painted.sum()
    window.key(Key.Key_Z, Modifier.ControlModifier | Modifier.ShiftModifier)
    np.testing.assert_array_equal(np.asarray(rough.data) > 0, painted)
    window.wait_answer()
    window.key(Key.Key_C)
    assert window.shown_objects() == {1}
    assert not np.any(rough.data)
    assert rough.mode == "paint"

    window.drag((row, column - 10), (row, column + 10))
    window.wait(lambda: window.session.prompts.rough is not None)
    window.key(Key.Key_Escape)  # no stroke is under way that napari would break off
    assert not window.session.prompts
    assert not np.any(rough.data)

    window.key(Key.Key_S)
    assert window.panel.annotate.mode.buttons[0].isChecked()
    window.click(*DISCS[1])
    assert window.n_points == 1
