"""All parts of `infosam bench-speed`, one after the other."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_infosam.bench.speed.answering import Answering
from napari_infosam.bench.speed.learning import Learning, memory
from napari_infosam.bench.speed.measure import (
    Row,
    describe_machine,
    load,
    peak_memory,
)
from napari_infosam.bench.speed.roofline import roofs

if TYPE_CHECKING:
    from napari_infosam.bench.speed.parts import Part

LONG_REPETITIONS = 3
"""At most, of what takes a minute: memory, and proposals for a whole picture."""

_NO_ONNX = (
    'Without ONNX Runtime: it is not installed (pip install "napari-infosam[export]").'
)


class _Run:
    """What the parts share, made when the first of them asks for it."""

    def __init__(self, data: Path | None, repetitions: int, onnx: bool) -> None:
        self._data = data
        self._onnx = onnx
        self.repetitions = repetitions

    @cached_property
    def answering(self) -> Answering:
        return Answering(onnx=self._onnx)

    @cached_property
    def learning(self) -> Learning:
        return Learning(self._data)

    def rows(self, part: Part) -> list[Row]:
        match part:
            case "embedding":
                return self.answering.embedding(self.repetitions)
            case "click":
                return self.answering.click(self.repetitions)
            case "boxes":
                return self.answering.boxes(self.repetitions)
            case "proposals":
                return self.answering.proposals(min(self.repetitions, LONG_REPETITIONS))
            case "quick":
                return self.learning.quick_steps(self.repetitions)
            case "full":
                return self.learning.full_steps(self.repetitions)
            case "memory":
                return memory(min(self.repetitions, LONG_REPETITIONS))
            case "roofline":
                return []


def run(
    parts: Sequence[Part],
    repetitions: int,
    data: Path | None = None,
    on_part: Callable[[Part], None] | None = None,
) -> Iterator[dict[str, Any]]:
    """Measure, and yield what `report.write` writes, as far as it goes.

    After each part, so that nothing is lost where a later one is stopped.

    Parameters
    ----------
    parts
        Which, in order.
    repetitions
        Of everything.
    data
        Data set for the steps of training; synthetic cells by default.
    on_part
        Told which part begins.
    """
    machine = describe_machine() | {"repetitions": repetitions}
    onnx = importlib.util.find_spec("onnxruntime") is not None
    shared = _Run(data, repetitions, onnx)
    rows: list[dict[str, Any]] = []
    result: dict[str, Any] = {"machine": machine, "rows": rows, "peak_mib": {}}
    result["notes"] = [] if onnx else [_NO_ONNX]
    for part in parts:
        if on_part is not None:
            on_part(part)
        with peak_memory() as peak:
            rows += [asdict(row) for row in shared.rows(part)]
            if part == "embedding":
                result["agreement"] = shared.answering.agreement()
            if part == "roofline":
                result["roofline"] = roofs(
                    shared.answering, shared.learning, repetitions
                )
        result["peak_mib"][part] = round(peak.mebibytes)
        machine["load_after"] = load()
        yield result
