"""The store against simple models, on inputs that hypothesis thinks of."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis.extra.numpy as npst
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from napari_infosam.core.masks import decode_rle, encode_rle, mask_box
from napari_infosam.core.preprocess import Preprocessing
from napari_infosam.core.prompts import Box, Point, PromptSet
from napari_infosam.project import HistoryEntry, Project, painting
from napari_infosam.project.lookups import NumberedMask
from napari_infosam.project.painting import among, box_of, paint, pixels_of, rle_of

SHAPE = (7, 9)

coordinates = st.floats(-1e6, 1e6)
points = st.builds(Point, coordinates, coordinates, st.booleans())
boxes = st.builds(Box, *[coordinates] * 4)
prompt_sets = st.builds(
    PromptSet, st.lists(points, max_size=6).map(tuple), st.none() | boxes
)
masks = npst.arrays(np.bool_, SHAPE).filter(np.any)
dtypes = (
    npst.boolean_dtypes()
    | npst.integer_dtypes(endianness="?")
    | npst.unsigned_integer_dtypes(endianness="?")
    | npst.floating_dtypes(endianness="?")
)
image_shapes = npst.array_shapes(min_dims=2, max_dims=2, max_side=6) | st.tuples(
    st.integers(1, 6), st.integers(1, 6), st.integers(1, 4)
)


@pytest.fixture(scope="module")
def long_lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Return a project that many examples write into."""
    with Project.create(tmp_path_factory.mktemp("properties") / "cells") as project:
        yield project


