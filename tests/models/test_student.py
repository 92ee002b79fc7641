from __future__ import annotations

import errno
import json
import os
import shutil
import time

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.preprocess import to_rgb_uint8
from napari_infosam.models.predictor import Predictor
from napari_infosam.models.sam_model import SamModel
from napari_infosam.models.student import (
    StudentSpec,
    build_student,
    load_student,
    read_spec,
    save_student,
)

POINT = [(108, 226)]
METHODS = ("decoder", "adapter")


@pytest.fixture
def student_file(request, tmp_path):
    """Return a copy of a student's file; the parameter is its method."""
    original = request.getfixturevalue(f"{request.param}_student_file")
    return shutil.copy(original, tmp_path / "student.safetensors")


def both_methods(function):
    return pytest.mark.parametrize("student_file", METHODS, indirect=True)(function)


def spec_of(base, method):
    return StudentSpec(base=base.name, base_hash=base.weights_hash, method=method)


@pytest.mark.parametrize("method", METHODS)
def test_a_fresh_student_answers_as_its_base(base, coins, method):
    sam, _ = build_student(base.sam, spec_of(base, method))
    student = SamModel(sam, base.name, base.device, first_click="multimask")
    ours, theirs = Predictor(student), Predictor(base)
    image = coins[:80, :100]
    mine, yours = ours.embed(image), theirs.embed(image)
    assert torch.equal(mine.features, yours.features)
    one = ours.predict([(40, 40)], embedding=mine)
    other = theirs.predict([(40, 40)], embedding=yours)
    assert (one.low_res_logits == other.low_res_logits).all()
    assert one.score == other.score


def test_what_a_decoder_student_trains(base):
    student, trained = build_student(base.sam, spec_of(base, "decoder"))
    assert sum(p.numel() for p in trained) == 4_058_340
    names = {n for n, p in student.named_parameters() if p.requires_grad}
    assert all(name.startswith("mask_decoder.") for name in names)
    assert {id(p) for p in trained} == {
        id(p) for p in student.parameters() if p.requires_grad
    }


def test_what_an_adapter_student_trains(base):
    student, trained = build_student(base.sam, spec_of(base, "adapter"))
    names = [n for n, p in student.named_parameters() if p.requires_grad]
    encoder = [n for n in names if n.startswith("image_encoder.")]
    assert encoder
    assert all("Adapter_Series" in n or ".norm." in n for n in encoder)
    # blocks 0 and 1 are those of stage 1
    assert {n.split(".")[2] for n in encoder} == {"2", "3"}
    assert not [n for n in names if n.startswith("prompt_encoder.")]
    assert {id(p) for p in trained} == {
        id(p) for p in student.parameters() if p.requires_grad
    }


@pytest.mark.parametrize("method", METHODS)
def test_the_base_is_never_touched(base, method):
    before = base.weights_hash
    gradients = [p.requires_grad for p in base.sam.parameters()]
    student, trained = build_student(base.sam, spec_of(base, method))
    with torch.no_grad():
        for parameter in trained:
            parameter += 1
    assert SamModel(base.sam, base.name, base.device).weights_hash == before
    assert [p.requires_grad for p in base.sam.parameters()] == gradients
    assert not any("Adapter" in name for name, _ in base.sam.named_modules())
    mine = {p.data_ptr() for p in student.parameters()}
    assert mine.isdisjoint(p.data_ptr() for p in base.sam.parameters())


@both_methods
def test_saved_and_loaded_answers_bit_by_bit(base, student_file, coins, tmp_path):
    first = load_student(base, student_file, "v001")
    sam, _ = build_student(base.sam, read_spec(student_file))
    sam.load_state_dict(first.sam.state_dict())
    again = tmp_path / "again.safetensors"
    save_student(sam, again, read_spec(student_file))
    second = load_student(base, again, "v002")

    image = coins[:80, :100]
    answers = []
    for model in (first, second):
        predictor = Predictor(model)
        predictor.set_image(image)
        answers.append(predictor.predict([(40, 40)]))
    assert (answers[0].low_res_logits == answers[1].low_res_logits).all()
    assert answers[0].score == answers[1].score
    assert first.encoder_hash == second.encoder_hash
    assert first.weights_hash == second.weights_hash


