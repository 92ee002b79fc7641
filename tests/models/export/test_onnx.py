"""Exported pairs in ONNX Runtime against the code of Segment Anything.

Its predictor is the reference, not ours, which the export compares with itself.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from segment_anything import SamPredictor
from torch.onnx import ONNXProgram

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.geometry import model_shape
from napari_infosam.core.prompts import Box, Point, PromptSet
from napari_infosam.models import Prediction, SamModel
from napari_infosam.models.export import onnx_check, onnx_graphs
from napari_infosam.models.export.files import all_or_none
from napari_infosam.models.export.onnx_check import OnnxPair, check_pair, decoder_inputs
from napari_infosam.models.export.onnx_graphs import write_decoder
from napari_infosam.models.export.write import export_model
from napari_infosam.models.sam_model import resize_longest_side

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

DOCS = Path(__file__).resolve().parents[3] / "docs" / "export.md"
# in coins, whose coin there is 40 pixels wide
POINT, INSIDE = Point(106.0, 71.0), Point(112.0, 60.0)
OUTSIDE, BOX = Point(80.0, 40.0, positive=False), Box(85.0, 48.0, 128.0, 94.0)
PROMPTS = {
    "one point": PromptSet((POINT,)),
    "one negative point": PromptSet((OUTSIDE,)),
    "several points": PromptSet((POINT, OUTSIDE, INSIDE)),
    "box": PromptSet((), BOX),
    "box and points": PromptSet((POINT, OUTSIDE), BOX),
}


def rgb(image):
    return np.repeat(image[..., None], 3, axis=2)


class Reference:
    """Segment Anything's own predictor, asked as the documentation says."""

    def __init__(self, model: SamModel, picture: Any) -> None:
        self.multimask = model.first_click == "multimask"
        self.predictor = SamPredictor(model.sam)
        self.predictor.set_image(picture)

    @property
    def embedding(self):
        return self.predictor.get_image_embedding().numpy()

    def answer(self, prompts: PromptSet, previous: Any = None) -> Any:
        ambiguous = len(prompts) == 1 and prompts.box is None and previous is None
        several = ambiguous and self.multimask
        masks, scores, low_res = self.predictor.predict(
            point_coords=prompts.coordinates() if prompts.points else None,
            point_labels=prompts.labels() if prompts.points else None,
            box=None if prompts.box is None else prompts.box.as_array(),
            mask_input=None if previous is None else previous[None],
            multimask_output=several,
        )
        best = int(scores.argmax())
        return masks[best], float(scores[best]), low_res[best]


def assert_the_same(got: Any, expected: Any) -> None:
    (logits, score, low_res), (mask, right_score, right_low_res) = got, expected
    # a pixel may differ where the logits are zero to the precision of float32
    assert not np.any(((logits > 0) != mask) & (np.abs(logits) > 1e-3))
    assert (logits > 0).sum() == pytest.approx(mask.sum(), abs=3)
    assert score == pytest.approx(right_score, abs=1e-4)
    np.testing.assert_allclose(low_res, right_low_res, rtol=0, atol=1e-3)


def assert_answers_like(reference: Reference, pair: OnnxPair, picture: Any) -> None:
    """Encoder, every kind of prompt, and an answer fed back."""
    embedding = pair.encode(resize_longest_side(picture))
    np.testing.assert_allclose(embedding, reference.embedding, rtol=0, atol=1e-3)
    shape = picture.shape[:2]
    for prompts in PROMPTS.values():
        got = pair.answer(embedding, prompts, shape)
        assert_the_same(got, reference.answer(prompts))
        previous = Prediction(got[0] > 0, got[1], got[2])
        again = pair.answer(embedding, prompts, shape, previous)
        assert_the_same(again, reference.answer(prompts, got[2]))


@pytest.fixture(scope="module")
def base_reference(exact, coins):
    return Reference(exact, rgb(coins))


@pytest.fixture(scope="module")
def decoder(decoder_file):
    return onnxruntime.InferenceSession(decoder_file)


def run_decoder(session, embedding, prompts, shape, previous=None):
    inputs = decoder_inputs(prompts, shape, previous)
    logits, iou, low_res = session.run(None, {"image_embeddings": embedding, **inputs})
    return logits[0, 0], float(iou[0, 0]), low_res[0, 0]


# ---------------------------------------------------------------------- the decoder
@pytest.mark.parametrize("name", PROMPTS)
def test_decoder_of_the_base(decoder, base_reference, coins, name):
    embedding = base_reference.embedding
    got = run_decoder(decoder, embedding, PROMPTS[name], coins.shape)
    assert_the_same(got, base_reference.answer(PROMPTS[name]))


