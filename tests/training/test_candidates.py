from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_infosam.core.options import FinetuneOptions
from napari_infosam.training.candidates import SHARE_OF_BASE, choose_candidate
from napari_infosam.training.evaluate import Evaluation, ObjectResult

OBJECTS = 12


class Student:
    """A stage that is over: one number, which is 0 in the base and 1 when trained."""

    def __init__(self, **options) -> None:
        self.options = FinetuneOptions(**options)
        own = self.options.interpolate
        self.trained = [torch.nn.Parameter(torch.ones(3) * (1 - own))]
        self.start = [torch.zeros(3)]

    def model(self) -> float:
        return self.trained[0][0].item()


def results(first: float, later: float, box: float) -> Evaluation:
    rng = np.random.default_rng(0)
    objects = []
    for number in range(OBJECTS):
        ious = np.array([first, *[later] * 4]) + rng.normal(0, 0.005)
        found = tuple(map(float, ious))
        objects.append(ObjectResult(found, box, box, image=str(number)))
    return Evaluation(tuple(objects), 3, 8, 0.1)


BASE = {"base": results(0.5, 0.93, 0.84)}


def mixture(weight: float) -> Evaluation:
    """Return what was measured on nuclei, in kind: the further, the worse later on."""
    return results(
        0.5 + 0.24 * weight, 0.93 - 0.08 * weight**3, 0.84 - 0.08 * weight**3
    )


class Measured:
    """Measures students and keeps what was asked for."""

    def __init__(self, evaluations) -> None:
        self.evaluations = evaluations
        self.asked: list[tuple[float, float]] = []

    def __call__(self, model: float, interpolation: float) -> Evaluation:
        self.asked.append((round(model, 4), interpolation))
        return self.evaluations(model)


def test_a_student_that_forgot_how_to_correct_is_tried_nearer_to_the_base():
    stage, measure = Student(), Measured(mixture)
    chosen = choose_candidate(stage, BASE, measure)
    assert measure.asked == [(1.0, 0.0), (0.6, SHARE_OF_BASE)]
    assert chosen.verdict.accepted
    assert chosen.interpolation == SHARE_OF_BASE
    assert chosen.evaluation == mixture(stage.model())
    # these weights are what becomes the version
    assert stage.trained[0].tolist() == pytest.approx([0.6] * 3)
    assert "40% of the base mixed in, without which it was not" in (
        chosen.verdict.reason
    )
    assert "\n" not in chosen.verdict.reason
    assert chosen.verdict.reason.endswith(".")


def slightly(pure: Evaluation, mixed: Evaluation) -> Measured:
    """Measure a student that passes although something got worse, and its mixture."""
    return Measured(lambda weight: pure if weight == 1 else mixed)


PURE = results(0.74, 0.93, 0.826)


def test_a_student_that_passed_with_a_loss_is_tried_nearer_to_the_base_too():
    mixed = results(0.7, 0.93, 0.838)
    stage, measure = Student(), slightly(PURE, mixed)
    chosen = choose_candidate(stage, BASE, measure)
    assert len(measure.asked) == 2
    assert chosen.verdict.accepted
    assert (chosen.evaluation, chosen.interpolation) == (mixed, SHARE_OF_BASE)
    assert stage.trained[0].tolist() == pytest.approx([0.6] * 3)
    assert chosen.verdict.reason.endswith("With 40% of the base mixed in.")


@pytest.mark.parametrize(
    "mixed",
    [
        results(0.7, 0.93, 0.82),  # loses more
        results(0.7, 0.84, 0.838),  # needs more clicks
        results(0.5, 0.93, 0.84),  # does not pass
    ],
)
def test_what_passed_stays_where_the_mixture_is_no_better(mixed):
    stage, measure = Student(), slightly(PURE, mixed)
    chosen = choose_candidate(stage, BASE, measure)
    assert len(measure.asked) == 2
    assert (chosen.evaluation, chosen.interpolation) == (PURE, 0)
    assert chosen.verdict.accepted
    assert "mixed in" not in chosen.verdict.reason
    assert stage.trained[0].tolist() == [1.0] * 3


def test_what_the_options_mixed_in_already_counts():
    stage, measure = Student(interpolate=0.2), Measured(lambda _: results(0.7, 0.7, 1))
    choose_candidate(stage, BASE, measure)
    assert measure.asked == [(0.8, 0.2), (0.6, SHARE_OF_BASE)]


@pytest.mark.parametrize(
    "evaluation",
    [
        results(0.74, 0.93, 0.9),  # accepted
        results(0.4, 0.95, 0.9),  # the first click got worse
        results(0.5, 0.93, 0.84),  # the same as the base
    ],
)
def test_nothing_is_measured_twice_where_it_does_not_help(evaluation):
    measure = Measured(lambda _: evaluation)
    chosen = choose_candidate(Student(), BASE, measure)
    assert measure.asked == [(1.0, 0.0)]
    assert (chosen.interpolation, chosen.evaluation) == (0.0, evaluation)


@pytest.mark.parametrize(
    "options", [{"interpolate": 0.4}, {"interpolate": 0.7}, {"recipe": "paper"}]
)
def test_some_options_leave_nothing_to_try(options):
    measure = Measured(lambda _: results(0.74, 0.7, 0.7))
    chosen = choose_candidate(Student(**options), BASE, measure)
    assert len(measure.asked) == 1
    assert not chosen.verdict.accepted


def test_a_student_that_is_rejected_twice_stays_what_it_was():
    stage, measure = Student(), Measured(lambda _: results(0.74, 0.7, 0.84))
    chosen = choose_candidate(stage, BASE, measure)
    assert len(measure.asked) == 2
    assert not chosen.verdict.accepted
    assert chosen.interpolation == 0
    assert stage.trained[0].tolist() == [1.0] * 3
    reason = chosen.verdict.reason
    assert reason.startswith("Not better than base: IoU after 3 clicks fell")
    assert "Nor with 40% of the base mixed in: not better than base" in reason


def test_models_that_are_the_same_never_swap():
    """Whatever is wrong with both, and however often it is asked."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        same = results(*rng.uniform(0.3, 0.95, 3))
        measure = Measured(lambda _, same=same: same)
        chosen = choose_candidate(Student(), {"base": same, "v001": same}, measure)
        assert not chosen.verdict.accepted
