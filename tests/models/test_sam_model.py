from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from segment_anything.utils.transforms import ResizeLongestSide

from napari_infosam.models.sam_model import SamModel, upscale_logits


def test_encoder_input_is_that_of_segment_anything(base):
    rng = np.random.default_rng(0)
    for shape in ((303, 384), (50, 20), (1500, 1100)):
        picture = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
        resized = ResizeLongestSide(1024).apply_image(picture)
        expected = base.sam.preprocess(
            torch.from_numpy(resized).permute(2, 0, 1)[None].float()
        )
        found = base.encoder_input(picture)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
        assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1)])
def test_thin_pictures_keep_a_pixel(base, shape):
    picture = np.full((*shape, 3), 255, np.uint8)
    found = base.encoder_input(picture)
    assert found.shape == (1, 3, 1024, 1024)
    assert found[0, 0, 0, 0] == pytest.approx((255 - 123.675) / 58.395)


def test_upscaling_is_that_of_segment_anything(base):
    logits = torch.randn(2, 3, 256, 256)
    for shape, size in (((303, 384), (808, 1024)), ((40, 20), (1024, 512))):
        expected = base.sam.postprocess_masks(logits, size, shape)
        assert torch.equal(upscale_logits(logits, shape), expected)


def test_embeddings_are_half_precision_and_repeatable(base, coins_embedding, coins):
    picture = np.repeat(coins[..., None], 3, 2)
    again = base.encode(picture)
    assert again.dtype == torch.float16
    assert torch.isfinite(again).all()
    assert torch.equal(again, coins_embedding.features)


def test_hashes_tell_weights_apart(base):
    changed = copy.deepcopy(base.sam)
    with torch.no_grad():
        changed.mask_decoder.iou_token.weight[0, 0] += 1e-3
    decoder = SamModel(changed, "vit_t", base.device)
    assert decoder.encoder_hash == base.encoder_hash
    assert decoder.weights_hash != base.weights_hash

    changed = copy.deepcopy(base.sam)
    with torch.no_grad():
        changed.image_encoder.neck[0].weight[0, 0] += 1e-3
    encoder = SamModel(changed, "vit_t", base.device)
    assert encoder.encoder_hash != base.encoder_hash
    assert encoder.weights_hash != base.weights_hash

    same = SamModel(copy.deepcopy(base.sam), "other name", base.device)
    assert same.weights_hash == base.weights_hash
    assert same.encoder_hash == base.encoder_hash


def test_precision_is_part_of_the_encoder(base, exact):
    if base.dtype is None:
        pytest.skip("the encoder runs in float32 here")
    assert exact.encoder_hash != base.encoder_hash
    assert exact.weights_hash == base.weights_hash


def test_the_model_answers_in_eval_mode(base):
    sam = copy.deepcopy(base.sam).train()
    model = SamModel(sam, "vit_t", base.device)
    assert not any(module.training for module in model.sam.modules())