@pytest.mark.parametrize("name", PROMPTS)
def test_decoder_of_the_base_with_a_mask(decoder, base_reference, coins, name):
    first = base_reference.answer(PROMPTS["box"])
    previous = Prediction(*first)
    embedding = base_reference.embedding
    got = run_decoder(decoder, embedding, PROMPTS[name], coins.shape, previous)
    assert_the_same(got, base_reference.answer(PROMPTS[name], first[2]))
    without = run_decoder(decoder, embedding, PROMPTS[name], coins.shape)
    assert np.abs(got[2] - without[2]).max() > 0.1


def test_one_point_is_answered_with_the_best_of_three(decoder, base_reference, coins):
    ambiguous = PROMPTS["one point"]
    got = run_decoder(decoder, base_reference.embedding, ambiguous, coins.shape)
    single = base_reference.predictor.predict(
        ambiguous.coordinates(), ambiguous.labels(), multimask_output=False
    )
    assert np.abs(got[2] - single[2][0]).max() > 0.1


@pytest.mark.slow
def test_decoder_of_a_student_answers_one_point_with_the_single_mask(
    base, make_student, coins, base_reference, tmp_path
):
    student = make_student(base, "decoder")
    write_decoder(student, tmp_path / "decoder.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "decoder.onnx")
    reference = Reference(student, rgb(coins)[:8, :8])
    # the student has the base's encoder, and its embedding is there
    predictor, known = reference.predictor, base_reference.predictor
    predictor.features = known.features
    predictor.original_size, predictor.input_size = (
        known.original_size,
        known.input_size,
    )
    for prompts in PROMPTS.values():
        got = run_decoder(session, known.features.numpy(), prompts, coins.shape)
        assert_the_same(got, reference.answer(prompts))


@pytest.mark.parametrize("points", [1, 2, 7])
def test_any_number_of_points(decoder, base_reference, coins, points):
    prompts = PromptSet(
        tuple(Point(90.0 + 5 * n, 70.0, positive=n % 3 != 2) for n in range(points))
    )
    got = run_decoder(decoder, base_reference.embedding, prompts, coins.shape)
    assert_the_same(got, base_reference.answer(prompts))


@given(
    height=st.integers(1, 9000),
    width=st.integers(1, 9000),
)
def test_the_part_without_padding_is_rounded_as_everywhere(height, width):
    size = torch.tensor([height, width])
    expected = model_shape((height, width))
    assert tuple(onnx_graphs.inner_size(size).tolist()) == expected


@pytest.mark.parametrize("shape", [(303, 384), (384, 303), (40, 700), (2000, 1)])
def test_masks_have_the_size_of_the_image(decoder, base_reference, shape):
    prompts = PromptSet((Point(0.0, 0.0),))
    logits, _, _ = run_decoder(decoder, base_reference.embedding, prompts, shape)
    assert logits.shape == shape


def test_names_and_shapes_are_those_of_segment_anything(encoder_file, decoder_file):
    def described(path, side):
        graph = onnx.load(path).graph
        return {
            value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
            for value in getattr(graph, side)
        }

    # 0 stands for a size that is free
    assert described(encoder_file, "input") == {"input_image": [0, 0, 3]}
    assert described(encoder_file, "output") == {"image_embeddings": [1, 256, 64, 64]}
    assert described(decoder_file, "input") == {
        "image_embeddings": [1, 256, 64, 64],
        "point_coords": [1, 0, 2],
        "point_labels": [1, 0],
        "mask_input": [1, 1, 256, 256],
        "has_mask_input": [1],
        "orig_im_size": [2],
    }
    assert described(decoder_file, "output") == {
        "masks": [1, 1, 0, 0],
        "iou_predictions": [1, 1],
        "low_res_masks": [1, 1, 256, 256],
    }
    for path in (encoder_file, decoder_file):
        model = onnx.load(path)
        types = {tensor.data_type for tensor in model.graph.initializer}
        assert onnx.TensorProto.FLOAT in types
        halves = {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
        assert not types & halves
        facts = {entry.key: entry.value for entry in model.metadata_props}
        assert facts["infosam_version"] == "base"
        assert facts["infosam_first_click"] == "multimask"


# ------------------------------------------------------------------------ whole pairs
@pytest.mark.parametrize("turned", [False, True])
def test_pair_of_the_base(encoder_file, decoder_file, exact, coins, turned):
    picture = rgb(coins.T if turned else coins)
    pair = OnnxPair(encoder_file, decoder_file)
    assert_answers_like(Reference(exact, picture), pair, picture)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["adapter", "lora"])
def test_pair_of_a_student(base, make_student, coins, method, tmp_path):
    student = make_student(base, method)
    done = export_model(student, tmp_path / "cells.onnx")
    decoder, encoder = done.files
    assert (decoder.name, encoder.name) == ("cells.decoder.onnx", "cells.encoder.onnx")
    picture = rgb(coins)
    pair = OnnxPair(encoder, decoder)
    assert_answers_like(Reference(student, picture), pair, picture)
    assert max(done.differences.values()) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("method", [None, "conv-lora"])
def test_pair_of_a_small_vit(small_vit, make_student, coins, method, tmp_path):
    model = small_vit if method is None else make_student(small_vit, method)
    done = export_model(model, f"{tmp_path}/vit/", "onnx")
    decoder, encoder = done.files
    picture = rgb(coins)
    assert_answers_like(Reference(model, picture), OnnxPair(encoder, decoder), picture)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "published"), [("hq-sam", False), ("su-sam", True)])
