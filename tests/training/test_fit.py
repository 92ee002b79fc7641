from __future__ import annotations

import io
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_infosam.core.options import FinetuneOptions
from napari_infosam.models.student import StudentSpec
from napari_infosam.training import fit as fit_module
from napari_infosam.training.batches import epoch
from napari_infosam.training.fit import DEFAULT, Fit, Progress
from napari_infosam.training.reporter import Reporter
from napari_infosam.training.stages import Stage, StepLoss
from napari_infosam.training.stumbles import MOST_RETURNS, SKIPPED, SLOWER
from napari_infosam.training.teach import Teaching

LONG = 1e9
"""Seconds that are never over."""


class Valley:
    """A stage of two numbers that should become (1, -2); stands in for a student."""

    def __init__(self, rate: float = 0.1) -> None:
        self.options = FinetuneOptions(learning_rate=rate)
        self.weights = torch.nn.Parameter(torch.zeros(2))
        self.trained = [self.weights]
        self.encoder_parameters = []
        self.distiller = None
        self.distiller_parameters = []
        self.start = [p.detach().clone() for p in self.trained]
        self.poison = math.inf
        self.steps = 0

    @property
    def parameters(self):
        return self.trained

    def step(self, batch, rng):
        self.steps += 1
        noise = torch.tensor(rng.normal(0, 0.1, 2), dtype=torch.float32)
        loss = (self.weights - torch.tensor([1.0, -2.0]) + noise).square().sum()
        if self.steps >= self.poison:
            loss = loss * torch.nan
        loss.backward()
        return StepLoss(loss.item(), {})


class TwoValleys(Valley):
    """One number of a decoder and one of an encoder that learns faster."""

    def __init__(self, encoder_rate: float) -> None:
        super().__init__(0.01)
        self.options = self.options.model_copy(update={"encoder_rate": encoder_rate})
        self.decoder, self.encoder = (
            torch.nn.Parameter(torch.zeros(1)) for _ in range(2)
        )
        self.trained = [self.decoder, self.encoder]
        self.encoder_parameters = [self.encoder]
        self.start = [p.detach().clone() for p in self.trained]

    def step(self, batch, rng):
        loss = (self.decoder - 100).square() + (self.encoder - 100).square()
        loss.backward()
        return StepLoss(loss.item(), {})


class WithRelation(Valley):
    """A student whose distiller has a parameter with a gradient of any length."""

    def __init__(self, length: float) -> None:
        super().__init__()
        self.length = length
        self.distiller_parameters = [torch.nn.Parameter(torch.zeros(1))]

    @property
    def parameters(self):
        return [*self.trained, *self.distiller_parameters]

    def step(self, batch, rng):
        (self.weights.sum() + self.length * self.distiller_parameters[0]).backward()
        return StepLoss(0.0, {})


class StopHereError(Exception):
    pass


def forever():
    yield from ([None] for _ in range(10))


def ignore(*_arguments) -> None:
    pass


def run(fit: Fit, on_step=ignore, validate=lambda: 0.0) -> None:
    fit.run(forever, on_step=on_step, validate=validate)


def test_the_encoder_has_a_rate_of_its_own():
    valleys = TwoValleys(encoder_rate=4)
    run(Fit(valleys, 20, LONG))
    assert valleys.encoder.item() == pytest.approx(4 * valleys.decoder.item(), rel=1e-3)


@pytest.mark.parametrize(("seconds", "looks"), [(6, 1), (19, 1), (25, 2), (LONG, 4)])
def test_looks_are_as_many_as_there_is_time_for(tmp_path, seconds, looks):
    reporter = Reporter(tmp_path)
    try:
        teaching = Teaching(tmp_path, reporter, FinetuneOptions(), SimpleNamespace())
        assert teaching._schedule([], seconds).looks == looks
        assert teaching._schedule([], math.inf).looks == DEFAULT.looks
    finally:
        reporter.close()


def test_the_learning_rate_warms_up_and_falls():
    fit = Fit(Valley(0.1), 40, LONG)
    rates = []
    run(fit, lambda *_: rates.append(fit._optimizer.param_groups[0]["lr"]))
    assert len(rates) == 40
    expected = [
        0.1
        * min(1, (step + 1) / 10)
        * (0.1 + 0.9 * (1 + math.cos(math.pi * step / 40)) / 2)
        for step in range(40)
    ]
    assert rates == pytest.approx(expected, rel=1e-3)
    assert rates[0] < 0.011
    assert max(rates) == max(rates[8:13])
    assert rates[-1] == pytest.approx(0.01, rel=0.05)


def test_it_ends_with_the_steps():
    fit = Fit(Valley(), 7, LONG)
    run(fit)
    assert fit.progress.step == 7
    assert fit.progress.share == 1
    assert fit.progress.seconds_left == pytest.approx(0)


def test_it_ends_with_the_seconds(monkeypatch):
    """By a clock that moves one second a step."""
    clock = iter(range(10**6))
    fit = Fit(Valley(), 10**9, 12.0)
    stub = SimpleNamespace(perf_counter=lambda: next(clock))
    monkeypatch.setattr(fit_module, "time", stub)
    left = []
    run(fit, lambda progress, _: left.append(progress.seconds_left))
    assert 6 <= fit.progress.step <= 12
    assert fit.progress.share == 1
    assert left == sorted(left, reverse=True)
    assert fit.progress.expected_steps == fit.progress.step


