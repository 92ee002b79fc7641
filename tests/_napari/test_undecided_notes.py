"""What is undecided is noted, a row each, and comes back as it was."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_infosam._napari.image_slices import ImageSlices, image_of
from napari_infosam._napari.noted_image import NotedImage
from napari_infosam._napari.offers import Offer, likeness
from napari_infosam._napari.proposals import Proposals
from napari_infosam._napari.undecided_json import Undecision, undecision_from_json
from napari_infosam._napari.undecided_notes import UndecidedNotes
from napari_infosam._napari.unfinished import Damage
from napari_infosam.core.prompts import Box
from napari_infosam.core.small_masks import SmallMask, trimmed
from napari_infosam.core.tiles import Tile
from napari_infosam.project import Project

from .helpers import AtOnce, picture, source
from .turns import slowness

if TYPE_CHECKING:
    from napari_infosam._napari.session import Session

SHAPE = (30, 40)
HUGE = (9000, 8000)

boxes = st.builds(Box, *[st.floats(-1e6, 1e6)] * 4)
tiles = st.builds(
    Tile,
    st.integers(0, 999),
    st.integers(0, 999),
    *[st.integers(1, 6000)] * 2,
    stride=st.sampled_from([1, 2, 8]),
)
parts = arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def small_masks(shape: tuple[int, int]) -> st.SearchStrategy[SmallMask]:
    return st.builds(
        trimmed,
        parts,
        st.tuples(st.integers(0, shape[0] - 9), st.integers(0, shape[1] - 9)),
        st.just(shape),
        st.floats(0, 2),
        st.none() if shape == SHAPE else tiles,
    )


def offers(shape: tuple[int, int]) -> st.SearchStrategy[Offer]:
    return st.builds(Offer, small_masks(shape), st.none() | boxes, st.text())


places = st.lists(st.integers(0, 999), max_size=3).map(tuple)


def undecisions(shape: tuple[int, int]) -> st.SearchStrategy[Undecision]:
    return st.builds(Undecision, places, offers(shape) | boxes)


@given(st.sampled_from([SHAPE, HUGE]).flatmap(undecisions))
def test_what_is_undecided_comes_back_from_json(one: Undecision) -> None:
    what = one.what
    shape = SHAPE if isinstance(what, Box) else what.small.shape
    place, again = undecision_from_json(json.loads(json.dumps(one.to_json())), shape)
    assert place == one.slice_index
    assert likeness(again) == likeness(what)
    if isinstance(what, Offer):
        assert isinstance(again, Offer)
        np.testing.assert_array_equal(again.small.part, what.small.part)
        assert again.small.shape == what.small.shape
        assert again.small.tile == what.small.tile


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@given(undecisions(SHAPE), st.data())
def test_a_damaged_note_is_refused_or_lies_in_the_picture(
    one: Undecision, data: st.DataObject
) -> None:
    value = one.to_json()
    for key in data.draw(st.sets(st.sampled_from([*value, "tile"]), min_size=1)):
        value[key] = data.draw(values)
    try:
        _, what = undecision_from_json(value, SHAPE)
    except Damage:
        return
    if isinstance(what, Offer):
        assert what.small.mask().shape == SHAPE
        assert what.small.part.shape == tuple(value["size"])


items = [Undecision((number % 2,), Box(number, 0, 9, 9)) for number in range(6)]


@given(
    st.sets(st.sampled_from(items)),
    st.sets(st.integers(0, 3)),
    st.lists(st.tuples(st.sets(st.sampled_from(items)), st.booleans())),
)
def test_the_disk_has_what_is_undecided_whenever_it_works(
    first: set[Undecision], damaged: set[int], turns: list[tuple[set[Undecision], bool]]
) -> None:
    """Whatever fails before; nothing is written that is there already."""
    found = dict(enumerate(sorted(first, key=items.index), 4))
    disk: dict[int, Any] = {n: one.to_json() for n, one in found.items()}
    disk |= dict.fromkeys(damaged, "damaged")
    noted = NotedImage.of(found, damaged)
    for undecided, works in [*turns, (first, True)]:
        changes = noted.change(list(undecided))
        if not works:
            noted.was_not_written(changes)
            continue
        for number, value in changes.to_json().items():
            assert disk.get(number) != value or value is None
            if value is None:
                disk.pop(number, None)
            else:
                disk[number] = value
        noted.was_written(changes)
        kept = sorted(map(json.dumps, disk.values()))
        assert kept == sorted(json.dumps(one.to_json()) for one in undecided)
        assert not noted.change(list(undecided))


def test_what_is_noted_twice_is_noted_once() -> None:
    noted = NotedImage.of({3: items[0], 5: items[0]}, [])
    assert noted.change([items[0]]).to_json() == {3: None}


# -------------------------------------------------------------------- session
@pytest.fixture
def proposals(session: Session) -> Iterator[Proposals]:
    """Return proposals whose boxes wait for their answers."""
    worker = AtOnce()
    worker.holds = True
    made = Proposals(session, worker)
    yield made
    made.close()


@pytest.fixture
def project(tmp_path: Path, session: Session) -> Project:
    made = Project.create(tmp_path / "kept.infosam")
    made.listing.add([("discs", "/data/discs.tif")])
    made.close()
    session.desk.open(made.path)
    opened = session.desk.project
    assert opened is not None
    return opened


def proposed(number: int, box: Box | None = None, version: str = "v001") -> Offer:
    part = np.ones((3, 4), np.bool_)
    small = SmallMask(part, (number // 30 * 4, number % 30 * 5), (128, 160), 0.9)
    return Offer(small, box, version)


def write(project: Project, found: Sequence[Undecision]) -> None:
    values = {number: one.to_json() for number, one in enumerate(found, 1)}
    project.listing.begin({}, {1: values})


def test_it_waits_for_its_slice_and_is_here_once(
    session: Session,
    proposals: Proposals,
    project: Project,
    said: list[tuple[str, bool]],
) -> None:
    box = Box(1, 2, 3, 4)
    stack = [
        source(picture(200), f"slice {n}", key=("stack", (n,)), slice_index=(n,))
        for n in range(2)
    ]
    session.set_image(stack[0])
    write(project, [Undecision((0,), proposed(0)), Undecision((0,), box)])
    notes = UndecidedNotes(session, proposals, AtOnce())
    slices = ImageSlices(stack[0], None, [])
    assert notes.are_noted(1) is None
    notes.take_up(project, 1, slices)
    assert notes.are_noted(1)
    (offer,) = proposals.offered.values()
    # the score and the version are those of the model that proposed it
    assert (offer.small.score, offer.version) == (0.9, "v001")
    assert proposals.boxes == (box,)
    assert not proposals.can_undo
    listed = {image_of(stack[0]): 1}
    assert notes.changed(listed) == {}
    # read again, as after another project: what is here stands for its like
    before = proposals.offered
    notes.clear()
    notes.take_up(project, 1, slices)
    assert proposals.offered == before
    session.set_image(stack[1])
    assert proposals.is_empty
    proposals.put(stack[0], [proposed(1)])
    assert proposals.is_empty
    session.set_image(stack[0])
    assert len(proposals.offered) == len(before) + 1
    proposals.clear()
    (changes,) = notes.changed(listed).values()
    assert not changes.new
    assert changes.gone == {1, 2}
    assert not [text for text, failed in said if failed]


def test_damaged_notes_are_one_sentence_and_cost_nothing_else(
    session: Session,
    proposals: Proposals,
    project: Project,
    said: list[tuple[str, bool]],
) -> None:
    good = [Undecision((), proposed(number)) for number in range(3)]
    write(project, good)
    value = good[0].to_json()
    damaged = [{**value, "of": [1, 1]}, {**value, "counts": ""}, {"slice": [7]}]
    project.listing.begin({}, {1: dict(enumerate(damaged, 10))})
    here = session.source
    assert here is not None
    notes = UndecidedNotes(session, proposals, AtOnce())
    notes.take_up(project, 1, ImageSlices(here, None, []))
    assert len(proposals.offered) == 3
    assert [text for text, failed in said if failed] == [
        "3 proposals of discs could not be read again; the others are here."
    ]
    (changes,) = notes.changed({image_of(here): 1}).values()
    assert changes.to_json() == dict.fromkeys((10, 11, 12))


N_MANY = 5000
LONGEST = 0.05


def test_a_decision_among_five_thousand_is_a_line(
    session: Session, proposals: Proposals, project: Project
) -> None:
    """In the window's thread it is milliseconds, and on disk a few pages."""
    here = session.source
    assert here is not None
    listed = {image_of(here): 1}
    notes = UndecidedNotes(session, proposals, AtOnce())
    notes.take_up(project, 1, ImageSlices(here, None, []))
    proposals.put(here, [proposed(n % 900, Box(n, 0, n, 1)) for n in range(N_MANY)])
    spent: dict[str, float] = {}
    log = project.path / "project.sqlite-wal"
    written: dict[str, int] = {}

    def note(what: str) -> None:
        before, size = slowness(), log.stat().st_size
        start = time.thread_time()
        changes = notes.changed(listed)
        spent[what] = (time.thread_time() - start) / max(before, slowness())
        values = {one: some.to_json() for one, some in changes.items()}
        project.listing.begin({}, values)
        notes.were_written(changes)
        written[what] = log.stat().st_size - size

    note("all")
    proposals.reject(list(proposals.offered)[2000:2001])
    note("one")
    assert len(project.listing.undecided(1)) == N_MANY - 1
    print(spent, written)
    assert max(spent.values()) < LONGEST
    assert written["one"] < 100_000 < written["all"] < 4_000_000
