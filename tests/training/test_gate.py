from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_infosam.training.evaluate import Evaluation, ObjectResult
from napari_infosam.training.gate import KINDS, LEAST_OTHERS, MARGIN, judge

OBJECTS = 24


def evaluation(table: np.ndarray, clicks: int = 8) -> Evaluation:
    """Return results from ``(objects, 6)``: IoU after 1 to 5 clicks, and of the box.

    Each object is in an image of its own.
    """
    table = np.clip(table, 0, 1)
    objects = tuple(
        ObjectResult(
            tuple(map(float, row[:5])), float(row[5]), float(row[5]), image=str(number)
        )
        for number, row in enumerate(table)
    )
    return Evaluation(objects, 4, clicks, 0.1)


def draw(rng: np.random.Generator, gain: float = 0.0, n: int = OBJECTS) -> np.ndarray:
    """Return results of objects of differing difficulty."""
    difficulty = rng.normal(0, 0.12, (n, 1))
    noise = rng.normal(0, 0.08, (n, 6))
    levels = np.array([0.6, 0.7, 0.78, 0.8, 0.82, 0.8])
    return np.clip(levels + difficulty + noise + gain, 0.02, 0.99)


def paired(rng: np.random.Generator, table: np.ndarray, gain: float, spread: float):
    """Return results of another model on the same objects."""
    return np.clip(table + gain + rng.normal(0, spread, table.shape), 0.02, 0.99)


@pytest.fixture
def table() -> np.ndarray:
    return draw(np.random.default_rng(1))


def test_the_same_results_never_pass(table):
    for seed in range(20):
        same = evaluation(draw(np.random.default_rng(seed)))
        verdict = judge(same, {"base": same})
        assert not verdict.accepted
        assert "Not better than base" in verdict.reason


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_the_same_results_on_constant_objects(level):
    same = evaluation(np.full((5, 6), level))
    assert not judge(same, {"base": same}).accepted


def answered_by(of: Evaluation, *authors: str | None) -> Evaluation:
    """Return results on masks that are the answers of these, or nobody's."""
    pairs = zip(of.objects, authors, strict=True)
    return replace(of, objects=tuple(replace(o, author=a) for o, a in pairs))


def test_an_answer_that_was_accepted_counts_as_well_at_ninety():
    """The base meets its own answers again, to the pixel."""
    answers = np.full((8, 6), 1.0)
    drawn = np.full((16, 6), 0.7)
    base = evaluation(np.vstack([answers, drawn]))
    student = evaluation(np.vstack([answers - 0.08, drawn + 0.03]))
    assert not judge(student, {"base": base}).accepted
    authors = ["base"] * 8 + [None] * 16
    base, student = answered_by(base, *authors), answered_by(student, *authors)
    assert judge(student, {"base": base}).accepted
    worse = evaluation(np.vstack([answers - 0.2, drawn + 0.03]))
    assert not judge(answered_by(worse, *authors), {"base": base}).accepted


@pytest.mark.parametrize(
    ("n", "author", "what"),
    [(1, "base", "the only held-out object"), (3, None, "all 3 held-out objects")],
)
def test_where_nothing_is_left_to_gain_it_says_so(n, author, what):
    base = answered_by(evaluation(np.full((n, 6), 0.997)), *[author] * n)
    student = answered_by(evaluation(np.full((n, 6), 0.999)), *[author] * n)
    said = judge(student, {"base": base}).reason
    right = f"Not better than base: it has {what} right already"
    assert said == f"{right}; annotate more images."


@pytest.mark.parametrize("others", [LEAST_OTHERS, LEAST_OTHERS - 1])
def test_a_version_is_met_on_what_it_did_not_answer(others):
    """Far off the answers of the active version, and better on all that is not its."""
    answers = np.full((14, 6), 1.0)
    drawn = np.full((others, 6), 0.7)
    active = evaluation(np.vstack([answers, drawn]))
    student = evaluation(np.vstack([answers - 0.3, drawn + 0.1]))
    for author, accepted in (("v001", others == LEAST_OTHERS), ("base", False)):
        authors = [author] * 14 + ["base"] * others
        verdict = judge(
            answered_by(student, *authors), {"v001": answered_by(active, *authors)}
        )
        assert verdict.accepted is accepted


