"""Changes of accepted objects: one transaction and one step for undo each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.prompts import Box, Point, PromptSet
from napari_infosam.core.rough_mask import RoughMask
from napari_infosam.project import HistoryEntry, ImageRecord, ObjectRecord, Project
from napari_infosam.project import history as journal
from napari_infosam.project.objects import Origin

from .conftest import SHAPE, gradient, square


def where(mask: np.ndarray) -> np.ndarray:
    """Return the (row, column) of a mask's pixels."""
    return np.argwhere(mask)


@pytest.fixture
def three(project: Project, image: ImageRecord) -> list[ObjectRecord]:
    """Return three objects, of which the first two overlap."""
    project.add_class("cell")
    return [
        project.commit(
            image.id,
            square(2, 2, 6),
            prompts=PromptSet((Point(4, 4),)),
            score=0.9,
            proposal_ious=(1.0,),
        ),
        project.commit(
            image.id, square(5, 5, 6), prompts=PromptSet(box=Box(5, 5, 10, 10))
        ),
        project.commit(image.id, square(15, 20), model_version="v001"),
    ]


def masks(project: Project) -> dict[int, np.ndarray]:
    return {record.instance_id: record.mask() for record in project.objects()}


# ------------------------------------------------------------------- relabel
def test_a_class_is_changed_and_changed_back(
    project: Project, image: ImageRecord, three: list[ObjectRecord]
) -> None:
    ids = [three[2].id, three[0].id]
    assert project.edits.relabel([*ids, ids[0]], "cell") == 2
    changed = sorted(project.objects(), key=lambda o: -o.instance_id)[::2]
    assert [record.class_name for record in changed] == ["cell", "cell"]
    assert [record.instance_id for record in changed] == [3, 1]
    for new, old in zip(changed, (three[2], three[0]), strict=True):
        assert (new.rle, new.prompts, new.score) == (old.rle, old.prompts, old.score)
        assert new.proposal_ious == old.proposal_ious
    assert project.n_objects() == 3
    entry = HistoryEntry("relabel", changed[0].id, image.id, n_objects=2)
    assert project.undo() == entry
    assert project.objects() == three
    assert project.redo() == entry
    assert {o.instance_id: o.class_name for o in project.objects()} == {
        1: "cell",
        2: "object",
        3: "cell",
    }


def test_all_prompts_go_along_into_another_class(
    project: Project, image: ImageRecord, three: list[ObjectRecord]
) -> None:
    rough = RoughMask.of(square(3, 3, 4))
    for prompts in (PromptSet((Point(4, 4),), choice=2), PromptSet(rough=rough)):
        old = project.commit(
            image.id, square(2, 2, 6), prompts=prompts, proposal_ious=(0.5,)
        )
        project.edits.relabel([old.id], "cell")
        new = project.objects(instance_ids=[old.instance_id])[0]
        assert (new.class_name, new.prompts) == ("cell", prompts)
        assert (new.proposal_ious, new.box) == ((0.5,), old.box)


def test_the_same_class_again_is_no_step(
    project: Project, three: list[ObjectRecord]
) -> None:
    assert project.edits.relabel([three[0].id], "object") == 0
    assert project.objects() == three
    assert project.last_step() == HistoryEntry("commit", three[2].id, 1)


# ------------------------------------------------------------------- replace
def test_a_mask_is_replaced_and_the_old_one_comes_back(
    project: Project, image: ImageRecord, three: list[ObjectRecord]
) -> None:
    mask = square(1, 1, 9)
    changed = project.edits.replace(three[0].id, mask)
    assert changed.instance_id == 1
    assert changed.prompts == three[0].prompts
    assert changed.score is None  # it was predicted for the old one
    assert changed.proposal_ious == ()
    np.testing.assert_array_equal(changed.mask(), mask)
    # the lower number stays below
    labels = project.label_image(image.id)
    assert labels[9, 9] == 2
    assert labels[1, 1] == 1
    assert project.undo() == HistoryEntry("replace", changed.id, image.id)
    assert project.objects() == three
    project.redo()
    assert changed in project.objects()


