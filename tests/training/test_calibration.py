from __future__ import annotations

import numpy as np
import pytest

from napari_infosam.training.calibration import calibrate
from napari_infosam.training.held_out import HeldOut

from .helpers import make_stage, state_of


def measure(stage, frozen, held_out):
    return held_out.evaluate(
        stage.model(), frozen, max_clicks=6, on_progress=lambda *_: None
    )


def test_promises_are_kept_on_the_mean_and_masks_stay(frozen, samples):
    stage = make_stage(frozen, "decoder")
    held_out = HeldOut.of(samples[:1], 1)
    before = measure(stage, frozen, held_out)
    weights = state_of(stage.sam)
    said = calibrate(stage, before)
    found = measure(stage, frozen, held_out)
    n = before.n_objects
    assert abs(before.score_bias) > 0.01
    assert found.score_bias == pytest.approx(before.score_bias / (n + 1), abs=1e-5)
    assert said.score_bias == pytest.approx(found.score_bias, abs=1e-5)
    assert said.score_error == pytest.approx(found.score_error, abs=1e-5)
    assert [o.ious for o in found.objects] == [o.ious for o in before.objects]
    assert [o.iou_box for o in found.objects] == [o.iou_box for o in before.objects]
    changed = [
        name
        for name, value in stage.sam.state_dict().items()
        if not np.array_equal(value, weights[name])
    ]
    assert len(changed) == 1
    assert changed[0].startswith("mask_decoder.iou_prediction_head")


def test_the_published_recipe_stays_as_published(frozen, samples):
    stage = make_stage(frozen, "decoder", recipe="paper")
    before = measure(stage, frozen, HeldOut.of(samples[:1], 1))
    weights = state_of(stage.sam)
    assert calibrate(stage, before) is before
    assert all(
        np.array_equal(value, weights[name])
        for name, value in stage.sam.state_dict().items()
    )
