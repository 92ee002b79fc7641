"""What noisy gating needs of the training around it: chance, and a place for its loss.

Images go through an encoder side by side in threads, so both belong to a thread.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


class _Pass(threading.local):
    """One pass of a training step through the encoder; none outside of training."""

    rng: np.random.Generator | None = None
    losses: list[Tensor] | None = None


_pass = _Pass()


@contextmanager
def noisy_gating(rng: np.random.Generator) -> Iterator[list[Tensor]]:
    """Let gates in this thread draw noise; yield the list of their balance losses.

    Parameters
    ----------
    rng
        Source of the noise.
    """
    losses: list[Tensor] = []
    _pass.rng, _pass.losses = rng, losses
    try:
        yield losses
    finally:
        _pass.rng = _pass.losses = None


def noise_like(values: Tensor) -> Tensor | None:
    """Return normal noise of the shape of `values`, or None outside of training."""
    if _pass.rng is None:
        return None
    noise = _pass.rng.standard_normal(values.shape, np.float32)
    return torch.from_numpy(noise).to(values.device)


def keep_balance_loss(loss: Tensor) -> None:
    """Hand a loss to the training step that is under way in this thread."""
    if _pass.losses is not None:
        _pass.losses.append(loss)
