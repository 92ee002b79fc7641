from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

from napari_infosam.core.masks import encode_rle
from napari_infosam.models import Prediction, Predictor
from napari_infosam.training.dataset import Sample, count_objects
from napari_infosam.training.evaluate import (
    Evaluation,
    ObjectResult,
    annotate,
    evaluate,
)

SHAPE = (40, 50)


def mask_of(*area: slice) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[area] = True
    return mask


MASKS = (mask_of(slice(3, 20), slice(4, 30)), mask_of(slice(25, 38), slice(10, 12)))
SAMPLES = (
    Sample("a", np.zeros((*SHAPE, 3), np.uint8), tuple(map(encode_rle, MASKS))),
    Sample("b", np.zeros((*SHAPE, 3), np.uint8), (encode_rle(~MASKS[0]),)),
)


class Model:
    device = torch.device("cpu")


@dataclass
class Annotator:
    """Answers from a list of masks, one a click; the last one again and again."""

    answers: list[np.ndarray]
    model = Model()
    asked: list[tuple] = field(default_factory=list)

    def embed(self, picture):
        return "embedding"

    def answer(self, prompts, previous=None, embedding=None):
        self.asked.append((prompts, previous, embedding))
        number = max(len(prompts.points), 1) - 1
        mask = self.answers[min(number, len(self.answers) - 1)]
        return Prediction(mask, 1.0, np.zeros((256, 256), np.float32))


class Oracle(Annotator):
    """Knows the object that lies under the first click, or in the box."""

    def answer(self, prompts, previous=None, embedding=None):
        self.asked.append((prompts, previous, embedding))
        for mask in self.answers:
            if prompts.points:
                point = prompts.points[0]
                hit = mask[round(point.y), round(point.x)]
            else:
                rows, columns = np.nonzero(mask)
                box = (columns.min(), rows.min(), columns.max(), rows.max())
                hit = np.array_equal(prompts.box.as_array(), box)
            if hit:
                return Prediction(mask, 1.0, np.zeros((256, 256), np.float32))
        raise AssertionError("a prompt that fits no object")


def test_who_knows_everything_needs_one_click():
    oracle = Oracle([*MASKS, ~MASKS[0]])
    # ~MASKS[0] holds the second object: ask for it in an image of its own
    result = evaluate(oracle, SAMPLES[:1])
    assert [o.ious for o in result.objects] == [(1.0,), (1.0,)]
    metrics = result.metrics()
    assert (metrics.iou_1, metrics.iou_3, metrics.iou_5, metrics.iou_box) == (1,) * 4
    assert metrics.noc85 == 1
    assert result.noc(0.9) == 1
    assert result.nof(0.9) == 0
    assert result.dice_box == result.boundary_iou_box == 1
    assert result.score_error == result.score_bias == 0  # it says 1, and is right
    assert (metrics.n_images, metrics.n_objects) == (1, 2)


def test_who_knows_nothing_needs_all_clicks():
    nothing = Annotator([np.zeros(SHAPE, bool)])
    result = evaluate(nothing, SAMPLES, max_clicks=7)
    assert [len(o.ious) for o in result.objects] == [7, 7, 7]
    assert result.noc(0.85) == 7
    assert result.nof(0.85) == 3
    metrics = result.metrics()
    assert (metrics.iou_1, metrics.iou_5, metrics.iou_box) == (0, 0, 0)
    assert metrics.max_clicks == 7
    assert result.boundary_iou_box == 0
    assert result.score_error == result.score_bias == 1  # it says 1, and is wrong
    humble = result.promising(-1.25)
    assert (humble.score_error, humble.score_bias) == (0.25, -0.25)
    assert humble.noc(0.85) == 7


def test_a_pixel_is_clicked_once():
    pixel = mask_of(slice(5, 6), slice(7, 8))
    nothing = Annotator([np.zeros(SHAPE, bool)])
    sample = Sample("a", SAMPLES[0].picture, (encode_rle(pixel),))
    result = evaluate(nothing, [sample])
    # there is no other pixel to click on, and the object counts as never reached
    assert result.objects[0].ious == (0.0,)
    assert result.noc(0.85) == 20


