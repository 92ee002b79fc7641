"""Every method against the published code, its numbers of parameters and its start."""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import ImageEncoderViT

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.options import Method
from napari_infosam.models.encoder_parts import early_features, late_embedding
from napari_infosam.models.peft.balance import noisy_gating
from napari_infosam.models.peft.lora import Gating, place_lora
from napari_infosam.models.peft.method import attach_method, attach_published
from napari_infosam.models.registry import build_sam
from napari_infosam.models.student import StudentSpec, build_student

DATA = Path(__file__).parent / "data"
METHODS = get_args(Method)
OF_THE_ENCODER = [m for m in METHODS if m not in ("decoder", "hq-sam")]


def reference_encoder() -> ImageEncoderViT:
    """Return an encoder as small as that of the reference."""
    return ImageEncoderViT(
        img_size=64,
        patch_size=8,
        embed_dim=24,
        depth=3,
        num_heads=3,
        mlp_ratio=2,
        out_chans=16,
        use_rel_pos=True,
        window_size=5,
        global_attn_indexes=(1,),
        norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6),
    )


def reference(name: str) -> tuple[dict, dict]:
    """Return the state dict, and input and output, of the method authors' code."""
    with np.load(DATA / f"encoder_{name}.npz") as arrays:
        tensors = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    state = {k[3:]: v for k, v in tensors.items() if k.startswith("sd.")}
    return state, tensors


@pytest.mark.parametrize(
    "name", ["plain", "adapter", "adaptformer", "lora", "conv_lora"]
)
def test_the_encoder_of_the_published_code(name):
    state, arrays = reference(name)
    encoder = reference_encoder()
    attach_published(encoder, state)
    encoder.load_state_dict(state)
    with torch.inference_mode():
        output = encoder(arrays["input"])
    torch.testing.assert_close(output, arrays["output"], atol=1e-5, rtol=0)
    for first_block in range(3):
        early = early_features(encoder, arrays["input"], first_block)
        late = late_embedding(encoder, early, first_block)
        torch.testing.assert_close(late, arrays["output"], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("adapter", "adapter"),
        ("adaptformer", "adaptformer"),
        ("lora", "lora"),
        ("conv_lora", "conv-lora"),
    ],
)
def test_ours_has_the_names_and_shapes_of_the_published_code(name, method):
    state, _ = reference(name)
    encoder = reference_encoder()
    attach_method(encoder, method, 0 if "lora" in name else 1)
    ours = {key: value.shape for key, value in encoder.state_dict().items()}
    assert ours == {key: value.shape for key, value in state.items()}


def count(student, word: str) -> int:
    return sum(
        p.numel()
        for name, p in student.named_parameters()
        if p.requires_grad and word in name
    )


@pytest.mark.parametrize(
    ("method", "encoder", "norms"),
    [
        ("decoder", 0, 0),
        ("bitfit", 101_376, None),
        ("lora", 147_456, 0),
        ("adapter", 5_917_440 + 30_720, 30_720),
    ],
)
def test_numbers_of_trained_parameters_of_vit_b(method, encoder, norms):
    """Those of the published configuration, on a model without memory."""
    with torch.device("meta"):
        sam = sam_model_registry["vit_b"]()
        first = {"adapter": 2}.get(method, 0)
        spec = StudentSpec(base="vit_b", base_hash="", method=method, first_block=first)
        student, trained = build_student(sam, spec)
    assert count(student, "image_encoder") == encoder
    if norms is not None:
        assert count(student.image_encoder, ".norm") == norms
    assert count(student, "mask_decoder") == 4_058_340
    assert sum(p.numel() for p in trained) == encoder + 4_058_340


@pytest.mark.parametrize("method", OF_THE_ENCODER)
def test_a_fresh_student_encoder_equals_its_base(base, small_input, method):
    encoder = copy.deepcopy(base.sam.image_encoder)
    attach_method(encoder, method, 2)
    with torch.inference_mode():
        expected = base.sam.image_encoder(small_input)
        assert torch.equal(encoder(small_input), expected)


