"""Speed of the predictor: embedding an image, a click, many boxes."""

from __future__ import annotations

import tempfile
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from segment_anything import SamAutomaticMaskGenerator, SamPredictor
from skimage.data import coins
from torch import Tensor

from napari_infosam.bench.speed.measure import Row, alternate, compare
from napari_infosam.bench.speed.references import plain_sam
from napari_infosam.core.geometry import MODEL_SIDE
from napari_infosam.core.metrics import iou
from napari_infosam.core.preprocess import to_rgb_uint8
from napari_infosam.core.prompts import Point, PromptSet
from napari_infosam.models import EmbeddingCache, Predictor, load_model
from napari_infosam.models.automatic import AutomaticOptions, propose
from napari_infosam.models.export.onnx_check import OnnxPair
from napari_infosam.models.export.onnx_graphs import (
    check_libraries,
    write_decoder,
    write_encoder,
)
from napari_infosam.models.sam_model import resize_longest_side

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_infosam.bench.speed.measure import Work

CLICK = (150.0, 100.0)
GRID = 6
"""Clicks along each side of the image whose masks are compared."""

N_BOXES = 64
"""A square number: the boxes lie side by side."""

PLAIN = "plain float32 module"
SAM = "SamPredictor"
GENERATOR = "SamAutomaticMaskGenerator"
ONNX = "ONNX Runtime, float32"


class Answering:
    """One photograph, and the ways to segment in it, all with the same weights.

    Parameters
    ----------
    onnx
        Whether ONNX Runtime takes part.
    """

    def __init__(self, *, onnx: bool = True) -> None:
        self.picture = to_rgb_uint8(coins())
        self.model = load_model("vit_t", "cpu")
        self.sam = plain_sam("vit_t")
        self.onnx = onnx
        self.predictor = Predictor(self.model, EmbeddingCache())
        self.predictor.set_image(self.picture)
        self.sam_predictor = SamPredictor(self.sam)

    @cached_property
    def pair(self) -> OnnxPair:
        """The exported graphs in ONNX Runtime."""
        check_libraries()
        model = load_model("vit_t", "cpu")
        with tempfile.TemporaryDirectory() as folder:
            encoder, decoder = Path(folder, "e.onnx"), Path(folder, "d.onnx")
            write_encoder(model, encoder)
            write_decoder(model, decoder)
            return OnnxPair(encoder, decoder)

    def embedding(self, repetitions: int) -> list[Row]:
        """Return how long an image takes, from pixels to embedding."""
        x = self.model.encoder_input(self.picture).contiguous()
        works: dict[str, Work] = {
            "set_image": self._set_image,
            PLAIN: partial(_inferred, self.sam.image_encoder, x),
            SAM: partial(_inferred, self.sam_predictor.set_image, self.picture),
        }
        if self.onnx:
            works[ONNX] = self._encode_in_onnx
        aims = {PLAIN: 0.35, ONNX: 0.6}
        return _rows("embedding", works, aims, repetitions)

    def click(self, repetitions: int) -> list[Row]:
        """Return how long a click takes, from coordinates to a mask of the image."""
        prompts = PromptSet((Point(*CLICK),))
        _inferred(self.sam_predictor.set_image, self.picture)
        coords = torch.tensor([[CLICK]])
        labels = torch.ones(1, 1, dtype=torch.int64)
        ask: dict[str, Any] = {
            "point_coords": np.array([CLICK]),
            "point_labels": np.ones(1),
        }
        works: dict[str, Work] = {
            "answer": lambda: self.predictor.answer(prompts),
            PLAIN: partial(_inferred, self._bare_decoder, coords, labels),
            SAM: partial(_inferred, self.sam_predictor.predict, **ask),
        }
        if self.onnx:
            features = self.predictor.embed(self.picture).features.float().numpy()
            shape = self.picture.shape[:2]
            works[ONNX] = lambda: self.pair.answer(features, prompts, shape)
        return _rows("click", works, {PLAIN: 0.6}, repetitions)

    def proposals(self, repetitions: int, n_side: int = 32) -> list[Row]:
        """Return how long proposals for a whole picture take, its embedding included.

        The grid is that of Segment Anything's generator, ``n_side`` points a side.
        """
        side = MODEL_SIDE
        square = np.asarray(Image.fromarray(self.picture).resize((side, side)))
        generator = SamAutomaticMaskGenerator(
            self.sam, points_per_side=n_side, output_mode="coco_rle"
        )
        points = generator.point_grids[0] * side
        options = AutomaticOptions(max_share=1)  # as theirs, which leave none out

        def ours() -> None:
            predictor = Predictor(self.model, EmbeddingCache())
            predictor.set_image(square)
            propose(predictor, points, options)

        grid = f"proposals {n_side} x {n_side}"
        works: dict[str, Work] = {
            grid: ours,
            GENERATOR: lambda: generator.generate(square),
        }
        return _rows("proposals", works, {GENERATOR: 1 / 3}, repetitions)

    def boxes(self, repetitions: int) -> list[Row]:
        """Return how long many boxes take at once, beside one after the other."""
        height, width = self.picture.shape[:2]
        side = round(N_BOXES**0.5)
        y, x = np.mgrid[:side, :side].reshape(2, -1) * [[height / side], [width / side]]
        corners = np.stack([x, y, x + width / side - 1, y + height / side - 1], axis=1)

        def one_by_one() -> None:
            for box in corners:
                self.predictor.predict(box=box)

        works: dict[str, Work] = {
            f"{N_BOXES} boxes": lambda: self.predictor.predict_boxes(corners),
            f"{N_BOXES} single predictions": one_by_one,
        }
        return _rows(
            "boxes", works, {f"{N_BOXES} single predictions": 0.25}, repetitions
        )

    def agreement(self) -> dict[str, float]:
        """Return the IoU of our masks with those of `SamPredictor`, for many clicks."""
        _inferred(self.sam_predictor.set_image, self.picture)
        height, width = self.picture.shape[:2]
        found = []
        for y in (np.arange(GRID) + 0.5) / GRID * height:
            for x in (np.arange(GRID) + 0.5) / GRID * width:
                ours = self.predictor.predict([(x, y)]).mask
                found.append(iou(ours, self._expected(x, y)))
        return {"mean": float(np.mean(found)), "least": float(np.min(found))}

    def _expected(self, x: float, y: float) -> NDArray[np.bool_]:
        masks, _, _ = _inferred(
            self.sam_predictor.predict,
            point_coords=np.array([(x, y)]),
            point_labels=np.ones(1),
            multimask_output=False,
        )
        return masks[0]  # type: ignore[no-any-return]

    def _set_image(self) -> None:
        Predictor(self.model, EmbeddingCache()).set_image(self.picture)

    def _encode_in_onnx(self) -> None:
        self.pair.encode(resize_longest_side(self.picture))

    def _bare_decoder(self, coords: Tensor, labels: Tensor) -> None:
        encoder = self.sam.prompt_encoder
        sparse, dense = encoder((coords, labels), None, None)
        self.sam.mask_decoder(
            image_embeddings=self.sam_predictor.features,
            image_pe=encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )


def _rows(
    part: str, works: dict[str, Work], aims: dict[str, float], repetitions: int
) -> list[Row]:
    seconds = alternate(works, repetitions)
    mine, *others = works
    return [
        compare(
            part,
            (mine, other),
            (seconds[mine], seconds[other]),
            aim=aims.get(other),
        )
        for other in others
    ]


@torch.inference_mode()
def _inferred(work: Any, *arguments: Any, **keywords: Any) -> Any:
    return work(*arguments, **keywords)
