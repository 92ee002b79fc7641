"""Low-rank updates of the qkv projections: LoRA, and Conv-LoRA's mixture of scales.

Parameters carry the names of published checkpoints (``qkv.lora_A``, ``qkv.lora_B``,
``qkv.lora_moe_experts.N.0``, ``qkv.lora_moe_gating``); no library of ours does.
Sources: LoRA (Hu 2022), Conv-LoRA (Zhong, ICLR 2024), the code of InfoSAM.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_infosam.models.peft.balance import keep_balance_loss, noise_like

RANK = 4
"""Rank of the update; the published scale, alpha / rank, is 1."""

EXPERTS = 8
"""Experts of Conv-LoRA; expert ``n`` convolves the map enlarged ``n + 1`` times."""

BALANCE_WEIGHT = 1e-2


def place_lora(
    linear: nn.Module, rank: int = RANK, experts: int = 0
) -> list[nn.Parameter]:
    """Give a linear layer a low-rank update, zero at first; return it, to train.

    Parameters
    ----------
    linear
        The layer; its names and weights stay.
    rank
        Rank of the update.
    experts
        Experts of Conv-LoRA; 0 makes it plain LoRA.
    """
    if not isinstance(linear, nn.Linear):
        raise TypeError(f"a linear layer is wanted, not {type(linear).__name__}")
    if not hasattr(linear, "lora_A"):
        down = torch.empty(rank, linear.in_features)
        nn.init.kaiming_uniform_(down, a=math.sqrt(5))
        linear.lora_A = nn.Parameter(down)
        linear.lora_B = nn.Parameter(torch.zeros(linear.out_features, rank))
        if experts:
            linear.lora_moe_gating = Gating(rank, experts)
            linear.lora_moe_experts = nn.ModuleList(
                nn.Sequential(nn.Conv2d(rank, rank, 3, padding=1), nn.GELU())
                for _ in range(experts)
            )
        linear.register_forward_hook(_add_update)
    return [p for name, p in linear.named_parameters() if name.startswith("lora_")]


def merge_lora(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights in which plain low-rank updates are part of their layers.

    Parameters
    ----------
    state
        State dict with keys such as ``blocks.0.attn.qkv.lora_A``; not changed.
    """
    merged = {key: value for key, value in state.items() if ".lora_" not in key}
    for key, down in state.items():
        if not key.endswith(".lora_A"):
            continue
        layer = key.removesuffix("lora_A")
        weight = state[f"{layer}weight"]
        # in float64, so that merging costs no precision
        update = state[f"{layer}lora_B"].double() @ down.double()
        merged[f"{layer}weight"] = (weight.double() + update).to(weight.dtype)
    return merged


def _add_update(
    linear: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
) -> Tensor:
    """Forward hook of a layer that has a low-rank update."""
    down, up = linear.get_parameter("lora_A"), linear.get_parameter("lora_B")
    reduced = F.linear(inputs[0], down)
    if hasattr(linear, "lora_moe_gating"):
        reduced = reduced + _mixture(linear, reduced)
    return output + F.linear(reduced, up)


def _mixture(linear: nn.Module, reduced: Tensor) -> Tensor:
    """Return what the chosen expert makes of each map.

    Parameters
    ----------
    linear
        Layer with gating and experts.
    reduced
        ``(B, H, W, rank)``, or ``(B, L, rank)`` of a square map.
    """
    shape = reduced.shape
    if len(shape) == 3:
        side = math.isqrt(shape[1])
        reduced = reduced.unflatten(1, (side, side))
    maps = reduced.permute(0, 3, 1, 2)
    chosen = linear.get_submodule("lora_moe_gating")(maps.mean((2, 3)))
    if torch.compiler.is_compiling():
        mixed = _all_experts(linear, maps, chosen)
        return mixed.permute(0, 2, 3, 1).reshape(shape)
    mixed = torch.zeros_like(maps)
    for number in chosen.unique().tolist():
        expert = linear.get_submodule(f"lora_moe_experts.{number}")
        which = (chosen == number).nonzero()[:, 0]
        answer = _at_scale(expert, maps[which], number + 1)
        mixed = mixed.index_copy(0, which, answer.to(mixed.dtype))
    return mixed.permute(0, 2, 3, 1).reshape(shape)


def _all_experts(linear: nn.Module, maps: Tensor, chosen: Tensor) -> Tensor:
    """Return what the chosen expert makes of each map, by asking all of them.

    A graph that is exported can not leave out experts by what it sees.
    """
    mixed = torch.zeros_like(maps)
    experts = linear.get_submodule("lora_moe_experts").children()
    for number, expert in enumerate(experts):
        answer = _at_scale(expert, maps, number + 1)
        mixed = torch.where((chosen == number)[:, None, None, None], answer, mixed)
    return mixed


def _at_scale(expert: nn.Module, maps: Tensor, scale: int) -> Tensor:
    """Return an expert's answer to maps that are enlarged for it."""
    if scale == 1:
        return expert(maps)  # type: ignore[no-any-return]
    large = F.interpolate(maps, scale_factor=scale, mode="bicubic")
    answer: Tensor = expert(large)
    return F.interpolate(answer, maps.shape[-2:], mode="bicubic")


class Gating(nn.Module):
    """Chooses one expert a map by its mean, with noise while it is trained.

    The noise, and a loss that keeps the experts equally busy (see
    `napari_infosam.models.peft.balance`), are those of noisy top-k gating
    (Shazeer 2017) with k = 1.

    Parameters
    ----------
    width
        Channels of the maps.
    experts
        Number of experts.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int, experts: int) -> None:
        super().__init__()
        self.w_gate = nn.Parameter(torch.zeros(width, experts))
        self.w_noise = nn.Parameter(torch.zeros(width, experts))
        # of the normal distribution; published checkpoints hold them
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("std", torch.ones(1))

    def forward(self, means: Tensor) -> Tensor:
        """Return the number of the expert for each of B maps.

        Parameters
        ----------
        means
            ``(B, width)``.
        """
        means = means.float()
        clean = means @ self.w_gate
        noise = noise_like(clean)
        if noise is None:
            return clean.argmax(1)
        spread = F.softplus(means @ self.w_noise) + 1e-2
        logits = clean + noise * spread
        self._balance(clean, spread, logits)
        return logits.argmax(1)

    def _balance(self, clean: Tensor, spread: Tensor, logits: Tensor) -> None:
        """Hand over the loss that keeps the experts equally busy."""
        importance = F.one_hot(logits.argmax(1), logits.shape[1]).float().sum(0)
        # what an expert must beat to be chosen, were its noise drawn again
        best, second = logits.topk(2, dim=1).values.unsqueeze(2).unbind(1)
        threshold = torch.where(logits >= best, second, best)
        chance = torch.special.ndtr((clean - threshold) / spread)
        unevenness = _variation(importance) + _variation(chance.sum(0))
        keep_balance_loss(BALANCE_WEIGHT * unevenness)


def _variation(values: Tensor) -> Tensor:
    """Return the squared coefficient of variation."""
    return values.var() / (values.mean().square() + 1e-10)
