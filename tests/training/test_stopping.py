from __future__ import annotations

import numpy as np
import pytest

from napari_infosam.training.stopping import LITTLE, WINDOW, find_plateau


def test_few_objects_say_nothing() -> None:
    assert find_plateau([1.0] * (2 * WINDOW - 1)) is None


def test_a_flat_series_is_a_plateau() -> None:
    clicks = [5.0] * 40 + [1.0, 1.0, 2.0] * 20
    found = find_plateau(clicks)
    assert found is not None
    assert found.earlier == pytest.approx(4 / 3)
    assert found.later == pytest.approx(4 / 3)
    assert 0 < found.most < LITTLE


def test_a_falling_series_is_none() -> None:
    assert find_plateau(np.linspace(6, 1, 80).tolist()) is None


def test_a_rising_series_is_one() -> None:
    found = find_plateau(np.linspace(1, 3, 80).tolist())
    assert found is not None
    assert found.later > found.earlier
    assert found.most < 0


def test_noise_does_not_look_like_rest() -> None:
    rng = np.random.default_rng(1)
    assert find_plateau(rng.integers(1, 15, 2 * WINDOW).tolist()) is None
