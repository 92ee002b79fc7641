"""Collections of garbage are short, and nothing large stays that is removed."""

from __future__ import annotations

import gc
import time
import weakref
from typing import TYPE_CHECKING

import numpy as np
import pytest

from .helpers import picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from .window import Window

pytestmark = pytest.mark.usefixtures("own_garbage")


def seconds_to_collect() -> float:
    start = time.thread_time()
    gc.collect()
    return time.thread_time() - start


def test_a_collection_passes_over_what_stays(
    open_window: Callable[..., Window],
) -> None:
    gc.unfreeze()
    everything = seconds_to_collect()
    window = open_window(("discs", picture()))
    window.wait_ready()
    what_comes_and_goes = seconds_to_collect()
    print(f"{1000 * everything:.0f} ms, then {1000 * what_comes_and_goes:.1f} ms")
    assert what_comes_and_goes < everything / 5
    window.close()
    assert gc.get_freeze_count() == 0


def test_a_large_picture_is_freed_that_was_there_before(
    open_window: Callable[..., Window],
) -> None:
    large = np.zeros((9000, 9000), np.uint8)
    window = open_window(("large", large), ("discs", picture()))
    window.wait_ready()
    layer = weakref.ref(window.layer("large"))
    window.viewer.layers.remove("large")
    window.wait(lambda: layer() is None)
    assert gc.get_freeze_count()