@both_methods
def test_a_student_differs_from_its_base(base, student_file, coins_embedding):
    model = load_student(base, student_file, "v007")
    assert (model.name, model.version, model.first_click) == ("vit_t", "v007", "single")
    assert model.weights_hash != base.weights_hash
    keeps_encoder = read_spec(student_file).method == "decoder"
    assert (model.encoder_hash == base.encoder_hash) is keeps_encoder
    if keeps_encoder:
        one, other = (
            Predictor(m).predict(POINT, embedding=coins_embedding)
            for m in (model, base)
        )
        assert (one.low_res_logits != other.low_res_logits).any()


@both_methods
def test_a_loaded_student_is_not_trained(base, student_file):
    model = load_student(base, student_file, "v001")
    assert not any(p.requires_grad for p in model.sam.parameters())
    assert not any(module.training for module in model.sam.modules())


def test_the_file_is_small(base, decoder_student_file):
    assert decoder_student_file.stat().st_size < 4_058_340 * 4 * 1.01
    with safe_open(decoder_student_file, "pt") as file:
        assert all(key.startswith("mask_decoder.") for key in file.keys())  # noqa: SIM118


def test_another_base_is_refused(base, exact, student_file_of_another_base):
    with pytest.raises(
        InfosamError, match="trained on other weights of vit_t than those of vit_t"
    ):
        load_student(base, student_file_of_another_base, "v001")


@pytest.fixture
def student_file_of_another_base(base, tmp_path):
    spec = spec_of(base, "decoder").model_copy(update={"base_hash": "0-0"})
    student, _ = build_student(base.sam, spec)
    path = tmp_path / "other.safetensors"
    save_student(student, path, spec)
    return path


@both_methods
@pytest.mark.parametrize("share", [0.0, 1e-5, 0.3, 0.9999])
def test_a_truncated_file_is_refused(base, student_file, share):
    content = student_file.read_bytes()
    student_file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InfosamError, match="activate another version") as caught:
        load_student(base, student_file, "v001")
    assert str(student_file) in str(caught.value)


def test_a_missing_file(base, tmp_path):
    with pytest.raises(InfosamError, match="is missing or not a student"):
        load_student(base, tmp_path / "gone.safetensors", "v001")


def rewrite(path, weights=None, **metadata):
    """Write a student's file again with other tensors or another description."""
    with safe_open(path, "pt") as file:
        described = json.loads(file.metadata()["infosam_student"])
    described.update(metadata)
    described = {k: v for k, v in described.items() if v is not None}
    save_file(
        weights if weights is not None else load_file(path),
        path,
        {"infosam_student": json.dumps(described)},
    )


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"method": "hypnosis"},
        {"base": None},
        {"surprise": 1},
    ],
)
@pytest.mark.parametrize("student_file", ["decoder"], indirect=True)
def test_an_unknown_description_is_refused(base, student_file, change):
    rewrite(student_file, **change)
    with pytest.raises(InfosamError, match="not a student of napari-infosam"):
        load_student(base, student_file, "v001")


@pytest.mark.parametrize(
    "metadata", [None, {"other": "1"}, {"infosam_student": "not json"}]
)
@pytest.mark.parametrize("student_file", ["decoder"], indirect=True)
def test_a_file_without_description_is_refused(base, student_file, metadata):
    save_file(load_file(student_file), student_file, metadata)
    with pytest.raises(InfosamError, match="not a student of napari-infosam"):
        load_student(base, student_file, "v001")


