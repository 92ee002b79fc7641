from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch

from napari_infosam.core.errors import InfosamError
from napari_infosam.models import load_model
from napari_infosam.models.export.write import export_model

PICTURE = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("method", ["decoder", "su-sam", "conv-lora"])
def test_an_exported_student_is_a_base_that_answers_the_same(
    base, make_student, method, suffix, tmp_path
):
    student = make_student(base, method, published=suffix == ".pth")
    path = tmp_path / f"student{suffix}"
    export_model(student, path)
    loaded = load_model(path, "cpu")
    assert loaded.weights_hash == student.weights_hash
    if method == "decoder" and suffix == ".pth":
        # nothing in such a file tells it from a plain Segment Anything
        assert (loaded.first_click, loaded.published_input) == ("multimask", False)
        return
    assert loaded.first_click == "single"
    assert loaded.published_input == student.published_input
    loaded.dtype = None
    assert torch.equal(loaded.encode(PICTURE), student.encode(PICTURE))


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_hq_sam_has_no_plain_file(base, make_student, name, tmp_path):
    with pytest.raises(InfosamError, match=r"head of HQ-SAM.*--format onnx"):
        export_model(make_student(base, "hq-sam"), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_the_card_lies_beside_the_weights(base, make_student, tmp_path):
    student = make_student(base, "adapter")
    card = {"id": "v001", "parent": "base", "metrics": {"base": {"iou_1": 0.5}}}
    done = export_model(student, f"{tmp_path / 'cells'}/", "safetensors", card=card)
    weights, written = tmp_path / "cells" / "model.safetensors", done.files[0]
    assert written == tmp_path / "cells" / "card.json"
    assert done.files == [written, weights]
    read = json.loads(written.read_text())
    exported = read.pop("export")
    assert read == card
    assert exported["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert exported["weights_hash"] == load_model(weights, "cpu").weights_hash
    assert (exported["base"], exported["first_click"]) == ("vit_t", "single")


def test_two_models_in_one_folder_have_a_card_each(base, tmp_path):
    for name in ("a.safetensors", "b.safetensors"):
        export_model(base, tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.card.json",
        "a.safetensors",
        "b.card.json",
        "b.safetensors",
    ]
