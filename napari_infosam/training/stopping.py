"""When to stop: whether learning more objects still saves clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WINDOW = 30
"""Objects on each side of the comparison."""
LITTLE = 0.5
"""A gain of so many clicks an object is not worth more labelling for its own sake."""
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Plateau:
    """The running figure has come to rest.

    Attributes
    ----------
    earlier, later
        Mean clicks per object of the last objects but `WINDOW`, and of the last.
    most
        The gain is below this, at 97.5 % confidence; in clicks per object.
    """

    earlier: float
    later: float
    most: float


def find_plateau(clicks: Sequence[float]) -> Plateau | None:
    """Return the plateau that a series of objects has reached, or None.

    Parameters
    ----------
    clicks
        Of each object in the order of annotation, with the version that had not learnt
        it (`Score.now`).
    """
    if len(clicks) < 2 * WINDOW:
        return None
    earlier = np.asarray(clicks[-2 * WINDOW : -WINDOW], float)
    later = np.asarray(clicks[-WINDOW:], float)
    rng = np.random.default_rng(0)
    chosen = rng.integers(WINDOW, size=(2, _RESAMPLES, WINDOW))
    gains = earlier[chosen[0]].mean(axis=1) - later[chosen[1]].mean(axis=1)
    most = float(np.percentile(gains, 97.5))
    if most >= LITTLE:
        return None
    return Plateau(float(earlier.mean()), float(later.mean()), most)
