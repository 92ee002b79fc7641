from __future__ import annotations

import numpy as np
import pytest

from napari_infosam.training.stopping import LITTLE, WINDOW, find_plateau

BASE = [5.0] * 200


def found_for(now: list[float]) -> object:
    return find_plateau(BASE[: len(now)], now)


def test_few_objects_say_nothing() -> None:
    assert found_for([1.0] * (2 * WINDOW - 1)) is None


def test_a_flat_gain_is_a_plateau() -> None:
    now = [5.0] * 40 + [1.0, 1.0, 2.0] * 20
    found = find_plateau(BASE[: len(now)], now)
    assert found is not None
    assert found.earlier == pytest.approx(5 - 4 / 3)
    assert found.later == pytest.approx(5 - 4 / 3)
    assert 0 < found.most < LITTLE


def test_a_growing_gain_is_none() -> None:
    assert found_for(np.linspace(6, 1, 80).tolist()) is None


def test_a_gain_that_grows_because_the_base_gets_worse_is_none() -> None:
    assert find_plateau(np.linspace(2, 8, 80).tolist(), [1.5] * 80) is None


@pytest.mark.parametrize("saved", [0.0, 1.0])
def test_harder_images_are_none(saved: float) -> None:
    """Clicks go up, and the gain stays: the new kind has not been learnt yet."""
    base = np.repeat([2.0, 6.0], WINDOW)
    assert find_plateau(base.tolist(), (base - saved).tolist()) is None


def test_easier_images_are_one_if_the_gain_stays() -> None:
    base = np.repeat([6.0, 3.0], WINDOW)
    found = find_plateau(base.tolist(), (base - 1).tolist())
    assert found is not None
    assert found.later == pytest.approx(1)


def test_noise_does_not_look_like_rest() -> None:
    rng = np.random.default_rng(1)
    assert found_for(rng.integers(1, 15, 2 * WINDOW).tolist()) is None
