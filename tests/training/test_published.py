"""The published recipe, quirk by quirk."""

from __future__ import annotations

import copy
from dataclasses import astuple, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.masks import encode_rle
from napari_infosam.core.options import FinetuneOptions
from napari_infosam.models import Predictor, SamModel
from napari_infosam.models.encoder_parts import attention_blocks
from napari_infosam.models.peft.method import attach_method
from napari_infosam.models.student import StudentSpec, load_student, save_student
from napari_infosam.training.batches import Group
from napari_infosam.training.dataset import Sample
from napari_infosam.training.features import FrozenFeatures
from napari_infosam.training.fit import PUBLISHED, Fit
from napari_infosam.training.losses import structure_loss
from napari_infosam.training.published import (
    PublishedStage,
    foreground,
    published_epoch,
    random_points,
    shifted_box,
)
from napari_infosam.training.published_evaluation import evaluate_as_published
from napari_infosam.training.reporter import Reporter
from napari_infosam.training.teach import Teaching

OPTIONS = FinetuneOptions.published(method="adapter", distill="none", max_epochs=1)


@pytest.fixture(scope="module")
def published(base):
    return base.as_published()


@pytest.fixture(scope="module")
def features(published, cache) -> FrozenFeatures:
    return FrozenFeatures(published, cache, 8)


@pytest.fixture
def stage(published, features) -> PublishedStage:
    return PublishedStage(features, StudentSpec.of(published, "adapter"), OPTIONS)


def test_the_options():
    assert (OPTIONS.lambda_r, OPTIONS.lambda_d) == (1.0, 0.5)
    assert (OPTIONS.seed, OPTIONS.learning_rate, OPTIONS.stages) == (
        42,
        2e-4,
        ("full",),
    )
    assert FinetuneOptions.published().max_epochs == 10
    assert FinetuneOptions.published(seed=1).seed == 1


def test_pictures_come_as_blue_green_red_and_padding_is_normalised(base, published):
    picture = np.zeros((40, 80, 3), np.uint8)
    picture[..., 0] = 255
    ours, theirs = base.encoder_input(picture), published.encoder_input(picture)
    mean, std = base.sam.pixel_mean.flatten(), base.sam.pixel_std.flatten()
    red, blue = torch.tensor([255, 0, 0]), torch.tensor([0, 0, 255])
    torch.testing.assert_close(ours[0, :, 0, 0], (red - mean) / std)
    torch.testing.assert_close(theirs[0, :, 0, 0], (blue - mean) / std)
    assert not ours[0, :, -1, -1].any()
    torch.testing.assert_close(theirs[0, :, -1, -1], -mean / std)
    assert published.encoder_hash != base.encoder_hash
    assert published.weights_hash == base.weights_hash


def test_a_student_remembers_how_its_pictures_were_prepared(base, stage, tmp_path):
    save_student(stage.sam, tmp_path / "s.safetensors", stage.spec)
    loaded = load_student(base, tmp_path / "s.safetensors", "v001")
    assert loaded.published_input
    assert loaded.encoder_hash == stage.model().encoder_hash


def test_batches_are_full_and_the_rest_is_dropped(samples):
    many = [Sample(str(n), samples[0].picture, samples[0].rles) for n in range(11)]
    batches = list(published_epoch(many, np.random.default_rng(0)))
    assert [len(batch) for batch in batches] == [4, 4]
    names = [group.sample.name for batch in batches for group in batch]
    assert len(set(names)) == 8
    assert names != sorted(names)
    assert list(published_epoch(many[:3], np.random.default_rng(0))) == []


def test_too_few_images_are_refused_with_a_sentence(features, samples, tmp_path):
    reporter = Reporter(tmp_path)
    try:
        teaching = Teaching(tmp_path, reporter, OPTIONS, features)
        with pytest.raises(InfosamError, match="fewer than 4 images, and there are 3"):
            teaching.teach(samples[:3], [], 10)
    finally:
        reporter.close()


def test_a_box_is_moved_as_a_whole():
    mask = np.zeros((100, 100), bool)
    mask[30:60, 20:80] = True
    rng = np.random.default_rng(0)
    moved = np.array([shifted_box(mask, rng) for _ in range(200)])
    shift = moved - [20, 30, 79, 59]
    assert (shift[:, 0] == shift[:, 2]).all()
    assert (shift[:, 1] == shift[:, 3]).all()
    assert (shift.min(), shift.max()) == (-5, 4)


def test_a_pixel_has_a_box_too():
    mask = np.zeros((9, 9), bool)
    mask[4, 5] = True
    box = shifted_box(mask, np.random.default_rng(0))
    assert np.abs(box - [5, 4, 5, 4]).max() <= 1


@pytest.mark.parametrize(("positive", "negative"), [(1, 0), (2, 3)])
def test_points_lie_where_they_say(positive, negative):
    mask = np.zeros((30, 20), bool)
    mask[3:9, 2:6] = True
    points, labels = random_points(mask, np.random.default_rng(0), positive, negative)
    assert labels.tolist() == [1] * positive + [0] * negative
    assert [mask[int(y), int(x)] for x, y in points] == [
        bool(label) for label in labels
    ]