def test_an_estimate_of_the_steps_while_time_is_short():
    progress = Progress(steps=1000, seconds=10, step=20, spent=2)
    assert progress.share == pytest.approx(0.2)
    assert progress.expected_steps == 100
    assert progress.seconds_left == pytest.approx(8)
    assert Progress(steps=1000, seconds=10).expected_steps == 1000
    assert Progress(steps=10, seconds=0).share == 1


def test_the_valley_is_found():
    stage = Valley(0.2)
    run(Fit(stage, 300, LONG))
    torch.testing.assert_close(
        stage.weights.detach(), torch.tensor([1.0, -2.0]), atol=0.1, rtol=0
    )


def test_averaged_weights_are_what_is_validated_and_kept():
    stage = Valley(0.2)
    fit = Fit(stage, 20, LONG)
    mean, seen = torch.zeros(2), []

    def on_step(progress, _loss):
        step = progress.step - 1
        decay = min(0.95, (1 + step) / (10 + step))
        mean.mul_(decay).add_(stage.weights.detach(), alpha=1 - decay)

    def validate():
        seen.append((stage.weights.detach().clone(), mean.clone()))
        return float(len(seen))

    run(fit, on_step, validate)
    assert len(seen) == DEFAULT.looks
    for validated, expected in seen:
        torch.testing.assert_close(validated, expected)
    # the last was the best, and is what the stage is left with
    torch.testing.assert_close(stage.weights.detach(), seen[-1][1])


def test_training_goes_on_from_its_own_weights_after_a_look():
    stage = Valley(0.2)
    weights = []

    def on_step(*_):
        weights.append(stage.weights.detach().clone())

    run(Fit(stage, 20, LONG), on_step, lambda: 0.0)
    plain = Valley(0.2)
    others = []
    fit = Fit(plain, 20, LONG)
    fit.best.weights = [torch.zeros(2)]
    fit._look = ignore
    run(fit, lambda *_: others.append(plain.weights.detach().clone()))
    torch.testing.assert_close(weights, others)


def test_the_best_look_is_kept():
    stage = Valley(0.2)
    scores = iter([0.1, 0.7, 0.6, 0.2, 0.3])
    seen = []

    def validate():
        seen.append(stage.weights.detach().clone())
        return next(scores)

    fit = Fit(stage, 25, LONG)
    run(fit, validate=validate)
    assert fit.best.score == 0.7
    assert torch.equal(stage.weights.detach(), seen[1])


def test_a_slow_step_is_followed_by_one_look(monkeypatch):
    """By a clock on which the first step takes more than half of the stage."""
    now = [0.0]
    monkeypatch.setattr(
        fit_module, "time", SimpleNamespace(perf_counter=lambda: now[0])
    )

    class Slow(Valley):
        def step(self, batch, rng):
            now[0] += 60 if self.steps == 0 else 1
            return super().step(batch, rng)

    fit = Fit(Slow(), 10**9, 100.0)
    looks = []
    run(fit, validate=lambda: looks.append(fit.progress.step) or 0.0)
    # after 60, 75 and 100 seconds
    assert looks == [1, 16, 41]


class Stumbling(Valley):
    """A valley some of whose steps, counted from 1, have no loss or no gradient."""

    def __init__(self, bad, kind: str = "loss") -> None:
        super().__init__()
        self.bad, self.kind = bad, kind

    def step(self, batch, rng):
        loss = super().step(batch, rng)
        if self.steps not in self.bad:
            return loss
        if self.kind == "loss":
            return StepLoss(math.nan, {})
        self.weights.grad[0] = math.inf
        return loss


@pytest.mark.parametrize("kind", ["loss", "gradient"])
def test_a_step_that_is_no_number_is_left_out(kind):
    stage = Stumbling({4, 9}, kind)
    said, seen = [], []
    fit = Fit(stage, 20, LONG, say=said.append)
    run(fit, lambda _, loss: seen.append((stage.weights.tolist(), loss)))
    assert len(seen) == 20
    for number in (4, 9):
        assert seen[number - 1] == (seen[number - 2][0], None)
    assert all(loss is not None for _, loss in seen[4:8])
    assert fit._optimizer.state[stage.weights]["step"] == 18
    # once is enough
    assert said == ["The loss of step 4 is not a number: it was left out."]


def test_after_three_such_steps_the_average_goes_on_slower():
    stage = Stumbling({6, 7, 8})
    said, weights, rates = [], [], []
    fit = Fit(stage, 20, LONG, say=said.append)

    def on_step(*_):
        weights.append(stage.weights.detach().clone())
        rates.append(fit._optimizer.param_groups[0]["lr"])
        averages.append(fit._average[0].clone())

    averages: list[torch.Tensor] = []
    run(fit, on_step)
    assert torch.equal(weights[7], averages[4])
    assert not torch.equal(weights[7], weights[6])
    assert rates[8] < 0.5 * rates[7]
    # and its optimiser knows nothing of what led there
    assert fit._optimizer.state[stage.weights]["step"] == 12
    assert "back to the last good weights, at 30% of the learning rate" in said[1]
    assert len(said) == 2