@pytest.mark.parametrize("method", OF_THE_ENCODER)
def test_all_that_is_trained_gets_a_gradient(tiny_vit, method):
    tiny_vit.requires_grad_(False)
    trained = attach_method(tiny_vit, method, 1)
    assert len({id(p) for p in trained}) == len(trained) > 0
    for parameter in trained:
        parameter.requires_grad_(True)
        if not parameter.any():  # away from the start, where half of them rest
            torch.nn.init.normal_(parameter, 0, 0.1)
    with noisy_gating(np.random.default_rng(0)) as balance:
        loss = tiny_vit(torch.randn(2, 3, 64, 64)).square().mean()
    (loss + sum(balance)).backward()
    experts = [n for n, _ in tiny_vit.named_parameters() if "experts" in n]
    for name, parameter in tiny_vit.named_parameters():
        if not parameter.requires_grad or name in experts:
            continue  # an expert nobody asked has none
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
    asked = [tiny_vit.get_parameter(n).grad is not None for n in experts]
    assert any(asked) == bool(experts)


@pytest.mark.parametrize("method", METHODS)
def test_a_student_of_any_method_is_saved_and_loaded(base, method, tmp_path):
    from napari_infosam.models.student import load_student, save_student

    spec = StudentSpec.of(base, method)
    assert spec.first_block == (2 if method == "hq-sam" else 8)
    student, trained = build_student(base.sam, spec)
    with torch.no_grad():
        for parameter in trained:
            parameter.add_(0.01 * torch.randn_like(parameter))
    save_student(student, tmp_path / "student.safetensors", spec)
    loaded = load_student(base, tmp_path / "student.safetensors", "v001")
    picture = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    with torch.inference_mode():
        wanted = student.state_dict()
        for key, value in loaded.sam.state_dict().items():
            assert torch.equal(value, wanted[key]), key
        features = loaded.encode(picture)
    channels = 256 + (160 if method == "hq-sam" else 0)
    assert features.shape == (1, channels, 64, 64)
    same_encoder = loaded.encoder_hash == base.encoder_hash
    assert same_encoder == (method == "decoder")


def test_an_unknown_layer_gets_no_update():
    with pytest.raises(TypeError, match="Conv2d"):
        place_lora(torch.nn.Conv2d(1, 1, 1))


def test_gates_choose_at_random_only_while_they_are_trained():
    torch.manual_seed(0)
    gate = Gating(4, 8)
    means = torch.randn(64, 4)
    assert gate(means).tolist() == [0] * 64  # all experts are alike at first
    with noisy_gating(np.random.default_rng(0)) as balance:
        chosen = gate(means)
        again = gate(means)
    assert len(set(chosen.tolist())) == 8
    assert chosen.tolist() != again.tolist()
    with noisy_gating(np.random.default_rng(0)):
        assert gate(means).tolist() == chosen.tolist()
    assert len(balance) == 2


def test_the_balance_loss_is_least_where_all_experts_are_busy():
    even, uneven = Gating(1, 4), Gating(1, 4)
    with torch.no_grad():
        uneven.w_gate[0, 0] = 9.0
    losses = []
    for gate in (even, uneven):
        with noisy_gating(np.random.default_rng(0)) as balance:
            gate(torch.ones(400, 1))
        losses.append(sum(balance).item())
    assert losses[0] < 0.001 < 0.01 < losses[1]


@pytest.mark.parametrize("name", ["adaptformer", "lora", "conv_lora", "adapter"])
def test_a_published_checkpoint_is_a_base(name, tmp_path):
    """A ViT-B with the modules of a method, in the form it is published in."""
    with torch.device("meta"):
        sam = sam_model_registry["vit_b"]()
        attach_method(sam.image_encoder, name.replace("_", "-"), 10)
    state = {
        key: torch.zeros(value.shape, dtype=value.dtype)
        for key, value in sam.state_dict().items()
    }
    path = tmp_path / "published.pth"
    torch.save(state, path)
    loaded, _ = build_sam(path)
    assert loaded.state_dict().keys() == state.keys()


@pytest.mark.parametrize("block", [-1, 10])
def test_a_block_that_is_not_there(base, block):
    with pytest.raises(InfosamError, match="10 attention blocks and no number"):
        StudentSpec.of(base, "lora", block)
