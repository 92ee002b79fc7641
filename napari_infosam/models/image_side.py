"""The mask decoder for many objects of one image, with the work on the image shared.

What `Decoder` computes, in another order. All objects of an image begin with the same
4096 image tokens, so the first layer's projections of them are computed once. Where an
object's own image tokens meet its few prompt tokens, the projections are applied to the
latter: a product of 4096 x 256 x 56 numbers stands for one of 4096 x 256 x 128. The
upscaling is a matrix product for each token, and it is done for those objects only that
are wanted after their predicted IoU is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_infosam.models.decoder import MASK_TOKEN, PromptTensors

if TYPE_CHECKING:
    from segment_anything.modeling.transformer import Attention, TwoWayAttentionBlock
    from torch import nn

    from napari_infosam.models.decoder import Decoder

TOKENS = 64
"""Side of the image embedding in tokens."""

Window = tuple[slice, slice]
"""Rows and columns of image tokens."""

WHOLE: Window = (slice(0, TOKENS), slice(0, TOKENS))


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the transformer made of B objects, before masks are drawn.

    Attributes
    ----------
    iou
        ``(B, 4)`` predicted IoU: of the single mask, then of the ambiguity masks.
    mask_tokens
        ``(B, 4, 256)``.
    pixels
        ``(B, 4096, 256)`` image tokens.
    """

    iou: Tensor
    mask_tokens: Tensor
    pixels: Tensor


