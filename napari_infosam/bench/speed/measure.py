"""Several ways to do the same, measured side by side in one process."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any, Literal, TypeVar

import numpy as np
import psutil
import torch

from napari_infosam.core.cores import all_cores

MEBIBYTE = 2**20
PACKAGES = ("torch", "timm", "segment-anything", "onnxruntime", "numpy")
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")

_PAUSE = 0.1
"""Seconds; idle threads of OpenMP and of ONNX Runtime sleep by then."""

Work = Callable[[], object]
Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    part
        The part of the benchmark that it belongs to.
    work, against
        What was measured, and beside what.
    aim
        Largest ratio that is wanted, or None.
    ratio
        Of the medians, work over reference.
    quartile_1, quartile_3
        Of the ratios of neighbouring repetitions.
    value, reference
        Medians, in seconds or in MiB.
    unit
        Which of the two.
    """

    part: str
    work: str
    against: str
    aim: float | None
    ratio: float
    quartile_1: float
    quartile_3: float
    value: float
    reference: float
    unit: Literal["s", "MiB"] = "s"

    @property
    def key(self) -> str:
        """What the row is called in the committed ratios."""
        return f"{self.work} / {self.against}"


def alternate(works: Mapping[Key, Work], repetitions: int) -> dict[Key, list[float]]:
    """Return the seconds of each work, one repetition of all after the other.

    Whatever else the machine does meanwhile, it does to all of them. Each is done once
    before. Every other time the order is the reverse, and a pause comes first: threads
    of a library spin for a while after its work, on a core that the next work needs.
    """
    for work in works.values():
        work()
    seconds: dict[Key, list[float]] = {key: [] for key in works}
    for repetition in range(repetitions):
        for key in list(works)[:: 1 if repetition % 2 == 0 else -1]:
            work = works[key]
            time.sleep(_PAUSE)
            start = time.perf_counter()
            work()
            seconds[key].append(time.perf_counter() - start)
    return seconds


def compare(
    part: str,
    names: tuple[str, str],
    values: tuple[Sequence[float], Sequence[float]],
    *,
    aim: float | None = None,
    share: float = 1.0,
    unit: Literal["s", "MiB"] = "s",
) -> Row:
    """Return the row of a work and its reference.

    Parameters
    ----------
    part
        Of the benchmark.
    names
        Of work and reference.
    values
        Of both, by repetition.
    aim
        Largest ratio that is wanted.
    share
        Part of the work that compares with one reference: a quarter, for a step of
        four images beside a step of one.
    unit
        Of the values.
    """
    mine = share * np.asarray(values[0])
    theirs = np.asarray(values[1])
    ratios = mine / theirs
    return Row(
        part,
        *names,
        aim,
        ratio=float(median(mine) / median(theirs)),
        quartile_1=float(np.quantile(ratios, 0.25)),
        quartile_3=float(np.quantile(ratios, 0.75)),
        value=float(median(mine)),
        reference=float(median(theirs)),
        unit=unit,
    )


@dataclass
class Peak:
    """How much memory a block took; filled when it ends.

    Attributes
    ----------
    mebibytes
        Resident memory at its highest, less that at the start.
    """

    mebibytes: float = 0.0


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measure the resident memory that a block takes at its highest.

    Linux forgets the high-water mark of before at the start of the block. Elsewhere,
    what it was then counts as used, so that a block below an earlier peak shows 0.
    """
    peak = Peak()
    before = _start_mark()
    yield peak
    peak.mebibytes = max(0.0, _high_water() - before) / MEBIBYTE


def _start_mark() -> float:
    try:
        _CLEAR.write_text("5")  # 5: reset the high-water mark, see proc(5)
    except OSError:
        return _high_water()
    return float(psutil.Process().memory_info().rss)


def _high_water() -> float:
    if _STATUS.is_file():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * float(line.split()[1])
    if (peak := getattr(psutil.Process().memory_info(), "peak_wset", None)) is not None:
        return float(peak)  # Windows
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(used if platform.system() == "Darwin" else 1024 * used)


def describe_machine() -> dict[str, Any]:
    """Return what figures depend on: processor, memory, packages, and the load now."""
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    native = ("avx512_bf16", "amx_bf16")
    return {
        "processor": _processor(),
        "cores": all_cores(),
        "threads": torch.get_num_threads(),
        "bfloat16": [name for name in native if capabilities.get(name)],
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load": load(),
    }


def load() -> float | None:
    """Return the mean number of running programs in the last minute, if it is known."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
