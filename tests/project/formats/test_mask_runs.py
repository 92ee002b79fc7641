"""Encodings that are put together from parts, against those of whole masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from napari_infosam.core.masks import encode_rle, iter_objects
from napari_infosam.core.preprocess import Preprocessing
from napari_infosam.project.encoded import encode
from napari_infosam.project.formats.items import Item
from napari_infosam.project.formats.mask_runs import MaskRuns, rle_of_lengths
from napari_infosam.project.formats.polygons import fill_polygons
from napari_infosam.project.records import ImageRecord

from .helpers import masks

if TYPE_CHECKING:
    import pytest

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(
    labels=st.sampled_from([np.bool_, np.uint8, np.int64, np.float32]).flatmap(
        lambda dtype: SHAPES.flatmap(
            lambda shape: arrays(
                np.uint8, shape, elements=st.integers(0, 3), fill=st.just(0)
            ).map(lambda values: values.astype(dtype))
        )
    ),
    height=st.integers(1, 4),
    width=st.integers(1, 4),
)
def test_blocks_give_what_the_whole_gives(
    labels: np.ndarray, height: int, width: int
) -> None:
    runs = MaskRuns(labels.shape)
    for row in range(0, labels.shape[0], height):
        for column in range(0, labels.shape[1], width):
            part = labels[row : row + height, column : column + width]
            runs.add(part, row, column)
    plain = [(value, encode_rle(mask)) for value, mask in iter_objects(labels)]
    assert list(runs.rles()) == plain


def test_wide_blocks_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_infosam.project.formats.mask_runs._COLUMNS", 3)
    labels = np.random.default_rng(0).integers(0, 4, (20, 31))
    runs = MaskRuns(labels.shape)
    runs.add(labels)
    plain = [(value, encode_rle(mask)) for value, mask in iter_objects(labels)]
    assert list(runs.rles()) == plain


@given(masks(), st.data())
def test_runs_that_a_file_cuts_are_joined(
    mask: np.ndarray, data: st.DataObject
) -> None:
    flat = mask.ravel(order="F")
    cuts = sorted(data.draw(st.lists(st.integers(0, flat.size), max_size=5)))
    edges = np.flatnonzero(np.diff(flat, prepend=False, append=False))
    # a cut within a run is a run of no length
    both = np.sort(np.concatenate((edges, np.repeat(cuts, 2)))).astype(np.int64)
    lengths = np.diff(both, prepend=0, append=flat.size)
    assert rle_of_lengths(lengths, mask.shape) == encode_rle(mask)


@given(
    shape=SHAPES,
    polygons=st.lists(
        st.lists(
            st.tuples(st.floats(-8, 16, width=32), st.floats(-8, 16, width=32)),
            min_size=3,
            max_size=6,
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_polygons_are_filled_as_coco_does(
    shape: tuple[int, int], polygons: Any
) -> None:
    flat = [np.ravel(polygon).tolist() for polygon in polygons]
    plain = coco.decode(coco.merge(coco.frPyObjects(flat, *shape)))
    assert fill_polygons(flat, shape) == encode_rle(plain)


@given(masks())
def test_an_item_is_written_as_its_mask_is(mask: np.ndarray) -> None:
    shape = mask.shape
    image = ImageRecord(1, "a", "", shape, "YX", "uint8", None, Preprocessing(), None)
    assert Item.of_mask(mask).encoded() == encode(mask, image)
