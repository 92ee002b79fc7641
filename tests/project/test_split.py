"""Which images validate, where some of them are slices of stacks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_infosam.project import Project
from napari_infosam.project.database import FILE_NAME
from napari_infosam.project.split import SLICES_TOGETHER, stack_of

MASK = np.ones((4, 4), np.bool_)
TURNS = ["val", "train", "train", "val", "train", "train", "val"]


def splits(
    project: Project, names: Iterable[str], file: str = "/data/{}", first: int = 0
) -> dict[str, str | None]:
    """Accept an object in images of these names, one after the other."""
    found: dict[str, str | None] = {}
    for number, name in enumerate(names, first):
        pixels = np.full((4, 4), number, np.uint16)
        stack = stack_of(name)
        source = file.format(stack[0] if stack else name) or None
        image = project.add_image(pixels, name, source=source)
        project.commit(image.id, MASK)
        found[name] = project.image(image.id).split
    return found


def test_neighbours_in_a_stack_are_in_one_part(project: Project) -> None:
    found = splits(project, [f"z.tif [{z}]" for z in range(28)])
    assert list(found.values()) == [turn for turn in TURNS for _ in range(4)]


def test_a_slice_that_comes_later_goes_with_those_beside_it(project: Project) -> None:
    found = splits(project, ["z.tif [9]", "z.tif [1]", "z.tif [8]", "z.tif [3]"])
    assert list(found.values()) == ["val", "train", "val", "train"]


def test_neighbours_in_time_are_in_one_part_too(project: Project) -> None:
    names = [f"z{n}.tif [{t}, 0]" for n in range(7) for t in (0, 1)]
    found = splits(project, names)
    assert [found[name] for name in names[::2]] == TURNS
    assert [found[name] for name in names[1::2]] == TURNS


def test_of_many_stacks_a_sixth_validates(project: Project) -> None:
    found = splits(project, [f"z{n}.tif [{z}]" for n in range(3) for z in range(24)])
    # of 18 blocks every sixth, and the fourth
    assert list(found.values()).count("val") == 4 * (18 // 6 + 1)


def test_a_project_of_an_older_build_goes_on_counting(project: Project) -> None:
    splits(project, ["a.png", *(f"z.tif [{z}]" for z in range(8))])
    path = project.path
    project.close()
    with closing(sqlite3.connect(path / FILE_NAME)) as connection, connection:
        assert connection.execute(
            "DELETE FROM settings WHERE key = 'split_units'"
        ).rowcount
    with Project.open(path) as again:
        # three units were there: the image and two times four slices
        found = splits(again, ["z.tif [8]", *(f"{n}.png" for n in range(3))], first=9)
    assert list(found.values()) == ["val", "train", "train", "val"]


def test_images_and_stacks_take_turns_together(project: Project) -> None:
    names = ["a.png", "z.tif [0]", "z.tif [1]", *(f"{n}.png" for n in range(5))]
    found = splits(project, names)
    validating = [name for name, split in found.items() if split == "val"]
    assert validating == ["a.png", "1.png", "4.png"]


def test_layers_that_napari_numbered_are_no_slices(project: Project) -> None:
    found = splits(project, ["Image", *(f"Image [{n}]" for n in range(1, 7))], file="")
    assert list(found.values()) == TURNS


@pytest.mark.parametrize(
    ("name", "stack"),
    [
        ("z.tif [3]", ("z.tif", (3,))),
        ("a [1] [2, 10]", ("a [1]", (2, 10))),
        ("z.tif", None),
        ("z [a]", None),
        (" [1]", None),
    ],
)
def test_the_name_says_which_slice_it_is(
    name: str, stack: tuple[str, tuple[int, ...]] | None
) -> None:
    assert stack_of(name) == stack


@settings(max_examples=25, deadline=None)
@given(
    places=st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 20)), unique=True, min_size=1
    )
)
def test_in_any_order_no_block_is_divided(places: list[tuple[str, int]]) -> None:
    with (
        TemporaryDirectory() as folder,
        Project.create(Path(folder) / "p.infosam") as project,
    ):
        found = splits(project, [f"{stack} [{z}]" for stack, z in places])
        blocks: dict[tuple[str, int], set[str | None]] = {}
        for stack, z in places:
            block = blocks.setdefault((stack, z // SLICES_TOGETHER), set())
            block.add(found[f"{stack} [{z}]"])
        assert all(len(parts) == 1 for parts in blocks.values())
        assert next(iter(found.values())) == "val"
