from __future__ import annotations

import numpy as np
import pytest

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.masks import encode_rle
from napari_infosam.core.preprocess import Preprocessing
from napari_infosam.core.prompts import Box, Point, PromptSet
from napari_infosam.core.rough_mask import RoughMask
from napari_infosam.project import ImageRecord, ObjectRecord, Project

from .conftest import SHAPE, gradient, square

PROMPTS = PromptSet(
    points=(Point(5, 6), Point(9.5, 2.25, positive=False)), box=Box(8, 9, 3, 4)
)


def test_commit_writes_everything(project: Project, image: ImageRecord) -> None:
    project.add_class("cell")
    mask = square(3, 5)
    written = project.commit(
        image.id,
        mask,
        prompts=PROMPTS,
        class_name="cell",
        slice_index=(2, 0),
        model_version="v003",
        score=0.75,
        proposal_ious=(0.5, 0.75, 1.0),
    )
    assert written == ObjectRecord(
        id=1,
        image_id=image.id,
        slice_index=(2, 0),
        class_name="cell",
        instance_id=1,
        rle=encode_rle(mask),
        shape=SHAPE,
        box=Box(5, 3, 8, 6),
        area=16,
        score=0.75,
        model_version="v003",
        reviewed=True,
        created=written.created,
        prompts=PROMPTS,
        proposal_ious=(0.5, 0.75, 1.0),
    )
    np.testing.assert_array_equal(written.mask(), mask)
    with Project.open(project.path, lock=False) as reader:
        assert reader.objects() == [written]


def test_defaults(project: Project, image: ImageRecord) -> None:
    written = project.commit(image.id, square(1, 1))
    assert written.class_name == "object"
    assert written.model_version == "base"
    assert written.slice_index == ()
    assert written.score is None
    assert written.reviewed
    assert written.prompts == PromptSet()
    assert written.proposal_ious == ()


def test_numbers_of_numpy_are_numbers(project: Project, image: ImageRecord) -> None:
    xy = np.array([1.5, 2.1], np.float32)
    prompts = PromptSet((Point(xy[0], xy[1], np.True_),), Box(*xy, *xy))  # type: ignore[arg-type]
    written = project.commit(
        image.id,
        square(1, 1).astype(np.int64),
        prompts=prompts,
        slice_index=(np.int64(3),),  # type: ignore[arg-type]
        score=np.float32(0.5),  # type: ignore[arg-type]
        proposal_ious=np.array([0.25, 0.5]),  # type: ignore[arg-type]
    )
    assert written.prompts == prompts
    assert written.slice_index == (3,)
    assert written.score == 0.5
    assert written.proposal_ious == (0.25, 0.5)


def test_a_score_that_is_no_number_is_none(
    project: Project, image: ImageRecord
) -> None:
    assert project.commit(image.id, square(1, 1), score=float("nan")).score is None


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.zeros(SHAPE, bool), "is empty: mark at least one pixel"),
        (np.ones(SHAPE[::-1], bool), r"\(32, 24\).* 24 x 32 pixels"),
        (np.ones((1, *SHAPE), bool), r"\(1, 24, 32\)"),
        (np.ones(SHAPE), "type float64 .* threshold it"),
    ],
)
def test_masks_that_do_not_fit(
    project: Project, image: ImageRecord, mask: np.ndarray, words: str
) -> None:
    with pytest.raises(InfosamError, match=words):
        project.commit(image.id, mask)
    assert project.n_objects() == 0
    assert project.image(image.id).split is None


def test_other_wrong_input(project: Project, image: ImageRecord) -> None:
    mask = square(1, 1)
    with pytest.raises(InfosamError, match=r"no class 'cell'.* one of object"):
        project.commit(image.id, mask, class_name="cell")
    with pytest.raises(InfosamError, match="4 proposal IoUs were given for 3 prompts"):
        project.commit(image.id, mask, prompts=PROMPTS, proposal_ious=[0.5] * 4)
    for wrong in (1.5, -0.1, float("nan")):
        with pytest.raises(InfosamError, match="between 0 and 1"):
            project.commit(image.id, mask, prompts=PROMPTS, proposal_ious=[wrong])
    with pytest.raises(InfosamError, match="no object 7"):
        project.delete(7)
    assert project.n_objects() == 0
    assert project.undo() is None


def test_a_multichannel_image_takes_masks_of_its_height_and_width(
    project: Project,
) -> None:
    image = project.add_image(np.zeros((*SHAPE, 3), np.uint8), "rgb")
    assert project.commit(image.id, square(1, 1)).shape == SHAPE
    assert project.label_image(image.id).shape == SHAPE


def test_objects_can_be_chosen(project: Project, image: ImageRecord) -> None:
    other = project.add_image(gradient(1), "other")
    a = project.commit(image.id, square(1, 1))
    b = project.commit(other.id, square(2, 2), prompts=PROMPTS, reviewed=False)
    c = project.commit(image.id, square(3, 3), slice_index=(4,), prompts=PROMPTS)
    assert project.objects() == [a, b, c]
    assert project.objects(image.id) == [a, c]
    assert project.objects(reviewed=True) == [a, c]
    assert project.objects(reviewed=False) == [b]
    assert project.objects(slice_index=()) == [a, b]
    assert project.objects(image.id, reviewed=True, slice_index=(4,)) == [c]
    assert project.objects(99) == []
    project.delete(a.id)
    assert project.objects() == [b, c]
    assert project.n_objects() == 2


