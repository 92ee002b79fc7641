"""How near a work comes to what the machine multiplies at best, and what keeps it."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from heapq import nlargest
from operator import itemgetter
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import conv_flop_count, flop_registry

from napari_infosam.core.prompts import Point, PromptSet
from napari_infosam.models.conv_gelu import ONE_PASS
from napari_infosam.models.threads import Workers
from napari_infosam.training.batches import IMAGES_PER_BATCH

if TYPE_CHECKING:
    from napari_infosam.bench.speed.answering import Answering
    from napari_infosam.bench.speed.learning import Learning

SIDE = 2048
"""Of the square matrices; 8 to 16 MB each, as much as a large layer."""

TRIALS = 8

_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd

LONGEST = 6
"""How many operations of a work are named."""

_FORMULAS = {
    **flop_registry,
    ONE_PASS: lambda x, weight, *_, out_val: conv_flop_count(
        x.shape, weight.shape, out_val.shape
    ),
}


@dataclass(frozen=True, slots=True)
class Operation:
    """What one operation of torch has of a work.

    Attributes
    ----------
    name
        As torch calls it.
    share
        Of the time.
    gflops
        Reached, in 1e9 a second; 0 where it multiplies nothing.
    """

    name: str
    share: float
    gflops: float


@dataclass(frozen=True, slots=True)
class Roof:
    """One work under the roof.

    Attributes
    ----------
    work
        What was measured.
    gflop
        Floating-point operations of its matrix products and convolutions, in 1e9.
    seconds
        Median time.
    gflops
        Reached, in 1e9 a second.
    share
        Of the peak in the type that most of it is computed in.
    dtype
        That type.
    operations
        Those that take longest, longest first.
    """

    work: str
    gflop: float
    seconds: float
    gflops: float
    share: float
    dtype: str
    operations: list[Operation]


def peaks(dtypes: Iterable[torch.dtype]) -> dict[str, float]:
    """Return the best rate of square matrix products, 1e9 operations a second."""
    return {str(dtype).removeprefix("torch."): _peak(dtype) for dtype in dtypes}


def _peak(dtype: torch.dtype) -> float:
    left, right = torch.rand(2, SIDE, SIDE).to(dtype)
    out = torch.empty_like(left)
    seconds = []
    for _ in range(TRIALS):
        start = time.perf_counter()
        torch.mm(left, right, out=out)
        seconds.append(time.perf_counter() - start)
    return 2 * SIDE**3 / min(seconds) / 1e9


def roofs(answering: Answering, learning: Learning, repetitions: int) -> dict[str, Any]:
    """Return the peaks, and each work's share of them.

    Parameters
    ----------
    answering, learning
        Who does the works.
    repetitions
        Of each; the peaks are measured before and after, and the higher count.
    """
    model = answering.model
    # without instructions for it, bfloat16 is emulated and takes minutes
    dtypes = {torch.float32, model.dtype or torch.float32}
    before = peaks(dtypes)
    x = model.encoder_input(answering.picture)
    click = PromptSet((Point(150.0, 100.0),))

    def encode() -> None:
        with torch.no_grad(), model.autocast():
            model.embed(x)

    stages = [learning.stage("decoder"), learning.stage("adapter")]
    native = "bfloat16" if model.dtype is torch.bfloat16 else "float32"
    sizes = IMAGES_PER_BATCH["quick"], IMAGES_PER_BATCH["full"]
    steps = [learning.steps(*pair) for pair in zip(stages, sizes, strict=True)]
    works: list[tuple[str, Callable[[], object], str]] = [
        ("encoder", encode, native),
        ("click", lambda: answering.predictor.answer(click), "float32"),
        ("quick step", steps[0], native),
        ("full step", steps[1], native),
    ]
    timed = [(_seconds(work, repetitions)) for _, work, _ in works]
    for stage in stages:  # operations are counted in this thread only
        stage.workers = Workers(1, torch.device("meta"))
    tallies = [_tally(work, repetitions) for _, work, _ in works]
    after = peaks(dtypes)
    best = {dtype: max(before[dtype], after[dtype]) for dtype in before}
    rows = [
        Roof(
            name,
            tally.gflop,
            spent,
            tally.gflop / spent,
            tally.gflop / spent / best[dtype],
            dtype,
            tally.longest(),
        )
        for (name, _, dtype), spent, tally in zip(works, timed, tallies, strict=True)
    ]
    return {"peak_gflops": best, "works": [asdict(row) for row in rows]}


def _seconds(work: Callable[[], object], repetitions: int) -> float:
    work()
    seconds = []
    for _ in range(repetitions):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def _tally(work: Callable[[], object], repetitions: int) -> _Tally:
    """Return what the operations of a work come to, on the mean of the repetitions."""
    work()
    tally = _Tally(repetitions)
    with tally:
        for _ in range(repetitions):
            work()
    return tally


class _Tally(TorchDispatchMode):
    """Adds up the time of operations, and their products by torch's own formulas.

    `FlopCounterMode` also keeps track of modules, and fails where one is called without
    gradient within a step that has one.

    Parameters
    ----------
    repetitions
        How often the work is done meanwhile.
    """

    def __init__(self, repetitions: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._repetitions = repetitions
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._flop: Counter[str] = Counter()

    @property
    def gflop(self) -> float:
        """Floating-point operations of one repetition, in 1e9."""
        return self._flop.total() / self._repetitions / 1e9

    def longest(self) -> list[Operation]:
        """Return the operations that take longest."""
        whole = sum(self._seconds.values())
        longest = nlargest(LONGEST, self._seconds.items(), key=itemgetter(1))
        return [
            Operation(name, seconds / whole, self._flop[name] / seconds / 1e9)
            for name, seconds in longest
        ]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Count one operation, or those that it is made of."""
        kwargs = kwargs or {}
        formula = _FORMULAS.get(func._overloadpacket)
        if formula is None and _is_composite(func):
            with self:
                return func._op_dk(_COMPOSITE, *args, **kwargs)
        name = func._overloadpacket.__name__
        start = time.perf_counter()
        result = func(*args, **kwargs)
        self._seconds[name] += time.perf_counter() - start
        if formula is not None:
            self._flop[name] += formula(*args, **kwargs, out_val=result)
        return result


def _is_composite(func: Any) -> bool:
    """Whether torch computes an operation by others, as it does a linear layer.

    ``decompose`` would also take rewritings in Python, by which torch does not compute.
    """
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    return bool(has_kernel(func.name(), _COMPOSITE))
