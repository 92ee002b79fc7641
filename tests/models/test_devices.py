from __future__ import annotations

import time

import pytest
import torch

from napari_infosam.core.errors import InfosamError
from napari_infosam.models import devices
from napari_infosam.models.devices import (
    inference_dtype,
    resolve_device,
    training_dtype,
)


def test_auto_takes_what_there_is():
    expected = "cpu"
    if torch.cuda.is_available():
        expected = "cuda"
    elif torch.backends.mps.is_available():
        expected = "mps"
    assert resolve_device().type == expected
    assert resolve_device("auto").type == expected


def test_cpu_is_always_there():
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cpu:0", "cuda:x", "cuda:-1", "CUDA"])
def test_unknown_device_lists_the_choices(name):
    with pytest.raises(InfosamError, match="choose one of auto, cpu, cuda, mps"):
        resolve_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has CUDA")
@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_missing_cuda_is_one_sentence(name):
    with pytest.raises(InfosamError, match="finds no CUDA GPU here: choose"):
        resolve_device(name)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="has MPS")
def test_missing_mps_is_one_sentence():
    with pytest.raises(InfosamError, match="no Apple GPU"):
        resolve_device("mps")


@pytest.mark.gpu
def test_gpu_that_is_not_there():
    with pytest.raises(InfosamError, match="There is no GPU 99"):
        resolve_device("cuda:99")


@pytest.mark.gpu
def test_cuda_encodes_in_half_precision():
    assert inference_dtype(torch.device("cuda")) in (torch.bfloat16, torch.float16)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": True}, torch.bfloat16),
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, None),
        ({}, None),
    ],
)
def test_cpu_encodes_in_bfloat16_only_where_it_is_native(
    monkeypatch, capabilities, expected
):
    # this machine has one CPU: the others are stood in for
    monkeypatch.setattr(
        torch.cpu, "get_capabilities", lambda: capabilities, raising=False
    )
    assert inference_dtype(torch.device("cpu")) == expected


def test_torch_that_can_not_tell_stays_in_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert inference_dtype(torch.device("cpu")) is None


def test_mps_stays_in_float32():
    assert inference_dtype(torch.device("mps")) is None


@pytest.mark.parametrize("slow", [torch.float32, torch.bfloat16])
def test_training_takes_the_faster_type(monkeypatch, slow):
    monkeypatch.setattr(
        torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False
    )

    def mm(a, b):
        # nothing is multiplied: a CPU without bfloat16 would be slower than the nap
        if a.dtype is slow:
            time.sleep(0.02)
        return a

    monkeypatch.setattr(torch, "mm", mm)
    devices._bfloat16_is_faster.cache_clear()
    try:
        fast = torch.bfloat16 if slow is torch.float32 else None
        assert training_dtype(torch.device("cpu")) is fast
    finally:
        devices._bfloat16_is_faster.cache_clear()


def test_training_stays_in_float32_without_bfloat16(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    assert training_dtype(torch.device("cpu")) is None
    assert training_dtype(torch.device("mps")) is None


def test_training_on_cuda_is_in_bfloat16():
    assert training_dtype(torch.device("cuda")) is torch.bfloat16