def test_the_best_look_is_what_it_goes_back_to():
    stage = Stumbling({12, 13, 14})
    looked, after = [], []
    fit = Fit(stage, 20, LONG)

    def on_step(progress, _loss):
        if progress.step == 14:
            after.append(stage.weights.tolist())

    run(fit, on_step, lambda: looked.append(stage.weights.tolist()) or 0.5)
    # looks are had after 5, 10, 15 and 20 steps
    assert after == [looked[1]]


def test_weights_that_are_no_numbers_are_gone_back_from():
    stage = Stumbling({4, 5, 6})
    fit = Fit(stage, 10, LONG)

    def on_step(progress, _loss):
        if progress.step == 3:
            with torch.no_grad():
                stage.weights.fill_(math.inf)
                fit._average[0].fill_(math.nan)

    run(fit, on_step)
    assert torch.isfinite(stage.weights).all()


def test_a_loss_that_stays_no_number_stops_it():
    stage = Valley()
    stage.poison = 4
    said, steps = [], []
    fit = Fit(stage, 100, LONG, say=said.append)
    with pytest.raises(FloatingPointError, match="even at 3% of the learning rate"):
        run(fit, lambda progress, _: steps.append(progress.step))
    assert len(steps) == 3 + 4 * SKIPPED - 1
    assert torch.isfinite(stage.weights).all()
    assert len(said) == 1 + MOST_RETURNS
    assert not any("\n" in sentence for sentence in said)


def test_a_lower_rate_is_kept_in_a_checkpoint():
    fit = Fit(Stumbling({1, 2, 3}), 4, LONG)
    run(fit)
    state = through_a_file(fit.state_dict())
    other = Fit(Valley(), 4, LONG)
    other.load_state_dict(state)
    assert other.state_dict()["rate"] == SLOWER
    # those of earlier releases have none
    del state["rate"]
    other.load_state_dict(state)
    assert other.state_dict()["rate"] == 1


def through_a_file(state):
    """Save and load, as a checkpoint does."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("stop", [1, 6, 17])
def test_a_stopped_stage_goes_on_as_it_was(stop):
    def until(progress, _loss):
        if progress.step == stop:
            raise StopHereError

    first = Valley(0.2)
    fit = Fit(first, 20, LONG)
    with pytest.raises(StopHereError):
        run(fit, until)
    state = through_a_file(fit.state_dict())

    second = Valley(0.2)
    other = Fit(second, 20, LONG)
    other.load_state_dict(state)
    assert other.progress.step == stop
    assert other.progress.spent == fit.progress.spent
    assert torch.equal(second.weights, first.weights)

    looks: dict[str, list[int]] = {"first": [], "second": []}
    for name, one in (("first", fit), ("second", other)):
        run(one, validate=lambda n=name, o=one: looks[n].append(o.progress.step) or 0.0)
    assert other.progress.step == 20
    assert torch.equal(second.weights, first.weights)
    # looks that were had before are not had again
    assert looks["first"] == looks["second"]
    assert all(step > stop for step in looks["second"])


def test_a_state_is_not_changed_by_going_on():
    stage = Valley()
    fit = Fit(stage, 20, LONG)
    state = through_a_file(fit.state_dict())
    other = Fit(Valley(), 20, LONG)
    other.load_state_dict(state)
    run(other)
    assert state["average"][0].tolist() == [0, 0]


def test_a_stage_that_was_over_is_not_trained_again():
    stage = Valley(0.2)
    fit = Fit(stage, 10, LONG)
    run(fit)
    again = Valley(0.2)
    other = Fit(again, 10, LONG)
    other.load_state_dict(through_a_file(fit.state_dict()))
    run(other)
    assert again.steps == 0
    assert torch.equal(again.weights, stage.weights)


def test_a_real_stage_goes_through_a_file(base, frozen, samples):
    options = FinetuneOptions(seed=1)
    spec = StudentSpec(base=base.name, base_hash=base.weights_hash, method="decoder")
    stage = Stage(frozen, spec, options)
    fit = Fit(stage, 2, LONG)
    rng = np.random.default_rng(0)
    fit.run(lambda: epoch(samples[:1], 1, rng), on_step=ignore, validate=lambda: 0.5)
    state = through_a_file(fit.state_dict())

    again = Stage(frozen, spec, options)
    other = Fit(again, 2, LONG)
    other.load_state_dict(state)
    assert other.progress.step == 2
    for one, two in zip(stage.trained, again.trained, strict=True):
        assert torch.equal(one, two)
    assert other.best.score == 0.5


@pytest.mark.parametrize("length", [0.0, 1e6])
def test_a_long_gradient_of_the_distiller_leaves_the_students_as_it_is(length):
    stage = WithRelation(length)
    Fit(stage, 1, LONG)._step([], np.random.default_rng(0))
    assert stage.weights.grad.norm() == pytest.approx(1.0, rel=1e-4)
