from __future__ import annotations

import numpy as np
import pytest

from napari_infosam._napari.object_colors import class_colormap


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_classes_color_every_type_of_label_image(dtype: type) -> None:
    colors = class_colormap({1: "#ff0000", 65534: "#00ff00"}, "#0000ff")
    found = colors.map(np.array([0, 1, 2, 65534], dtype))
    expected = [(0, 0, 0, 0), (1, 0, 0, 1), (0, 0, 1, 1), (0, 1, 0, 1)]
    np.testing.assert_array_equal(found, expected)
