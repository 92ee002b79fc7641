"""From prompts to mask logits: SAM's prompt encoder and mask decoder on tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_infosam.core.geometry import to_model_xy
from napari_infosam.models.two_way import two_way
from napari_infosam.models.upscaling import as_grid, upscaled

if TYPE_CHECKING:
    from segment_anything.modeling import Sam

    from napari_infosam.core.prompts import PromptSet
    from napari_infosam.models.peft.hq import HqHead

LOW_RES = 256
"""Side in pixels of the logits; one of them is four pixels of the model's input."""

CHANNELS = 256
"""Channels of an image embedding."""

MASK_TOKEN = 1
"""Index of the single-mask token among the output tokens; 0 is the IoU token."""


@dataclass(frozen=True, slots=True)
class PromptTensors:
    """Prompts of B objects of one image, in pixels of the model's input picture.

    Attributes
    ----------
    coords, labels
        ``(B, N, 2)`` points in (x, y) order and ``(B, N)`` labels (1 positive,
        0 negative), or None without points.
    boxes
        ``(B, 4)`` XYXY, or None.
    mask_input
        ``(B, 1, 256, 256)`` low-res logits of an earlier answer, or None.
    """

    coords: Tensor | None = None
    labels: Tensor | None = None
    boxes: Tensor | None = None
    mask_input: Tensor | None = None

    @classmethod
    def build(
        cls,
        prompts: list[PromptSet],
        shape: tuple[int, int],
        device: torch.device,
        mask_input: Tensor | None = None,
    ) -> PromptTensors:
        """Return the tensors of prompt sets with equal numbers of points and boxes.

        Parameters
        ----------
        prompts
            One set an object, in pixels of the original image.
        shape
            (height, width) of the original image.
        device
            Where the tensors go.
        mask_input
            ``(B, 1, 256, 256)`` or None.
        """
        coords = labels = boxes = None
        if prompts[0].points:
            xy = np.stack([p.coordinates() for p in prompts])
            coords = _to_device(to_model_xy(xy, shape), device)
            labels = _to_device(np.stack([p.labels() for p in prompts]), device)
        if prompts[0].box is not None:
            corners = np.stack([p.box.as_array() for p in prompts if p.box])
            xy = to_model_xy(corners.reshape(-1, 2, 2), shape)
            boxes = _to_device(xy.reshape(-1, 4), device)
        return cls(coords, labels, boxes, mask_input)


def _to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(array).to(device)


@dataclass(frozen=True, slots=True)
class DecoderOutput:
    """What the mask decoder says of B objects.

    Attributes
    ----------
    logits
        ``(B, 4, 256, 256)``: the single mask, then the three ambiguity masks.
    iou
        ``(B, 4)`` predicted IoU of each.
    mask_token
        ``(B, 1, 256)`` output token of the single mask (InfoSAM's z_m).
    """

    logits: Tensor
    iou: Tensor
    mask_token: Tensor


class Decoder:
    """Prompt encoder and mask decoder of one model; differentiable.

    Parameters
    ----------
    sam
        The model whose parts are used; its prompt encoder must stay frozen, since
        the positional encoding of the image is computed once.
    """

    def __init__(self, sam: Sam) -> None:
        self.sam = sam
        with torch.no_grad():
            position = sam.prompt_encoder.get_dense_pe()
        self._position = position.flatten(2).mT.contiguous()

    def __call__(self, embedding: Tensor, prompts: PromptTensors) -> DecoderOutput:
        """Decode the prompts of one image.

        Parameters
        ----------
        embedding
            ``(1, 256, 64, 64)`` image embedding; for the head of HQ-SAM followed by
            the early features.
        prompts
            Prompts of B objects.
        """
        points = None
        if prompts.coords is not None:
            points = (prompts.coords, prompts.labels)
        sparse, dense = self.sam.prompt_encoder(
            points=points, boxes=prompts.boxes, masks=prompts.mask_input
        )
        if prompts.mask_input is None:  # all objects see the same image at first
            dense = dense[:1]
        return self.masks(embedding, sparse, dense)

    def masks(self, embedding: Tensor, sparse: Tensor, dense: Tensor) -> DecoderOutput:
        """Decode embedded prompts; what `MaskDecoder` does, with the mask token kept.

        Parameters
        ----------
        embedding
            ``(1, 256, 64, 64)``, with early features for the head of HQ-SAM.
        sparse, dense
            ``(B, N, 256)`` points and boxes, ``(B, 256, 64, 64)`` masks, or
            ``(1, 256, 64, 64)`` if they are the same for all objects.
        """
        decoder = self.sam.mask_decoder
        hq: HqHead | None = getattr(decoder, "hq", None)
        embedding, early = embedding[:, :CHANNELS], embedding[:, CHANNELS:]
        learnt = [decoder.iou_token.weight, decoder.mask_tokens.weight]
        if hq is not None:
            learnt.append(hq.hf_token.weight)
        fixed = torch.cat(learnt).expand(len(sparse), -1, -1)
        queries = torch.cat([fixed, sparse], dim=1)
        # channels last, as the transformer looks at the image
        image = (embedding + dense).flatten(2).mT.contiguous()
        tokens, places = two_way(decoder.transformer, image, self._position, queries)
        pixels = upscaled(decoder.output_upscaling, places)
        mask_tokens = tokens[:, MASK_TOKEN : MASK_TOKEN + decoder.num_mask_tokens]
        heads = zip(
            decoder.output_hypernetworks_mlps, mask_tokens.unbind(1), strict=True
        )
        weights = torch.stack([head(token) for head, token in heads], dim=1)
        shape = embedding.shape[2:]
        logits = as_grid(pixels @ weights.mT, shape)
        if hq is not None:
            hq_token = tokens[:, MASK_TOKEN + decoder.num_mask_tokens]
            grid = as_grid(pixels, shape)
            logits = logits + hq(hq_token, grid, embedding, early)
        iou = decoder.iou_prediction_head(tokens[:, 0])
        return DecoderOutput(logits, iou, mask_tokens[:, :1])