def test_the_base_is_met_on_everything():
    """What students answered favours a student."""
    answers = np.full((14, 6), 1.0)
    drawn = np.full((14, 6), 0.7)
    base = evaluation(np.vstack([answers, drawn]))
    student = evaluation(np.vstack([answers - 0.3, drawn + 0.1]))
    authors = ["base"] * 14 + ["v001"] * 14
    verdict = judge(
        answered_by(student, *authors), {"base": answered_by(base, *authors)}
    )
    assert not verdict.accepted


def test_a_clear_gain_passes(table):
    verdict = judge(evaluation(table + 0.1), {"base": evaluation(table)})
    assert verdict.accepted
    assert f"on {OBJECTS} held-out objects" in verdict.reason
    one = judge(evaluation(np.full((1, 6), 0.9)), {"base": evaluation(table[:1])})
    assert one.reason.endswith("on 1 held-out object.")
    assert "base 0." in verdict.reason


def test_it_says_what_gained_and_what_fell(table):
    """A figure that went down does not stand for a student that was accepted."""
    after = table + 0.1
    after[:, 0] = table[:, 0] - 0.015
    base, student = evaluation(table), evaluation(after)
    verdict = judge(student, {"base": base})
    assert verdict.accepted
    gained, fell = verdict.reason.split(" Lower, within what is tolerated: ")
    assert gained.startswith("IoU after ")
    assert not gained.startswith(KINDS[0])
    before, now = base.iou_after(1), student.iou_after(1)
    assert fell == f"{KINDS[0]} (base {before:.2f} -> {now:.2f})."


def test_it_must_beat_every_rival(table):
    base, active = evaluation(table), evaluation(table + 0.15)
    candidate = evaluation(table + 0.1)
    assert judge(candidate, {"base": base}).accepted
    verdict = judge(candidate, {"base": base, "v002": active})
    assert not verdict.accepted
    assert "Not better than v002" in verdict.reason
    verdict = judge(candidate, {"base": active, "v002": base})
    assert "Not better than base" in verdict.reason


@pytest.mark.parametrize(
    ("column", "kind"), list(zip((0, 2, 4, 5), KINDS, strict=True))
)
def test_a_loss_of_any_kind_of_prompt_refuses(table, column, kind):
    after = table + 0.1
    after[:, column] = table[:, column] - 0.06
    verdict = judge(evaluation(after), {"base": evaluation(table)})
    assert not verdict.accepted
    assert f"{kind} fell from" in verdict.reason


def test_more_clicks_refuse():
    before = np.tile([0.5, 0.86, 0.87, 0.87, 0.87, 0.8], (10, 1))
    after = np.tile([0.7, 0.84, 0.88, 0.88, 0.88, 0.9], (10, 1))
    verdict = judge(evaluation(after), {"base": evaluation(before)})
    assert not verdict.accepted
    assert "clicks to 0.85 IoU rose from 2.0 to 3.0" in verdict.reason


def test_more_clicks_to_a_fine_mask_refuse():
    """Better masks on the whole, as good ones as soon, and very good ones never."""
    before = np.tile([0.5, 0.86, 0.91, 0.91, 0.91, 0.8], (10, 1))
    after = np.tile([0.7, 0.88, 0.895, 0.895, 0.895, 0.9], (10, 1))
    verdict = judge(evaluation(after), {"base": evaluation(before)})
    assert not verdict.accepted
    assert verdict.practice_lost
    assert "clicks to 0.90 IoU rose from 3.0 to 8.0" in verdict.reason
    after[:, 3] = 0.905
    assert "to 4.0" in judge(evaluation(after), {"base": evaluation(before)}).reason
    after[1:, 2] = 0.905  # one object of ten needs a click more
    assert judge(evaluation(after), {"base": evaluation(before)}).accepted


def test_a_gain_below_the_margin_refuses(table):
    verdict = judge(
        evaluation(np.minimum(table + MARGIN / 2, 1)), {"base": evaluation(table)}
    )
    assert not verdict.accepted
    assert "a gain of 0.005 is the least" in verdict.reason


def test_a_gain_of_one_object_alone_is_noise():
    before = np.full((20, 6), 0.5)
    after = before.copy()
    after[3] = 0.9
    after[4:6] -= 0.05
    verdict = judge(evaluation(after), {"base": evaluation(before)})
    assert not verdict.accepted
    assert "within the noise" in verdict.reason


def test_few_objects_may_pass_with_a_clear_gain():
    before = np.full((1, 6), 0.5)
    assert judge(evaluation(before + 0.3), {"base": evaluation(before)}).accepted
    assert not judge(evaluation(before), {"base": evaluation(before)}).accepted


