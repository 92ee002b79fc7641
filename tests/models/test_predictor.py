from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import skimage.data
import torch
from segment_anything import SamPredictor

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.metrics import iou
from napari_infosam.core.preprocess import Preprocessing, to_rgb_uint8
from napari_infosam.core.prompts import Box, Point, PromptSet
from napari_infosam.models import EmbeddingCache, ImageEmbedding, Predictor
from napari_infosam.models.decoder import Decoder, PromptTensors
from napari_infosam.models.prediction import embedding_key
from napari_infosam.models.registry import build_sam
from napari_infosam.models.student import load_student

REFERENCE = Path(__file__).parent / "data" / "mobile_sam_coins.npz"
COIN = (108, 226)
"""(x, y) on a coin."""
BACKGROUND = (140, 200)
COIN_BOX = (81, 200, 132, 252)


@pytest.fixture(scope="module")
def exact_predictor(exact, coins):
    predictor = Predictor(exact)
    predictor.set_image(coins)
    return predictor


@pytest.fixture
def predictor(base, coins_embedding):
    predictor = Predictor(base)
    predictor._embedding = coins_embedding
    return predictor


@pytest.fixture(scope="module")
def reference():
    with np.load(REFERENCE) as arrays:
        return {key: arrays[key] for key in arrays.files}


@pytest.fixture(scope="module")
def theirs(exact, exact_predictor, coins):
    """Return Segment Anything's own predictor of the same network and embedding."""
    predictor = SamPredictor(exact.sam)
    predictor.set_image(to_rgb_uint8(coins))
    ours = exact_predictor.embed(coins).features.float()
    # apart from the rounding of the embedding to float16, which is ours
    torch.testing.assert_close(ours, predictor.features, atol=1e-3, rtol=1e-3)
    predictor.features = ours
    return predictor


@pytest.mark.parametrize("number", range(6))
def test_coins_as_onnxruntime_saw_them(exact_predictor, reference, number):
    x, y = map(float, reference["points_xy"][number])
    answer = exact_predictor.answer(PromptSet((Point(x, y),)))
    stored = reference["best_low_res_logits"][number]
    assert iou(answer.low_res_logits > 0, stored > 0) >= 0.999
    assert answer.score == pytest.approx(float(reference["best_iou"][number]), abs=2e-3)


def test_bfloat16_hardly_changes_a_mask(base, exact_predictor, predictor, reference):
    if base.dtype is None:
        pytest.skip("the encoder runs in float32 here")
    for x, y in reference["points_xy"]:
        prompts = PromptSet((Point(float(x), float(y)),))
        exact = exact_predictor.answer(prompts)
        assert iou(predictor.answer(prompts).mask, exact.mask) > 0.98


POINTS = np.array([COIN, (120, 220), BACKGROUND], float)


@pytest.mark.parametrize("multimask", [False, True])
@pytest.mark.parametrize(
    "prompt",
    [
        {"points": [COIN], "labels": [1]},
        {"points": POINTS, "labels": [1, 1, 0]},
        {"points": [COIN], "labels": [0]},
        {"box": COIN_BOX},
        {"points": [BACKGROUND], "labels": [0], "box": COIN_BOX},
        {"points": [(107.25, 225.5)], "labels": [1]},
    ],
)
def test_answers_are_those_of_segment_anything(
    exact_predictor, theirs, prompt, multimask
):
    arrays = {
        name: np.array(prompt[ours], float)
        for ours, name in (
            ("points", "point_coords"),
            ("labels", "point_labels"),
            ("box", "box"),
        )
        if ours in prompt
    }
    masks, scores, logits = theirs.predict(**arrays, multimask_output=multimask)
    answer = exact_predictor.predict(**prompt, multimask=multimask)
    answers = answer if multimask else [answer]
    assert len(answers) == len(masks)
    for found, index in zip(answers, np.argsort(-scores), strict=True):
        assert found.score == pytest.approx(float(scores[index]), abs=1e-5)
        np.testing.assert_allclose(found.low_res_logits, logits[index], atol=1e-3)
        assert iou(found.mask, masks[index]) > 0.9999


