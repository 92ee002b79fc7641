from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.prompts import Box, Point, PromptSet
from napari_infosam.core.rough_mask import RoughMask, with_rough_prompts

MASKS = arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40))).filter(np.any)


@given(MASKS)
def test_a_rough_mask_is_what_was_painted(mask: np.ndarray) -> None:
    rough = RoughMask.of(mask)
    np.testing.assert_array_equal(rough.mask(), mask)
    assert RoughMask.of(mask.copy()) == rough
    assert hash(RoughMask.of(mask.copy())) == hash(rough)


def test_an_empty_rough_mask_is_refused() -> None:
    with pytest.raises(InfosamError, match="empty"):
        RoughMask.of(np.zeros((4, 4), bool))


def test_the_rough_mask_is_the_first_step() -> None:
    rough = RoughMask.of(np.ones((4, 4), bool))
    point, box = Point(1, 1), Box(0, 0, 2, 2)
    prompts = PromptSet((point,), box, rough)
    assert len(prompts) == 3
    assert list(prompts.steps()) == [
        PromptSet(rough=rough),
        PromptSet(box=box, rough=rough),
        prompts,
    ]
    assert not prompts.is_ambiguous
    assert PromptSet((point,), choice=1).is_ambiguous
    assert not PromptSet(choice=1)


def test_a_click_has_three_meanings() -> None:
    with pytest.raises(InfosamError, match="part, object, whole, not 3"):
        PromptSet((Point(1, 1),), choice=3)


def test_an_area_is_given_as_a_weak_mask_and_a_box_with_a_margin() -> None:
    mask = np.zeros((100, 200), bool)
    mask[20:61, 0:31] = True
    rough = RoughMask.of(mask)
    placed = with_rough_prompts(PromptSet((Point(7, 8),), rough=rough))
    assert placed == PromptSet((Point(7, 8),), Box(0, 16, 34, 64))
    drawn = PromptSet(box=Box(1, 2, 3, 4), rough=rough)
    assert with_rough_prompts(drawn).box == Box(1, 2, 3, 4)
    logits = rough.low_res_logits()
    assert logits.shape == (256, 256)
    assert logits.dtype == np.float32
    # 200 pixels are 256 of them
    assert (logits[60, 20], logits[60, 60], logits[200, 20]) == (2, -2, -2)
    edge = np.flatnonzero(logits[60] <= 0)[0]
    assert edge == pytest.approx(31 * 1.28, abs=1)


def test_a_scribble_is_given_as_points_on_it() -> None:
    mask = np.zeros((100, 200), bool)
    mask[50:53, 20:180] = True
    placed = with_rough_prompts(PromptSet(rough=RoughMask.of(mask)))
    assert placed.box is None
    assert len(placed.points) == 3
    columns = sorted(point.x for point in placed.points)
    assert columns[-1] - columns[0] > 100
    assert all(mask[int(p.y), int(p.x)] and p.positive for p in placed.points)


@given(MASKS)
def test_any_rough_mask_gives_prompts_inside_the_image(mask: np.ndarray) -> None:
    rough = RoughMask.of(mask)
    placed = with_rough_prompts(PromptSet(rough=rough))
    assert placed
    assert all(mask[int(p.y), int(p.x)] for p in placed.points)
    if placed.box is not None:
        assert placed.box.x0 >= 0
        assert placed.box.y1 <= mask.shape[0] - 1
    assert np.isfinite(rough.low_res_logits()).all()
