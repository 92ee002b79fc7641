"""Encoder and decoder as ONNX files, with the names that tools for SAM ask for.

The encoder takes what samexporter's and the labelling tools built on it do, the
decoder what Segment Anything's own export does.
"""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.geometry import MODEL_SIDE
from napari_infosam.models.decoder import CHANNELS, LOW_RES
from napari_infosam.models.export.published import answering_metadata
from napari_infosam.models.mobile_sam import EMBEDDING_SIDE
from napari_infosam.models.peft.hq import early_channels

if TYPE_CHECKING:
    from torch.onnx import ONNXProgram

    from napari_infosam.models.sam_model import SamModel

ENCODER_INPUT, ENCODER_OUTPUT = "input_image", "image_embeddings"
DECODER_OUTPUTS = ("masks", "iou_predictions", "low_res_masks")

OPSET = 18
_GRID = (EMBEDDING_SIDE, EMBEDDING_SIDE)
_PADDING_LABEL = -1


def check_libraries() -> None:
    """Raise a sentence unless everything that ONNX needs is installed.

    Raises
    ------
    InfosamError
        If a library is missing.
    """
    for name in ("onnx", "onnxscript", "onnxruntime"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise InfosamError(
                f"Exporting to ONNX needs {name} ({error}): "
                'pip install "napari-infosam[export]".'
            ) from error


class EncoderGraph(nn.Module):
    """From a resized picture to its embedding, normalising and padding included.

    Parameters
    ----------
    model
        The model; computed in float32 whatever its device prefers.
    """

    def __init__(self, model: SamModel) -> None:
        super().__init__()
        self._model = model
        self.image_encoder = model.sam.image_encoder

    def forward(self, input_image: Tensor) -> Tensor:
        """Return the ``(1, 256, 64, 64)`` embedding, with the head of HQ-SAM more.

        Parameters
        ----------
        input_image
            ``(H, W, 3)`` float32 RGB of 0 to 255, its longest side 1024.
        """
        return self._model.embed(self._model.normalised(input_image))


class DecoderGraph(nn.Module):
    """From an embedding and prompts to one mask, chosen as `Predictor.answer` does.

    Parameters
    ----------
    model
        The model.
    """

    def __init__(self, model: SamModel) -> None:
        super().__init__()
        self._decoder = model.decoder
        self._multimask = model.first_click == "multimask"
        self.prompt_encoder = model.sam.prompt_encoder
        self.mask_decoder = model.sam.mask_decoder

    def forward(
        self,
        image_embeddings: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor,
        has_mask_input: Tensor,
        orig_im_size: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits ``(1, 1, H, W)``, IoU ``(1, 1)``, low-res ``(1, 1, 256, 256)``.

        Parameters
        ----------
        image_embeddings
            Output of the encoder.
        point_coords
            ``(1, N, 2)`` in (x, y) order, in pixels of the resized picture.
        point_labels
            ``(1, N)`` float32: 1 positive, 0 negative, 2 and 3 the first and the
            second corner of a box, -1 padding, of which there is one where there is
            no box.
        mask_input, has_mask_input
            ``(1, 1, 256, 256)`` low-res logits, and ``(1,)``: 1 if they count, else 0.
        orig_im_size
            ``(2,)`` float32: height and width of the image.
        """
        labels = point_labels.long()
        output = self._decoder.masks(
            image_embeddings,
            self._sparse(point_coords, labels),
            self._dense(mask_input, has_mask_input),
        )
        chosen = torch.zeros_like(labels[:, 0])
        if self._multimask:
            alone = (labels != _PADDING_LABEL).sum(1) == 1
            ambiguous = alone & (has_mask_input == 0)
            chosen = torch.where(ambiguous, 1 + output.iou[:, 1:].argmax(1), chosen)
        low_res = output.logits.index_select(1, chosen)
        iou = output.iou.index_select(1, chosen)
        return _at_size(low_res, orig_im_size.long()), iou, low_res

    def _sparse(self, coords: Tensor, labels: Tensor) -> Tensor:
        """Return ``(1, N, 256)`` of points and corners."""
        encoder = self.prompt_encoder
        # pixel centres are at integers for people, at halves for the network
        place = encoder.pe_layer._pe_encoding((coords + 0.5) / MODEL_SIDE)
        place = place * (labels != _PADDING_LABEL).unsqueeze(-1)
        kinds = [encoder.not_a_point_embed, *encoder.point_embeddings]
        table = torch.cat([kind.weight for kind in kinds])
        return place + table[labels - _PADDING_LABEL]  # type: ignore[no-any-return]

    def _dense(self, mask: Tensor, has_mask: Tensor) -> Tensor:
        """Return ``(1, 256, 64, 64)`` of the mask, or of there being none."""
        embedded = self.prompt_encoder.mask_downscaling(mask)
        none = self.prompt_encoder.no_mask_embed.weight[..., None, None]
        return torch.where(has_mask[:, None, None, None] != 0, embedded, none)


def _at_size(low_res: Tensor, size: Tensor) -> Tensor:
    """Return low-res logits at the size of the image, as `upscale_logits` does."""
    square = F.interpolate(
        low_res, (MODEL_SIDE, MODEL_SIDE), mode="bilinear", align_corners=False
    )
    rows, columns = inner_size(size).tolist()
    height, width = size.tolist()
    return F.interpolate(
        square[..., :rows, :columns],
        (height, width),
        mode="bilinear",
        align_corners=False,
    )


def inner_size(size: Tensor) -> Tensor:
    """Return `model_shape` of ``(2,)`` int64 height and width.

    In integers, which are rounded the same way by every runtime.
    """
    longest = size.max()
    doubled = 2 * MODEL_SIDE * size + longest
    return torch.div(doubled, 2 * longest, rounding_mode="floor").clamp(min=1)


def write_encoder(model: SamModel, path: Path) -> None:
    """Write the file of the encoder, ``input_image`` to ``image_embeddings``.

    Parameters
    ----------
    model
        The model.
    path
        The file. Weights of more than 2 GB, those of ``vit_h``, go to a second file
        beside it, ``NAME.onnx.data``.
    """
    # neither side is one of the network's, so that none is taken for fixed
    picture = torch.zeros(700, 900, 3, device=model.device)
    sides = {0: Dim("image_height"), 1: Dim("image_width")}
    program = _export(
        EncoderGraph(model), {ENCODER_INPUT: picture}, [ENCODER_OUTPUT], [sides]
    )
    _save(program, model, path)


def write_decoder(model: SamModel, path: Path) -> None:
    """Write the file of the decoder, with Segment Anything's names.

    Parameters
    ----------
    model
        The model.
    path
        The file.
    """
    points = Dim("num_points")
    examples = {
        name: torch.zeros(shape, device=model.device)
        for name, shape in {
            "image_embeddings": (1, _channels(model), *_GRID),
            "point_coords": (1, 3, 2),
            "point_labels": (1, 3),
            "mask_input": (1, 1, LOW_RES, LOW_RES),
            "has_mask_input": (1,),
        }.items()
    }
    examples["orig_im_size"] = torch.tensor([700.0, 900.0], device=model.device)
    dynamic = [None, {1: points}, {1: points}, None, None, None]
    program = _export(DecoderGraph(model), examples, [*DECODER_OUTPUTS], dynamic)
    _save(program, model, path)


def _channels(model: SamModel) -> int:
    """Return the channels of an embedding."""
    early = early_channels(model.sam.image_encoder) if model.has_hq_head else 0
    return CHANNELS + early


def _export(
    graph: nn.Module,
    examples: dict[str, Tensor],
    outputs: list[str],
    dynamic: list[dict[int, Dim] | None],
) -> ONNXProgram:
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            graph.eval(),
            tuple(examples.values()),
            input_names=list(examples),
            output_names=outputs,
            dynamic_shapes=dynamic,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise TypeError("torch.onnx.export gave no program")
    return program


def _save(program: ONNXProgram, model: SamModel, path: Path) -> None:
    program.model.metadata_props.update(
        infosam_model=model.name,
        infosam_version=model.version,
        infosam_weights=model.weights_hash,
        **answering_metadata(model),
    )
    program.save(path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter says of its own insides from people."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
