from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from segment_anything.utils.transforms import ResizeLongestSide
from timm.models.tiny_vit import ConvNorm, TinyVit

from napari_infosam.core.metrics import iou
from napari_infosam.models.mobile_sam import (
    FIRST_STAGES,
    MobileSamEncoder,
    build_mobile_sam,
    convert_original_keys,
)
from napari_infosam.models.weights import load_state_dict
from napari_infosam.resources import resource_path

REFERENCE = Path(__file__).parent / "data" / "mobile_sam_coins.npz"
TO_ORIGINAL = {
    r"^patch_embed\.conv1\.": "patch_embed.seq.0.",
    r"^patch_embed\.conv2\.": "patch_embed.seq.2.",
    r"^stages\.1\.downsample\.": "layers.0.downsample.",
    r"^stages\.2\.downsample\.": "layers.1.downsample.",
    r"^stages\.3\.downsample\.": "layers.2.downsample.",
    r"^stages\.": "layers.",
    r"\.conv\.": ".c.",
}


@pytest.fixture(scope="module")
def sam():
    return build_mobile_sam(
        load_state_dict(resource_path("mobile_sam.safetensors"))
    ).requires_grad_(False)


@pytest.fixture(scope="module")
def reference():
    with np.load(REFERENCE) as arrays:
        return {key: arrays[key] for key in arrays.files}


@pytest.fixture(scope="module")
def coins_embedding(sam):
    grey = skimage.data.coins()
    picture = ResizeLongestSide(1024).apply_image(np.repeat(grey[..., None], 3, 2))
    x = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        return sam.image_encoder(sam.preprocess(x))


@pytest.fixture
def small_input():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 256, 256, generator=generator)


def test_embedding_of_coins_equals_onnxruntime(coins_embedding, reference):
    assert coins_embedding.shape == (1, 256, 64, 64)
    sample = coins_embedding[0, ::16, ::8, ::8].numpy()
    np.testing.assert_allclose(sample, reference["embedding_sample"], atol=1e-5)
    assert coins_embedding.mean().item() == pytest.approx(
        reference["embedding_mean"].item(), abs=1e-6
    )
    assert coins_embedding.std().item() == pytest.approx(
        reference["embedding_std"].item(), abs=1e-6
    )


