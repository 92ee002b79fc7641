"""Convolution and activation in one pass are the two, one after the other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from napari_infosam.models.conv_gelu import ONE_PASS, ConvGelu

needs_one_pass = pytest.mark.skipif(ONE_PASS is None, reason="torch has no oneDNN")


@pytest.mark.parametrize(("stride", "groups"), [(1, 1), (2, 8), (1, 8)])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_it_is_both(stride: int, groups: int, memory: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(0)
    conv = nn.Conv2d(8, 8, 3, stride, padding=1, groups=groups).to(memory_format=memory)
    both = ConvGelu(conv)
    x = torch.randn(2, 8, 13, 16, generator=generator).to(memory_format=memory)
    with torch.inference_mode():
        torch.testing.assert_close(both(x), F.gelu(conv(x)), rtol=0, atol=1e-6)
    x.requires_grad_()
    ours, theirs = (
        torch.autograd.grad(made.square().sum(), [x, conv.weight])
        for made in (both(x), F.gelu(conv(x)))
    )
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert both.state_dict().keys() == conv.state_dict().keys()
    torch.testing.assert_close(both.conv()(x), conv(x), rtol=0, atol=0)


@needs_one_pass
def test_one_pass_is_taken_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []

    def one_pass(*arguments: object) -> torch.Tensor:
        passes.append(arguments)
        result: torch.Tensor = ONE_PASS(*arguments)
        return result

    monkeypatch.setattr("napari_infosam.models.conv_gelu.ONE_PASS", one_pass)
    both, x = ConvGelu(nn.Conv2d(3, 4, 1)), torch.zeros(1, 3, 5, 5)
    with torch.no_grad():
        both(x)
        assert len(passes) == 1
        both.double()(x.double())
    both(x.double())
    assert len(passes) == 1


@needs_one_pass
@pytest.mark.parametrize("has_bfloat16", [True, False])
def test_autocast_takes_one_pass_where_the_cpu_has_its_type(
    monkeypatch: pytest.MonkeyPatch, has_bfloat16: bool
) -> None:
    if not has_bfloat16:
        types = {torch.float32}
        monkeypatch.setattr("napari_infosam.models.conv_gelu._ONE_PASS_DTYPES", types)
    generator = torch.Generator().manual_seed(0)
    conv = nn.Conv2d(8, 8, 3, padding=1)
    x = torch.randn(1, 8, 13, 16, generator=generator)
    with torch.inference_mode():
        exact = F.gelu(conv(x))
        with torch.autocast("cpu", torch.bfloat16):
            found = ConvGelu(conv)(x)
    assert found.dtype is torch.bfloat16
    torch.testing.assert_close(found.float(), exact, rtol=1e-2, atol=2e-2)


@pytest.mark.skipif(
    not Path("/proc/self/smaps").exists(), reason="memory is not listed here"
)
def test_large_tensors_ask_for_huge_pages() -> None:
    """Whether the system has any to give changes from minute to minute."""
    program = """
import torch, napari_infosam.models
tensor = torch.ones(1 << 24)
where = tensor.data_ptr() + (1 << 25)
inside = False
for line in open("/proc/self/smaps"):
    start, dash, rest = line.partition("-")
    if dash and all(letter in "0123456789abcdef" for letter in start):
        inside = int(start, 16) <= where < int(rest.split()[0], 16)
    elif inside and line.startswith("VmFlags:"):
        print(*line.split()[1:])
"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": ""},
        timeout=120,
    )
    flags = ran.stdout.split()
    if not flags:
        pytest.skip("this system does not say how memory is given")
    assert "hg" in flags
