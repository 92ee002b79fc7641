from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_infosam.models import EmbeddingCache, Predictor, SamModel
from napari_infosam.models.student import StudentSpec, build_student
from napari_infosam.training.dataset import Sample
from napari_infosam.training.features import FrozenFeatures


@pytest.fixture(scope="module")
def sample(samples) -> Sample:
    return samples[0]


def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return torch.cosine_similarity(
        one.float().flatten(), other.float().flatten(), 0
    ).item()


@pytest.fixture(scope="module")
def early(base, cache) -> FrozenFeatures:
    return FrozenFeatures(base, cache, 2)


def test_embeddings_are_those_of_the_window(base, frozen, sample):
    features = frozen.embedding(sample)
    shown = Predictor(base).embed(sample.picture)
    assert features.dtype == torch.float32
    # with another number of threads sums are rounded otherwise, to the last digit
    last_digit = {"rtol": 2e-3, "atol": 2e-4}
    torch.testing.assert_close(features.half(), shown.features, **last_digit)
    # the window finds in the cache what training has computed
    again = frozen.image_embedding(sample)
    assert again.encoder_hash == shown.encoder_hash
    torch.testing.assert_close(again.features, shown.features, **last_digit)


def test_the_early_features_lead_to_the_same_embedding(base, early, sample):
    shown = Predictor(base).embed(sample.picture)
    assert cosine(early.embedding(sample), shown.features) > 0.9999
    # TinyViT is cut below stage 2
    assert early.early(sample).shape == (1, 160, 64, 64)


def test_both_come_from_one_pass(base, samples, monkeypatch):
    features = FrozenFeatures(base, EmbeddingCache(), 2)
    passes = []
    real = SamModel.encoder_input

    def count(self, picture):
        passes.append(picture.shape)
        return real(self, picture)

    monkeypatch.setattr(SamModel, "encoder_input", count)
    small = Sample("small", samples[0].picture[:64, :64].copy(), ())
    features.prepare(small)
    features.prepare(small)
    features.embedding(small)
    features.early(small)
    assert len(passes) == 1


def test_what_comes_out_can_take_part_in_training(early, frozen, sample):
    for value in (frozen.embedding(sample), early.early(sample)):
        assert not value.is_inference()
        weight = torch.ones(1, requires_grad=True)
        (value * weight).sum().backward()
        assert weight.grad is not None


def test_what_comes_out_is_a_copy(frozen, sample):
    first = frozen.embedding(sample)
    first.zero_()
    assert frozen.embedding(sample).abs().max() > 0


def changed_student(base, method: str) -> SamModel:
    spec = StudentSpec(base=base.name, base_hash=base.weights_hash, method=method)
    sam, trained = build_student(base.sam, spec)
    with torch.no_grad():
        for parameter in trained:
            parameter += 0.01
    return SamModel(sam.requires_grad_(False), base.name, base.device, version="v001")


def test_a_student_continues_from_the_cut(base, early, sample):
    student = changed_student(base, "adapter")
    short = early.image_embedding(sample, student)
    whole = Predictor(student).embed(sample.picture)
    assert short.encoder_hash == whole.encoder_hash == student.encoder_hash
    assert short.shape == whole.shape == sample.shape
    assert cosine(short.features, whole.features) > 0.999
    assert cosine(short.features, early.embedding(sample)) < 0.999
    Predictor(student).predict([(100, 100)], embedding=short)


def test_a_student_of_the_decoder_shares_the_embedding(base, early, frozen, sample):
    student = changed_student(base, "decoder")
    for features in (early, frozen):
        embedding = features.image_embedding(sample, student)
        Predictor(student).predict([(100, 100)], embedding=embedding)
        assert torch.equal(embedding.features.float(), features.embedding(sample))


def test_a_frozen_encoder_has_no_early_features(base, frozen, sample):
    with pytest.raises(ValueError, match="no early features"):
        frozen.early(sample)
    with pytest.raises(ValueError, match="no early features"):
        frozen.image_embedding(sample, changed_student(base, "adapter"))


def test_a_full_memory_is_refilled_from_disk(base, tmp_path, sample):
    cache = EmbeddingCache(tmp_path, memory_bytes=0)
    features = FrozenFeatures(base, cache, 2)
    small = Sample("small", np.ascontiguousarray(sample.picture[:50, :60]), ())
    first = features.early(small)
    second = features.embedding(small)
    assert torch.equal(features.early(small), first)
    assert torch.equal(features.embedding(small), second)
