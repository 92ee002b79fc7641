from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage import io

from napari_infosam.core.prompts import Point
from napari_infosam.report import Curve, Example, draw_report


def example(size: int = 60) -> Example:
    target = np.zeros((size, size), bool)
    target[20:45, 15:40] = True
    nucleus = np.zeros_like(target)
    nucleus[28:36, 24:32] = True
    image = np.full((size, size, 3), 200, np.uint8)
    return Example(image, target, nucleus, target, Point(28, 32), 0.1, 1.0)


@pytest.mark.parametrize("n_examples", [1, 3])
def test_the_picture_shows_base_and_student(tmp_path: Path, n_examples: int) -> None:
    path = tmp_path / "report.png"
    base, student = Curve([0.1, 0.3, 0.5], 9.5), Curve([0.8, 0.9, 0.9], 1.5)
    draw_report(path, [example()] * n_examples, base=base, student=student, title="t")
    pixels = io.imread(path)[..., :3].astype(int)
    height, width = pixels.shape[:2]
    assert 1000 < width < 2000
    assert 250 * n_examples < height < 2000
    # base is drawn in orange, student in blue, somewhere
    red, blue = pixels[..., 0], pixels[..., 2]
    assert (red - blue > 120).sum() > 300
    assert (blue - red > 120).sum() > 300


def test_an_object_that_fills_the_image_is_shown(tmp_path: Path) -> None:
    whole = np.ones((30, 50), bool)
    image = np.zeros((30, 50, 3), np.uint8)
    full = Example(image, whole, whole, whole, Point(5, 5), 1.0, 1.0)
    curve = Curve([1.0], 1.0)
    draw_report(tmp_path / "r.png", [full], base=curve, student=curve, title="t")
    assert (tmp_path / "r.png").stat().st_size > 1000
