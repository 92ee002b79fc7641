from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from skimage.draw import ellipse

from napari_infosam.core.masks import encode_rle
from napari_infosam.core.preprocess import Preprocessing, to_rgb_uint8
from napari_infosam.core.prompts import Point, PromptSet
from napari_infosam.training.dataset import (
    Sample,
    count_objects,
    limit_objects,
    load_split,
    low_res_shape,
    low_res_target,
    split_objects,
)


def rles(samples) -> list[bytes]:
    return [rle for sample in samples for rle in sample.rles]


def masks_of(project, image_id) -> list[bytes]:
    return [o.rle for o in project.objects(image_id)]


# ---------------------------------------------------------------- the split


def test_the_first_image_validates_and_it_stays_so(project_of):
    with project_of([2, 2, 2]) as project:
        first = load_split(project)
        ids = [image.id for image in project.images()]
        assert rles(first.validation) == masks_of(project, ids[0])
        assert sorted(rles(first.train)) == sorted(
            masks_of(project, ids[1]) + masks_of(project, ids[2])
        )
        # more objects and another image move nothing from one side to the other
        for image in project.images():
            mask = np.zeros(image.shape[:2], bool)
            mask[3:9, 3:9] = True
            project.commit(image.id, mask)
        later = load_split(project)
    assert set(rles(first.validation)) <= set(rles(later.validation))
    assert set(rles(first.train)) <= set(rles(later.train))
    assert count_objects(later.train) == 6
    assert count_objects(later.validation) == 3


def test_slices_beside_each_other_are_one_group(project_of):
    with project_of([]) as project:
        for n, name in enumerate(["z.tif [0]", "z.tif [1]", "z.tif [4]", "a.png"]):
            pixels = np.full((8, 8), n, np.uint8)
            image = project.add_image(pixels, name, source=f"/data/{name.split()[0]}")
            project.commit(image.id, pixels == n)
        split = load_split(project)
    groups = {s.name: s.group for s in (*split.train, *split.validation)}
    assert groups["a.png"] == "a.png"
    assert groups["z.tif [0]"] == groups["z.tif [1]"] != groups["z.tif [4]"]


def test_no_object_is_on_both_sides(project_of):
    with project_of([3, 3, 3, 3]) as project:
        split = load_split(project)
        everything = [o.rle for o in project.objects()]
    assert sorted(rles(split.train) + rles(split.validation)) == sorted(everything)


def test_a_single_image_is_split_by_its_objects(project_of):
    with project_of([3]) as project:
        split = load_split(project)
        everything = masks_of(project, project.images()[0].id)
    assert rles(split.validation) == everything[1:2]
    assert rles(split.train) == [everything[0], everything[2]]
    assert np.array_equal(split.train[0].picture, split.validation[0].picture)


def test_the_split_of_a_single_image_is_sticky():
    picture = np.zeros((8, 8, 3), np.uint8)
    names = [bytes([65 + i]) for i in range(7)]
    for count in range(1, 8):
        split = split_objects([Sample("a", picture, tuple(names[:count]))])
        assert rles(split.train) == [
            n for i, n in enumerate(names[:count]) if i % 3 != 1
        ]
        assert rles(split.validation) == names[1:count:3]


def test_one_object_is_not_enough(project_of):
    with project_of([1]) as project:
        split = load_split(project)
    assert count_objects(split.train) == 1
    assert split.validation == ()


def test_nothing_accepted(project_of):
    with project_of([0, 0]) as project:
        split = load_split(project)
    assert split.train == split.validation == ()


def test_only_reviewed_objects_that_are_not_deleted(project_of, cells):
    with project_of([2, 2]) as project:
        image = project.images()[1]
        mask = np.zeros(image.shape[:2], bool)
        mask[:5, :5] = True
        project.commit(image.id, mask, reviewed=False)
        gone = project.objects(image.id, reviewed=True)[0]
        project.delete(gone.id)
        found = rles(load_split(project).train)
    assert encode_rle(mask) not in found
    assert gone.rle not in found
    assert len(found) == 1


def test_masks_that_a_model_proposed_are_known(project_of):
    with project_of([2]) as project:
        image = project.images()[0]
        masks = np.zeros((4, *image.shape[:2]), bool)
        for number, mask in enumerate(masks):
            mask[10 * number : 10 * number + 5, :5] = True
        click = PromptSet((Point(2.0, 2.0, True),))
        first = project.commit(
            image.id,
            masks[0],
            prompts=click,
            model_version="v001",
            score=0.9,
            proposal_ious=[1.0],
        )
        project.commit(
            image.id, masks[1], prompts=click, score=0.9, proposal_ious=[0.6]
        )
        at_once = project.commit(image.id, masks[2], score=0.9)
        project.commit(image.id, masks[3])
        split = load_split(project)
        found = {**split.train[0].authors, **split.validation[0].authors}
    assert found == {first.rle: "v001", at_once.rle: "base"}


