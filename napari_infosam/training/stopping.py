"""When to stop: whether learning more objects still saves more clicks."""

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
    """The running gain has come to rest.

    Attributes
    ----------
    earlier, later
        Clicks saved per object, the base's less those that were needed: on the mean of
        the last objects but `WINDOW`, and of the last.
    most
        The gain grew by less than this, at 97.5 % confidence; in clicks per object.
    """

    earlier: float
    later: float
    most: float


def find_plateau(base: Sequence[float], now: Sequence[float]) -> Plateau | None:
    """Return the plateau that a series of objects has reached, or None.

    Objects that need more and more clicks are none, whatever the base takes for them:
    images of a new kind have begun, and from those there is much to learn.

    Parameters
    ----------
    base
        Clicks of the base on each object, in the order of annotation.
    now
        Clicks of the version that answered and had not learnt the object (`Score.now`).
    """
    if len(now) < 2 * WINDOW:
        return None
    clicks = np.array([base, now], float)[:, -2 * WINDOW :]
    both = np.stack([clicks[0] - clicks[1], clicks[1]])  # saved, needed
    earlier, later = both[:, :WINDOW], both[:, WINDOW:]
    rng = np.random.default_rng(0)
    chosen = rng.integers(WINDOW, size=(2, _RESAMPLES, WINDOW))
    grown = later[:, chosen[1]].mean(axis=2) - earlier[:, chosen[0]].mean(axis=2)
    most = float(np.percentile(grown[0], 97.5))
    is_harder = np.percentile(grown[1], 2.5) > 0
    if most >= LITTLE or is_harder:
        return None
    return Plateau(float(earlier[0].mean()), float(later[0].mean()), most)
