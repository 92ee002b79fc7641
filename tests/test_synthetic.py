from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.masks import iter_objects
from napari_infosam.synthetic import SIDE, SyntheticImage, make_set

# object areas in pixels and mean colours of make_set(2, seed=0), which another
# platform may reproduce with a rounding difference
AREAS = {
    "synthetic_000": [2412, 4565, 3747, 3745, 4387],
    "synthetic_001": [2648, 3498, 3393, 2310],
}
COLOURS = {
    "synthetic_000": [221.17, 207.05, 208.01],
    "synthetic_001": [224.36, 207.71, 204.36],
}


@pytest.fixture(scope="module")
def images() -> list[SyntheticImage]:
    return make_set(8, seed=0)


def test_images_are_rgb_with_three_to_six_cells(images: list[SyntheticImage]) -> None:
    for sample in images:
        assert sample.image.shape == (SIDE, SIDE, 3)
        assert sample.image.dtype == np.uint8
        assert sample.labels.shape == (SIDE, SIDE)
        assert sample.labels.dtype == np.uint16
        values = np.unique(sample.labels)
        assert values.tolist() == list(range(len(values)))
        assert 3 <= values.max() <= 6


def test_every_cell_is_one_piece_of_sensible_size(
    images: list[SyntheticImage],
) -> None:
    for sample in images:
        for value, mask in iter_objects(sample.labels):
            assert label(mask)[1] == 1, (sample.name, value)
            assert 800 < mask.sum() < 9000, (sample.name, value)


def test_the_nucleus_is_what_stands_out(images: list[SyntheticImage]) -> None:
    """The cell as a whole differs far less from the background than its nucleus."""
    for sample in images:
        grey = sample.image.mean(axis=2)
        background = np.median(grey[sample.labels == 0])
        for _, mask in iter_objects(sample.labels):
            values = np.sort(background - grey[mask])
            nucleus, cytoplasm = values[-len(values) // 20 :], np.median(values)
            assert nucleus.mean() > 90
            assert 0 < cytoplasm < 45


def test_the_same_seed_gives_the_same_set(images: list[SyntheticImage]) -> None:
    again = make_set(3, seed=0)
    for first, second in zip(images, again, strict=False):
        assert first.name == second.name
        np.testing.assert_array_equal(first.image, second.image)
        np.testing.assert_array_equal(first.labels, second.labels)


def test_other_seeds_and_indices_give_other_images(
    images: list[SyntheticImage],
) -> None:
    other = make_set(1, seed=1)[0]
    assert not np.array_equal(other.labels, images[0].labels)
    assert not np.array_equal(images[1].labels, images[0].labels)
    assert len({sample.name for sample in images}) == len(images)


def test_the_set_is_the_published_one(images: list[SyntheticImage]) -> None:
    for sample in images[:2]:
        areas = [int(mask.sum()) for _, mask in iter_objects(sample.labels)]
        np.testing.assert_allclose(areas, AREAS[sample.name], rtol=0.005)
        colour = sample.image.mean(axis=(0, 1))
        np.testing.assert_allclose(colour, COLOURS[sample.name], atol=0.1)


@pytest.mark.parametrize(
    ("n_images", "seed", "value"), [(0, 0, "0"), (-3, 0, "-3"), (1, -1, "-1")]
)
def test_impossible_sets_are_refused(n_images: int, seed: int, value: str) -> None:
    with pytest.raises(InfosamError, match=value):
        make_set(n_images, seed)