def test_a_mask_comes_with_its_own_prompts(
    project: Project, three: list[ObjectRecord]
) -> None:
    prompts = PromptSet((Point(1, 1), Point(2, 2, False)))
    changed = project.edits.replace(
        three[0].id,
        square(1, 1),
        prompts=prompts,
        model_version="v002",
        score=0.5,
        proposal_ious=(0.25, 1.0),
    )
    assert changed.prompts == prompts
    assert changed.model_version == "v002"
    assert changed.score == 0.5
    assert changed.proposal_ious == (0.25, 1.0)
    assert changed.class_name == "object"


# ------------------------------------------------------------------- overlap
def test_earlier_objects_keep_their_pixels(
    project: Project, image: ImageRecord, three: list[ObjectRecord]
) -> None:
    mask = square(0, 0, 12)
    written = project.commit(image.id, mask, overlap="keep")
    expected = mask & ~three[0].mask() & ~three[1].mask()
    np.testing.assert_array_equal(written.mask(), expected)
    assert written.area == expected.sum()
    with pytest.raises(InfosamError, match="All of the mask lies on earlier objects"):
        project.commit(image.id, square(3, 3), overlap="keep")
    assert project.objects() == [*three, written]


def test_the_edge_of_an_earlier_object_is_no_object(
    project: Project, image: ImageRecord
) -> None:
    mask = square(10, 10, 10)
    earlier = mask.copy()
    earlier[10, 10] = False
    record = project.commit(image.id, earlier)
    with pytest.raises(InfosamError, match="Nearly all of the mask lies on earlier"):
        project.commit(image.id, mask, overlap="keep")
    assert project.objects() == [record]


def test_an_object_in_several_pictures_leaves_out_those_where_others_keep_all(
    project: Project, image: ImageRecord
) -> None:
    there = project.add_image(gradient() + 1, "other")
    earlier = project.commit(image.id, square(10, 10, 10))
    items = [(one.id, square(10, 10, 10), Origin("object")) for one in (image, there)]
    (written,) = project.edits.commit_across(items, overlap="keep")
    assert written.image_id == there.id
    assert project.objects(image.id) == [earlier]
    with pytest.raises(InfosamError, match="All of the mask lies"):
        project.edits.commit_across(items, overlap="keep")


def test_of_an_object_in_several_pictures_only_its_own_are_returned(
    project: Project, image: ImageRecord
) -> None:
    there = project.add_image(gradient() + 1, "other")
    project.commit(image.id, square(8, 8, 6))
    items = [
        (one.id, square(10, 10, 6), Origin("object", instance_id=7))
        for one in (image, there)
    ]
    made = project.edits.commit_across(items, overlap="replace")
    assert [(o.image_id, o.instance_id) for o in made] == [(image.id, 7), (there.id, 7)]


def test_the_new_object_takes_the_pixels_in_one_step(
    project: Project, image: ImageRecord, three: list[ObjectRecord]
) -> None:
    mask = square(5, 5, 6) | square(15, 20)
    written = project.commit(image.id, mask, overlap="replace")
    left = masks(project)
    assert set(left) == {1, 4}  # two and three were covered
    np.testing.assert_array_equal(left[1], three[0].mask() & ~mask)
    assert written.instance_id == 4
    assert project.last_step() == HistoryEntry("commit", written.id, image.id, 2)
    project.undo()
    assert project.objects() == three
    project.redo()
    assert set(masks(project)) == {1, 4}


def test_a_replaced_mask_takes_pixels_as_well(
    project: Project, three: list[ObjectRecord]
) -> None:
    changed = project.edits.replace(three[1].id, square(2, 2, 4), overlap="replace")
    left = masks(project)
    assert not (left[1] & left[2]).any()
    np.testing.assert_array_equal(left[2], square(2, 2, 4))
    assert changed.instance_id == 2
    project.undo()
    assert project.objects() == three


def test_an_unknown_way_to_overlap(project: Project, image: ImageRecord) -> None:
    with pytest.raises(InfosamError, match=r"'both' is no way .* allow, keep, replace"):
        project.commit(image.id, square(1, 1), overlap="both")  # type: ignore[arg-type]
    assert project.n_objects() == 0


