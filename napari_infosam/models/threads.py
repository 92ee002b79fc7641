"""How many threads pay on this machine, at this moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

T = TypeVar("T")

_SIDE = 512
_PRODUCTS = 8
_ROUNDS = 3


def set_threads(number: int) -> None:
    """Let torch use so many threads for what the calling thread asks of it."""
    if torch.get_num_threads() != number:
        torch.set_num_threads(number)


def set_fastest_threads(most: int) -> int:
    """Let torch use one thread or `most`, whichever is faster now; return it.

    Where other programs keep the cores busy, the threads of one operation wait for
    each other so long that a single one is several times faster. The number holds
    for the calling thread.
    """
    matrix = torch.rand(_SIDE, _SIDE)
    seconds = {}
    for threads in sorted({1, most}):
        torch.set_num_threads(threads)
        torch.mm(matrix, matrix)
        rounds = []
        for _ in range(_ROUNDS):
            start = time.perf_counter()
            for _ in range(_PRODUCTS):
                torch.mm(matrix, matrix).relu_()
            rounds.append(time.perf_counter() - start)
        seconds[threads] = sorted(rounds)[_ROUNDS // 2]
    best = min(seconds, key=seconds.__getitem__)
    torch.set_num_threads(best)
    return best


class Workers:
    """Does the same to several things side by side, each on one thread.

    On a CPU this is faster than to let every operation use all threads, and far
    faster where other programs keep some of the cores busy.

    Parameters
    ----------
    threads
        How many things at a time.
    device
        Where they are done; on a GPU one comes after the other.
    """

    def __init__(self, threads: int, device: torch.device) -> None:
        self._pool: ThreadPoolExecutor | None = None
        if device.type == "cpu":
            self._pool = ThreadPoolExecutor(
                threads, "worker", initializer=set_threads, initargs=(1,)
            )

    def map(self, work: Callable[..., T], *things: Iterable[Any]) -> Iterator[T]:
        """Yield the results in order; the first error is raised."""
        if self._pool is None:
            return map(work, *things)
        return self._pool.map(work, *things)
