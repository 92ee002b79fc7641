"""How long the gradient of the information losses is, beside that of the masks.

    python benchmarks/gradient_norms.py --data DIR [--data DIR …]

takes the first step of the full stage on the first four images of each data set (laid
out as for ``infosam bench``) with the paper's weights, and prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from napari_infosam.bench.data import read_data_set
from napari_infosam.core.options import FinetuneOptions
from napari_infosam.models import EmbeddingCache, load_model
from napari_infosam.models.student import StudentSpec
from napari_infosam.training.batches import epoch
from napari_infosam.training.features import FrozenFeatures
from napari_infosam.training.stages import Stage

IMAGES = 4
PAPER = {"lambda_r": 1.0, "lambda_d": 0.5}


def gradients(stage: Stage, batch: list) -> dict[str, list[Tensor]]:
    """Return the gradients of one step, of decoder and encoder."""
    stage.step(batch, np.random.default_rng(0))
    found: dict[str, list[Tensor]] = {"decoder": [], "encoder": []}
    for name, parameter in stage.sam.named_parameters():
        if parameter.requires_grad:
            part = "decoder" if name.startswith("mask_decoder.") else "encoder"
            gradient = parameter.grad
            found[part].append(
                torch.zeros_like(parameter) if gradient is None else gradient
            )
    return found


def norm(tensors: list[Tensor]) -> float:
    """Return the Euclidean norm of all tensors together."""
    return float(torch.stack([t.square().sum() for t in tensors]).sum().sqrt())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, action="append", required=True)
    base = load_model("vit_t")
    answer = {}
    with tempfile.TemporaryDirectory() as folder:
        features = FrozenFeatures(base, EmbeddingCache(Path(folder)), 2)
        for path in parser.parse_args().data:
            data = read_data_set(path)
            samples = data.read(data.pairs[:IMAGES])
            batch = next(epoch(samples, IMAGES, np.random.default_rng(0)))
            spec = StudentSpec.of(base, "adapter")
            masks, both = (
                gradients(Stage(features, spec, FinetuneOptions(**options)), batch)
                for options in ({"distill": "none"}, {"distill": "infosam", **PAPER})
            )
            answer[data.name] = {
                part: {
                    "masks": norm(masks[part]),
                    "information": norm(
                        [b - m for b, m in zip(both[part], masks[part], strict=True)]
                    ),
                }
                for part in masks
            }
    print(json.dumps(answer, indent=2))


if __name__ == "__main__":
    main()
