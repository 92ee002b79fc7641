from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.preprocess import Preprocessing, check_image, to_rgb_uint8

dtypes = (
    hnp.boolean_dtypes()
    | hnp.integer_dtypes()
    | hnp.unsigned_integer_dtypes()
    | hnp.floating_dtypes(sizes=(16, 32, 64))
)
side = st.integers(1, 9)
shapes = st.tuples(side, side) | st.tuples(side, side, st.integers(1, 4))
images = st.tuples(dtypes, shapes).flatmap(lambda how: hnp.arrays(*how))
float_images = hnp.arrays(np.float64, st.tuples(side, side))
contrasts = st.sampled_from(
    [
        Preprocessing(),
        Preprocessing(contrast="percentile"),
        Preprocessing(contrast="percentile", low=0, high=100),
        Preprocessing(contrast="percentile", low=20, high=21),
        Preprocessing(contrast="fixed", low=0, high=1),
        Preprocessing(contrast="fixed", low=-1.7e308, high=1.7e308),
        Preprocessing(contrast="fixed", low=0, high=5e-324),
    ]
)


@given(images, contrasts)
def test_every_image_becomes_rgb(image, how):
    before = image.copy()
    rgb = to_rgb_uint8(image, how)
    assert rgb.dtype == np.uint8
    assert rgb.shape == (*image.shape[:2], 3)
    assert rgb.flags.c_contiguous
    np.testing.assert_array_equal(image, before)


@given(float_images, contrasts)
def test_brighter_stays_brighter(image, how):
    grey = to_rgb_uint8(image, how)[..., 0].ravel().astype(int)
    values = np.nan_to_num(image.ravel(), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    order = np.argsort(values, kind="stable")
    assert (np.diff(grey[order]) >= 0).all()


@given(
    hnp.arrays(np.int32, st.tuples(side, side)),
    st.sampled_from([2.0**-900, 2.0**-3, 2.0**200, 2.0**990]),
)
def test_the_unit_of_the_intensities_does_not_matter(image, unit):
    scaled = image.astype(np.float64) * unit
    np.testing.assert_array_equal(to_rgb_uint8(scaled), to_rgb_uint8(image))


@given(float_images.filter(lambda image: len({*image[np.isfinite(image)]}) > 1))
def test_the_whole_range_is_used(image):
    grey = to_rgb_uint8(image, Preprocessing(contrast="percentile", low=0, high=100))
    assert grey.min() == 0
    assert grey.max() == 255


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "int64", "uint64"])
def test_extremes_of_integers(dtype):
    info = np.iinfo(dtype)
    middle = info.min // 2 + info.max // 2
    image = np.array([[info.min, middle, info.max]], dtype)
    grey = to_rgb_uint8(image, Preprocessing(contrast="percentile", low=0, high=100))
    np.testing.assert_allclose(grey[0, :, 0].astype(int), [0, 127, 255], atol=1)


@pytest.mark.parametrize("top", [5e-324, 1e-310, 1.0, 1e300, 1.7976931348623157e308])
def test_extremes_of_floats(top):
    image = np.array([[-top, 0.0, top]])
    grey = to_rgb_uint8(image, Preprocessing(contrast="percentile", low=0, high=100))
    np.testing.assert_allclose(grey[0, :, 0].astype(int), [0, 128, 255], atol=1)


def test_longdouble_beyond_float64():
    image = np.array([[0, 1, np.finfo(np.longdouble).max]], np.longdouble)
    assert to_rgb_uint8(image)[0, :, 0].tolist()[::2] == [0, 255]


def test_nan_is_dark_and_infinities_are_the_ends():
    image = np.linspace(1, 2, 100).reshape(10, 10)
    image[0, :3] = np.nan, -np.inf, np.inf
    rgb = to_rgb_uint8(image)
    assert rgb[0, :3, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -3.5, 1e308])
def test_an_image_of_one_value_is_black(value):
    assert not to_rgb_uint8(np.full((4, 5), value)).any()


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.int64])
def test_a_few_hot_pixels_do_not_darken_the_rest(dtype):
    image = np.tile(np.arange(1000, 1100), (100, 1)).astype(dtype)
    image[3, :5] = np.iinfo(np.uint16).max
    clean = to_rgb_uint8(np.tile(np.arange(1000, 1100), (100, 1)).astype(dtype))
    assert np.abs(to_rgb_uint8(image)[10:].astype(int) - clean[10:]).max() <= 4


