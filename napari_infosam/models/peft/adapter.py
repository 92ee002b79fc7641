"""Series adapters after attention and MLP, the student of the InfoSAM paper."""

from __future__ import annotations

from torch import Tensor, nn

from napari_infosam.models.encoder_parts import (
    Encoder,
    attention_blocks,
    block_norms,
    block_width,
)

RATIO = 0.25
"""Hidden width of an adapter over the width of its block (published configuration)."""


class SeriesAdapter(nn.Module):
    """``x + W2 gelu(W1 x)``; an identity at first, because W2 starts at zero.

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
        hidden = int(width * ratio)
        # the names of published checkpoints
        self.D_fc1 = nn.Linear(width, hidden)
        self.act = nn.GELU()
        self.D_fc2 = nn.Linear(hidden, width)
        nn.init.zeros_(self.D_fc2.weight)
        nn.init.zeros_(self.D_fc2.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the adapted features, same shape."""
        adapted: Tensor = x + self.D_fc2(self.act(self.D_fc1(x)))
        return adapted


def attach_adapters(
    encoder: Encoder, first_block: int, ratio: float = RATIO
) -> list[nn.Parameter]:
    """Put adapters after attention and MLP of all blocks from the given one on.

    The modules get the names of published InfoSAM checkpoints,
    ``Space_Adapter_Series`` and ``MLP_Adapter_Series``. They act through forward
    hooks, so the names of the base weights stay as they are. Adapters that are there
    already, those of a published checkpoint, are kept and trained further.

    Parameters
    ----------
    encoder
        The student's encoder; changed in place.
    first_block
        First block that carries adapters; the paper leaves out the first two.
    ratio
        Hidden width over block width.

    Returns
    -------
    list of Parameter
        What is to be trained: the adapters and the layer norms of their blocks.
    """
    trained: list[nn.Parameter] = []
    for block in attention_blocks(encoder)[first_block:]:
        width = block_width(block)
        norms = list(block_norms(block))
        for part, name in (
            ("attn", "Space_Adapter_Series"),
            ("mlp", "MLP_Adapter_Series"),
        ):
            adapter = getattr(block, name, None)
            if adapter is None:
                adapter = SeriesAdapter(width, ratio)
                block.add_module(name, adapter)
                block.get_submodule(part).register_forward_hook(_ApplyAdapter(adapter))
            trained += adapter.parameters()
        for norm in norms:
            trained += norm.parameters()
    return trained


class _ApplyAdapter:
    """Forward hook: pass the output of a module through an adapter."""

    def __init__(self, adapter: SeriesAdapter) -> None:
        self._adapter = adapter

    def __call__(
        self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
    ) -> Tensor:
        return self._adapter(output)  # type: ignore[no-any-return]
