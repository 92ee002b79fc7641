from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_infosam.core.errors import InfosamError
from napari_infosam.models import SamModel, load_model
from napari_infosam.models.export import save_model
from napari_infosam.models.student import StudentSpec, build_student

PICTURE = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)


def student_of(base: SamModel, method: str, *, published: bool = False) -> SamModel:
    spec = StudentSpec.of(base, method)
    sam, trained = build_student(base.sam, spec)
    with torch.no_grad():
        for parameter in trained:
            parameter.add_(0.01 * torch.randn_like(parameter))
    return SamModel(
        sam.requires_grad_(False),
        base.name,
        base.device,
        version="v001",
        first_click="single",
        published_input=published,
    )


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("method", ["decoder", "su-sam", "conv-lora"])
def test_an_exported_student_is_a_base_that_answers_the_same(
    base, method, suffix, tmp_path
):
    student = student_of(base, method, published=suffix == ".pth")
    path = tmp_path / f"student{suffix}"
    save_model(student, path)
    loaded = load_model(path, "cpu")
    assert loaded.weights_hash == student.weights_hash
    if method == "decoder" and suffix == ".pth":
        # nothing in such a file tells it from a plain Segment Anything
        assert (loaded.first_click, loaded.published_input) == ("multimask", False)
        return
    assert loaded.first_click == "single"
    assert loaded.published_input == student.published_input
    assert torch.equal(loaded.encode(PICTURE), student.encode(PICTURE))


def test_hq_sam_has_no_plain_file(base, tmp_path):
    with pytest.raises(InfosamError, match="has the head of HQ-SAM"):
        save_model(student_of(base, "hq-sam"), tmp_path / "a.pth")


def test_another_suffix(base, tmp_path):
    with pytest.raises(InfosamError, match=r"end it in \.safetensors, \.pth or \.pt"):
        save_model(base, tmp_path / "model.bin")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_full_disk_leaves_nothing_behind(base, suffix, tmp_path, monkeypatch):
    def full(_self: Path, _target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(InfosamError, match="could not be written"):
        save_model(base, tmp_path / f"model{suffix}")
    assert list(tmp_path.iterdir()) == []