def test_instance_ids_count_by_image_and_slice(
    project: Project, image: ImageRecord
) -> None:
    other = project.add_image(gradient(1), "other")
    mask = square(1, 1)
    assert project.commit(image.id, mask).instance_id == 1
    assert project.commit(image.id, mask).instance_id == 2
    assert project.commit(other.id, mask).instance_id == 1
    assert project.commit(image.id, mask, slice_index=(0,)).instance_id == 1
    last = project.commit(image.id, mask)
    project.delete(last.id)
    assert project.commit(image.id, mask).instance_id == last.instance_id + 1


def test_commit_many_is_all_or_nothing(project: Project, image: ImageRecord) -> None:
    masks = [square(1, 1), square(8, 8), square(15, 15)]
    written = project.commit_many(image.id, iter(masks))
    assert [o.instance_id for o in written] == [1, 2, 3]
    assert {o.model_version for o in written} == {"import"}
    assert project.objects() == written
    with pytest.raises(InfosamError, match="is empty"):
        project.commit_many(image.id, [square(2, 2), np.zeros(SHAPE, bool)])
    assert project.objects() == written
    assert project.commit_many(image.id, []) == []


def test_label_image(project: Project, image: ImageRecord) -> None:
    project.commit(image.id, square(1, 1))
    gone = project.commit(image.id, square(10, 10))
    project.commit(image.id, square(3, 3))
    project.commit(image.id, square(20, 20), slice_index=(1,))
    project.delete(gone.id)
    expected = np.zeros(SHAPE, np.int32)
    expected[1:5, 1:5] = 1
    expected[3:7, 3:7] = 3
    labels = project.label_image(image.id)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, expected)
    assert np.unique(project.label_image(image.id, (1,))).tolist() == [0, 1]


def test_the_first_and_the_fourth_reviewed_image_validate_then_one_in_six(
    project: Project,
) -> None:
    images = [project.add_image(gradient(i), f"{i}") for i in range(14)]
    order = [5, 0, 13, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    for number in order:
        project.commit(images[number].id, square(1, 1), reviewed=False)
        assert project.image(images[number].id).split is None
        project.commit(images[number].id, square(2, 2))
        project.commit(images[number].id, square(3, 3))
    splits = [project.image(images[number].id).split for number in order]
    validating = [n for n, split in enumerate(splits) if split == "val"]
    assert validating == [0, 3, 6, 12]
    assert project.image(images[12].id).split is None


def test_a_split_stays(project: Project, image: ImageRecord) -> None:
    project.commit(image.id, square(1, 1))
    project.undo()
    assert project.image(image.id).split == "val"
    other = project.add_image(gradient(1), "other")
    project.commit(other.id, square(1, 1))
    project.commit(image.id, square(1, 1))
    assert project.image(other.id).split == "train"
    assert project.image(image.id).split == "val"


def test_a_split_is_decided_with_the_object_or_not_at_all(
    project: Project, image: ImageRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_infosam.project import history

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(history, "record", fail)
    with pytest.raises(InfosamError, match="is full"):
        project.commit(image.id, square(1, 1))
    assert project.image(image.id).split is None
    assert project.objects() == []


def test_data_hash(project: Project, image: ImageRecord) -> None:
    seen = [project.data_hash()]

    def changes() -> bool:
        seen.append(project.data_hash())
        return seen[-1] not in seen[:-1]

    project.commit(image.id, square(1, 1), reviewed=False)
    assert not changes()
    written = project.commit(image.id, square(1, 1))
    assert changes()
    project.commit(image.id, square(2, 2))
    assert changes()
    project.set_preprocessing(image.id, Preprocessing(low=2))
    assert changes()
    project.add_class("cell")
    assert not changes()
    before = project.data_hash()
    project.delete(written.id)
    assert changes()
    project.undo()
    assert project.data_hash() == before


def test_data_hash_knows_no_order(project: Project) -> None:
    def fill(target: Project, order: list[int]) -> str:
        ids = [target.add_image(gradient(i), "a").id for i in range(2)]
        target.commit(ids[0], square(0, 0))
        target.commit(ids[1], square(0, 0))
        for i in order:
            target.commit(ids[i % 2], square(i, i))
        return target.data_hash()

    with Project.create(project.path.with_name("other")) as other:
        assert fill(project, [1, 2, 3]) == fill(other, [3, 1, 2])


def test_a_rough_mask_and_the_meaning_of_a_click_are_kept(project: Project) -> None:
    image = project.add_image(gradient(), "a")
    rough = RoughMask.of(square(3, 3))
    prompts = PromptSet((Point(4, 4), Point(5, 5, False)), Box(1, 1, 9, 9), rough)
    ious = (0.25, 0.5, 0.75, 1.0)
    project.commit(image.id, square(4, 4), prompts=prompts, proposal_ious=ious)
    chosen = PromptSet((Point(4, 4),), choice=2)
    project.commit(image.id, square(9, 9), prompts=chosen, proposal_ious=(0.5,))
    project.commit(image.id, square(7, 7), prompts=PromptSet(rough=rough))
    first, second, third = project.objects()
    assert (first.prompts, first.proposal_ious) == (prompts, ious)
    assert (second.prompts, second.proposal_ious) == (chosen, (0.5,))
    assert (third.prompts, third.proposal_ious) == (PromptSet(rough=rough), ())
    merged = project.edits.merge([second.id, third.id])
    assert merged.prompts.box is not None
