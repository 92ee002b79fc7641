"""How clicking and training share the processor.

Two programs that both run on every core are far slower than the sum of their work:
the threads of each wait for one another at every step.
"""

from __future__ import annotations

import os
import time

import psutil


def all_cores() -> int:
    """Return the number of physical cores this process may use."""
    physical = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    return min(physical, len(psutil.Process().cpu_affinity()) if _LIMITED else physical)


def half_of_the_cores() -> int:
    """Return what each of window and training takes while both work."""
    return max(1, all_cores() // 2)


class FreeCores:
    """How many cores other programs leave free, from one time it is asked to the next.

    The threads of one operation wait for each other. Where one of them has to share its
    core with another program, all of them take as long as that one.
    """

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._others = _seconds_of_others()
        self._free = all_cores()

    def to_use(self, *, training: bool) -> int:
        """Return the number of cores to work on, at least one.

        Parameters
        ----------
        training
            Whether a training of ours runs, which takes its half of them. What else
            runs at a lower priority gives way and takes none.
        """
        now = time.monotonic()
        if now - self._at >= _LEAST_SECONDS:
            others = _seconds_of_others()
            taken = (others - self._others) / (now - self._at)
            self._free = max(1, all_cores() - round(max(0.0, taken)))
            self._at, self._others = now, others
        return half_of_the_cores() if training else self._free


def _seconds_of_others() -> float:
    """Return the time that others have worked on the cores of this process.

    0 where the system does not tell: all cores then count as free.
    """
    me = psutil.Process()
    try:
        each, own = psutil.cpu_times(percpu=True), me.cpu_times()
        ours = me.cpu_affinity() if _LIMITED else range(len(each))
    except (OSError, psutil.Error):
        return 0.0
    busy = sum(each[i].user + each[i].system for i in ours if i < len(each))
    return float(busy - own.user - own.system)


_LEAST_SECONDS = 0.5
"""Systems count in hundredths: a shorter time says little."""

_LIMITED = hasattr(psutil.Process, "cpu_affinity")
"""Whether this system can bind a process to some of the cores."""
