from __future__ import annotations

import numpy as np
import torch
from skimage.measure import label

from napari_infosam.core.geometry import model_shape
from napari_infosam.core.prompts import Point, PromptSet
from napari_infosam.models import Predictor
from napari_infosam.models.batch import predict_masks
from napari_infosam.models.decoder import DecoderOutput


def sizes(mask: np.ndarray) -> list[int]:
    """Return the pixels of each piece, the largest first."""
    return sorted(np.bincount(label(mask, connectivity=2).ravel())[1:], reverse=True)


def test_a_person_is_shown_no_specks(base, coins_embedding):
    height, width = coins_embedding.shape
    every, tidy = Predictor(base), Predictor(base, leave_out_specks=True)
    n_tidied = 0
    for x, y in np.ndindex(8, 8):
        click = Point((x + 0.5) / 8 * width, (y + 0.5) / 8 * height)
        prompts = PromptSet((click,))
        raw = every.answer(prompts, None, coins_embedding)
        shown = tidy.answer(prompts, None, coins_embedding)
        assert shown.score == raw.score
        if np.array_equal(shown.low_res_logits, raw.low_res_logits):
            assert np.array_equal(shown.mask, raw.mask)
            continue
        n_tidied += 1
        # along the edge, interpolation between logits leaves a pixel here or there
        before, now = (sizes(answer.mask) for answer in (raw, shown))
        assert len(now) <= len(before) + 1
        assert now[0] > 0.95 * before[0]
        rows, columns = model_shape(coins_embedding.shape, 256)
        left = sizes(shown.low_res_logits[:rows, :columns] > 0)
        specks = [size for size in left if size <= 9 and size < 0.009 * left[0]]
        assert len(specks) <= 1  # where the click is
        decoder = tidy.batch_decoder([prompts], coins_embedding)
        decoder._dtype = torch.float32  # as one click is decoded, on every CPU
        ambiguous = base.first_click == "multimask"
        (many,) = predict_masks(decoder, [prompts], ambiguous=ambiguous)
        assert np.count_nonzero(many.mask() != shown.mask) < 10
    assert n_tidied > 3
    assert np.array_equal(
        tidy.predict([(108, 226)], embedding=coins_embedding).low_res_logits,
        every.predict([(108, 226)], embedding=coins_embedding).low_res_logits,
    )


def test_a_click_on_a_speck_keeps_it(base, coins_embedding, monkeypatch):
    tidy = Predictor(base, leave_out_specks=True)
    drawn = torch.full((1, 4, 256, 256), -1.0)
    drawn[..., 20:80, 20:80] = 1
    drawn[..., 100:102, 100:102] = 1
    output = DecoderOutput(drawn, torch.ones(1, 4), torch.zeros(1, 1, 256))
    monkeypatch.setattr(tidy, "_decode", lambda *_: (output, coins_embedding.shape))
    scale = max(coins_embedding.shape) / 256
    on_disc, on_speck = (Point(scale * at, scale * at) for at in (50, 101))
    first = tidy.answer(PromptSet((on_disc,)), None, coins_embedding)
    assert not first.mask[round(on_speck.y), round(on_speck.x)]
    both = PromptSet((on_disc, on_speck))
    second = tidy.answer(both, first, coins_embedding)
    assert second.mask[round(on_speck.y), round(on_speck.x)]
