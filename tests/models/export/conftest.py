from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from segment_anything.modeling import ImageEncoderViT, Sam

from napari_infosam.models import SamModel
from napari_infosam.models.export.onnx_graphs import write_decoder, write_encoder
from napari_infosam.models.student import StudentSpec, build_student

MakeStudent = Callable[..., SamModel]


def _student(
    base: SamModel, method: str, *, published: bool = False, noise: float = 0.01
) -> SamModel:
    spec = StudentSpec.of(base, method)
    sam, trained = build_student(base.sam, spec)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in trained:
            parameter.add_(noise * torch.randn(parameter.shape, generator=generator))
    student = SamModel(
        sam.requires_grad_(False),
        base.name,
        base.device,
        version="v001",
        first_click="single",
        published_input=published,
    )
    student.dtype = None
    return student


@pytest.fixture(scope="session")
def make_student() -> MakeStudent:
    """Return what makes a student of a base: ``(base, method)``, in float32."""
    return _student


@pytest.fixture(scope="session")
def small_vit(base: SamModel) -> SamModel:
    """Return a model of the kind of ``vit_b``: 32 channels, 2 blocks, 1024 pixels."""
    torch.manual_seed(0)
    encoder = ImageEncoderViT(
        img_size=1024,
        patch_size=16,
        embed_dim=32,
        depth=2,
        num_heads=2,
        out_chans=256,
        use_rel_pos=True,
        window_size=14,
        global_attn_indexes=(1,),
    )
    for parameter in encoder.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    decoder = copy.deepcopy(base.sam.mask_decoder)
    sam = Sam(encoder, copy.deepcopy(base.sam.prompt_encoder), decoder)
    model = SamModel(sam.requires_grad_(False), "small.pth", base.device)
    model.dtype = None
    return model


@pytest.fixture(scope="session")
def encoder_file(base: SamModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the ONNX file of the bundled model's encoder."""
    path = tmp_path_factory.mktemp("encoder") / "encoder.onnx"
    write_encoder(base, path)
    return path


@pytest.fixture(scope="session")
def decoder_file(base: SamModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the ONNX file of the bundled model's decoder."""
    path = tmp_path_factory.mktemp("decoder") / "decoder.onnx"
    write_decoder(base, path)
    return path
