from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.metrics import iou
from napari_infosam.core.prompts import Box, Point, PromptSet
from napari_infosam.models import Cancelled, Predictor
from napari_infosam.models.batch import BatchDecoder, cut_out, predict_masks
from napari_infosam.models.drawing import Enlarger
from napari_infosam.models.sam_model import upscale_logits
from napari_infosam.models.student import StudentSpec, build_student

# of coins; the last one reaches out of its box
BOXES = [
    (15, 35, 62, 80),
    (85, 40, 125, 80),
    (140, 30, 180, 70),
    (85, 100, 130, 140),
    (40, 60, 300, 65),
]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def predictor(base, coins):
    made = Predictor(base)
    made.set_image(coins)
    return made


def test_boxes_are_answered_as_one_by_one(predictor):
    many = predictor.predict_boxes(BOXES)
    assert len(many) == len(BOXES)
    for one, box in zip(many, BOXES, strict=True):
        single = predictor.predict(box=box)
        assert one.mask().shape == single.mask.shape
        # what the number type of the encoder leaves
        assert iou(one.mask(), single.mask) > 0.95
        assert one.score == pytest.approx(single.score, abs=0.02)


@pytest.mark.parametrize("kind", ["boxes", "points", "both"])
def test_in_full_precision_the_masks_are_the_same(base, coins_embedding, kind):
    points = [(Point(x0 + 20, y0 + 20), Point(3, 3, False)) for x0, y0, *_ in BOXES]
    sets = {
        "boxes": [PromptSet(box=Box(*box)) for box in BOXES],
        "points": [PromptSet(pair[:1]) for pair in points],
        "both": [
            PromptSet(pair[:1] if box[0] > 80 else pair, Box(*box))
            for pair, box in zip(points, BOXES, strict=True)
        ],
    }[kind]
    shape = coins_embedding.shape
    decoder = BatchDecoder(base, coins_embedding.features, shape, torch.float32)
    predictor = Predictor(base)
    for one, prompts in zip(
        predict_masks(decoder, sets, ambiguous=True), sets, strict=True
    ):
        single = predictor.answer(prompts, embedding=coins_embedding)
        assert np.count_nonzero(one.mask() != single.mask) <= 2
        assert one.score == pytest.approx(single.score, abs=1e-4)
        assert one.area == np.count_nonzero(one.mask())


def test_points_have_labels(predictor):
    points = [[(38, 58), (105, 60)], [(38, 58), (105, 60)]]
    both, first = predictor.predict_many(points, [[1, 1], [1, 0]])
    assert first.mask()[58, 38]
    assert not first.mask()[60, 105]
    assert both.area > first.area
    (alone,) = predictor.predict_many([[(38, 58)]])
    assert iou(alone.mask(), predictor.predict([(38, 58)]).mask) > 0.95


def test_the_head_of_hq_sam_is_asked_in_batches_too(base, coins):
    spec = StudentSpec(base=base.name, base_hash=base.weights_hash, method="hq-sam")
    torch.manual_seed(0)
    student, trained = build_student(base.sam, spec)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        for parameter in trained:
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    model = type(base)(student, base.name, CPU, version="v001", first_click="single")
    predictor = Predictor(model)
    predictor.set_image(coins)
    (many, _) = predictor.predict_boxes(BOXES[:2])
    assert iou(many.mask(), predictor.predict(box=BOXES[0]).mask) > 0.99


def test_nothing_is_asked_for(predictor):
    assert predictor.predict_boxes([]) == []
    assert predictor.predict_many(np.zeros((0, 1, 2))) == []


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ([1, 2, 3, 4], r"shape \(N, 4\), not \(4,\)"),
        ([[1, 2, 3]], r"not \(1, 3\)"),
        ([[900, 900, 950, 950]], "outside the image"),
        ([["a", "b", "c", "d"]], "array of numbers"),
    ],
)
def test_wrong_boxes_are_one_sentence(predictor, boxes, words):
    with pytest.raises(InfosamError, match=words):
        predictor.predict_boxes(boxes)


def test_wrong_points_are_one_sentence(predictor):
    with pytest.raises(InfosamError, match=r"\(N, K, 2\), not \(1, 2\)"):
        predictor.predict_many([(3, 4)])
    with pytest.raises(InfosamError, match=r"shape \(1, 1\) of the points"):
        predictor.predict_many([[(3, 4)]], [[1, 0]])
    with pytest.raises(InfosamError, match="set_image"):
        Predictor(predictor.model).predict_boxes(BOXES)


def test_it_tells_how_far_it_is_and_stops_when_asked(predictor, threads):
    told = []
    predictor.predict_boxes(BOXES, on_progress=lambda *now: told.append(now))
    assert told[-1] == (len(BOXES), len(BOXES))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    told.clear()
    with pytest.raises(Cancelled):
        predictor.predict_boxes(
            BOXES,
            cancelled=lambda: bool(told),
            on_progress=lambda *now: told.append(now),
        )
    assert len(told) == 1


@given(
    st.tuples(st.integers(3, 90), st.integers(3, 90)),
    st.integers(0, 2**32 - 1),
    st.integers(0, 3),
)
def test_a_part_is_drawn_as_the_whole(shape, seed, n_blobs):
    generator = np.random.default_rng(seed)
    logits = np.full((256, 256), -4.0, np.float32)
    for _ in range(n_blobs):
        row, column = generator.integers(0, 250, 2)
        height, width = generator.integers(1, 60, 2)
        part = logits[row : row + height, column : column + width]
        part[:] = generator.normal(1, 3, part.shape)
    low_res = torch.from_numpy(logits)
    whole = upscale_logits(low_res[None, None], shape)[0, 0].numpy()

    enlarger = Enlarger(shape, CPU)
    part, corner = cut_out(low_res, (0, 0), enlarger.low_res_shape)
    drawn = enlarger.mask(part, corner, 0.5)

    differs = drawn.mask() != (whole > 0)
    assert (np.abs(whole[differs]) < 1e-4).all()  # rounding, where a logit is 0
    if drawn.area:
        rows, columns = drawn.place
        assert drawn.mask()[rows, columns].any(axis=0)[[0, -1]].all()
        assert drawn.mask()[rows, columns].any(axis=1)[[0, -1]].all()
