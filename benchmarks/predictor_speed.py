"""Speed of the predictor against the bare modules, as ratios in one run.

Run: ``python benchmarks/predictor_speed.py`` (two minutes on two cores).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from skimage.data import coins

from napari_infosam.core.preprocess import to_rgb_uint8
from napari_infosam.core.prompts import Point, PromptSet
from napari_infosam.models import EmbeddingCache, Predictor, load_model
from napari_infosam.models.registry import build_sam


def alternate(
    first: Callable[[], object], second: Callable[[], object], repetitions: int
) -> dict[str, float]:
    """Return the ratio first / second of medians, and the spread of paired ratios."""
    first(), second()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repetitions):
        for work, spent in ((first, times[0]), (second, times[1])):
            start = time.perf_counter()
            work()
            spent.append(time.perf_counter() - start)
    ratios = np.divide(*times)
    return {
        "ratio": median(times[0]) / median(times[1]),
        "ratio_quartile_1": float(np.quantile(ratios, 0.25)),
        "ratio_quartile_3": float(np.quantile(ratios, 0.75)),
        "milliseconds": 1000 * median(times[0]),
        "milliseconds_reference": 1000 * median(times[1]),
    }


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=10)
    repetitions = parser.parse_args().repetitions

    image = to_rgb_uint8(coins())
    model = load_model("vit_t", "cpu")
    plain, _ = build_sam("vit_t")
    x = model.encoder_input(image).contiguous()

    def set_image() -> None:
        Predictor(model, EmbeddingCache()).set_image(image)

    @torch.inference_mode()
    def plain_encoder() -> None:
        plain.image_encoder(x)

    predictor = Predictor(model)
    predictor.set_image(image)
    embedding = predictor.embed(image).features.float()
    prompts = PromptSet((Point(150.0, 100.0),))
    coords = torch.tensor([[[150.0, 100.0]]])
    labels = torch.ones(1, 1, dtype=torch.int64)

    @torch.inference_mode()
    def bare_decoder() -> None:
        sparse, dense = plain.prompt_encoder((coords, labels), None, None)
        plain.mask_decoder(
            image_embeddings=embedding,
            image_pe=plain.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )

    result = {
        "set_image / fp32 encoder in default layout": alternate(
            set_image, plain_encoder, repetitions
        ),
        "answer / bare fp32 decoder": alternate(
            lambda: predictor.answer(prompts), bare_decoder, repetitions
        ),
        "threads": torch.get_num_threads(),
        "encoder_dtype": str(model.dtype or torch.float32),
        "torch": torch.__version__,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
