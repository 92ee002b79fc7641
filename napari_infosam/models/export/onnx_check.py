"""Whether exported files answer in ONNX Runtime as the model does here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.geometry import to_model_xy
from napari_infosam.core.prompts import Box, Point, PromptSet
from napari_infosam.models.decoder import LOW_RES
from napari_infosam.models.export.onnx_graphs import ENCODER_INPUT
from napari_infosam.models.prediction import ImageEmbedding, Prediction
from napari_infosam.models.predictor import Predictor
from napari_infosam.models.sam_model import resize_longest_side
from napari_infosam.synthetic import make_set

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from napari_infosam.models.sam_model import SamModel

TOLERANCE = 1e-3
"""Largest absolute difference of embedding, predicted IoU and low-res logits."""

Inputs = dict[str, NDArray[np.float32]]


class OnnxPair:
    """An exported encoder and decoder in ONNX Runtime, on the CPU.

    Parameters
    ----------
    encoder, decoder
        The two files.

    Raises
    ------
    InfosamError
        If ONNX Runtime refuses one of them.
    """

    def __init__(self, encoder: Path, decoder: Path) -> None:
        self._encoder = _session(encoder)
        self._decoder = _session(decoder)

    def encode(self, resized: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the embedding of an ``(H, W, 3)`` picture, longest side 1024."""
        (embedding,) = self._encoder.run(
            None, {ENCODER_INPUT: resized.astype(np.float32)}
        )
        return embedding  # type: ignore[no-any-return]

    def answer(
        self,
        embedding: NDArray[np.float32],
        prompts: PromptSet,
        shape: tuple[int, int],
        previous: Prediction | None = None,
    ) -> tuple[NDArray[np.float32], float, NDArray[np.float32]]:
        """Return logits ``(H, W)``, predicted IoU and low-res logits of the mask."""
        inputs = decoder_inputs(prompts, shape, previous)
        logits, iou, low_res = self._decoder.run(
            None, {"image_embeddings": embedding, **inputs}
        )
        return logits[0, 0], float(iou[0, 0]), low_res[0, 0]


def _session(path: Path) -> InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )


def decoder_inputs(
    prompts: PromptSet, shape: tuple[int, int], previous: Prediction | None = None
) -> Inputs:
    """Return what the decoder wants beside the embedding.

    Parameters
    ----------
    prompts
        Prompts of one object, in pixels of the image.
    shape
        (height, width) of the image.
    previous
        The answer whose low-res logits are fed back.
    """
    xy, labels = prompts.coordinates(), prompts.labels().astype(np.float32)
    if prompts.box is not None:
        corners = prompts.box.as_array().reshape(2, 2)
        xy, labels = np.vstack([xy, corners]), np.append(labels, [2, 3])
    xy = to_model_xy(xy, shape)
    if prompts.box is None:
        # as Segment Anything was trained: without a box there is a point of padding
        xy, labels = np.vstack([xy, [[0, 0]]]), np.append(labels, -1)
    mask = np.zeros((LOW_RES, LOW_RES)) if previous is None else previous.low_res_logits
    inputs = {
        "point_coords": xy[None],
        "point_labels": labels[None],
        "mask_input": mask[None, None],
        "has_mask_input": [previous is not None],
        "orig_im_size": shape,
    }
    return {name: np.asarray(value, np.float32) for name, value in inputs.items()}


def check_pair(model: SamModel, encoder: Path, decoder: Path) -> dict[str, float]:
    """Compare exported files with the model, on a synthetic picture.

    Parameters
    ----------
    model
        What was exported.
    encoder, decoder
        The files.

    Returns
    -------
    dict
        Largest absolute difference of ``embedding``, ``score`` and ``low_res_logits``.

    Raises
    ------
    InfosamError
        If one is larger than `TOLERANCE`, masks differ, or a file does not run.
    """
    try:
        return _compare(model, OnnxPair(encoder, decoder))
    except InfosamError:
        raise
    except Exception as error:
        # the errors of ONNX Runtime have no common class
        raise _not_the_same(model, f"ONNX Runtime says: {error}") from error


def _compare(model: SamModel, pair: OnnxPair) -> dict[str, float]:
    picture, prompts = _example()
    with torch.inference_mode():
        expected = model.embed(model.encoder_input(picture)).cpu().numpy()
    embedding = pair.encode(resize_longest_side(picture))
    worst = {"embedding": _difference(model, "embedding", embedding, expected)}
    predictor = Predictor(model)
    landscape = (picture.shape[0], picture.shape[1])
    # how an answer is brought to the size of the image does not ask for its pixels
    for shape in (landscape, landscape[::-1]):
        known = ImageEmbedding(
            torch.from_numpy(embedding), shape, "export", model.encoder_hash
        )
        first = predictor.answer(prompts[0], None, known)
        cases = [(each, None) for each in prompts] + [(each, first) for each in prompts]
        for asked, previous in cases:
            answer = predictor.answer(asked, previous, known)
            logits, score, low_res = pair.answer(embedding, asked, shape, previous)
            for name, value, right in (
                ("score", score, answer.score),
                ("low_res_logits", low_res, answer.low_res_logits),
            ):
                difference = _difference(model, name, value, right)
                worst[name] = max(worst.get(name, 0.0), difference)
            other = (logits > 0) != answer.mask
            if np.any(other & (np.abs(logits) > TOLERANCE)):
                raise _not_the_same(model, f"a mask differs in {other.sum()} pixels")
    return worst


def _example() -> tuple[NDArray[np.uint8], list[PromptSet]]:
    """Return a picture that is wider than high, and prompts for an object in it.

    All prompts lie inside the picture turned by a right angle, too.
    """
    sample = make_set(1)[0]
    side = len(sample.image) * 2 // 3
    picture = sample.image[:side]
    square = sample.labels[:side, :side]
    largest = np.bincount(square[square > 0]).argmax()
    rows, columns = np.nonzero(square == largest)
    middle = len(rows) // 2
    inside = Point(float(columns[middle]), float(rows[middle]))
    box = Box(*map(float, (columns.min(), rows.min(), columns.max(), rows.max())))
    outside = Point(3.0, 3.0, positive=False)
    return picture, [
        PromptSet((inside,)),
        PromptSet((inside, outside, Point(box.x0 + 2, inside.y))),
        PromptSet((), box),
        PromptSet((inside,), box),
    ]


def _difference(model: SamModel, name: str, value: Any, expected: Any) -> float:
    """Return the largest difference, or raise a sentence if it is too large."""
    difference = float(np.abs(np.asarray(value) - expected).max())
    if not difference <= TOLERANCE:  # a NaN is too large as well
        what = name.replace("_", " ")
        raise _not_the_same(model, f"{what} differ by {difference:.2g}")
    return difference


def _not_the_same(model: SamModel, what: str) -> InfosamError:
    return InfosamError(
        f"The ONNX files do not answer as {model.version} does ({what}) and were "
        "removed: choose --format safetensors, and please report this."
    )
