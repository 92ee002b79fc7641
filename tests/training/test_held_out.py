from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from napari_infosam.core.masks import encode_rle
from napari_infosam.training.dataset import Sample
from napari_infosam.training.held_out import TURNS, HeldOut

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(data=st.data(), shape=SHAPES, n=st.integers(1, 3))
def test_picture_and_masks_are_turned_together(data, shape, n):
    picture = data.draw(nps.arrays(np.uint8, (*shape, 3)))
    masks = data.draw(
        st.lists(nps.arrays(bool, shape), min_size=n, max_size=n, unique_by=bytes)
    )
    rles = tuple(map(encode_rle, masks))
    views = HeldOut.of([Sample("a", picture, rles, {rles[0]: "v001"})], 100)
    assert views.n_views == len(views.samples) == len(TURNS)
    for view, turn in zip(views.samples, TURNS, strict=True):
        assert view.name == "a"
        np.testing.assert_array_equal(view.picture, turn(picture))
        for index, mask in enumerate(masks):
            np.testing.assert_array_equal(view.mask(index), turn(mask))
        assert view.authors[view.rles[0]] == "v001"
        assert len(view.authors) == 1


def test_no_side_is_seen_twice():
    picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    seen = {turn(picture).tobytes() for turn in TURNS}
    assert len(seen) == len(TURNS)


@pytest.mark.parametrize(
    ("n_objects", "n_views"),
    [(1, 4), (6, 4), (7, 3), (8, 3), (12, 2), (13, 1), (50, 1)],
)
def test_the_fewer_objects_the_more_views(n_objects, n_views):
    mask = np.ones((2, 2), bool)
    sample = Sample("a", np.zeros((2, 2, 3), np.uint8), (encode_rle(mask),) * n_objects)
    assert HeldOut.of([sample], 24).n_views == n_views


def test_nothing_held_out_has_no_views():
    assert HeldOut.of([], 24).samples == ()


def test_objects_are_counted_once_and_judged_in_all_views(base, frozen, samples):
    few = [Sample(s.name, s.picture, s.rles[:1]) for s in samples[:2]]
    views = HeldOut.of(few, 4)
    told = []
    found = views.evaluate(
        base, frozen, max_clicks=2, on_progress=lambda *at: told.append(at)
    )
    assert (found.n_views, found.n_objects, found.n_images) == (2, 2, 2)
    # before each picture, so that a cancel need not wait for all of them
    assert told == [(0, 4)] * 4 + [(1, 4), (2, 4), (3, 4), (4, 4)]
    names = [s.name for s in few]
    assert [o.image for o in found.objects] == names * 2
    metrics = found.metrics()
    assert (metrics.n_objects, metrics.n_images) == (2, 2)
    # the first view is what one view alone gives, the second another picture
    alone = HeldOut.of(few, 2).evaluate(
        base, frozen, max_clicks=2, on_progress=lambda *_at: None
    )
    assert [o.ious for o in alone.objects] == [o.ious for o in found.objects[:2]]
    assert [o.ious for o in alone.objects] != [o.ious for o in found.objects[2:]]
    one = found.only([1])
    assert [o.image for o in one.objects] == [names[1]] * 2
    assert (one.n_objects, one.n_views) == (1, 2)
