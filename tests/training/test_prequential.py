"""Objects are tested before they are learnt, with their author's own prompts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_infosam.core.clicks import next_click
from napari_infosam.core.masks import iter_objects
from napari_infosam.core.prompts import Box, Point, PromptSet
from napari_infosam.models import Prediction, Predictor, load_version
from napari_infosam.models.student import (
    STUDENT_FILE,
    StudentSpec,
    build_student,
    save_student,
)
from napari_infosam.project import Project, VersionRecord
from napari_infosam.project.versions import known_numbers, may_know
from napari_infosam.training.prequential import (
    Prequential,
    Replay,
    Score,
    bootstrap_interval,
    compare,
    replay,
)
from napari_infosam.training.replays import FILE

SIDE = 20
LEFT = np.zeros((SIDE, SIDE), np.bool_)
LEFT[4:14, 2:8] = True
RIGHT = LEFT[:, ::-1].copy()
CLICKS = PromptSet((Point(4, 9), Point(5, 5), Point(9, 9, positive=False)))
BOXED = PromptSet((Point(4, 9),), Box(2, 4, 7, 13))


def part(mask: np.ndarray, share: float) -> np.ndarray:
    """Return a mask within another whose IoU with it is this share."""
    rows = np.flatnonzero(mask.any(axis=1))
    smaller = mask.copy()
    smaller[rows[round(share * len(rows)) :]] = False
    return smaller


class Scripted:
    """Answers the first prompts with so much of the object, one share each."""

    def __init__(self, version: str, shares: Sequence[float], mask=LEFT) -> None:
        self.model = SimpleNamespace(version=version)
        self.shares = shares
        self.mask = mask
        self.asked: list[tuple[PromptSet, Prediction | None]] = []

    def embed(self, pixels, preprocessing):
        assert pixels.shape == (SIDE, SIDE)
        return "embedding"

    def answer(self, prompts, previous, embedding):
        assert embedding == "embedding"
        self.asked.append((prompts, previous))
        mask = part(self.mask, self.shares[len(prompts) - 1])
        return Prediction(mask, 0.5, np.zeros((256, 256), np.float32))


def add_version(project: Project, *, active: bool = True, **metrics) -> str:
    name = project.reserve_version()
    (project.version_dir(name) / STUDENT_FILE).touch()
    status = "active" if active else "accepted"
    project.add_version(
        VersionRecord(name, "base", "decoder", "quick", {}, "", metrics, status)
    )
    return name


@pytest.fixture
def project(tmp_path: Path):
    with Project.create(tmp_path / "p") as made:
        made.add_image(np.zeros((SIDE, SIDE), np.uint8), "image")
        yield made


def commit(project: Project, prompts: PromptSet = CLICKS, mask=LEFT, **more):
    return project.commit(project.images()[0].id, mask, prompts=prompts, **more)


# ------------------------------------------------------------------- replays


@pytest.mark.parametrize("prompts", [CLICKS, BOXED])
def test_prompts_are_replayed_one_by_one(prompts):
    predictor = Scripted("base", (0.5, 0.8, 1.0))
    found = replay(predictor, "embedding", prompts, LEFT)
    assert found.ious == (0.5, 0.8, 1.0)[: len(prompts)]
    sets = [placed for placed, _ in predictor.asked]
    assert [len(placed) for placed in sets] == [*range(1, len(prompts) + 1)]
    assert all(placed.box == prompts.box for placed in sets)
    assert sets[-1] == prompts
    # the answer before is fed back
    assert predictor.asked[0][1] is None
    assert predictor.asked[1][1].mask.sum() == LEFT.sum() // 2


@pytest.mark.parametrize(
    ("ious", "clicks"),
    [
        ((0.9,), 1),
        ((0.5, 0.85, 0.2), 2),
        ((0.5, 0.8), 3),  # one more at the least
        ((0.5,) * 19, 20),
        ((0.5,) * 30, 20),
        ((*(0.5,) * 24, 1.0), 20),
    ],
)
def test_clicks_until_it_would_have_been_accepted(ious, clicks):
    assert Replay(ious).clicks == clicks
    assert Replay(ious).first_iou == ious[0]


# ------------------------------------------------------------ which objects


def test_a_version_is_tested_only_on_what_it_has_not_learnt(project):
    learnt = commit(project)
    version = add_version(project, known_numbers=known_numbers([learnt]))
    new = commit(project, mask=RIGHT, model_version="base")
    base, now = Scripted("base", (0.4, 0.6, 0.9)), Scripted(version, (0.9, 1, 1))
    base.mask = now.mask = RIGHT
    prequential = Prequential(project)
    assert prequential.advance(base, now)
    (score,) = prequential.scores(version)
    assert (score.object_id, score.version) == (new.id, version)
    assert (score.base.clicks, score.now.clicks) == (3, 1)
    assert (score.base.first_iou, score.now.first_iou) == (0.4, 0.9)
    assert prequential.figures().now.n == 1


def test_what_a_version_knows_survives_other_ids_and_goes_by_slice(project):
    first, second = commit(project), commit(project, mask=RIGHT)
    known = known_numbers([first, replace(second, slice_index=(0, 2))])
    assert known == {str(first.image_id): 1, f"{first.image_id},0,2": 2}
    version = project.version(add_version(project, known_numbers=known))
    assert may_know(version, replace(first, id=99))  # its class was changed since
    assert not may_know(version, second)
    assert may_know(version, replace(second, slice_index=(0, 2)))
    assert not may_know(version, replace(first, image_id=99))


def test_a_version_knows_what_the_one_it_was_begun_with_knew(project):
    """Also what was deleted when it was trained, and has come back since."""
    found = commit(project)
    first = project.version(add_version(project, known_numbers=known_numbers([found])))
    assert known_numbers([], first) == known_numbers([found])
    later = replace(found, instance_id=7)
    assert known_numbers([later], first) == {str(found.image_id): 7}
    assert known_numbers([found], project.version(add_version(project))) == (
        known_numbers([found])
    )


def test_versions_of_before_know_all_that_was_there_when_they_were_made(project):
    old = commit(project)
    version = add_version(project)
    new = commit(project, mask=RIGHT)
    record = project.version(version)
    assert may_know(record, old)
    assert not may_know(record, new)


def test_objects_that_nobody_prompted_or_reviewed_say_nothing(project):
    version = add_version(project, known_numbers={})
    commit(project, PromptSet())
    commit(project, reviewed=False)
    deleted = commit(project, mask=RIGHT)
    project.delete(deleted.id)
    prequential = Prequential(project)
    assert prequential.advance(Scripted("base", (1, 1, 1)), Scripted(version, ()))
    assert prequential.scores() == []


def test_the_base_is_not_compared_with_itself(project):
    commit(project)
    base = Scripted("base", (1, 1, 1))
    prequential = Prequential(project)
    assert prequential.advance(base, Scripted("base", (1, 1, 1)))
    assert base.asked == []
    figures = prequential.figures()
    assert (figures.version, figures.now, figures.so_far) == ("base", None, None)


def test_what_earlier_versions_did_counts_so_far(project):
    first = add_version(project, known_numbers={})
    early = commit(project, model_version=first, proposal_ious=(0.2, 0.9, 1.0))
    second = add_version(project, known_numbers=known_numbers([early]))
    late = commit(project, mask=RIGHT, model_version=first)
    base, now = Scripted("base", (0.4, 0.6, 0.8)), Scripted(second, (1, 1, 1), RIGHT)
    prequential = Prequential(project)
    base.mask = LEFT | RIGHT
    assert prequential.advance(base, now)
    found = {score.object_id: score for score in prequential.scores()}
    # the version of then, as it was noted; and the newest that had not learnt it
    assert found[early.id].version == first
    assert found[early.id].now.ious == (0.2, 0.9, 1.0)
    assert found[late.id].version == second
    figures = prequential.figures()
    assert (figures.now.n, figures.so_far.n) == (1, 2)
    assert figures.so_far.clicks.now == 1.5
    # the older version again: it knows neither of the two
    project.activate(first)
    assert prequential.advance(base, Scripted(first, (0.2, 0.4, 1), RIGHT))
    assert prequential.figures().now.n == 2


def test_a_version_that_is_not_loaded_yet_waits(project):
    version = add_version(project, known_numbers={})
    commit(project)
    prequential = Prequential(project)
    base = Scripted("base", (1, 1, 1))
    assert prequential.advance(base, base)
    assert prequential.scores() == []
    assert prequential.advance(base, Scripted(version, (1, 1, 1)))
    assert len(prequential.scores()) == 1


# --------------------------------------------------------------- only once


def test_every_replay_is_done_once_and_survives(project):
    version = add_version(project, known_numbers={})
    commit(project)

    def work() -> tuple[int, list[Score]]:
        base, now = Scripted("base", (0.5, 0.8, 1)), Scripted(version, (1, 1, 1))
        prequential = Prequential(project)
        assert prequential.advance(base, now)
        asked = len(base.asked) + len(now.asked)
        assert prequential.advance(base, now)
        assert len(base.asked) + len(now.asked) == asked
        return asked, prequential.scores()

    asked, scores = work()
    assert asked == 6
    assert work() == (0, scores)
    path = project.cache_dir / FILE
    # torn by a crash, garbled, of something else
    text = path.read_text().rstrip("\n")
    path.write_bytes(text[:-9].encode() + b'\n\xff{\n[]\n{"object": 1}\n')
    assert work() == (3, scores)
    assert work() == (0, scores)
    shutil.rmtree(project.cache_dir)
    assert work() == (6, scores)


def test_a_cache_that_can_not_be_written_costs_nothing_else(project, caplog):
    version = add_version(project, known_numbers={})
    commit(project)
    (project.cache_dir / FILE).mkdir(parents=True)
    prequential = Prequential(project)
    assert "can not be read" in caplog.text
    shares = (0.5, 0.8, 1)
    assert prequential.advance(Scripted("base", shares), Scripted(version, shares))
    assert len(prequential.scores()) == 1
    assert "kept in memory only" in caplog.text


def test_it_stops_where_it_is_told_to(project):
    version = add_version(project, known_numbers={})
    for mask in (LEFT, RIGHT):
        commit(project, mask=mask)
    prequential = Prequential(project)
    base, now = Scripted("base", (1, 1, 1)), Scripted(version, (1, 1, 1))
    answers = iter([False, True])
    assert not prequential.advance(base, now, paused=lambda: next(answers))
    assert len(base.asked) + len(now.asked) == 3
    assert not prequential.advance(base, now, seconds=0)
    assert len(base.asked) + len(now.asked) == 3
    assert prequential.advance(base, now)
    assert len(prequential.scores()) == 2


def test_an_image_that_is_gone_leaves_the_others(project, caplog):
    version = add_version(project, known_numbers={})
    commit(project)
    other = project.add_image(np.ones((SIDE, SIDE), np.uint8), "other")
    project.commit(other.id, LEFT, prompts=CLICKS)
    next(project.path.glob(f"images/{other.content_hash}*")).unlink()
    prequential = Prequential(project)
    base, now = Scripted("base", (1, 1, 1)), Scripted(version, (1, 1, 1))
    assert prequential.advance(base, now)
    assert len(prequential.scores()) == 1
    assert caplog.text.count("can not be replayed") == 2
    assert prequential.advance(base, now)  # not tried again and again
    assert caplog.text.count("can not be replayed") == 2


# ----------------------------------------------------------------- figures


def scores_of(*pairs: tuple[Sequence[float], Sequence[float]]) -> list[Score]:
    return [
        Score(number, "v001", Replay(tuple(base)), Replay(tuple(now)))
        for number, (base, now) in enumerate(pairs)
    ]


def test_the_figures_are_paired_means():
    found = compare(scores_of(([0.5, 0.9], [0.9, 0.9]), ([0.7, 0.8], [0.8, 0.9])))
    assert found.n == 2
    assert (found.clicks.base, found.clicks.now) == (2.5, 1.5)
    assert found.first_iou.base == pytest.approx(0.6)
    assert found.first_iou.now == pytest.approx(0.85)
    assert found.clicks.interval is None  # two objects tell nothing of the others
    assert compare([]) is None


def test_the_interval_tells_a_gain_from_chance():
    gain = [([0.5, 0.9], [0.9, 0.9])]
    even = [([0.9], [0.9])]
    low, high = compare(scores_of(*gain * 6, *even * 3)).clicks.interval
    assert -1 <= low < -2 / 3 < high < 0
    worse = [(now, base) for base, now in gain]
    low, high = compare(scores_of(*gain * 4, *worse * 4)).clicks.interval
    assert low < 0 < high


@given(hnp.arrays(np.float64, st.integers(5, 30), elements=st.floats(-20, 20)))
def test_the_interval_lies_within_the_differences(differences):
    low, high = bootstrap_interval(differences)
    assert differences.min() - 1e-9 <= low <= high <= differences.max() + 1e-9
    assert bootstrap_interval(differences) == (low, high)


def test_the_interval_holds_what_it_promises():
    """It covers the true mean in about 95 of 100 samples."""
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(100):
        low, high = bootstrap_interval(rng.normal(0.3, 1, 40))
        hits += low <= 0.3 <= high
    assert 88 <= hits <= 99


# ---------------------------------------------------------- the real model


def test_the_real_model_on_synthetic_cells(base, cache, cells, tmp_path):
    """A student that equals the base, but for how it answers the first click."""
    predictor = Predictor(base, cache)
    with Project.create(tmp_path / "cells") as project:
        spec = StudentSpec(base="vit_t", base_hash=base.weights_hash, method="decoder")
        name = add_version(project, active=False, known_numbers={})
        path = project.version_dir(name) / STUDENT_FILE
        save_student(build_student(base.sam, spec)[0], path, spec)
        project.activate(name)
        image = project.add_image(cells[0].image, "cells")
        for _, mask in list(iter_objects(cells[0].labels))[:2]:
            prompts, answer, ious = PromptSet(), None, []
            while len(ious) < 3:
                seen = np.zeros_like(mask) if answer is None else answer.mask
                prompts = prompts.add(next_click(mask, seen, prompts.points))
                embedding = predictor.embed(cells[0].image)
                answer = predictor.answer(prompts, answer, embedding)
                ious.append(np.sum(answer.mask & mask) / np.sum(answer.mask | mask))
            project.commit(image.id, mask, prompts=prompts, proposal_ious=ious)
        student = Predictor(load_version(project, name, base=base), cache)
        prequential = Prequential(project)
        assert prequential.advance(predictor, student)
        scores = prequential.scores()
        assert len(scores) == 2
        for found, score in zip(project.objects(), scores, strict=True):
            # as it was when the author clicked
            assert score.base.ious == pytest.approx(found.proposal_ious)
            assert score.now.ious != score.base.ious
        assert prequential.figures().now.n == 2
