from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from napari_infosam.models.encoder_parts import (
    attention_blocks,
)
from napari_infosam.models.peft.adapter import SeriesAdapter, place_adapter
from napari_infosam.models.peft.method import attach_method

REFERENCE = Path(__file__).parent / "data" / "encoder_adapter.npz"
NAMES = ("Space_Adapter_Series", "MLP_Adapter_Series")


def disturb(encoder):
    """Move all adapters away from the identity."""
    with torch.no_grad():
        for module in encoder.modules():
            if isinstance(module, SeriesAdapter):
                module.D_fc2.weight.normal_(0, 0.1)


def place_wide(encoder, first_block):
    """Put adapters of another width than ours into blocks, as a checkpoint has them."""
    for block in encoder.blocks[first_block:]:
        for name in NAMES:
            place_adapter(block, name, 0.5)


def test_an_adapter_starts_as_the_identity():
    adapter = SeriesAdapter(32)
    x = torch.randn(2, 5, 5, 32)
    assert torch.equal(adapter(x), x)
    assert adapter.D_fc1.weight.shape == (8, 32)


def test_an_adapter_is_a_residual_bottleneck():
    adapter = SeriesAdapter(8, 0.5)
    torch.nn.init.normal_(adapter.D_fc2.weight)
    torch.nn.init.normal_(adapter.D_fc2.bias)
    x = torch.randn(3, 8)
    hidden = x @ adapter.D_fc1.weight.T + adapter.D_fc1.bias
    hidden = hidden * (1 + torch.erf(hidden / 2**0.5)) / 2
    expected = x + hidden @ adapter.D_fc2.weight.T + adapter.D_fc2.bias
    torch.testing.assert_close(adapter(x), expected)


def test_the_first_step_already_trains_it():
    """Only the second layer starts at zero, or no gradient would ever come."""
    adapter = SeriesAdapter(8)
    adapter(torch.randn(3, 8)).square().sum().backward()
    assert adapter.D_fc2.weight.grad.abs().max() > 0
    assert adapter.D_fc1.weight.abs().max() > 0


@pytest.mark.parametrize("first_block", [0, 2, 9])
def test_a_fresh_student_encoder_equals_its_base(base, small_input, first_block):
    encoder = copy.deepcopy(base.sam.image_encoder)
    attach_method(encoder, "adapter", first_block)
    with torch.inference_mode():
        expected = base.sam.image_encoder(small_input)
        assert torch.equal(encoder(small_input), expected)


def test_blocks_below_the_first_have_none(tiny_vit):
    trained = attach_method(tiny_vit, "adapter", 2)
    carrying = [hasattr(b, NAMES[0]) and hasattr(b, NAMES[1]) for b in tiny_vit.blocks]
    assert carrying == [False, False, True, True]
    # two adapters of four tensors and two norms of two, for each of two blocks
    assert len(trained) == len({id(p) for p in trained}) == 2 * (2 * 4 + 2 * 2)


def test_names_of_the_base_stay(tiny_vit):
    before = tiny_vit.state_dict()
    attach_method(tiny_vit, "adapter", 1)
    after = tiny_vit.state_dict()
    assert before.keys() < after.keys()
    added = after.keys() - before.keys()
    assert f"blocks.1.{NAMES[0]}.D_fc1.weight" in added
    assert f"blocks.3.{NAMES[1]}.D_fc2.bias" in added
    assert all(any(name in key for name in NAMES) for key in added)


@pytest.mark.parametrize("name", NAMES)
def test_each_adapter_takes_part(tiny_vit, name):
    attach_method(tiny_vit, "adapter", 3)
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        before = tiny_vit(x)
        getattr(tiny_vit.blocks[3], name).D_fc2.bias.fill_(1)
        assert not torch.allclose(tiny_vit(x), before)


def test_a_copy_uses_its_own_adapters(tiny_vit):
    attach_method(tiny_vit, "adapter", 1)
    disturb(tiny_vit)
    x = torch.randn(1, 3, 64, 64)
    twin = copy.deepcopy(tiny_vit)
    with torch.inference_mode():
        expected = tiny_vit(x)
        assert torch.equal(twin(x), expected)
        # a change of the copy shows in the copy, and only there
        twin.blocks[2].Space_Adapter_Series.D_fc2.bias.fill_(1)
        assert not torch.allclose(twin(x), expected)
        assert torch.equal(tiny_vit(x), expected)
    for mine, theirs in zip(
        attention_blocks(tiny_vit), attention_blocks(twin), strict=True
    ):
        for part, name in (("attn", NAMES[0]), ("mlp", NAMES[1])):
            for hook in theirs.get_submodule(part)._forward_hooks.values():
                assert hook._adapter is getattr(theirs, name)
                assert hook._adapter is not getattr(mine, name)


def test_a_second_call_keeps_what_is_there(tiny_vit):
    """A published InfoSAM checkpoint is a base with adapters: they go on learning."""
    place_wide(tiny_vit, 1)
    names = tiny_vit.state_dict().keys()
    first = attach_method(tiny_vit, "adapter", 1)
    disturb(tiny_vit)
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        expected = tiny_vit(x)
    again = attach_method(tiny_vit, "adapter", 1)
    assert [id(p) for p in again] == [id(p) for p in first]
    assert tiny_vit.state_dict().keys() == names
    with torch.inference_mode():
        assert torch.equal(tiny_vit(x), expected)


def test_a_second_call_with_an_earlier_block_adds_the_missing(tiny_vit):
    place_wide(tiny_vit, 2)
    disturb(tiny_vit)
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        expected = tiny_vit(x)
    attach_method(tiny_vit, "adapter", 1)
    assert tiny_vit.blocks[1].Space_Adapter_Series.D_fc1.out_features == 8
    assert tiny_vit.blocks[2].Space_Adapter_Series.D_fc1.out_features == 16
    with torch.inference_mode():
        assert torch.equal(tiny_vit(x), expected)
