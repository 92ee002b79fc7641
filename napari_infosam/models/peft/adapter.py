"""Bottleneck adapters: in series (InfoSAM's student) or in parallel (AdaptFormer).

They act through forward hooks, so the names of the base weights stay as they are, and
carry the names of published InfoSAM checkpoints.
"""

from __future__ import annotations

from torch import Tensor, nn

from napari_infosam.models.encoder_parts import block_norms, block_width

RATIO = 0.25
"""Hidden width of an adapter over the width of its block (published configuration)."""

PARALLEL_SCALE = 0.5
"""Weight of a parallel adapter's answer (published code)."""


class Bottleneck(nn.Module):
    """``W2 gelu(W1 x)``; zero at first, because W2 starts at zero.

    The published code leaves W2 at its random start, so that the student is
    disturbed before the first step; with few images that is never made good.

    Parameters
    ----------
    width
        Channels of the last axis.
    ratio
        Hidden width over `width`.
    """

    def __init__(self, width: int, ratio: float = RATIO) -> None:
        super().__init__()
        hidden = round(width * ratio)
        # the names of published checkpoints
        self.D_fc1 = nn.Linear(width, hidden)
        self.act = nn.GELU()
        self.D_fc2 = nn.Linear(hidden, width)
        nn.init.zeros_(self.D_fc2.weight)
        nn.init.zeros_(self.D_fc2.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the change to the features, same shape."""
        change: Tensor = self.D_fc2(self.act(self.D_fc1(x)))
        return change


class SeriesAdapter(Bottleneck):
    """``x + W2 gelu(W1 x)`` behind a module: an identity at first."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the adapted features, same shape."""
        return x + super().forward(x)


class ParallelAdapter(Bottleneck):
    """``W2 gelu(W1 x) / 2`` beside a module, added to its output: nothing at first."""

    def forward(self, x: Tensor) -> Tensor:
        """Return what is added to the output of the module, same shape."""
        return PARALLEL_SCALE * super().forward(x)


PLACES: dict[str, tuple[str, type[Bottleneck]]] = {
    "Space_Adapter_Series": ("attn", SeriesAdapter),
    "MLP_Adapter_Series": ("mlp", SeriesAdapter),
    "MLP_Adapter_Parallel": ("mlp", ParallelAdapter),
}
"""Published name of an adapter: the part of a block it belongs to, and its kind."""


def place_adapter(block: nn.Module, name: str, ratio: float = RATIO) -> Bottleneck:
    """Put an adapter into an attention block and return it.

    One that is there already, of a published checkpoint, is returned as it is.

    Parameters
    ----------
    block
        Attention block of an encoder; changed in place.
    name
        A key of `PLACES`.
    ratio
        Hidden width over block width.
    """
    present = getattr(block, name, None)
    if isinstance(present, Bottleneck):
        return present
    part, kind = PLACES[name]
    adapter = kind(block_width(block), ratio)
    block.add_module(name, adapter)
    module = block.get_submodule(part)
    if isinstance(adapter, ParallelAdapter):
        # TinyViT normalises within its MLP, ViT before it
        norm = module.get_submodule("norm") if hasattr(module, "norm") else None
        module.register_forward_hook(_AddBeside(adapter, norm))
    else:
        module.register_forward_hook(_ApplyBehind(adapter))
    return adapter


def place_adapters(block: nn.Module, *names: str) -> list[nn.Parameter]:
    """Put adapters into a block; return them and the norms of the block, to train."""
    norms = list(block_norms(block))
    modules = [*(place_adapter(block, name) for name in names), *norms]
    return [parameter for module in modules for parameter in module.parameters()]


class _ApplyBehind:
    """Forward hook: pass the output of a module through an adapter."""

    def __init__(self, adapter: Bottleneck) -> None:
        self._adapter = adapter

    def __call__(
        self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
    ) -> Tensor:
        return self._adapter(output)  # type: ignore[no-any-return]


class _AddBeside:
    """Forward hook: add what an adapter makes of the module's normalised input."""

    def __init__(self, adapter: Bottleneck, norm: nn.Module | None) -> None:
        self._adapter = adapter
        self._norm = norm

    def __call__(
        self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
    ) -> Tensor:
        x = inputs[0] if self._norm is None else self._norm(inputs[0])
        return output + self._adapter(x)  # type: ignore[no-any-return]