def in_one_image(of: Evaluation) -> Evaluation:
    return replace(of, objects=tuple(replace(o, image="one") for o in of.objects))


def test_many_objects_of_one_image_say_less_than_those_of_many(table):
    before, after = evaluation(table), evaluation(table + 0.03)
    assert judge(after, {"base": before}).accepted
    verdict = judge(in_one_image(after), {"base": in_one_image(before)})
    assert not verdict.accepted
    says = "within the noise of 0.031 of 1 held-out image; annotate more images."
    assert says in verdict.reason
    clear = in_one_image(evaluation(table + 0.07))
    assert judge(clear, {"base": in_one_image(before)}).accepted


@pytest.mark.parametrize(("objects", "noise"), [(1, 0.05), (4, 0.036), (24, 0.031)])
def test_many_objects_of_an_image_say_more_than_few(objects, noise):
    few = np.full((objects, 6), 0.6)
    base = {"base": in_one_image(evaluation(few))}
    below = judge(in_one_image(evaluation(few + noise - 0.001)), base)
    assert f"within the noise of {noise:.3f} of 1 held-out image" in below.reason
    assert judge(in_one_image(evaluation(few + noise + 0.001)), base).accepted


def test_gains_that_scatter_within_one_image_are_noise():
    before = np.full((4, 6), 0.45)
    after = before + np.array([[0.5], [-0.3], [0.4], [-0.3]])
    verdict = judge(
        in_one_image(evaluation(after)), {"base": in_one_image(evaluation(before))}
    )
    assert "is within the noise of 0.21" in verdict.reason
    assert "annotate" not in verdict.reason


def test_views_of_an_object_are_one_opinion(table):
    """Turned, half of them are better by as much as they are worse from the front."""
    level = np.full((4, 6), 0.5)

    def seen(*changes: float) -> Evaluation:
        views = [evaluation(level + change).objects for change in changes]
        both = tuple(o for view in views for o in view)
        return replace(evaluation(level), objects=both, n_views=len(changes))

    base = {"base": seen(0, 0)}
    assert not judge(seen(0.2, -0.2), base).accepted
    assert judge(seen(0.2, 0.0), base).accepted
    verdict = judge(seen(0.1, 0.1), base)
    assert verdict.accepted
    assert "on 4 held-out objects" in verdict.reason


def rate(change, trials: int = 600, n: int = OBJECTS) -> float:
    """Return how often a candidate passes."""
    accepted = 0
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        before = draw(rng, n=n)
        after = change(rng, before)
        accepted += judge(evaluation(after), {"base": evaluation(before)}).accepted
    return accepted / trials


def test_chance_seldom_passes():
    """Candidates that are as good as the base, in truth."""
    independent = rate(lambda rng, _before: draw(rng))
    close = rate(lambda rng, before: paired(rng, before, 0.0, 0.05))
    few = rate(lambda rng, before: paired(rng, before, 0.0, 0.05), n=4)
    # measured: 15.7 %, 5.7 % and, of four objects, 5.5 %
    assert independent < 0.2
    assert close < 0.1
    assert few < 0.1


def test_what_is_worse_hardly_ever_passes():
    worse = rate(lambda rng, before: paired(rng, before, -0.03, 0.05))
    assert worse < 0.01


def test_what_is_better_mostly_passes():
    better = rate(lambda rng, before: paired(rng, before, 0.05, 0.05))
    much = rate(lambda rng, before: paired(rng, before, 0.1, 0.1))
    assert better > 0.9
    assert much > 0.9


def test_results_on_different_numbers_of_objects_do_not_compare(table):
    with pytest.raises(ValueError, match="broadcast"):
        judge(evaluation(table[:-1]), {"base": evaluation(table)})


def test_objects_that_newly_get_stuck_refuse():
    """Better at once on the whole, and never good enough on two objects of ten."""
    before = np.full((10, 6), 0.5)
    before[:, 4:] = 0.86
    after = np.full((10, 6), 0.88)
    after[:2] = 0.84
    verdict = judge(evaluation(after), {"base": evaluation(before)})
    assert not verdict.accepted
    assert "never reach 0.85 IoU rose from 0.0 to 2.0" in verdict.reason
    after[:2] = 0.86
    assert judge(evaluation(after), {"base": evaluation(before)}).accepted