def test_proposals_that_were_painted_on_are_their_authors_own(project_of):
    with project_of([2]) as project:
        image = project.images()[0]
        mask = np.zeros(image.shape[:2], bool)
        mask[:5, :5] = True
        click = PromptSet((Point(2.0, 2.0, True),))
        for at in (0, 20):
            project.commit(
                image.id,
                np.roll(mask, at, axis=0),
                prompts=click,
                model_version="v001",
                score=0.9,
                proposal_ious=[1.0],
            )
        *_, first, second = project.objects()
        project.edits.paint(image.id, np.array([[5, 5]]), first.instance_id)
        project.commit(image.id, np.roll(mask, 22, axis=0), overlap="replace")
        split = load_split(project)
        areas = {o.instance_id: o.area for o in project.objects()}
    authors = {**split.train[0].authors, **split.validation[0].authors}
    assert (areas[first.instance_id], areas[second.instance_id]) == (26, 10)
    assert authors == {}


def test_the_picture_is_what_the_window_shows(project_of, cells):
    """Training and clicking share the preprocessing, 16-bit images included."""
    how = Preprocessing(contrast="fixed", low=1000, high=2000, channels=(1,))
    pixels = cells[0].image.astype(np.uint16) * 10
    with project_of([2]) as project:
        image = project.add_image(pixels, "16 bit", preprocessing=how)
        mask = np.zeros(pixels.shape[:2], bool)
        mask[5:20, 5:20] = True
        project.commit(image.id, mask)
        samples = {s.name: s for s in load_split(project).train}
    np.testing.assert_array_equal(samples["16 bit"].picture, to_rgb_uint8(pixels, how))
    np.testing.assert_array_equal(samples["16 bit"].mask(0), mask)


# ---------------------------------------------------------------- fewer objects


def named(counts) -> list[Sample]:
    picture = np.zeros((4, 4, 3), np.uint8)
    return [
        Sample(str(i), picture, tuple(f"{i}-{j}".encode() for j in range(count)))
        for i, count in enumerate(counts)
    ]


@given(
    counts=st.lists(st.integers(1, 9), max_size=6),
    most=st.integers(0, 30),
    seed=st.integers(0, 5),
)
def test_limited_objects(counts, most, seed):
    samples = named(counts)
    taken = limit_objects(samples, most, seed)
    found = rles(taken)
    assert len(found) == len(set(found)) == min(most, sum(counts))
    assert set(found) <= set(rles(samples))
    for sample in taken:
        assert sample.rles
        assert all(r.decode().startswith(f"{sample.name}-") for r in sample.rles)
    assert limit_objects(samples, most, seed) == taken
    # drawn evenly: an image gives one more than another only if that one has no more
    drawn = {s.name: len(s.rles) for s in taken}
    for one in samples:
        for other in samples:
            spare = len(other.rles) > drawn.get(other.name, 0)
            ahead = drawn.get(one.name, 0) - drawn.get(other.name, 0)
            assert ahead <= 1 or not spare


def test_another_seed_draws_others():
    samples = named([9])
    drawn = {rles(limit_objects(samples, 3, seed))[0] for seed in range(20)}
    assert len(drawn) > 3


# ---------------------------------------------------------------- targets

SHAPES = st.tuples(st.integers(1, 700), st.integers(1, 700))


@given(shape=SHAPES)
@example(shape=(1, 3000))
@example(shape=(1024, 1024))
def test_low_res_shape_holds_the_image(shape):
    height, width = low_res_shape(shape)
    assert max(height, width) == 256
    assert min(height, width) >= 1
    if shape[0] == shape[1]:
        assert (height, width) == (256, 256)


@given(shape=SHAPES, data=st.data())
def test_the_smallest_object_is_not_lost(shape, data):
    row = data.draw(st.integers(0, shape[0] - 1))
    column = data.draw(st.integers(0, shape[1] - 1))
    mask = np.zeros(shape, bool)
    mask[row, column] = True
    small = low_res_target(mask)[0, 0].numpy()
    assert small.shape == low_res_shape(shape)
    assert small.min() >= 0
    assert small.max() <= 1
    assert (small > 0.5).any()
    # and it is where it was
    rows, columns = np.nonzero(small > 0.5)
    for found, side, at in ((rows, 0, row), (columns, 1, column)):
        scale = small.shape[side] / shape[side]
        assert abs(found.mean() + 0.5 - (at + 0.5) * scale) <= 1 + scale / 2


@given(
    shape=st.tuples(st.integers(40, 700), st.integers(40, 700)),
    row=st.floats(0.25, 0.75),
    column=st.floats(0.25, 0.75),
    height=st.floats(0.08, 0.24),
    width=st.floats(0.08, 0.24),
)
def test_area_is_preserved(shape, row, column, height, width):
    mask = np.zeros(shape, bool)
    rows, columns = ellipse(
        row * shape[0], column * shape[1], height * shape[0], width * shape[1]
    )
    mask[rows, columns] = True
    small = low_res_target(mask)
    assert small.mean().item() == pytest.approx(mask.mean(), rel=0.03, abs=2e-4)
    hard = (small > 0.5).float().mean().item()
    assert hard == pytest.approx(mask.mean(), rel=0.2, abs=2e-3)


def test_full_and_half_masks():
    assert (low_res_target(np.ones((30, 50), bool)) == 1).all()
    half = np.zeros((512, 512), bool)
    half[:, :256] = True
    small = low_res_target(half)[0, 0]
    assert (small[:, :127] == 1).all()
    assert (small[:, 129:] == 0).all()