# --------------------------------------------------------------- merge, split
def test_several_become_one(
    project: Project, image: ImageRecord, three: list[ObjectRecord]
) -> None:
    merged = project.edits.merge([record.id for record in three[:2]])
    assert merged.instance_id == 1
    np.testing.assert_array_equal(merged.mask(), square(2, 2, 6) | square(5, 5, 6))
    assert merged.area == merged.mask().sum()
    assert merged.box == Box(2, 2, 10, 10)
    assert merged.prompts == PromptSet((Point(4, 4),), Box(2, 2, 10, 10))
    assert merged.score is None
    assert [record.instance_id for record in project.objects()] == [3, 1]
    assert project.undo() == HistoryEntry("merge", merged.id, image.id)
    assert project.objects() == three


def test_one_becomes_several(
    project: Project, image: ImageRecord, three: list[ObjectRecord]
) -> None:
    left, right = square(2, 2, 6), square(2, 2, 6)
    left[:, 5:] = False
    right[:, :5] = False
    parts = project.edits.split(three[0].id, [left, right])
    assert [part.instance_id for part in parts] == [1, 4]
    assert [part.prompts for part in parts] == [three[0].prompts, PromptSet()]
    np.testing.assert_array_equal(parts[1].mask(), right)
    entry = HistoryEntry("split", parts[0].id, image.id, n_objects=2)
    assert project.undo() == entry
    assert project.objects() == three
    assert project.redo() == entry
    assert project.n_objects() == 4


def test_several_are_deleted_in_one_step(
    project: Project, image: ImageRecord, three: list[ObjectRecord]
) -> None:
    project.edits.delete([three[2].id, three[0].id])
    assert project.objects() == [three[1]]
    assert project.undo() == HistoryEntry("delete", three[0].id, image.id, 2)
    assert project.objects() == three


# --------------------------------------------------------------------- paint
def test_a_stroke_changes_all_it_meets_in_one_step(
    project: Project, image: ImageRecord, three: list[ObjectRecord]
) -> None:
    before = project.label_image(image.id)
    stroke = square(7, 0, 12)
    changed = project.edits.paint(image.id, where(stroke), 3)
    after = project.label_image(image.id)
    np.testing.assert_array_equal(after, np.where(stroke, 3, before))
    assert {record.instance_id for record in changed} == {1, 2, 3}
    assert changed[-1].model_version == "v001"
    entry = project.undo()
    assert entry is not None
    assert (entry.action, entry.n_objects) == ("paint", 3)
    np.testing.assert_array_equal(project.label_image(image.id), before)
    assert project.objects() == three


def test_a_new_value_is_a_new_object(
    project: Project, image: ImageRecord, three: list[ObjectRecord]
) -> None:
    pixels = where(square(20, 0, 3))
    (new,) = project.edits.paint(image.id, pixels, 9, class_name="cell")
    assert (new.instance_id, new.class_name, new.area) == (9, "cell", 9)
    assert (new.model_version, new.score, new.reviewed) == ("painted", None, True)
    assert project.commit(image.id, square(1, 1)).instance_id == 10


def test_erasing_all_of_an_object_deletes_it(
    project: Project, image: ImageRecord, three: list[ObjectRecord]
) -> None:
    assert project.edits.paint(image.id, where(three[2].mask()), 0) == []
    assert project.objects() == three[:2]
    assert project.undo() == HistoryEntry("paint", three[2].id, image.id)
    assert project.objects() == three


def test_an_eraser_reaches_what_lies_below(
    project: Project, image: ImageRecord, three: list[ObjectRecord]
) -> None:
    overlap = three[0].mask() & three[1].mask()
    project.edits.paint(image.id, where(overlap), 0)
    assert not project.label_image(image.id)[overlap].any()


def test_the_later_of_two_equal_pixels_counts(
    project: Project, image: ImageRecord
) -> None:
    pixels = np.array([[1, 1], [2, 2], [1, 1]])
    project.edits.paint(image.id, pixels, np.array([1, 1, 2]))
    labels = project.label_image(image.id)
    assert (labels[1, 1], labels[2, 2]) == (2, 1)