def test_the_previous_answer_goes_with_each_click():
    target = MASKS[0]
    answers = [mask_of(slice(3, 20), slice(4, 4 + 5 * n)) for n in range(1, 6)]
    annotator = Annotator(answers)
    ious, _ = annotate(annotator, "embedding", target, 4)
    assert len(ious) == len(annotator.asked) == 4
    assert list(ious) == pytest.approx([5 / 26, 10 / 26, 15 / 26, 20 / 26])
    for number, (prompts, previous, embedding) in enumerate(annotator.asked):
        assert embedding == "embedding"
        assert len(prompts.points) == number + 1
        assert prompts.box is None
        # each click is on what was still missing
        point = prompts.points[-1]
        assert point.positive
        assert target[int(point.y), int(point.x)]
        if number:
            shown = answers[number - 1]
            np.testing.assert_array_equal(previous.mask, shown)
            assert not shown[int(point.y), int(point.x)]
        else:
            assert previous is None


def test_too_much_gets_a_negative_click():
    annotator = Annotator([np.ones(SHAPE, bool)])
    annotate(annotator, "embedding", MASKS[0], 2)
    _, (prompts, _, _) = annotator.asked
    assert [p.positive for p in prompts.points] == [True, False]
    assert not MASKS[0][int(prompts.points[1].y), int(prompts.points[1].x)]


@pytest.mark.parametrize(("share", "clicks"), [(0.95, 5), (0.8, 20)])
def test_clicking_ends_when_it_is_good_enough(share, clicks):
    """Five clicks are always made: three figures need them."""
    target = mask_of(slice(0, 40), slice(0, 50))
    answer = mask_of(slice(0, round(40 * share)), slice(0, 50))
    ious, scores = annotate(Annotator([answer]), "e", target, 20)
    assert len(ious) == len(scores) == clicks


def test_boxes_are_asked_by_themselves():
    annotator = Annotator([np.zeros(SHAPE, bool)])
    evaluate(annotator, SAMPLES[:1], max_clicks=1)
    boxed = [a for a in annotator.asked if a[0].box is not None]
    assert len(boxed) == 2
    for (prompts, previous, _), mask in zip(boxed, MASKS, strict=True):
        assert prompts.points == ()
        assert previous is None
        rows, columns = np.nonzero(mask)
        assert prompts.box.as_array().tolist() == [
            columns.min(),
            rows.min(),
            columns.max(),
            rows.max(),
        ]


def test_progress_and_given_embeddings():
    annotator = Annotator([np.zeros(SHAPE, bool)])
    steps = []
    evaluate(
        annotator,
        SAMPLES,
        max_clicks=1,
        on_progress=lambda *step: steps.append(step),
        embeddings=["one", "two"],
    )
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert [a[2] for a in annotator.asked] == ["one"] * 4 + ["two"] * 2


def test_objects_side_by_side_are_the_same_objects():
    seen = []
    serial = evaluate(Oracle([*MASKS, ~MASKS[0]]), SAMPLES)
    parallel = evaluate(
        Oracle([*MASKS, ~MASKS[0]]),
        SAMPLES,
        threads=2,
        on_progress=lambda *at: seen.append(at),
        embeddings=["one", "two"],
    )
    assert [o.ious for o in parallel.objects] == [o.ious for o in serial.objects]
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_results_say_which_image_they_are_of(base, samples):
    alone, slice_ = (replace(s, rles=s.rles[:1]) for s in samples[:2])
    found = evaluate(
        Predictor(base), [alone, replace(slice_, group="stack")], max_clicks=1
    )
    assert [o.image for o in found.objects] == [alone.name, "stack"]


def test_figures_are_means_over_objects():
    evaluation = Evaluation(
        (
            ObjectResult((0.5, 0.7, 0.9), 0.8, 0.88),
            ObjectResult((0.3, 0.86, 0.88, 0.95, 0.96), 0.6, 0.7),
        ),
        n_images=2,
        max_clicks=20,
        seconds_per_click=0.1,
    )
    metrics = evaluation.metrics()
    assert metrics.iou_1 == pytest.approx(0.4)
    assert metrics.iou_3 == pytest.approx(0.89)
    # who is done early keeps the last IoU
    assert metrics.iou_5 == pytest.approx((0.9 + 0.96) / 2)
    assert metrics.iou_box == pytest.approx(0.7)
    assert evaluation.dice_box == pytest.approx(0.79)
    assert metrics.noc85 == pytest.approx((3 + 2) / 2)
    assert evaluation.noc(0.95) == pytest.approx((20 + 4) / 2)
    assert evaluation.nof(0.95) == 1


def test_the_base_on_real_images(base, cache, samples):
    result = evaluate(Predictor(base, cache), samples[:1], max_clicks=5)
    assert len(result.objects) == count_objects(samples[:1])
    metrics = result.metrics()
    # the cells are made so that one click finds the nucleus only
    assert 0.05 < metrics.iou_1 < 0.5 < metrics.iou_box < 1
    assert metrics.iou_5 > metrics.iou_1
    assert result.seconds_per_click > 0
