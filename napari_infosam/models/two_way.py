"""The decoder's two-way transformer, arranged for few tokens and many pixels.

What `TwoWayTransformer` of Segment Anything computes, in another order. A head's score
is ``(q W_q) (k W_k)^T``. Where q are the few tokens and k the 4096 places of the image,
``(q W_q W_k^T) k^T`` never projects the image: 8 heads of 7 tokens are 56 vectors, less
than half of the 128 channels the image would be projected to. The same holds for values
and for the way back to the image. The bias of the keys adds the same to all scores of a
query, which the softmax takes out again: it is left out, and has no gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from segment_anything.modeling.transformer import (
        Attention,
        TwoWayAttentionBlock,
        TwoWayTransformer,
    )


def two_way(
    transformer: TwoWayTransformer, image: Tensor, position: Tensor, points: Tensor
) -> tuple[Tensor, Tensor]:
    """Let tokens and image attend to each other.

    Parameters
    ----------
    transformer
        Whose weights are used.
    image
        ``(1, P, C)`` if all objects see the same, else ``(B, P, C)``; P places.
    position
        ``(1, P, C)``, the positional encoding of the places.
    points
        ``(B, N, C)`` tokens and prompts.

    Returns
    -------
    tuple
        Tokens ``(B, N, C)`` and image ``(B, P, C)``.
    """
    tokens, places = points, image
    for layer in transformer.layers:
        tokens, places = _layer(layer, tokens, places, points, position)
    seen = to_image(
        transformer.final_attn_token_to_image,
        tokens + points,
        places + position,
        places,
    )
    return transformer.norm_final_attn(tokens + seen), places


def _layer(
    layer: TwoWayAttentionBlock,
    tokens: Tensor,
    places: Tensor,
    points: Tensor,
    position: Tensor,
) -> tuple[Tensor, Tensor]:
    if layer.skip_first_layer_pe:
        tokens = among_tokens(layer.self_attn, tokens, tokens)
    else:
        tokens = tokens + among_tokens(layer.self_attn, tokens + points, tokens)
    tokens = layer.norm1(tokens)
    placed = places + position
    seen = to_image(layer.cross_attn_token_to_image, tokens + points, placed, places)
    tokens = layer.norm2(tokens + seen)
    tokens = layer.norm3(tokens + layer.mlp(tokens))
    told = to_tokens(layer.cross_attn_image_to_token, placed, tokens + points, tokens)
    return tokens, layer.norm4(places + told)


def among_tokens(attention: Attention, asking: Tensor, values: Tensor) -> Tensor:
    """Return what ``(B, N, C)`` tokens see in each other, ``(B, N, C)``."""
    heads = attention.num_heads
    query, key, value = (
        x.unflatten(2, (heads, -1)).transpose(1, 2)
        for x in (
            attention.q_proj(asking),
            F.linear(asking, attention.k_proj.weight),
            attention.v_proj(values),
        )
    )
    seen = F.scaled_dot_product_attention(query, key, value)
    return attention.out_proj(seen.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def to_image(
    attention: Attention, tokens: Tensor, keys: Tensor, values: Tensor
) -> Tensor:
    """Return what tokens see in the image, ``(B, N, C)``.

    Parameters
    ----------
    attention
        Whose weights are used.
    tokens
        ``(B, N, C)``, those that ask.
    keys, values
        ``(1, P, C)`` or ``(B, P, C)`` of the image.
    """
    heads, width = attention.num_heads, attention.internal_dim // attention.num_heads
    query = attention.q_proj(tokens).unflatten(2, (heads, width)) * width**-0.5
    weight = attention.k_proj.weight.unflatten(0, (heads, width))
    asked = (query.transpose(1, 2) @ weight).flatten(1, 2)  # (B, heads * N, C)
    share = _scores(keys, asked).softmax(1)  # (B, P, heads * N)
    seen = (share.mT @ values).unflatten(1, (heads, -1))  # (B, heads, N, C)
    weight = attention.v_proj.weight.unflatten(0, (heads, width))
    value = (seen @ weight.mT).transpose(1, 2).flatten(2) + attention.v_proj.bias
    return attention.out_proj(value)  # type: ignore[no-any-return]


def to_tokens(
    attention: Attention, places: Tensor, keys: Tensor, values: Tensor
) -> Tensor:
    """Return what the image sees in the tokens, ``(B, P, C)``.

    Parameters
    ----------
    attention
        Whose weights are used.
    places
        ``(1, P, C)`` or ``(B, P, C)``, those that ask.
    keys, values
        ``(B, N, C)`` of the tokens.
    """
    heads, width = attention.num_heads, attention.internal_dim // attention.num_heads
    key = F.linear(keys, attention.k_proj.weight)
    key = key.unflatten(2, (heads, width)) * width**-0.5
    value = attention.v_proj(values).unflatten(2, (heads, width))
    weight = attention.q_proj.weight.unflatten(0, (heads, width))
    bias = attention.q_proj.bias.unflatten(0, (heads, width))
    # tokens first, then heads: the softmax is over the tokens of each head
    asked = (key.transpose(1, 2) @ weight).transpose(1, 2)  # (B, N, heads, C)
    offset = (key * bias).sum(-1).flatten(1).unsqueeze(1)  # (B, 1, N * heads)
    score = _scores(places, asked.flatten(1, 2)) + offset
    share = score.unflatten(2, (-1, heads)).softmax(2).flatten(2)
    weight = attention.out_proj.weight.unflatten(1, (heads, width)).permute(1, 2, 0)
    told = (value.transpose(1, 2) @ weight).transpose(1, 2).flatten(1, 2)
    return share @ told + attention.out_proj.bias  # type: ignore[no-any-return]


def _scores(places: Tensor, asked: Tensor) -> Tensor:
    """Return ``(B, P, R)`` products of all places with ``(B, R, C)`` of each object.

    In this order, the gradients of the places lie in memory as the places do.
    """
    if len(places) == 1:  # one matrix serves all objects
        products = places[0] @ asked.flatten(0, 1).mT
        scores: Tensor = products.unflatten(1, (len(asked), -1)).transpose(0, 1)
        return scores
    return places @ asked.mT
