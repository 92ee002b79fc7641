"""How long it takes until another version can answer, by the time of an embedding.

A decoder student shares the encoder, and so the embedding, of what answered before; a
full student looks at the picture again.

Run: ``python benchmarks/swap_speed.py`` (a minute on two cores).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from skimage.data import coins

from napari_infosam.core.preprocess import to_rgb_uint8
from napari_infosam.core.prompts import Point, PromptSet
from napari_infosam.models import EmbeddingCache, Predictor, load_model
from napari_infosam.models.student import (
    StudentSpec,
    build_student,
    load_student,
    save_student,
)

CLICK = PromptSet((Point(150, 120),))


def seconds(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="vit_t")
    parser.add_argument("--repetitions", type=int, default=10)
    arguments = parser.parse_args()

    image = to_rgb_uint8(coins())
    base = load_model(arguments.model, "cpu")
    seen = Predictor(base).embed(image)
    spent: dict[str, list[float]] = {
        name: [] for name in ("embed", "answer", "decoder_swap", "full_swap")
    }
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for method in ("decoder", "adapter"):
            spec = StudentSpec.of(base, method)
            paths[method] = Path(folder, f"{method}.safetensors")
            save_student(build_student(base.sam, spec)[0], paths[method], spec)

        def decoder_swap() -> None:
            student = load_student(base, paths["decoder"], "v001")
            if student.encoder_hash != base.encoder_hash:
                raise AssertionError(
                    "a decoder student would look at the picture again"
                )

        def full_swap() -> None:
            student = load_student(base, paths["adapter"], "v002")
            Predictor(student, EmbeddingCache()).embed(image)

        for _ in range(arguments.repetitions):
            spent["embed"].append(
                seconds(lambda: Predictor(base, EmbeddingCache()).embed(image))
            )
            spent["answer"].append(
                seconds(lambda: Predictor(base).answer(CLICK, None, seen))
            )
            spent["decoder_swap"].append(seconds(decoder_swap))
            spent["full_swap"].append(seconds(full_swap))
    found = {f"{name}_seconds": median(values) for name, values in spent.items()}
    embed = found["embed_seconds"]
    found["decoder_swap_by_embedding"] = found["decoder_swap_seconds"] / embed
    found["full_swap_by_embedding"] = found["full_swap_seconds"] / embed
    print(json.dumps({"model": arguments.model, **found}, indent=2))


if __name__ == "__main__":
    main()
