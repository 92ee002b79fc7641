from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.metrics import iou
from napari_infosam.core.prompts import Box
from napari_infosam.models import Cancelled, Predictor
from napari_infosam.models.automatic import (
    AutomaticOptions,
    point_grid,
    propose,
)

VIEW = Box(0, 20, 200, 150)
"""Two rows of coins."""


@pytest.fixture(scope="module")
def predictor(base, coins):
    made = Predictor(base)
    made.set_image(coins)
    return made


@pytest.fixture(scope="module")
def proposals(predictor):
    return propose(predictor, point_grid((303, 384), VIEW, 8))


def test_every_coin_is_proposed_once(proposals):
    scores = [one.score for one in proposals]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) >= AutomaticOptions().min_score
    for column, row in ((38, 58), (105, 60), (160, 50), (107, 120)):
        over = [one for one in proposals if one.small.mask()[row, column]]
        assert any(400 < one.small.area < 3000 for one in over)
    for first, second in pairwise(proposals):
        assert first.small.box != second.small.box


def test_a_proposal_is_what_its_point_answers(predictor, proposals):
    for one in proposals[:3]:
        x, y = one.point.x, one.point.y
        masks = predictor.predict([(x, y)], multimask=True)
        best = max(masks, key=lambda single: iou(single.mask, one.small.mask()))
        assert iou(best.mask, one.small.mask()) > 0.95
        assert one.score == pytest.approx(best.score, abs=0.02)


def test_thresholds_choose(predictor, coins):
    points = point_grid(coins.shape, VIEW, 4)
    none = propose(predictor, points, AutomaticOptions(min_score=1, max_share=0.01))
    assert none == []
    few = propose(predictor, points, AutomaticOptions(max_overlap=0))
    boxes = [one.small.box for one in few]
    for number, first in enumerate(boxes):
        for second in boxes[number + 1 :]:
            # at low resolution, thus within a pixel or two of the image
            assert not (
                first.x0 + 3 < second.x1
                and second.x0 + 3 < first.x1
                and first.y0 + 3 < second.y1
                and second.y0 + 3 < first.y1
            )
    small = propose(predictor, points, AutomaticOptions(max_share=0.02))
    assert small
    assert max(one.small.area for one in small) < 0.025 * coins.size


def test_few_are_held_at_a_time(predictor, coins, monkeypatch):
    points = point_grid(coins.shape, VIEW, 5)
    at_once = propose(predictor, points)
    monkeypatch.setattr("napari_infosam.models.automatic._MOST_HELD", 3)
    bit_by_bit = propose(predictor, points)
    assert {one.small.box for one in at_once} & {one.small.box for one in bit_by_bit}
    assert bit_by_bit[0].small.box == at_once[0].small.box


def test_it_stops_when_asked(predictor, threads):
    with pytest.raises(Cancelled):
        propose(predictor, point_grid((303, 384)), cancelled=lambda: True)


def test_a_grid_lies_in_what_is_in_view():
    points = point_grid((100, 200))
    assert points.shape == (32 * 16, 2)
    assert points.min() > 0
    assert points.max(axis=0).tolist() == pytest.approx([196.375, 96.375])
    part = point_grid((1000, 1000), Box(-50, 100, 450, 350), 10)
    assert (part > (-0.5, 100)).all()
    assert (part < (450, 350)).all()
    # finer would be between two logits
    assert len(point_grid((1024, 1024), Box(0, 0, 64, 32))) == 8 * 4


@given(
    st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    st.integers(1, 64),
    st.tuples(*[st.floats(-100, 3000)] * 4),
)
def test_a_grid_is_inside_whatever_the_view(shape, side, corners):
    view = Box(*corners)
    try:
        points = point_grid(shape, view, side)
    except InfosamError:
        outside = view.x0 >= shape[1] - 0.5 or view.y0 >= shape[0] - 0.5
        narrow = view.x0 == view.x1 or view.y0 == view.y1
        assert outside or narrow or view.x1 <= -0.5 or view.y1 <= -0.5
        return
    assert 1 <= len(points) <= side**2
    assert (points >= (max(view.x0, -0.5), max(view.y0, -0.5))).all()
    assert (points <= (min(view.x1, shape[1]), min(view.y1, shape[0]))).all()
