"""Speed of automatic proposals and of many boxes, as ratios in one run.

Against Segment Anything's ``SamAutomaticMaskGenerator`` with the same weights and the
same grid, and against single predictions.

Run: ``python benchmarks/automatic_speed.py`` (ten minutes on two cores).
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import torch
from predictor_speed import alternate
from segment_anything import SamAutomaticMaskGenerator
from skimage.data import coins
from skimage.transform import resize

from napari_infosam.core.metrics import iou
from napari_infosam.core.preprocess import to_rgb_uint8
from napari_infosam.models import EmbeddingCache, Predictor, load_model
from napari_infosam.models.automatic import AutomaticOptions, propose
from napari_infosam.models.registry import build_sam


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--points-per-side", type=int, default=32)
    parser.add_argument("--boxes", type=int, default=64)
    parser.add_argument("--side", type=int, default=1024)
    arguments = parser.parse_args()
    repetitions, n_side = arguments.repetitions, arguments.points_per_side
    side = arguments.side

    picture = resize(coins(), (side, side), preserve_range=True).astype(np.uint8)
    image = to_rgb_uint8(picture)
    model = load_model("vit_t", "cpu")
    plain, _ = build_sam("vit_t")
    generator = SamAutomaticMaskGenerator(
        plain, points_per_side=n_side, output_mode="coco_rle"
    )
    options = AutomaticOptions(max_share=1)
    points = generator.point_grids[0] * side

    def ours() -> list[object]:
        predictor = Predictor(model, EmbeddingCache())
        predictor.set_image(image)
        return list(propose(predictor, points, options))

    def theirs() -> list[object]:
        return list(generator.generate(image))

    predictor = Predictor(model)
    predictor.set_image(image)
    boxes = [one.small.box.as_array() for one in propose(predictor, points[::4])]
    random = np.random.default_rng(0)
    while len(boxes) < arguments.boxes:
        moved = boxes[len(boxes) // 2] + random.normal(0, 4, 4)
        boxes.append(np.clip(moved, 0, side - 1).astype(np.float32))
    boxes = boxes[: arguments.boxes]
    many = predictor.predict_boxes(boxes)
    singles = [predictor.predict(box=box) for box in boxes]
    ious = [
        iou(one.mask(), single.mask) for one, single in zip(many, singles, strict=True)
    ]
    result = {
        f"{len(boxes)} boxes at once / one by one": alternate(
            lambda: predictor.predict_boxes(boxes),
            lambda: [predictor.predict(box=box) for box in boxes],
            repetitions,
        ),
        "mask IoU of these, mean and least": [float(np.mean(ious)), min(ious)],
        f"proposals {n_side} x {n_side} / SamAutomaticMaskGenerator": alternate(
            ours, theirs, repetitions
        ),
        "proposals, and theirs": [len(ours()), len(theirs())],
        "side": side,
        "threads": torch.get_num_threads(),
        "decoder_dtype": str(model.dtype or torch.float32),
        "torch": torch.__version__,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
