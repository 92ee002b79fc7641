"""The simulated annotator, on answers that the test gives."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pytest

from napari_infosam.core.clicks import jittered_click
from napari_infosam.models import Prediction
from napari_infosam.training.annotator import annotate_object, clicking

TARGET = np.zeros((20, 20), bool)
TARGET[5:15, 5:15] = True


class Shares:
    """Answers with so much of the object after each click, the last again and again."""

    def __init__(self, *shares: float) -> None:
        self.shares = shares
        self.fed_back: list[Prediction | None] = []

    def answer(self, prompts, previous, embedding):
        assert embedding == "embedding"
        self.fed_back.append(previous)
        share = self.shares[min(len(prompts), len(self.shares)) - 1]
        mask = TARGET.copy()
        mask[5 + round(10 * share) :] = False
        return Prediction(mask, share, np.zeros((256, 256), np.float32))


@pytest.mark.parametrize(
    ("shares", "n_clicks"), [((0.9,), 1), ((0.2, 0.5, 0.9, 1.0), 3), ((0.2,), 6)]
)
def test_clicking_ends_when_it_is_acceptable_or_patience_is_over(shares, n_clicks):
    predictor = Shares(*shares)
    steps = annotate_object(predictor, "embedding", TARGET, patience=6)
    assert [len(step.prompts) for step in steps] == list(range(1, n_clicks + 1))
    assert [step.iou for step in steps] == pytest.approx(
        [shares[min(n, len(shares) - 1)] for n in range(n_clicks)]
    )
    assert predictor.fed_back == [None, *(step.answer for step in steps[:-1])]


def test_clicking_goes_on_while_somebody_listens():
    steps = list(itertools.islice(clicking(Shares(0.2), "embedding", TARGET), 30))
    assert len({step.prompts.points[-1] for step in steps}) == 30
    # where nothing is left to correct, it ends by itself
    assert len(list(clicking(Shares(0.2, 1.0), "embedding", TARGET))) == 2


def test_the_hand_of_the_annotator_can_be_another():
    click = partial(jittered_click, pixels=3, rng=np.random.default_rng(0))
    options = {"patience": 6, "click": click}
    first = [
        annotate_object(Shares(0.9), "embedding", TARGET, **options)[0].prompts
        for _ in range(9)
    ]
    assert len(set(first)) > 3