@pytest.mark.parametrize("student_file", ["decoder"], indirect=True)
def test_other_tensors_than_described_are_refused(base, student_file):
    weights = load_file(student_file)
    key = "mask_decoder.iou_token.weight"
    for wrong in (
        {k: v for k, v in weights.items() if k != key},
        {**weights, "extra": torch.ones(1)},
        {**weights, key: torch.ones(1, 128)},
        # would be broadcast
        {**weights, key: torch.ones(1)},
    ):
        rewrite(student_file, wrong)
        with pytest.raises(InfosamError, match="does not fit its model description"):
            load_student(base, student_file, "v001")
    rewrite(student_file, weights)
    load_student(base, student_file, "v001")


@pytest.mark.parametrize("student_file", ["decoder"], indirect=True)
def test_a_method_that_does_not_fit_the_tensors(base, student_file):
    rewrite(student_file, method="adapter")
    with pytest.raises(InfosamError, match="does not fit its model description"):
        load_student(base, student_file, "v001")


@pytest.mark.parametrize("call", ["save_file", "os.fsync", "pathlib.Path.replace"])
def test_a_full_disk_keeps_the_old_file(base, tmp_path, monkeypatch, call):
    student, _ = build_student(base.sam, spec_of(base, "decoder"))
    path = tmp_path / "student.safetensors"
    path.write_bytes(b"before")

    def full(*_arguments, **_keywords):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    name = "napari_infosam.models.student.save_file" if call == "save_file" else call
    with monkeypatch.context() as patch:
        patch.setattr(name, full)
        with pytest.raises(InfosamError, match="could not be written"):
            save_student(student, path, spec_of(base, "decoder"))
    assert path.read_bytes() == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["student.safetensors"]


def test_a_folder_that_is_gone(base, tmp_path):
    student, _ = build_student(base.sam, spec_of(base, "decoder"))
    with pytest.raises(InfosamError, match="could not be written"):
        save_student(student, tmp_path / "gone" / "s", spec_of(base, "decoder"))


def test_a_base_with_adapters_is_trained_further(base):
    """Such is a published InfoSAM checkpoint; its adapters are not added twice."""
    published, trained = build_student(base.sam, spec_of(base, "adapter"))
    with torch.no_grad():
        for parameter in trained:
            parameter += 0.01
    published.requires_grad_(False)
    again = SamModel(published, "infosam.pth", base.device)
    student, parameters = build_student(published, spec_of(again, "adapter"))
    assert len(parameters) == len(trained)
    assert student.state_dict().keys() == published.state_dict().keys()
    for key, value in student.state_dict().items():
        assert torch.equal(value, published.state_dict()[key]), key
    hooks = [len(m._forward_hooks) for m in student.image_encoder.modules()]
    assert max(hooks) == 1
    x = torch.randn(1, 3, 256, 256)
    with torch.inference_mode():
        assert torch.equal(student.image_encoder(x), published.image_encoder(x))
        with_change = next(
            p for n, p in student.named_parameters() if n.endswith("D_fc2.bias")
        )
        with_change += 1
        assert not torch.equal(student.image_encoder(x), published.image_encoder(x))


def test_a_decoder_version_costs_a_fraction_of_an_embedding(base, coins, tmp_path):
    """It has the base's encoder: nothing is copied, hashed or looked at again."""
    spec = spec_of(base, "decoder")
    path = tmp_path / "student.safetensors"
    save_student(build_student(base.sam, spec)[0], path, spec)
    picture = to_rgb_uint8(coins)

    def seconds(work) -> float:
        # of this process, however busy the machine is
        start = time.process_time()
        work()
        return time.process_time() - start

    embedding = seconds(lambda: base.encode(picture))
    swap = min(
        seconds(lambda: load_student(base, path, "v001").encoder_hash) for _ in range(3)
    )
    student = load_student(base, path, "v001")
    assert student.sam.image_encoder is base.sam.image_encoder
    assert student.encoder_hash == base.encoder_hash
    assert swap < 0.3 * embedding