class ImageSide:
    """A decoder that looks at one image; made once for all objects of it.

    Parameters
    ----------
    decoder
        The decoder; it must not be the one of HQ-SAM.
    embedding
        ``(1, 256, 64, 64)`` image embedding on the decoder's device.
    dtype
        In which the image tokens are kept and multiplied.
    """

    def __init__(
        self, decoder: Decoder, embedding: Tensor, dtype: torch.dtype = torch.float32
    ) -> None:
        self._prompt_encoder = decoder.sam.prompt_encoder
        self._mask_decoder = decoder.sam.mask_decoder
        self._dtype = dtype
        self._layers = self._mask_decoder.transformer.layers
        position = self._prompt_encoder.get_dense_pe()
        self._position = position.flatten(2)[0].mT.contiguous().to(dtype)
        nothing = self._prompt_encoder.no_mask_embed.weight.reshape(1, 1, -1)
        image = embedding.flatten(2).mT.float() + nothing
        self._image = image.to(dtype)
        first = self._layers[0]
        with_place = image + position.flatten(2).mT
        to_image, to_token = (
            first.cross_attn_token_to_image,
            first.cross_attn_image_to_token,
        )
        # the first layer's image tokens are those of every object
        keys = _heads(to_image.k_proj(with_place), to_image)[0].mT
        values = _heads(to_image.v_proj(image), to_image)[0]
        queries = _heads(to_token.q_proj(with_place), to_token)[0].mT
        self._keys, self._values, self._queries = (
            x.to(dtype).contiguous() for x in (keys, values, queries)
        )

    def decode(self, prompts: PromptTensors) -> Decoded:
        """Return what the transformer makes of the prompts of B objects.

        Parameters
        ----------
        prompts
            Points and boxes, without `mask_input`.
        """
        points = None
        if prompts.coords is not None:
            points = (prompts.coords, prompts.labels)
        sparse, _ = self._prompt_encoder(points=points, boxes=prompts.boxes, masks=None)
        mask_decoder = self._mask_decoder
        learnt = torch.cat(
            (mask_decoder.iou_token.weight, mask_decoder.mask_tokens.weight)
        )
        place = torch.cat([learnt.expand(len(sparse), -1, -1), sparse], dim=1)
        tokens, image = self._first_layer(place)
        for layer in list(self._layers)[1:]:
            tokens, image = self._later_layer(layer, tokens, image, place)
        transformer = mask_decoder.transformer
        found = self._look(
            transformer.final_attn_token_to_image,
            tokens + place,
            image,
        )
        tokens = transformer.norm_final_attn(tokens + found)
        n_masks = mask_decoder.num_mask_tokens
        return Decoded(
            mask_decoder.iou_prediction_head(tokens[:, 0]),
            tokens[:, MASK_TOKEN : MASK_TOKEN + n_masks],
            image,
        )

    def logits(
        self, decoded: Decoded, row: int, which: Sequence[int], window: Window = WHOLE
    ) -> Tensor:
        """Draw masks of one object, or the part of them that lies in a window.

        Parameters
        ----------
        decoded
            What `decode` returned.
        row
            Which of the objects.
        which
            Which of the four masks, M of them.
        window
            Rows and columns of image tokens; a token becomes four by four logits.

        Returns
        -------
        Tensor
            ``(M, 4 h, 4 w)`` float32 logits.
        """
        decoder = self._mask_decoder
        first, norm, _, second, _ = decoder.output_upscaling
        pixels = decoded.pixels[row].unflatten(0, (TOKENS, TOKENS))[window]
        height, width = pixels.shape[:2]
        # in full precision: a rounded logit at the edge of a mask is a wrong pixel
        x = _upscaled(pixels.reshape(-1, pixels.shape[-1]).float(), first)
        x = F.gelu(_layer_norm(x, norm))
        x = F.gelu(_upscaled(x, second)).flatten(0, -2)
        heads = [decoder.output_hypernetworks_mlps[number] for number in which]
        weights = [
            head(decoded.mask_tokens[row, number])
            for head, number in zip(heads, which, strict=True)
        ]
        logits = torch.stack(weights) @ x.mT
        # row and column of the token, then twice of what a pixel was made two by two
        logits = logits.reshape(-1, height, width, 2, 2, 2, 2)
        logits = logits.permute(0, 1, 3, 5, 2, 4, 6)
        return logits.reshape(len(which), 4 * height, 4 * width)

    def _first_layer(self, place: Tensor) -> tuple[Tensor, Tensor]:
        layer = self._layers[0]
        tokens = layer.norm1(layer.self_attn(q=place, k=place, v=place))
        attention = layer.cross_attn_token_to_image
        queries = _heads(attention.q_proj(tokens + place), attention)
        scores = self._shared_scores(queries * _scale(attention), self._keys)
        found = scores.softmax(-1).flatten(1, 2) @ self._values
        found = found.float().unflatten(1, scores.shape[1:3]).movedim(0, 1)
        found = _merged(found)
        tokens = layer.norm2(tokens + attention.out_proj(found))
        tokens = layer.norm3(tokens + layer.mlp(tokens))
        attention = layer.cross_attn_image_to_token
        keys = _heads(attention.k_proj(tokens + place), attention)
        scores = self._shared_scores(keys * _scale(attention), self._queries)
        weights = scores.softmax(2).movedim(0, 1)
        image = self._image.expand(len(place), -1, -1)
        return tokens, self._marked(layer, weights, tokens, image)

    def _later_layer(
        self,
        layer: TwoWayAttentionBlock,
        tokens: Tensor,
        image: Tensor,
        place: Tensor,
    ) -> tuple[Tensor, Tensor]:
        q = tokens + place
        tokens = layer.norm1(tokens + layer.self_attn(q=q, k=q, v=tokens))
        found = self._look(layer.cross_attn_token_to_image, tokens + place, image)
        tokens = layer.norm2(tokens + found)
        tokens = layer.norm3(tokens + layer.mlp(tokens))
        attention = layer.cross_attn_image_to_token
        keys = _heads(attention.k_proj(tokens + place), attention)
        weights = self._scores(keys, attention.q_proj, image, attention).softmax(-2)
        return tokens, self._marked(layer, weights, tokens, image)

    def _shared_scores(self, heads: Tensor, image: Tensor) -> Tensor:
        """Return ``(heads, B, N, 4096)`` products with image tokens of all objects."""
        swapped = heads.movedim(1, 0)
        products: Tensor = swapped.flatten(1, 2).to(self._dtype) @ image
        result: Tensor = products.unflatten(1, swapped.shape[1:3])
        return result

    def _look(self, attention: Attention, queries: Tensor, image: Tensor) -> Tensor:
        """Return what prompt tokens see in an object's own image tokens."""
        heads = _heads(attention.q_proj(queries), attention)
        weights = self._scores(heads, attention.k_proj, image, attention).softmax(-1)
        seen = (weights.flatten(1, 2) @ image).float().unflatten(1, heads.shape[1:3])
        weight = attention.v_proj.weight.unflatten(0, (attention.num_heads, -1))
        found = _merged(seen @ weight.mT) + attention.v_proj.bias
        result: Tensor = attention.out_proj(found)
        return result

    def _scores(
        self, heads: Tensor, projection: nn.Linear, image: Tensor, attention: Attention
    ) -> Tensor:
        """Return ``(B, heads, N, 4096)`` products of prompt and image tokens.

        What the projection would do to each image token at its place is done to the
        ``(B, heads, N, 16)`` prompt tokens.
        """
        heads = heads * _scale(attention)
        weight = projection.weight.unflatten(0, (attention.num_heads, -1))
        bias = projection.bias.unflatten(0, (attention.num_heads, -1, 1))
        through = (heads @ weight).flatten(1, 2).to(self._dtype)
        offset = (heads @ bias).flatten(1, 2).to(self._dtype)
        place = F.linear(through, self._position)
        scores = torch.baddbmm(place.add_(offset), through, image.mT)
        result: Tensor = scores.unflatten(1, heads.shape[1:3])
        return result

    def _marked(
        self,
        layer: TwoWayAttentionBlock,
        weights: Tensor,
        tokens: Tensor,
        image: Tensor,
    ) -> Tensor:
        """Return image tokens after they have looked at the prompt tokens.

        ``weights`` are ``(B, heads, N, 4096)``, their sums over N are 1.
        """
        attention = layer.cross_attn_image_to_token
        values = _heads(attention.v_proj(tokens), attention)
        out = attention.out_proj
        drawn = values @ out.weight.mT.unflatten(0, (attention.num_heads, -1))
        # the weights of a head add up to one: so does its share of the bias
        drawn[:, 0] += out.bias
        marked = torch.baddbmm(
            image, weights.flatten(1, 2).mT, drawn.flatten(1, 2).to(self._dtype)
        )
        return _layer_norm(marked, layer.norm4)


def _heads(x: Tensor, attention: Attention) -> Tensor:
    """Return ``(B, heads, N, C / heads)`` of ``(B, N, C)``."""
    heads: Tensor = x.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
    return heads


def _merged(x: Tensor) -> Tensor:
    """Return ``(B, N, C)`` of ``(B, heads, N, C / heads)``."""
    return x.transpose(1, 2).flatten(2)


def _scale(attention: Attention) -> float:
    return float((attention.internal_dim // attention.num_heads) ** -0.5)


def _layer_norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    weight, bias = norm.weight.to(x.dtype), norm.bias.to(x.dtype)
    return F.layer_norm(x, (x.shape[-1],), weight, bias, norm.eps)


def _upscaled(x: Tensor, conv: nn.ConvTranspose2d) -> Tensor:
    """Return ``(..., 4, C)`` of ``(..., D)``: each pixel becomes two by two."""
    weight = conv.weight.permute(2, 3, 1, 0).flatten(0, 2)
    bias = None if conv.bias is None else conv.bias.repeat(4)
    upscaled: Tensor = F.linear(x, weight, bias).unflatten(-1, (4, -1))
    return upscaled
