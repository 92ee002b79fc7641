"""How clicking and training share the processor.

Two programs that both run on every core are far slower than the sum of their work:
the threads of each wait for one another at every step.
"""

from __future__ import annotations

import os

import psutil


def all_cores() -> int:
    """Return the number of physical cores this process may use."""
    physical = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    return min(physical, len(psutil.Process().cpu_affinity()) if _LIMITED else physical)


def half_of_the_cores() -> int:
    """Return what each of window and training takes while both work."""
    return max(1, all_cores() // 2)


_LIMITED = hasattr(psutil.Process, "cpu_affinity")
"""Whether this system can bind a process to some of the cores."""