def test_mask_input_is_that_of_segment_anything(exact_predictor, theirs):
    first = exact_predictor.predict([COIN])
    masks, scores, _ = theirs.predict(
        np.array([COIN, BACKGROUND], float),
        np.array([1, 0]),
        mask_input=first.low_res_logits[None],
        multimask_output=False,
    )
    answer = exact_predictor.predict(
        [COIN, BACKGROUND], [1, 0], mask_input=first.low_res_logits
    )
    assert iou(answer.mask, masks[0]) > 0.9999
    assert answer.score == pytest.approx(float(scores[0]), abs=1e-5)
    without = exact_predictor.predict([COIN, BACKGROUND], [1, 0])
    assert not np.array_equal(answer.low_res_logits, without.low_res_logits)


def test_what_a_prediction_is(predictor, coins):
    answer = predictor.predict([COIN])
    assert answer.mask.dtype == np.bool_
    assert answer.mask.shape == coins.shape
    assert answer.mask[COIN[1], COIN[0]]
    assert answer.low_res_logits.shape == (256, 256)
    assert answer.low_res_logits.dtype == np.float32
    assert isinstance(answer.score, float)


def test_multimask_is_sorted_by_score(predictor):
    answers = predictor.predict([COIN], multimask=True)
    scores = [answer.score for answer in answers]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 3


def test_labels_are_positive_by_default(predictor):
    np.testing.assert_array_equal(
        predictor.predict([COIN]).low_res_logits,
        predictor.predict([COIN], [1]).low_res_logits,
    )


def test_one_point_may_be_written_flat(predictor):
    np.testing.assert_array_equal(
        predictor.predict(COIN).mask, predictor.predict([COIN]).mask
    )


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "at least one point or a box"),
        ({"points": []}, "at least one point or a box"),
        ({"points": [[1, 2, 3]]}, r"shape \(N, 2\)"),
        ({"points": [1, 2, 3, 4]}, r"shape \(N, 2\)"),
        ({"points": np.zeros((2, 2, 2))}, r"shape \(N, 2\)"),
        ({"points": [["a", "b"]]}, "numbers"),
        ({"points": [[1, 2], [3]]}, "numbers"),
        ({"points": [[np.nan, 2]]}, "finite"),
        ({"points": [[np.inf, 2]]}, "finite"),
        ({"points": [[384, 10]]}, "outside the image of 384 x 303"),
        ({"points": [[10, 303]]}, "outside the image"),
        ({"points": [[-1, 10]]}, "outside the image"),
        ({"points": [[1e39, 10]]}, "outside the image"),
        ({"points": [COIN], "labels": [1, 0]}, "one label"),
        ({"points": [COIN], "labels": [2]}, "one label"),
        ({"points": [COIN], "labels": [-1]}, "one label"),
        ({"points": [COIN], "labels": ["1"]}, "one label"),
        ({"points": [COIN], "labels": [None]}, "one label"),
        ({"labels": [1]}, "one label"),
        ({"box": [1, 2, 3]}, "four numbers"),
        ({"box": [[1, 2, 3, 4], [1, 2, 3, 4]]}, "four numbers"),
        ({"box": "left"}, "numbers"),
        ({"box": [1, 2, 3, np.nan]}, "finite"),
        ({"box": [400, 10, 420, 20]}, "outside the image"),
        ({"box": [10, -20, 20, -10]}, "outside the image"),
        ({"points": [COIN], "mask_input": np.zeros((64, 64))}, r"\(256, 256\)"),
        ({"points": [COIN], "mask_input": np.zeros((2, 256, 256))}, r"\(256, 256\)"),
        ({"points": [COIN], "mask_input": np.full((256, 256), np.nan)}, "finite"),
        ({"points": [COIN], "mask_input": np.full((256, 256), "a")}, "numbers"),
    ],
)
def test_wrong_prompts_get_one_sentence(predictor, arguments, sentence):
    with pytest.raises(InfosamError, match=sentence) as caught:
        predictor.predict(**arguments)
    assert "\n" not in str(caught.value)
    # the next prompt is answered as if nothing had been
    assert predictor.predict([COIN]).mask.any()


def test_prompts_on_the_rim_and_over_it(predictor):
    predictor.predict([[-0.5, -0.5]])
    predictor.predict([[383.4, 302.4]])
    predictor.predict(box=[-20, -20, 500, 500])