def test_pairs_that_segment_anything_can_not_run(
    small_vit, make_student, method, published, tmp_path
):
    """The head of HQ-SAM and BGR input go into the graph; the export compares."""
    student = make_student(small_vit, method, published=published)
    done = export_model(student, tmp_path / "a.onnx")
    assert done.differences["embedding"] < 1e-3
    assert done.differences["low_res_logits"] < 1e-3


# ------------------------------------------------------------------------- the check
@pytest.mark.parametrize(("by", "passes"), [(9e-4, True), (2e-3, False)])
def test_large_values_may_differ_no_more_than_small_ones(base, by, passes):
    values = np.array([0.0, 50.0])
    if passes:
        found = onnx_check._difference(base, "low_res_logits", values + by, values)
        assert found == pytest.approx(by)
    else:
        with pytest.raises(InfosamError, match=r"low res logits differ by 0\.002"):
            onnx_check._difference(base, "low_res_logits", values + by, values)
    with pytest.raises(InfosamError, match="differ by nan"):
        onnx_check._difference(base, "embedding", values * np.nan, values)


def test_a_decoder_of_another_model_is_noticed(
    base, make_student, encoder_file, decoder_file, tmp_path, monkeypatch
):
    student = make_student(base, "decoder")

    def copy_of(path):
        return lambda _model, target: shutil.copyfile(path, target)

    monkeypatch.setattr(onnx_graphs, "write_encoder", copy_of(encoder_file))
    monkeypatch.setattr(onnx_graphs, "write_decoder", copy_of(decoder_file))
    with pytest.raises(
        InfosamError, match=r"do not answer as v001 does \(.* differ by"
    ):
        export_model(student, tmp_path / "cells.onnx")
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_of_another_model_is_noticed(
    base, make_student, encoder_file, decoder_file
):
    student = make_student(base, "bitfit", noise=0.05)
    with pytest.raises(InfosamError, match=r"as v001 does \(embedding differ"):
        check_pair(student, encoder_file, decoder_file)


def test_a_file_that_does_not_run(base, encoder_file, tmp_path):
    damaged = tmp_path / "decoder.onnx"
    damaged.write_bytes(b"no graph")
    with pytest.raises(InfosamError, match=r"as base does \(ONNX Runtime says: "):
        check_pair(base, encoder_file, damaged)


@pytest.mark.parametrize("library", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_library(base, library, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(
        InfosamError,
        match=rf'needs {library}\b.*pip install "napari-infosam\[export\]"',
    ):
        export_model(base, tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def test_weights_of_more_than_two_gigabytes_lie_beside_the_graph(
    base, tmp_path, monkeypatch
):
    """As those of vit_h, with a limit that the bundled decoder exceeds."""
    save = ONNXProgram.save
    monkeypatch.setattr(
        ONNXProgram, "save", lambda self, path: save(self, path, external_data=True)
    )
    targets = [tmp_path / "decoder.onnx"]
    with all_or_none(targets) as draft:
        write_decoder(base, draft / "decoder.onnx")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["decoder.onnx", "decoder.onnx.data"]
    onnxruntime.InferenceSession(targets[0])


# ------------------------------------------------------------------- the documentation
def test_the_program_of_the_documentation(
    encoder_file, decoder_file, exact, coins, tmp_path
):
    program = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert program is not None
    imported = re.findall(r"^(?:import|from) (\w+)", program[1], re.MULTILINE)
    assert set(imported) == {"numpy", "onnxruntime"}
    shutil.copyfile(encoder_file, tmp_path / "cells.encoder.onnx")
    shutil.copyfile(decoder_file, tmp_path / "cells.decoder.onnx")
    np.save(tmp_path / "image.npy", rgb(coins))
    subprocess.run(
        [sys.executable, "-W", "error", "-c", program[1]],
        cwd=tmp_path,
        check=True,
        timeout=120,
    )
    point = re.search(r"point = \((\d+), (\d+)\)", program[1])
    assert point is not None
    prompts = PromptSet((Point(float(point[1]), float(point[2])),))
    expected, _, _ = Reference(exact, rgb(coins)).answer(prompts)
    mask = np.load(tmp_path / "mask.npy")
    assert mask.dtype == bool
    assert expected.sum() > 500
    # it resizes with weights of its own, which are those of PIL to a grey level
    assert (mask & expected).sum() / (mask | expected).sum() > 0.99
