from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import skimage.data
import torch
from segment_anything.modeling import ImageEncoderViT

from napari_infosam.models import ImageEmbedding, Predictor, SamModel, load_model
from napari_infosam.models.student import StudentSpec, build_student, save_student

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@pytest.fixture(scope="session")
def base() -> SamModel:
    """Return the bundled model as people get it on this CPU; never changed."""
    return load_model("vit_t", "cpu")


@pytest.fixture(scope="session")
def exact(base: SamModel) -> SamModel:
    """Return the same network, encoding in float32 on every machine."""
    model = SamModel(base.sam, base.name, base.device)
    model.dtype = None
    return model


@pytest.fixture(scope="session")
def coins() -> NDArray[np.uint8]:
    """Return the ``(303, 384)`` grey image of the reference."""
    image: NDArray[np.uint8] = skimage.data.coins()
    return image


@pytest.fixture(scope="session")
def coins_embedding(base: SamModel, coins: NDArray[np.uint8]) -> ImageEmbedding:
    return Predictor(base).embed(coins)


@pytest.fixture(scope="session")
def decoder_student_file(
    base: SamModel, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the file of a student whose decoder differs from the base's."""
    return _save_changed(base, "decoder", tmp_path_factory.mktemp("decoder_student"))


@pytest.fixture(scope="session")
def adapter_student_file(
    base: SamModel, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the file of a student whose encoder differs from the base's, too."""
    return _save_changed(base, "adapter", tmp_path_factory.mktemp("adapter_student"))


def _save_changed(base: SamModel, method: str, folder: Path) -> Path:
    spec = StudentSpec(base=base.name, base_hash=base.weights_hash, method=method)
    student, trained = build_student(base.sam, spec)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in trained:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter += 0.02 * (parameter.std() if parameter.any() else 1) * noise
    path = folder / "student.safetensors"
    save_student(student, path, spec)
    return path


@pytest.fixture
def tiny_vit() -> ImageEncoderViT:
    """Return a small encoder of the kind of ``vit_b``: 32 channels, 4 blocks."""
    torch.manual_seed(0)
    encoder = ImageEncoderViT(
        img_size=64,
        patch_size=16,
        embed_dim=32,
        depth=4,
        num_heads=2,
        out_chans=16,
        use_rel_pos=True,
        window_size=3,
        global_attn_indexes=(1, 3),
    )
    torch.nn.init.normal_(encoder.pos_embed)
    return encoder.eval()


@pytest.fixture
def small_input() -> torch.Tensor:
    """Return ``(2, 3, 256, 256)`` noise; TinyViT takes any side."""
    return torch.randn(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def threads() -> Iterator[None]:
    """Let torch use one thread, so that other work on the machine weighs less."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
