from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from segment_anything import sam_model_registry
from timm.models.tiny_vit import TinyVit

from napari_infosam.core.errors import InfosamError
from napari_infosam.models import SamModel, load_model
from napari_infosam.models.export.plain import plain_state_dict
from napari_infosam.models.export.write import export_model
from napari_infosam.models.mobile_sam import convert_original_keys
from napari_infosam.models.peft.lora import merge_lora

PICTURE = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)


def embed(model: SamModel) -> torch.Tensor:
    with torch.inference_mode():
        return model.embed(model.encoder_input(PICTURE))


@pytest.mark.parametrize("method", ["decoder", "bitfit", "lora"])
def test_a_merged_student_answers_as_before(
    base, exact, make_student, method, tmp_path
):
    student = make_student(base, method, noise=0.03)
    path = tmp_path / "student.pth"
    export_model(student, path, "state-dict")
    loaded = load_model(path, "cpu")
    assert not any("lora" in key for key in loaded.sam.state_dict())
    embedding = embed(student)
    torch.testing.assert_close(embed(loaded), embedding, rtol=0, atol=1e-5)
    changed = (embedding - embed(exact)).abs().max()
    assert (changed > 1e-3) == (method != "decoder")
    for key, value in student.sam.mask_decoder.state_dict().items():
        assert torch.equal(loaded.sam.mask_decoder.state_dict()[key], value)


def test_merging_a_layer(make_student, small_vit):
    """The merged weight does what the layer and its update do together."""
    student = make_student(small_vit, "lora", noise=0.1)
    qkv = student.sam.image_encoder.blocks[0].attn.qkv
    merged = merge_lora({f"qkv.{k}": v for k, v in qkv.state_dict().items()})
    assert set(merged) == {"qkv.weight", "qkv.bias"}
    x = torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    expected = qkv(x)
    alone = F.linear(x, merged["qkv.weight"], merged["qkv.bias"])
    torch.testing.assert_close(alone, expected, rtol=0, atol=1e-5)
    assert (F.linear(x, qkv.weight, qkv.bias) - expected).abs().max() > 0.01


@pytest.mark.parametrize(
    ("method", "what"),
    [
        ("adapter", "adapters"),
        ("adaptformer", "adapters"),
        ("su-sam", "adapters"),
        ("conv-lora", "experts of Conv-LoRA"),
        ("hq-sam", "head of HQ-SAM"),
    ],
)
def test_what_can_not_be_merged(base, make_student, method, what, tmp_path):
    student = make_student(base, method)
    instead = "onnx" if method == "hq-sam" else "onnx or safetensors"
    with pytest.raises(InfosamError, match=rf"v001 has .*{what}.*--format {instead}\."):
        export_model(student, tmp_path / "a.pth", "state-dict")
    assert list(tmp_path.iterdir()) == []


def test_mobile_sam_gets_the_layout_of_its_own_code(base):
    """Every module of TinyViT with its batch norms, and the classifier."""
    state = plain_state_dict(base)
    body = TinyVit(
        num_classes=0,
        embed_dims=(64, 128, 160, 320),
        depths=(2, 2, 6, 2),
        num_heads=(2, 4, 5, 10),
        window_sizes=(7, 7, 14, 7),
    )
    # timm keeps downsampling with the stage behind it, MobileSAM with the one before
    wanted = {
        key.replace(".conv.", ".c.")
        .replace("patch_embed.conv1", "patch_embed.seq.0")
        .replace("patch_embed.conv2", "patch_embed.seq.2")
        .replace("stages.1.downsample", "layers.0.downsample")
        .replace("stages.2.downsample", "layers.1.downsample")
        .replace("stages.3.downsample", "layers.2.downsample")
        .replace("stages.", "layers."): value.shape
        for key, value in body.state_dict().items()
        if not key.startswith("head.")
    }
    encoder = {
        key.removeprefix("image_encoder."): value.shape
        for key, value in state.items()
        if key.startswith("image_encoder.") and ".neck." not in key
    }
    assert encoder == wanted | {
        "norm_head.weight": (320,),
        "norm_head.bias": (320,),
        "head.weight": (1000, 320),
        "head.bias": (1000,),
    }
    assert torch.equal(
        state["image_encoder.layers.1.blocks.0.attn.attention_biases"],
        base.sam.image_encoder.stages[1].blocks[0].attn.attention_biases,
    )


def test_folding_the_identity_batch_norms_gives_the_weights_back(base):
    back = convert_original_keys(plain_state_dict(base))
    ours = base.sam.state_dict()
    assert back.keys() == ours.keys()
    for key, value in ours.items():
        torch.testing.assert_close(back[key], value, rtol=1e-6, atol=1e-8)


@pytest.mark.slow
def test_segment_anything_loads_vit_b_strictly(make_student, tmp_path):
    torch.manual_seed(0)
    base = SamModel(sam_model_registry["vit_b"](), "vit_b", torch.device("cpu"))
    student = make_student(base, "lora", noise=0.1)
    path = tmp_path / "sam_vit_b_cells.pth"
    export_model(student, path, "state-dict")
    # its own loading is strict
    loaded = sam_model_registry["vit_b"](checkpoint=str(path))
    weights = student.sam.image_encoder.blocks[3].attn.qkv
    update = weights.lora_B @ weights.lora_A
    torch.testing.assert_close(
        loaded.image_encoder.blocks[3].attn.qkv.weight, weights.weight + update
    )
    for key, value in student.sam.mask_decoder.state_dict().items():
        assert torch.equal(loaded.mask_decoder.state_dict()[key], value)