def test_painting_what_is_there_is_no_step(
    project: Project, image: ImageRecord, three: list[ObjectRecord]
) -> None:
    assert project.edits.paint(image.id, where(three[2].mask()), 3) == []
    assert project.edits.paint(image.id, where(square(20, 0)), 0) == []
    assert project.edits.paint(image.id, np.zeros((0, 2), int), 5) == []
    assert project.last_step() == HistoryEntry("commit", three[2].id, image.id)


def test_only_what_a_person_meant_is_reviewed(
    project: Project, image: ImageRecord
) -> None:
    project.commit_many(image.id, [square(1, 1), square(9, 9)], reviewed=False)
    stroke = square(3, 3, 8)
    project.edits.paint(image.id, where(stroke), 1)
    assert {o.instance_id: o.reviewed for o in project.objects()} == {1: True, 2: False}
    assert project.image(image.id).split == "val"


def test_the_slices_of_a_stack_are_apart(project: Project, image: ImageRecord) -> None:
    first = project.commit(image.id, square(1, 1), slice_index=(0,))
    project.edits.paint(image.id, where(square(1, 1)), 1, slice_index=(1,))
    project.edits.paint(image.id, where(square(1, 1)), 0, slice_index=(1,))
    assert project.objects() == [first]


# -------------------------------------------------------------------- errors
WRONG: dict[str, tuple[Callable[[Project], object], str]] = {
    "no such class": (
        lambda p: p.edits.relabel([1], "mouse"),
        r"no class 'mouse'.* one of object, cell",
    ),
    "no such object": (lambda p: p.edits.merge([1, 77]), "no object 77"),
    "nothing": (lambda p: p.edits.delete([]), "No object was named"),
    "one": (lambda p: p.edits.merge([2, 2]), "two objects or more, not 1"),
    "an empty mask": (
        lambda p: p.edits.replace(1, np.zeros(SHAPE, bool)),
        "is empty",
    ),
    "one part": (lambda p: p.edits.split(3, [square(15, 20)]), "two parts or more"),
    "parts of something else": (
        lambda p: p.edits.split(3, [square(15, 20), square(0, 0)]),
        "The 2 parts are not object 3: .* its 16 pixels",
    ),
    "parts that share pixels": (
        lambda p: p.edits.split(3, [square(15, 20), square(15, 20, 1)]),
        "The 2 parts are not object 3",
    ),
    "a pixel outside": (
        lambda p: p.edits.paint(1, np.array([[1, 1], [3, 32]]), 1),
        r"Pixel \(3, 32\) lies outside of cells.png, which is 24 x 32",
    ),
    "a pixel before": (
        lambda p: p.edits.paint(1, np.array([[-1, 1]]), 1),
        r"Pixel \(-1, 1\) lies outside",
    ),
    "no pixels": (
        lambda p: p.edits.paint(1, np.array([1.5, 2]), 1),
        r"shape \(2,\) and type float64 are no \(row, column\) pairs",
    ),
    "no number": (
        lambda p: p.edits.paint(1, np.array([[1, 1]]), -4),
        "-4 is no number",
    ),
    "no such image": (
        lambda p: p.edits.paint(9, np.array([[1, 1]]), 1),
        "no image 9",
    ),
    "a class for what is painted": (
        lambda p: p.edits.paint(1, where(square(0, 0, 20)), 8, class_name="mouse"),
        "no class 'mouse'",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_input_changes_nothing(
    project: Project, three: list[ObjectRecord], what: str
) -> None:
    call, words = WRONG[what]
    step = project.last_step()
    with pytest.raises(InfosamError, match=words):
        call(project)
    assert project.objects() == three
    assert project.last_step() == step


def test_objects_of_two_pictures_do_not_go_together(
    project: Project, three: list[ObjectRecord]
) -> None:
    other = project.add_image(gradient(1), "b")
    far = project.commit(other.id, square(1, 1))
    for call in (
        lambda ids: project.edits.merge(ids),
        lambda ids: project.edits.relabel(ids, "cell"),
        lambda ids: project.edits.delete(ids),
    ):
        with pytest.raises(InfosamError, match="lie in different images or slices"):
            call([three[0].id, far.id])
    assert project.objects() == [*three, far]


EDITS: dict[str, Callable[[Project], object]] = {
    "relabel": lambda p: p.edits.relabel([1, 3], "cell"),
    "replace": lambda p: p.edits.replace(1, square(9, 9), overlap="replace"),
    "merge": lambda p: p.edits.merge([1, 2, 3]),
    "split": lambda p: p.edits.split(
        3, [square(15, 20, 1), square(15, 20) & ~square(15, 20, 1)]
    ),
    "paint": lambda p: p.edits.paint(1, where(square(0, 0, 20)), 3),
    "new": lambda p: p.edits.paint(1, where(square(0, 0, 20)), 12),
    "delete": lambda p: p.edits.delete([1, 2]),
    "commit": lambda p: p.commit(1, square(0, 0, 9), overlap="replace"),
}


@pytest.mark.parametrize("what", EDITS)
def test_a_change_is_written_whole_or_not_at_all(
    project: Project,
    three: list[ObjectRecord],
    what: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step = project.last_step()

    def fail(*_: object, **__: object) -> None:
        raise InfosamError("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(journal, "record", fail)
        with pytest.raises(InfosamError, match="the disk is gone"):
            EDITS[what](project)
    assert project.objects() == three
    assert project.last_step() == step
    EDITS[what](project)
    assert project.last_step() != step


@pytest.mark.parametrize("what", EDITS)
def test_readers_are_refused(
    project: Project, three: list[ObjectRecord], what: str
) -> None:
    with (
        Project.open(project.path, lock=False) as reader,
        pytest.raises(InfosamError, match="was opened for reading"),
    ):
        EDITS[what](reader)


def test_sixty_steps_over_images_and_slices_survive_closing(tmp_path: Path) -> None:
    states = []
    with Project.create(tmp_path / "a", classes=["cell"]) as project:
        ids = [project.add_image(gradient(i), str(i)).id for i in range(3)]
        for number in range(60):
            where_to = {"image_id": ids[number % 3], "slice_index": (number % 2,)}
            found = project.objects(**where_to)
            if not found:
                project.commit(mask=square(4, 4, 8), **where_to)
            elif number % 4 == 1:
                name = "cell" if found[0].class_name == "object" else "object"
                project.edits.relabel([found[0].id], name)
            else:
                stroke = where(square(number % 12, number % 15, 3))
                project.edits.paint(pixels=stroke, values=number + 1, **where_to)
            states.append(project.objects())
    with Project.open(tmp_path / "a") as project:
        for state in reversed(states):
            assert project.objects() == state
            assert project.undo() is not None
        assert project.objects() == []
        assert project.undo() is None
    with Project.open(tmp_path / "a") as project:
        for state in states:
            project.redo()
            assert project.objects() == state


def test_a_part_of_the_label_image_is_a_part_of_it(
    project: Project, image: ImageRecord, three: list[ObjectRecord]
) -> None:
    whole = project.label_image(image.id)
    for box in (
        Box(0, 0, 31, 23),
        Box(3, 4, 7, 9),
        Box(6, 0, 20, 6),
        Box(31, 23, 31, 23),
    ):
        part = project.label_part(image.id, box)
        rows, columns = (
            slice(int(box.y0), int(box.y1) + 1),
            slice(int(box.x0), int(box.x1) + 1),
        )
        np.testing.assert_array_equal(part, whole[rows, columns])


def test_summaries_are_what_a_list_shows(
    project: Project, image: ImageRecord, three: list[ObjectRecord]
) -> None:
    project.edits.relabel([three[0].id], "cell")
    found = project.summaries(image.id)
    assert [(o.instance_id, o.class_name, o.area) for o in found] == [
        (1, "cell", 36),
        (2, "object", 36),
        (3, "object", 16),
    ]
    records = {record.id: record for record in project.objects()}
    for summary in found:
        record = records[summary.id]
        assert summary.score == record.score
        assert summary.model_version == record.model_version
    assert project.n_objects(image.id) == 3
    assert project.n_objects(99) == 0