@pytest.mark.parametrize("form", ["float64", "read-only", "strided", "1xHxW"])
def test_mask_input_may_be_any_array_of_numbers(predictor, form):
    logits = predictor.predict([COIN]).low_res_logits
    given = {
        "float64": logits.astype(np.float64),
        "read-only": logits.copy(),
        "strided": np.ascontiguousarray(logits[::-1])[::-1],
        "1xHxW": logits[None],
    }[form]
    given.setflags(write=form != "read-only")
    np.testing.assert_array_equal(
        predictor.predict([COIN], mask_input=given).low_res_logits,
        predictor.predict([COIN], mask_input=logits).low_res_logits,
    )


def test_no_image_no_answer(base):
    with pytest.raises(InfosamError, match="Choose an image first"):
        Predictor(base).predict([COIN])


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.zeros((0, 10), np.uint8), "has no pixels"),
        (np.zeros((10, 0, 3), np.uint8), "has no pixels"),
        (np.zeros(10, np.uint8), "axes YX or YXC"),
        (np.zeros((2, 10, 10, 3), np.uint8), "axes YX or YXC"),
        (np.zeros((10, 10, 5), np.uint8), "5 channels"),
        (np.zeros((10, 10), np.complex64), "complex64"),
        (np.full((10, 10), "a"), "can not be segmented"),
    ],
)
def test_impossible_images_get_one_sentence(predictor, image, sentence):
    with pytest.raises(InfosamError, match=sentence):
        predictor.set_image(image)
    # the image from before is still there
    assert predictor.predict([COIN]).mask.any()


def test_a_channel_that_is_not_there(predictor, coins):
    with pytest.raises(InfosamError, match="has no channels"):
        predictor.set_image(coins, Preprocessing(channels=(3,)))


# ---------------------------------------------------------------- images


def _odd_images():
    rng = np.random.default_rng(0)
    grey = skimage.data.coins()[:120, :160]
    with_holes = grey.astype(np.float32)
    with_holes[3, 4], with_holes[5, 6], with_holes[7, 8] = np.nan, np.inf, -np.inf
    return {
        "NaN and inf": with_holes,
        "only NaN": np.full((20, 30), np.nan),
        "16 bit": grey.astype(np.uint16) * 200 + 1000,
        "big-endian": grey.astype(">i4"),
        "bool": grey > 100,
        "1 channel": grey[..., None],
        "2 channels": np.stack([grey, grey[::-1]], 2),
        "4 channels": np.stack([grey, grey, grey, np.zeros_like(grey)], 2),
        "one pixel": np.full((1, 1), 7, np.uint8),
        "constant": np.full((30, 40), 9.5),
        "very wide": rng.integers(0, 255, (2, 3000), np.uint8),
        "very tall": rng.integers(0, 255, (3000, 1, 3), np.uint8),
        "strided": grey[::2, ::-3],
    }


@pytest.mark.parametrize("kind", _odd_images())
def test_the_encoder_sees_finite_numbers_in_every_image(base, kind):
    picture = to_rgb_uint8(_odd_images()[kind])
    assert torch.isfinite(base.encoder_input(picture)).all()


