"""Photographs with masks of the base, to replay and to see what is forgotten."""

from __future__ import annotations

import pytest
import torch

from napari_infosam.models.predictor import Predictor
from napari_infosam.training.evaluate import evaluate
from napari_infosam.training.photographs import MEASURED, REPLAYED, photographs


def test_nothing_is_measured_that_was_learnt():
    assert not set(MEASURED) & set(REPLAYED)


@pytest.mark.slow
@torch.inference_mode()
def test_the_base_answers_as_it_did(base):
    predictor = Predictor(base)
    samples = photographs(predictor, MEASURED[:1])
    assert [sample.name for sample in samples] == ["astronaut"]
    assert 2 <= len(samples[0].rles) <= 4
    result = evaluate(predictor, samples, max_clicks=5)
    assert result.iou_after(1) > 0.9
    assert result.iou_box > 0.9
