from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_infosam.core.prompts import Box, Point, PromptSet
from napari_infosam.models.decoder import MASK_TOKEN, Decoder, PromptTensors

SHAPE = (303, 384)
CPU = torch.device("cpu")
SETS = [
    PromptSet((Point(100, 200), Point(30.5, 40.25, positive=False))),
    PromptSet((Point(250, 60), Point(10, 290, positive=False))),
]
BOXED = [
    PromptSet((Point(100, 200),), Box(80, 180, 130, 250)),
    PromptSet((Point(250, 60),), Box(220, 30, 280, 90)),
]


@pytest.fixture(scope="module")
def features(coins_embedding):
    return coins_embedding.features.float()


def test_coordinates_are_scaled_to_the_square():
    tensors = PromptTensors.build(BOXED, SHAPE, CPU)
    assert tensors.coords.shape == (2, 1, 2)
    assert tensors.labels.tolist() == [[1], [1]]
    # as Segment Anything: 303 x 384 becomes 808 x 1024
    scale = np.array([1024 / 384, 808 / 303])
    np.testing.assert_allclose(
        tensors.coords.numpy(), np.array([[[100, 200]], [[250, 60]]]) * scale, rtol=1e-6
    )
    np.testing.assert_allclose(
        tensors.boxes.numpy()[0], np.array([80, 180, 130, 250]) * np.tile(scale, 2)
    )


def test_labels_tell_object_from_background():
    tensors = PromptTensors.build(SETS, SHAPE, CPU)
    assert tensors.labels.tolist() == [[1, 0], [1, 0]]
    assert tensors.boxes is None
    only_box = PromptTensors.build([PromptSet((), Box(1, 2, 3, 4))], SHAPE, CPU)
    assert only_box.coords is None
    assert only_box.labels is None


@pytest.mark.parametrize("sets", [SETS, BOXED])
def test_objects_do_not_see_each_other(base, features, sets):
    with torch.inference_mode():
        both = base.decoder(features, PromptTensors.build(sets, SHAPE, CPU))
        for number, one in enumerate(sets):
            alone = base.decoder(features, PromptTensors.build([one], SHAPE, CPU))
            for name in ("logits", "iou", "mask_token"):
                torch.testing.assert_close(
                    getattr(both, name)[number : number + 1],
                    getattr(alone, name),
                    atol=1e-4,
                    rtol=1e-4,
                )


def test_what_the_decoder_says(base, features):
    with torch.inference_mode():
        output = base.decoder(features, PromptTensors.build(SETS, SHAPE, CPU))
    assert output.logits.shape == (2, 4, 256, 256)
    assert output.iou.shape == (2, 4)
    assert output.mask_token.shape == (2, 1, 256)


def test_the_mask_token_makes_the_single_mask(base, features):
    """The token that is handed out is the one whose hypernetwork draws mask 0."""
    head, encoder = base.sam.mask_decoder, base.sam.prompt_encoder
    tensors = PromptTensors.build(SETS[:1], SHAPE, CPU)
    with torch.inference_mode():
        output = base.decoder(features, tensors)
        points = None if tensors.coords is None else (tensors.coords, tensors.labels)
        sparse, dense = encoder(points, tensors.boxes, None)
        fixed = torch.cat([head.iou_token.weight, head.mask_tokens.weight])
        queries = torch.cat([fixed[None], sparse], dim=1)
        _, places = head.transformer(features + dense, encoder.get_dense_pe(), queries)
        upscaled = head.output_upscaling(places.mT.unflatten(2, (64, 64)))
        weights = head.output_hypernetworks_mlps[0](output.mask_token[:, 0])
        drawn = (weights @ upscaled.flatten(2)[0]).view(1, 256, 256)
    torch.testing.assert_close(drawn, output.logits[:, 0], atol=1e-3, rtol=1e-4)
    assert MASK_TOKEN == 1


def test_no_hook_stays_behind(base, features):
    transformer = base.sam.mask_decoder.transformer
    with torch.inference_mode():
        base.decoder(features, PromptTensors.build(SETS, SHAPE, CPU))
    assert not transformer._forward_hooks
    with pytest.raises(RuntimeError):
        base.decoder(features[:, :3], PromptTensors.build(SETS, SHAPE, CPU))
    assert not transformer._forward_hooks


def test_gradients_flow_into_embedding_and_decoder(base, features):
    embedding = features.clone().requires_grad_()
    parameters = list(base.sam.mask_decoder.parameters())
    output = base.decoder(embedding, PromptTensors.build(SETS, SHAPE, CPU))
    loss = output.logits.mean() + output.iou.mean() + output.mask_token.square().mean()
    gradients = torch.autograd.grad(loss, [embedding, *parameters], allow_unused=True)
    assert gradients[0].abs().max() > 0
    reached = [g is not None and bool(g.abs().max() > 0) for g in gradients[1:]]
    assert np.mean(reached) > 0.9


def test_the_mask_input_counts(base, features):
    logits = torch.zeros(2, 1, 256, 256)
    logits[:, :, 100:150, 100:150] = 5
    plain = PromptTensors.build(SETS, SHAPE, CPU)
    with_mask = PromptTensors.build(SETS, SHAPE, CPU, logits)
    with torch.inference_mode():
        decoder = Decoder(base.sam)
        before, after = decoder(features, plain), decoder(features, with_mask)
    assert not torch.allclose(before.logits, after.logits, atol=0.1)