@given(npst.arrays(np.bool_, npst.array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_rle_gives_back_the_mask(mask: np.ndarray) -> None:
    decoded = decode_rle(encode_rle(mask), mask.shape)
    assert decoded.dtype == np.bool_
    np.testing.assert_array_equal(decoded, mask)


@given(npst.arrays(dtypes, image_shapes))
def test_images_of_all_types_come_back(long_lived: Project, image: np.ndarray) -> None:
    record = long_lived.add_image(image, "a")
    stored = long_lived.read_image(record.id)
    assert stored.dtype.name == image.dtype.name == record.dtype
    assert stored.dtype.isnative
    assert stored.shape == image.shape == record.shape
    assert record.axes == "YXC"[: image.ndim]
    np.testing.assert_array_equal(stored, image)
    assert long_lived.add_image(image[::-1][::-1], "b") == record


@given(masks, prompt_sets, st.data())
def test_an_object_comes_back_as_it_was(
    long_lived: Project, mask: np.ndarray, prompts: PromptSet, data: st.DataObject
) -> None:
    ious = data.draw(st.lists(st.floats(0, 1), max_size=len(prompts)))
    score = data.draw(st.none() | st.floats(0, 1, width=32))
    slice_index = tuple(data.draw(st.lists(st.integers(0, 999), max_size=3)))
    image = long_lived.add_image(np.zeros(SHAPE), "a")
    written = long_lived.commit(
        image.id,
        mask,
        prompts=prompts,
        proposal_ious=ious,
        score=score,
        slice_index=slice_index,
    )
    assert long_lived.objects(image.id, slice_index=slice_index)[-1] == written
    np.testing.assert_array_equal(written.mask(), mask)
    assert written.prompts == prompts
    assert written.proposal_ious == tuple(ious)
    assert written.score == score
    assert written.slice_index == slice_index
    assert written.area == mask.sum()
    assert written.box == mask_box(mask)
    assert written.shape == SHAPE


def stacked(masks: dict[int, np.ndarray], shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Return the label image of masks by number: smaller ones lie on larger ones."""
    labels = np.zeros(shape, np.int32)
    for number in sorted(masks, key=lambda n: (-masks[n].sum(), n)):
        labels[masks[number]] = number
    return labels


@given(
    st.lists(masks, max_size=6),
    st.builds(Preprocessing, low=st.floats(0, 49), high=st.floats(50, 100)),
)
def test_the_label_image_is_what_painting_gives(
    long_lived: Project, many: list[np.ndarray], preprocessing: Preprocessing
) -> None:
    image = long_lived.add_image(np.ones(SHAPE), "a", preprocessing=preprocessing)
    for old in long_lived.objects(image.id):
        long_lived.delete(old.id)
    records = long_lived.commit_many(image.id, many)
    expected = stacked({r.instance_id: m for r, m in zip(records, many, strict=True)})
    np.testing.assert_array_equal(long_lived.label_image(image.id), expected)
    assert long_lived.image(image.id).preprocessing == preprocessing


@given(
    npst.arrays(np.bool_, npst.array_shapes(min_dims=2, max_dims=2, max_side=60)),
    st.sampled_from([1, 40]),
)
def test_painting_is_decoding(mask: np.ndarray, scale: int) -> None:
    # runs of many lengths: a number takes one, two or three characters
    mask = mask.repeat(scale, 0).repeat(scale, 1)
    record = NumberedMask(3, encode_rle(mask), int(mask.sum()))
    painted = paint([record], mask.shape)
    assert painted.flags.c_contiguous
    np.testing.assert_array_equal(painted, 3 * mask.astype(np.int32))


@given(
    st.lists(npst.arrays(np.bool_, (9, 17)), max_size=6),
    st.integers(0, 16),
    st.sampled_from([1, 100, 1 << 22]),
)
def test_many_masks_are_painted_as_one_after_the_other(
    masks: list[np.ndarray], start: int, at_once: int
) -> None:
    numbered = dict(enumerate(masks, 1))
    expected = stacked(numbered, (9, 17))
    records = [
        NumberedMask(number, encode_rle(mask), int(mask.sum()))
        for number, mask in numbered.items()
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(painting, "_AT_ONCE", at_once)
        columns = painting.paint_columns(records[::-1], (9, 17), start, 17)
    np.testing.assert_array_equal(columns, expected[:, start:])


@given(npst.arrays(np.bool_, npst.array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_pixels_are_encoded_as_masks_are(mask: np.ndarray) -> None:
    pixels = np.flatnonzero(mask.T)
    encoded = encode_rle(mask)
    np.testing.assert_array_equal(pixels_of(encoded), pixels)
    if mask.any():
        assert rle_of(pixels, mask.shape) == encoded
        assert box_of(pixels, mask.shape[0]) == mask_box(mask)


@given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)))
def test_among_is_membership(some: set[int], others: set[int]) -> None:
    found = among(np.array(sorted(some), int), np.array(sorted(others), int))
    assert found.tolist() == [number in others for number in sorted(some)]


strokes = st.lists(
    st.tuples(
        st.lists(
            st.tuples(st.integers(0, SHAPE[0] - 1), st.integers(0, SHAPE[1] - 1)),
            max_size=12,
        ),
        st.integers(0, 5),
    ),
    max_size=6,
)


@settings(max_examples=20)
@given(st.lists(masks, max_size=4), strokes)
def test_painting_is_assigning_in_a_label_image(
    many: list[np.ndarray], strokes: list[tuple[list[tuple[int, int]], int]]
) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="infosam-test-") as place,
        Project.create(Path(place, "a")) as project,
    ):
        image = project.add_image(np.ones(SHAPE), "a")
        project.commit_many(image.id, many)
        states = [project.objects()]
        drawn = {r.instance_id: r.mask() for r in project.objects()}
        for stroke, value in strokes:
            pixels = np.array(stroke, int).reshape(-1, 2)
            before = project.last_step()
            project.edits.paint(image.id, pixels, value)
            for number in {*drawn, value} - {0}:
                mask = drawn.setdefault(number, np.zeros(SHAPE, bool))
                mask[tuple(pixels.T)] = number == value
            labels = project.label_image(image.id)
            np.testing.assert_array_equal(labels, stacked(drawn))
            np.testing.assert_array_equal(labels[tuple(pixels.T)], value)
            if project.last_step() != before:
                states.append(project.objects())
            for record in project.objects():
                mask = record.mask()
                assert record.area == mask.sum()
                assert record.box == mask_box(mask)
                assert encode_rle(mask) == record.rle
        for state in reversed(states[:-1]):
            project.undo()
            assert project.objects() == state


class Journal(RuleBasedStateMachine):
    """Commits, deletes, steps back and forth, closing and killing, against lists."""

    @initialize()
    def start(self) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="infosam-test-"))
        self.project = Project.create(self.place / "cells")
        self.images = [
            self.project.add_image(np.full(SHAPE, value), "a").id for value in (0, 1)
        ]
        self.visible: set[int] = set()
        self.image_of: dict[int, int] = {}
        self.instance_of: dict[int, int] = {}
        self.replaced: dict[int, int] = {}
        self.done: list[tuple[str, int]] = []
        self.undone: list[tuple[str, int]] = []

    def act(self, action: str, object_id: int) -> None:
        self.done.append((action, object_id))
        self.undone.clear()
        self.show(action, object_id)

    def show(self, action: str, object_id: int, *, back: bool = False) -> None:
        if (action != "delete") != back:
            self.visible.add(object_id)
        else:
            self.visible.remove(object_id)
        if action == "replace":
            change = self.visible.add if back else self.visible.remove
            change(self.replaced[object_id])

    @rule(which=st.integers(0, 1), mask=masks)
    def commit(self, which: int, mask: np.ndarray) -> None:
        image_id = self.images[which]
        record = self.project.commit(image_id, mask)
        assert record.id not in self.image_of
        taken = [self.instance_of[i] for i, m in self.image_of.items() if m == image_id]
        assert record.instance_id == max(taken, default=0) + 1
        self.image_of[record.id] = image_id
        self.instance_of[record.id] = record.instance_id
        self.act("commit", record.id)

    @precondition(lambda self: self.visible)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        object_id = data.draw(st.sampled_from(sorted(self.visible)))
        self.project.delete(object_id)
        self.act("delete", object_id)

    @precondition(lambda self: self.visible)
    @rule(data=st.data(), mask=masks)
    def replace(self, data: st.DataObject, mask: np.ndarray) -> None:
        object_id = data.draw(st.sampled_from(sorted(self.visible)))
        record = self.project.edits.replace(object_id, mask)
        assert record.id not in self.image_of
        assert record.instance_id == self.instance_of[object_id]
        self.image_of[record.id] = self.image_of[object_id]
        self.instance_of[record.id] = record.instance_id
        self.replaced[record.id] = object_id
        self.act("replace", record.id)

    @rule()
    def undo(self) -> None:
        entry = self.project.undo()
        if not self.done:
            assert entry is None
            return
        action, object_id = self.done.pop()
        assert entry == HistoryEntry(action, object_id, self.image_of[object_id])  # type: ignore[arg-type]
        self.undone.append((action, object_id))
        self.show(action, object_id, back=True)

    @rule()
    def redo(self) -> None:
        entry = self.project.redo()
        if not self.undone:
            assert entry is None
            return
        action, object_id = self.undone.pop()
        assert entry == HistoryEntry(action, object_id, self.image_of[object_id])  # type: ignore[arg-type]
        self.done.append((action, object_id))
        self.show(action, object_id)

    @rule()
    def reopen(self) -> None:
        self.project.close()
        self.project = Project.open(self.place / "cells")

    @rule()
    def crash(self) -> None:
        copy = self.place / "copy.infosam"
        shutil.copytree(self.project.path, copy)
        self.project.close()
        shutil.rmtree(self.place / "cells.infosam")
        copy.rename(self.place / "cells.infosam")
        self.project = Project.open(self.place / "cells")

    @invariant()
    def the_same_objects(self) -> None:
        found = self.project.objects()
        assert [o.id for o in found] == sorted(self.visible)
        assert self.project.n_objects() == len(self.visible)
        for record in found:
            assert record.image_id == self.image_of[record.id]
            assert record.instance_id == self.instance_of[record.id]

    def teardown(self) -> None:
        self.project.close()
        shutil.rmtree(self.place)


TestJournal = Journal.TestCase
TestJournal.settings = settings(max_examples=15, stateful_step_count=25)