def test_a_rare_bright_object_on_constant_ground_is_seen():
    image = np.full((100, 100), 7, np.uint16)
    image[50, 50] = 900
    assert to_rgb_uint8(image)[50, 50, 0] == 255
    assert to_rgb_uint8(image)[0, 0, 0] == 0


@given(hnp.arrays(np.uint8, shapes))
def test_uint8_stays_as_it_is(image):
    rgb = to_rgb_uint8(image)
    if image.ndim == 2 or image.shape[2] == 1:
        grey = image if image.ndim == 2 else image[..., 0]
        for channel in range(3):
            np.testing.assert_array_equal(rgb[..., channel], grey)
    elif image.shape[2] == 2:
        np.testing.assert_array_equal(rgb[..., :2], image)
        assert not rgb[..., 2].any()
    else:
        np.testing.assert_array_equal(rgb, image[..., :3])


def test_bool_is_black_and_white():
    image = np.array([[False, True]])
    assert to_rgb_uint8(image)[0, :, 0].tolist() == [0, 255]


def test_every_channel_is_stretched_by_itself():
    ramp = np.arange(256, dtype=np.float64).reshape(16, 16)
    image = np.stack([ramp, ramp * 1000, -ramp], axis=2)
    rgb = to_rgb_uint8(image)
    np.testing.assert_array_equal(rgb[..., 0], rgb[..., 1])
    np.testing.assert_allclose(rgb[..., 2], 255.0 - rgb[..., 0], atol=1)


@given(hnp.arrays(np.uint8, (3, 4, 6)), st.permutations(range(6)))
def test_channels_are_chosen(image, order):
    three = Preprocessing(channels=tuple(order[:3]))
    np.testing.assert_array_equal(to_rgb_uint8(image, three), image[..., order[:3]])
    one = Preprocessing(channels=(order[0],))
    np.testing.assert_array_equal(
        to_rgb_uint8(image, one)[..., 2], image[..., order[0]]
    )


def test_fixed_contrast_is_that_of_the_numbers():
    image = np.array([[-5.0, 0.0, 50.0, 100.0, 1e9]])
    rgb = to_rgb_uint8(image, Preprocessing(contrast="fixed", low=0, high=100))
    assert rgb[0, :, 1].tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.zeros(5), r"axes YX or YXC, not shape \(5,\)"),
        (np.zeros((2, 3, 4, 3)), r"axes YX or YXC, not shape \(2, 3, 4, 3\)"),
        (np.zeros(()), r"axes YX or YXC, not shape \(\)"),
        (np.zeros((0, 7)), r"shape \(0, 7\) has no pixels"),
        (np.zeros((7, 0, 3)), r"shape \(7, 0, 3\) has no pixels"),
        (np.zeros((7, 5, 0)), r"shape \(7, 5, 0\) has no pixels"),
        (np.zeros((7, 5, 5)), "5 channels on its last axis"),
        (np.zeros((4, 4), complex), "type complex128"),
        (np.full((2, 2), "a"), "type <U1"),
        (np.full((2, 2), None), "type object"),
        (np.zeros((2, 2), "M8[s]"), "type datetime64"),
    ],
)
def test_what_is_no_image_gets_a_sentence(image, sentence):
    with pytest.raises(InfosamError, match=sentence):
        check_image(image)
    with pytest.raises(InfosamError, match=sentence):
        to_rgb_uint8(image)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 2)])
def test_a_channel_that_is_not_there_gets_a_sentence(shape):
    with pytest.raises(InfosamError, match=r"no channels \(2,\)"):
        to_rgb_uint8(np.zeros(shape), Preprocessing(channels=(2,)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"low": 50, "high": 50},
        {"low": 2, "high": 1},
        {"low": -1},
        {"high": 101},
        {"contrast": "fixed", "low": 1, "high": 0},
        {"contrast": "fixed", "high": float("inf")},
        {"low": float("nan")},
        {"channels": ()},
        {"channels": (0, 1, 2, 3)},
        {"gamma": 2},
    ],
)
def test_impossible_preprocessing_is_refused(wrong):
    with pytest.raises(ValidationError):
        Preprocessing(**wrong)


@given(contrasts)
def test_a_model_card_keeps_the_preprocessing_exactly(how):
    assert Preprocessing.model_validate_json(how.model_dump_json()) == how
