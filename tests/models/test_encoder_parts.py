from __future__ import annotations

import pytest
import torch

from napari_infosam.models.encoder_parts import (
    attention_blocks,
    block_norms,
    block_width,
    early_features,
    late_embedding,
)


@pytest.mark.parametrize("first_block", range(10))
def test_the_cut_of_tinyvit_changes_nothing(base, small_input, first_block):
    encoder = base.sam.image_encoder
    with torch.inference_mode():
        early = early_features(encoder, small_input, first_block)
        late = late_embedding(encoder, early, first_block)
        assert torch.equal(late, encoder(small_input))


@pytest.mark.parametrize("first_block", range(5))
def test_the_cut_of_vit_changes_nothing(tiny_vit, first_block):
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        early = early_features(tiny_vit, x, first_block)
        late = late_embedding(tiny_vit, early, first_block)
        assert torch.equal(late, tiny_vit(x))


def test_below_the_cut_of_vit_no_later_block_counts(tiny_vit):
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        before = early_features(tiny_vit, x, 2)
        for parameter in tiny_vit.blocks[2:].parameters():
            parameter.add_(1)
        assert torch.equal(early_features(tiny_vit, x, 2), before)
        for parameter in tiny_vit.blocks[1].parameters():
            parameter.add_(1)
        assert not torch.equal(early_features(tiny_vit, x, 2), before)


def test_vit_without_positions(tiny_vit):
    tiny_vit.pos_embed = None
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        late = late_embedding(tiny_vit, early_features(tiny_vit, x, 1), 1)
        assert torch.equal(late, tiny_vit(x))


def test_blocks_of_tinyvit(base):
    blocks = attention_blocks(base.sam.image_encoder)
    assert [block_width(block) for block in blocks] == [128] * 2 + [160] * 6 + [320] * 2
    for block in blocks:
        assert hasattr(block, "attn")
        assert hasattr(block, "mlp")


def test_blocks_of_vit(tiny_vit):
    blocks = attention_blocks(tiny_vit)
    assert blocks == list(tiny_vit.blocks)
    assert [block_width(block) for block in blocks] == [32] * 4


def test_every_block_has_two_norms_that_matter(base, tiny_vit):
    for encoder in (base.sam.image_encoder, tiny_vit):
        for block in attention_blocks(encoder):
            norms = list(block_norms(block))
            assert len(norms) == len(set(norms)) == 2
            assert {tuple(n.weight.shape) for n in norms} == {(block_width(block),)}


def test_a_block_that_is_not_there(base, small_input):
    with pytest.raises(ValueError, match="10 blocks, so 10 is not one"):
        early_features(base.sam.image_encoder, small_input, 10)


def test_gradients_reach_the_blocks_above_the_cut_only(tiny_vit):
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        early = early_features(tiny_vit, x, 2).clone()
    late_embedding(tiny_vit, early.clone(), 2).square().mean().backward()
    reached = {
        name.split(".")[1]
        for name, parameter in tiny_vit.blocks.named_parameters(prefix="blocks")
        if parameter.grad is not None
    }
    assert reached == {"2", "3"}