@pytest.mark.parametrize("number", range(6))
def test_masks_of_coins_equal_onnxruntime(sam, coins_embedding, reference, number):
    point = reference["points_xy"][number] * reference["scale"]
    with torch.inference_mode():
        sparse, dense = sam.prompt_encoder(
            points=(torch.tensor(point[None, None]).float(), torch.ones(1, 1)),
            boxes=None,
            masks=None,
        )
        logits, scores = sam.mask_decoder(
            image_embeddings=coins_embedding,
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
    best = int(scores[0].argmax())
    ours = logits[0, best].numpy()
    stored = reference["best_low_res_logits"][number]
    # the reference is rounded to float16
    rounding = np.spacing(np.abs(stored)).astype(np.float32) / 2
    assert (np.abs(ours - stored.astype(np.float32)) - rounding).max() < 1e-3
    assert iou(ours > 0, stored > 0) >= 0.999
    assert scores[0, best].item() == pytest.approx(
        reference["best_iou"][number].item(), abs=1e-5
    )


@pytest.mark.parametrize("first_stage", FIRST_STAGES)
def test_cut_encoder_equals_whole(sam, small_input, first_stage):
    encoder = sam.image_encoder
    with torch.inference_mode():
        features = encoder.early_features(small_input, first_stage)
        embedding = encoder.from_early_features(features, first_stage)
        expected = encoder(small_input)
    assert torch.equal(embedding, expected)


def test_early_features_are_the_input_of_the_first_trained_blocks(sam, small_input):
    taken = []
    blocks = sam.image_encoder.stages[2].blocks
    hook = blocks.register_forward_pre_hook(lambda _, args: taken.append(args[0]))
    with torch.inference_mode():
        sam.image_encoder(small_input)
        hook.remove()
        features = sam.image_encoder.early_features(small_input, 2)
    # a 1024 x 1024 picture gives 64 x 64
    assert features.shape == (2, 160, 16, 16)
    assert torch.equal(features.permute(0, 2, 3, 1), taken[0])


@pytest.mark.parametrize("first_stage", [0, 4, -1])
def test_other_stages_can_not_be_first(sam, small_input, first_stage):
    with pytest.raises(ValueError, match="first_stage is one of"):
        sam.image_encoder.early_features(small_input, first_stage)
    with pytest.raises(ValueError, match="first_stage is one of"):
        sam.image_encoder.from_early_features(small_input, first_stage)


def test_attention_biases_are_never_stale(small_input):
    encoder = MobileSamEncoder().eval()
    with torch.inference_mode():
        before = encoder(small_input)
    with torch.no_grad():
        for key, parameter in encoder.named_parameters():
            if key.endswith("attention_biases"):
                parameter.normal_(std=5.0)
    with torch.inference_mode():
        assert not torch.allclose(encoder(small_input), before)
    # an eval pass in inference mode must not spoil training in eval mode
    encoder(small_input).sum().backward()
    biases = encoder.stages[1].blocks[0].attn.attention_biases
    assert biases.grad.abs().max() > 0


def test_half_precision_weights_make_a_float32_model(sam):
    halves = {key: value.half() for key, value in sam.state_dict().items()}
    loaded = build_mobile_sam(halves)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert not loaded.training


def published_layout(body, neck):
    """The encoder part of a ``mobile_sam.pt`` with the weights of a timm model."""
    state = {}
    for key, value in body.state_dict().items():
        for pattern, name in TO_ORIGINAL.items():
            key = re.sub(pattern, name, key)
        state[f"image_encoder.{key}"] = value
    for key, value in neck.state_dict().items():
        state[f"image_encoder.neck.{key}"] = value
    state["image_encoder.norm_head.weight"] = torch.ones(320)
    state["image_encoder.head.weight"] = torch.ones(1000, 320)
    state["image_encoder.layers.1.blocks.0.attn.attention_bias_idxs"] = torch.zeros(1)
    return state


def test_published_weights_load_with_batch_norms_folded(small_input):
    torch.manual_seed(0)
    body = TinyVit(
        num_classes=0,
        embed_dims=(64, 128, 160, 320),
        depths=(2, 2, 6, 2),
        num_heads=(2, 4, 5, 10),
        window_sizes=(7, 7, 14, 7),
        drop_path_rate=0.0,
    ).eval()
    body.stages[3].downsample.conv2.conv.stride = (1, 1)
    for module in body.modules():
        if isinstance(module, ConvNorm):
            torch.nn.init.uniform_(module.bn.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bn.bias)
            torch.nn.init.normal_(module.bn.running_mean)
            torch.nn.init.uniform_(module.bn.running_var, 0.5, 1.5)
        elif hasattr(module, "attention_biases"):
            torch.nn.init.normal_(module.attention_biases)
    sam = build_mobile_sam()
    state = published_layout(body, sam.image_encoder.neck)
    assert "image_encoder.patch_embed.seq.0.bn.running_mean" in state
    assert "image_encoder.layers.2.blocks.5.local_conv.c.weight" in state
    for part in ("prompt_encoder", "mask_decoder"):
        for key, value in getattr(sam, part).state_dict().items():
            state[f"{part}.{key}"] = value

    loaded = build_mobile_sam(convert_original_keys(state))

    with torch.inference_mode():
        features = body.stages(body.patch_embed(small_input))
        expected = sam.image_encoder.neck(features)
        embedding = loaded.image_encoder(small_input)
    torch.testing.assert_close(embedding, expected, atol=1e-4, rtol=1e-4)
