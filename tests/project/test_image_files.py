from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_infosam.core.errors import InfosamError
from napari_infosam.project.image_files import (
    CancelledError,
    find_images,
    find_moved,
    natural_key,
)


def touch(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


def test_a_folder_stands_for_its_images_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path, "i10.png", "i2.PNG", "notes.txt", ".hidden.png", "masks/i2.png")
    (tmp_path / "big.ome.zarr").mkdir()
    (tmp_path / "P.infosam" / "images").mkdir(parents=True)
    seen: list[int] = []
    found = find_images([tmp_path], seen.append)
    assert [path.name for path in found] == ["big.ome.zarr", "i2.PNG", "i10.png"]
    assert sum(seen) == 3


def test_sub_folders_count_where_a_folder_has_no_images_itself(tmp_path: Path) -> None:
    touch(tmp_path, "b/1.png", "a/2.tif", "a/1.tif")
    names = [str(path.relative_to(tmp_path)) for path in find_images([tmp_path])]
    assert names == ["a/1.tif", "a/2.tif", "b/1.png"]


def test_files_stand_for_themselves_and_count_once(tmp_path: Path) -> None:
    one, two = touch(tmp_path, "b.png", "a.png")
    assert find_images([one, two, one, tmp_path]) == [one, two]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("none.png", "no file .*none.png: check"),
        ("notes.txt", "notes.txt is no image"),
        ("empty", "holds no images"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, name: str, sentence: str) -> None:
    touch(tmp_path, "notes.txt", "empty/x.txt")
    with pytest.raises(InfosamError, match=sentence):
        find_images([tmp_path / name])


def test_looking_can_be_called_off(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.png", "c.png")
    answers = iter([False, True])
    with pytest.raises(CancelledError):
        find_images([tmp_path], cancelled=lambda: next(answers))


def test_moved_files_are_found_by_name_and_by_the_nearest_folders(
    tmp_path: Path,
) -> None:
    touch(tmp_path, "x/day1/a.png", "x/day2/a.png", "x/b.png", "y/c.png", "z/c.png")
    missing = {
        1: "/gone/day2/a.png",
        2: "/gone/b.png",
        3: "/gone/c.png",  # which of the two is not known
        4: "/gone/d.png",
    }
    assert find_moved(missing, tmp_path) == {
        1: str(tmp_path / "x/day2/a.png"),
        2: str(tmp_path / "x/b.png"),
    }
    with pytest.raises(CancelledError):
        find_moved(missing, tmp_path, cancelled=lambda: True)


@given(st.lists(st.text()))
def test_any_names_can_be_sorted(names: list[str]) -> None:
    assert sorted(sorted(names, key=natural_key)) == sorted(names)


def test_numbers_sort_as_numbers() -> None:
    names = ["i10", "I9", "i1b", "i1a", "2", "a"]
    assert sorted(names, key=natural_key) == ["2", "a", "i1a", "i1b", "I9", "i10"]
