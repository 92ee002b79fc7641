"""A convolution with the GELU after it, in one pass where a CPU can."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_infosam.models.devices import cpu_has_bfloat16

# what torch's own compiler makes of the two on a CPU; not in every build of torch
ONE_PASS: Any = (
    getattr(torch.ops.mkldnn, "_convolution_pointwise", None)
    if torch.backends.mkldnn.is_available()
    else None
)
"""torch's operation for both, or None."""

_ONE_PASS_DTYPES = {torch.float32, *({torch.bfloat16} if cpu_has_bfloat16() else ())}


class ConvGelu(nn.Conv2d):
    """`torch.nn.Conv2d` and the exact GELU; parameters have the same names.

    Early layers are wide: the activation alone would read and write 64 MiB once more.

    Parameters
    ----------
    conv
        The convolution, whose parameters are taken over.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(**_shape_of(conv))
        self.weight, self.bias = conv.weight, conv.bias

    def conv(self) -> nn.Conv2d:
        """Return the convolution alone, with the same parameters."""
        alone = nn.Conv2d(**_shape_of(self))
        alone.weight, alone.bias = self.weight, self.bias
        return alone

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, C, Y, X)`` features after the activation."""
        dtype = _one_pass_dtype(x)
        if dtype is None:
            return F.gelu(super().forward(x))
        activated: Tensor = ONE_PASS(
            x.to(dtype),
            self.weight.to(dtype),
            None if self.bias is None else self.bias.to(dtype),
            self.padding,
            self.stride,
            self.dilation,
            self.groups,
            "gelu",
            [],
            "none",
        )
        return activated


def _one_pass_dtype(x: Tensor) -> torch.dtype | None:
    """Return the type in which it can be done so, which has no gradient, or None."""
    if (
        ONE_PASS is None
        or x.device.type != "cpu"
        or torch.is_grad_enabled()
        or torch.compiler.is_compiling()
        or torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
    ):
        return None
    autocast = torch.is_autocast_enabled("cpu")
    dtype = torch.get_autocast_dtype("cpu") if autocast else x.dtype
    return dtype if dtype in _ONE_PASS_DTYPES else None


def _shape_of(conv: nn.Conv2d) -> dict[str, Any]:
    """Return the arguments that make a convolution like this one, without weights."""
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding")
    shape = {name: getattr(conv, name) for name in (*names, "dilation", "groups")}
    return {**shape, "bias": conv.bias is not None, "device": "meta"}