@pytest.mark.parametrize(
    "kind", ["NaN and inf", "16 bit", "2 channels", "one pixel", "very tall"]
)
def test_odd_images_are_answered(base, kind):
    image = _odd_images()[kind]
    predictor = Predictor(base)
    predictor.set_image(image)
    height, width = image.shape[:2]
    for answer in (
        predictor.predict([[width // 2, height // 2]]),
        predictor.predict(box=[0, 0, width - 1, height - 1]),
    ):
        assert answer.mask.shape == (height, width)
        assert np.isfinite(answer.score)
        assert np.isfinite(answer.low_res_logits).all()


def test_contrast_decides_what_the_model_sees(base):
    image = skimage.data.coins()[:64, :64].astype(np.uint16)
    predictor = Predictor(base)
    narrow = predictor.embed(image, Preprocessing(contrast="fixed", low=0, high=255))
    wide = predictor.embed(image, Preprocessing(contrast="fixed", low=0, high=65535))
    assert narrow.key != wide.key
    assert not torch.equal(narrow.features, wide.features)


# ---------------------------------------------------------------- the protocol


def test_first_click_of_a_base_takes_the_best_ambiguity_mask(predictor):
    answer = predictor.answer(PromptSet((Point(*COIN),)))
    best, *_ = predictor.predict([COIN], multimask=True)
    single = predictor.predict([COIN])
    np.testing.assert_array_equal(answer.low_res_logits, best.low_res_logits)
    assert answer.score == best.score
    assert not np.array_equal(answer.low_res_logits, single.low_res_logits)


def test_first_click_of_a_student_takes_the_single_mask(
    base, decoder_student_file, coins_embedding
):
    predictor = Predictor(load_student(base, decoder_student_file, "v001"))
    answer = predictor.answer(PromptSet((Point(*COIN),)), None, coins_embedding)
    single = predictor.predict([COIN], embedding=coins_embedding)
    np.testing.assert_array_equal(answer.low_res_logits, single.low_res_logits)


@pytest.mark.parametrize(
    "prompts",
    [
        PromptSet((Point(*COIN), Point(*BACKGROUND, positive=False))),
        PromptSet((), Box(*COIN_BOX)),
        PromptSet((Point(*COIN),), Box(*COIN_BOX)),
    ],
)
def test_everything_else_takes_the_single_mask(predictor, prompts):
    answer = predictor.answer(prompts)
    single = predictor.predict(
        prompts.coordinates(),
        prompts.labels(),
        box=prompts.box.as_array() if prompts.box else None,
    )
    np.testing.assert_array_equal(answer.low_res_logits, single.low_res_logits)


def test_the_previous_answer_is_fed_back(predictor):
    first = PromptSet((Point(*COIN),))
    second = first.add(Point(*BACKGROUND, positive=False))
    previous = predictor.answer(first)
    answer = predictor.answer(second, previous)
    same = predictor.predict(
        second.coordinates(), second.labels(), mask_input=previous.low_res_logits
    )
    np.testing.assert_array_equal(answer.low_res_logits, same.low_res_logits)
    without = predictor.answer(second)
    assert not np.array_equal(answer.low_res_logits, without.low_res_logits)


def test_one_click_after_an_answer_is_not_ambiguous(predictor):
    prompts = PromptSet((Point(*COIN),))
    previous = predictor.answer(prompts)
    again = predictor.answer(prompts, previous)
    single = predictor.predict([COIN], mask_input=previous.low_res_logits)
    np.testing.assert_array_equal(again.low_res_logits, single.low_res_logits)


# ---------------------------------------------------------------- swapping models


def test_a_student_of_the_decoder_keeps_the_image(
    base, predictor, decoder_student_file
):
    before = predictor.predict([COIN])
    predictor.set_model(load_student(base, decoder_student_file, "v001"))
    after = predictor.predict([COIN])
    assert predictor.model.version == "v001"
    assert not np.array_equal(before.low_res_logits, after.low_res_logits)
    predictor.set_model(base)
    np.testing.assert_array_equal(predictor.predict([COIN]).mask, before.mask)


def test_another_encoder_drops_the_image(base, predictor, adapter_student_file):
    predictor.set_model(load_student(base, adapter_student_file, "v002"))
    with pytest.raises(InfosamError, match="Choose an image first"):
        predictor.predict([COIN])


def test_an_embedding_of_another_encoder_is_refused(
    base, exact, coins_embedding, adapter_student_file
):
    student = load_student(base, adapter_student_file, "v002")
    with pytest.raises(InfosamError, match="another encoder than that of vit_t v002"):
        Predictor(student).predict([COIN], embedding=coins_embedding)
    if base.dtype is not None:
        with pytest.raises(InfosamError, match="embed the image again"):
            Predictor(exact).predict([COIN], embedding=coins_embedding)


def test_another_image_than_the_last(base, predictor, coins):
    half = predictor.embed(coins[:150])
    answer = predictor.predict([[100, 60]], embedding=half)
    assert answer.mask.shape == (150, 384)
    assert predictor.predict([COIN]).mask.shape == coins.shape


def test_keys_depend_on_picture_shape_and_encoder(coins):
    picture = to_rgb_uint8(coins)
    key = embedding_key(picture, "encoder")
    changed = picture.copy()
    changed[-1, -1, -1] ^= 1
    turned = np.ascontiguousarray(picture.reshape(384, 303, 3))
    assert key == embedding_key(picture.copy(), "encoder")
    assert len({key, *(embedding_key(p, "encoder") for p in (changed, turned))}) == 3
    assert embedding_key(picture, "other") != key


def test_embeddings_come_from_the_cache(base, coins, tmp_path, monkeypatch):
    image = coins[:80, :90]
    fresh = Predictor(base, EmbeddingCache(tmp_path)).embed(image)

    def encode(*_):
        raise AssertionError("the encoder was asked again")

    monkeypatch.setattr(type(base), "encode", encode)
    for cache in (EmbeddingCache(tmp_path), EmbeddingCache(tmp_path)):
        kept = Predictor(base, cache).embed(image)
        assert kept.features.dtype == fresh.features.dtype == torch.float16
        assert torch.equal(kept.features, fresh.features)
        assert kept.key == fresh.key


# ---------------------------------------------------------------- threads


def assert_same_answer(found, logits):
    """Other threads may sum in another order, which the last bits show."""
    np.testing.assert_allclose(found.low_res_logits, logits, atol=1e-3)


def test_threads_get_the_answers_they_asked_for(predictor):
    rng = np.random.default_rng(0)
    clicks = [tuple(xy) for xy in rng.uniform((5, 5), (380, 300), (12, 2))]
    expected = [predictor.predict([xy]).low_res_logits for xy in clicks]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda xy: predictor.predict([xy]), clicks))
    for one, other in zip(found, expected, strict=True):
        assert_same_answer(one, other)


def test_two_predictors_may_share_a_model(base, coins_embedding):
    one, other = Predictor(base), Predictor(base)
    expected = one.predict([COIN], embedding=coins_embedding).low_res_logits
    with ThreadPoolExecutor(4) as pool:
        jobs = [
            pool.submit(p.predict, [COIN], embedding=coins_embedding)
            for _ in range(6)
            for p in (one, other)
        ]
        for job in jobs:
            assert_same_answer(job.result(), expected)


def test_swapping_while_clicking_never_mixes(
    base, coins_embedding, decoder_student_file
):
    """Each answer is wholly of one version, whenever the swap comes."""
    student = load_student(base, decoder_student_file, "v001")
    expected = [
        Predictor(model).predict([COIN], embedding=coins_embedding).low_res_logits
        for model in (base, student)
    ]
    predictor = Predictor(base)
    done = threading.Event()

    def swap():
        while not done.is_set():
            predictor.set_model(student)
            predictor.set_model(base)

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        for _ in range(10):
            found = predictor.predict([COIN], embedding=coins_embedding).low_res_logits
            assert any(np.array_equal(found, logits) for logits in expected)
    finally:
        done.set()
        swapping.join()


# ---------------------------------------------------------------- speed


def _seconds(function, *arguments, **keywords) -> float:
    start = time.perf_counter()
    function(*arguments, **keywords)
    return time.perf_counter() - start


@pytest.mark.slow
@pytest.mark.usefixtures("threads")
def test_a_click_costs_little_more_than_the_decoder(base, coins_embedding):
    predictor = Predictor(base)
    decoder = Decoder(base.sam)
    tensors = PromptTensors.build(
        [PromptSet((Point(*COIN),))], coins_embedding.shape, base.device
    )
    features = coins_embedding.features.float()

    def bare():
        with torch.inference_mode():
            decoder(features, tensors)

    def click():
        predictor.predict([COIN], embedding=coins_embedding)

    bare(), click()
    ratios = [_seconds(click) / _seconds(bare) for _ in range(25)]
    assert median(ratios) <= 1.2, ratios


@pytest.mark.slow
@pytest.mark.usefixtures("threads")
def test_set_image_is_faster_than_plain_float32(base, coins):
    if base.dtype is not torch.bfloat16:
        pytest.skip("this CPU has no bfloat16 of its own")
    plain = SamPredictor(build_sam("vit_t")[0])
    picture = to_rgb_uint8(coins)

    def ours():
        Predictor(base).set_image(coins)

    def theirs():
        with torch.inference_mode():
            plain.set_image(picture)

    ours(), theirs()
    ratios = [_seconds(ours) / _seconds(theirs) for _ in range(7)]
    assert min(median(ratios), sorted(ratios)[2]) <= 0.6, ratios


def test_image_embeddings_are_as_documented(coins_embedding, base, coins):
    assert isinstance(coins_embedding, ImageEmbedding)
    assert coins_embedding.features.shape == (1, 256, 64, 64)
    assert coins_embedding.shape == coins.shape
    assert coins_embedding.encoder_hash == base.encoder_hash
