"""Where a model runs, and in which precision it encodes there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch

from napari_infosam.core.errors import InfosamError

CHOICES = ("auto", "cpu", "cuda", "mps")

_BFLOAT16_GPU = (8, 0)
"""First CUDA compute capability with bfloat16 arithmetic (Ampere)."""

_SIDE = 512
_ROUNDS = 5
"""Of the matrices whose products are timed, and how many of them."""


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device of a name.

    Parameters
    ----------
    name
        ``auto`` takes CUDA, then Apple's MPS, then the CPU. ``cuda:1`` and so on
        name one of several GPUs.

    Raises
    ------
    InfosamError
        For an unknown name, or a device that this machine or this build of torch
        does not have.
    """
    if name == "auto":
        return torch.device(_best())
    kind, _, index = name.partition(":")
    known = kind in CHOICES[1:]
    if not known or (index and not (kind == "cuda" and index.isdecimal())):
        raise InfosamError(
            f"There is no device {name!r}: choose one of {', '.join(CHOICES)}."
        )
    if kind == "cuda":
        _check_cuda(int(index or 0))
    elif kind == "mps" and not torch.backends.mps.is_available():
        raise InfosamError(
            "This machine has no Apple GPU that torch can use: choose the device "
            "auto or cpu."
        )
    return torch.device(name)


def inference_dtype(device: torch.device) -> torch.dtype | None:
    """Return the type to autocast the encoder to; None leaves it in float32.

    Half the time on CPUs with bfloat16 instructions (AVX-512 BF16, AMX); without
    them bfloat16 is emulated, and slower than float32.
    """
    match device.type:
        case "cuda":
            capability = torch.cuda.get_device_capability(device)
            return torch.bfloat16 if capability >= _BFLOAT16_GPU else torch.float16
        case "cpu" if cpu_has_bfloat16():
            return torch.bfloat16
        case _:
            return None


def training_dtype(device: torch.device) -> torch.dtype | None:
    """Return the type to autocast a student in training to; None for float32.

    The way back is all matrix products, and there are CPUs whose bfloat16
    instructions multiply slower than those of float32: what is faster is measured.
    """
    match device.type:
        case "cuda":
            return torch.bfloat16
        case "cpu" if cpu_has_bfloat16() and _bfloat16_is_faster():
            return torch.bfloat16
        case _:
            return None


@cache
def _bfloat16_is_faster() -> bool:
    """Return whether matrices are multiplied faster in bfloat16; takes milliseconds."""
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        matrix = torch.rand(_SIDE, _SIDE).to(dtype)
        rounds = []
        for _ in range(_ROUNDS):
            start = time.perf_counter()
            torch.mm(matrix, matrix)
            rounds.append(time.perf_counter() - start)
        seconds[dtype] = min(rounds)
    return seconds[torch.bfloat16] < seconds[torch.float32]


def _best() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _check_cuda(index: int) -> None:
    if not torch.cuda.is_available():
        raise InfosamError(
            "torch finds no CUDA GPU here: choose the device auto or cpu, or "
            "install the NVIDIA driver and a build of torch with CUDA."
        )
    if index >= torch.cuda.device_count():
        raise InfosamError(
            f"There is no GPU {index}: torch finds {torch.cuda.device_count()}, "
            "counted from cuda:0."
        )


def cpu_has_bfloat16() -> bool:
    """Return whether the CPU multiplies bfloat16, and torch lets it."""
    # torch before 2.10 can not tell in public: float32 is then never wrong
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    native = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return bool(native) and torch.backends.mkldnn.is_available()