def test_the_foreground_is_one_mask(samples):
    expected = np.zeros(samples[0].shape, bool)
    for index in range(len(samples[0].rles)):
        expected |= samples[0].mask(index)
    assert np.array_equal(foreground(samples[0]), expected)


def test_adapters_start_at_random(stage, base, published):
    start = [
        p for name, p in stage.sam.named_parameters() if name.endswith("D_fc2.weight")
    ]
    assert start
    assert all(p.abs().max() > 0 for p in start)


def test_adapters_of_a_checkpoint_are_kept(published, cache):
    sam = copy.deepcopy(published.sam)
    attach_method(sam.image_encoder, "adapter", 9)
    block = attention_blocks(sam.image_encoder)[9]
    torch.nn.init.ones_(block.Space_Adapter_Series.D_fc2.weight)
    base = SamModel(sam, "checkpoint", published.device, published_input=True)
    stage = PublishedStage(
        FrozenFeatures(base, cache, 8), StudentSpec.of(base, "adapter"), OPTIONS
    )
    blocks = attention_blocks(stage.sam.image_encoder)
    assert (blocks[9].Space_Adapter_Series.D_fc2.weight == 1).all()
    assert blocks[8].Space_Adapter_Series.D_fc2.weight.any()


def test_the_loss_of_a_step_is_the_published_one(stage, samples):
    group = Group(samples[0], tuple(range(len(samples[0].rles))))
    stage._box = True
    rng = np.random.default_rng(0)
    row = stage._forward(group, rng)
    mask = foreground(samples[0])
    height, width = mask.shape
    scale = 1024 / max(mask.shape)
    target = torch.from_numpy(mask)[None, None].float()
    size = (round(height * scale), round(width * scale))
    target = F.interpolate(target, size, mode="nearest")
    target = F.pad(target, (0, 1024 - size[1], 0, 1024 - size[0]))
    large = F.interpolate(row.logits, (1024, 1024), mode="bilinear")
    expected = structure_loss(large, target, 31, weigh_cross_entropy=False)
    assert row.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert row.parts.keys() == {"structure"}


def test_the_iou_head_learns_nothing(stage, samples):
    groups = [Group(sample, (0,)) for sample in samples[:2]]
    stage.step(groups, np.random.default_rng(0))
    head = stage.sam.mask_decoder.iou_prediction_head
    assert all(p.grad is None or not p.grad.any() for p in head.parameters())


def test_the_schedule_of_learning_rates(stage):
    """Four steps of a cosine that is laid out for eight, as with N = 5 and B = 4."""
    fit = Fit(stage, 4, 1e9, PUBLISHED)
    assert fit._rate() == 1
    fit.progress.step = 4
    assert fit._rate() == pytest.approx(0.1)

    late = Fit(stage, 4, 1e9, replace(PUBLISHED, horizon=2.0))
    late.progress.step = 4
    assert late._rate() == pytest.approx(0.55)


def test_teaching_takes_the_last_student(features, samples, tmp_path):
    reporter = Reporter(tmp_path)
    try:
        options = OPTIONS.model_copy(update={"max_steps": 1})
        stage = Teaching(tmp_path, reporter, options, features).teach(samples, [], 1e9)
    finally:
        reporter.close()
    assert isinstance(stage, PublishedStage)
    assert '"steps":1' in (tmp_path / "events.jsonl").read_text()


def test_the_figures_of_a_perfect_and_an_empty_answer(samples):
    class Knowing:
        """Answers with the truth, or with nothing."""

        def __init__(self, logit: float) -> None:
            self.logit = logit

        def embed(self, picture):
            return picture

        def predict(self, points=None, labels=None, box=None, embedding=None):
            from napari_infosam.models.prediction import Prediction

            logits = np.full((256, 256), -10.0, np.float32)
            logits[50:101, 50:101] = self.logit
            return Prediction(logits > 0, 1.0, logits)

    square = np.zeros((256, 256), bool)
    square[50:101, 50:101] = True
    sample = Sample("a", np.zeros((256, 256, 3), np.uint8), (encode_rle(square),))
    for prompt in ("box", "points"):
        good = evaluate_as_published(Knowing(10.0), [sample], prompt=prompt)
        assert min(good.iou, good.dice, good.s_measure, good.weighted_f) > 0.95
        bad = evaluate_as_published(Knowing(-10.0), [sample], prompt=prompt)
        assert bad.iou == bad.dice == bad.weighted_f == 0


def test_the_figures_of_the_base(base, cache, samples):
    figures = evaluate_as_published(Predictor(base, cache), samples[:1])
    assert 0 < figures.iou <= figures.dice < 1
    again = evaluate_as_published(Predictor(base, cache), samples[:1])
    # the same boxes; sums in another order differ in their last bits
    assert astuple(again) == pytest.approx(astuple(figures), abs=1e-5)
