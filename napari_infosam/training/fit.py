"""The loop around the steps: learning rate, averaged weights, best student so far."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from napari_infosam.training.stumbles import Stumbles

if TYPE_CHECKING:
    from napari_infosam.training.batches import Group
    from napari_infosam.training.stages import Stage, StepLoss

FINAL_RATE = 0.1
"""Learning rate at the end, over its peak (published recipe)."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a stage is optimised.

    Attributes
    ----------
    warm_up_steps
        Steps in which the learning rate rises to its peak.
    average_decay
        Of the running average of the weights; 0 takes them as they are.
    gradient_norm
        Longer gradients are cut to this.
    looks
        At the held-out objects during the stage; the best student of these is kept.
    horizon
        Steps that the cosine is laid out for, over those of the stage.
    """

    warm_up_steps: int = 10
    average_decay: float = 0.95
    gradient_norm: float = 1.0
    looks: int = 4
    horizon: float = 1.0


DEFAULT = Schedule()
PUBLISHED = Schedule(
    warm_up_steps=0, average_decay=0.0, gradient_norm=math.inf, looks=1
)
"""That of the authors of InfoSAM, whose last student is the one that is kept."""


@dataclass
class Progress:
    """Where a stage stands; the greater of the shares of steps and of time."""

    steps: int
    seconds: float
    step: int = 0
    spent: float = 0.0

    @property
    def share(self) -> float:
        """Part of the stage that is over, in [0, 1]."""
        by_time = self.spent / self.seconds if self.seconds > 0 else 1.0
        return min(1.0, max(self.step / max(self.steps, 1), by_time))

    @property
    def expected_steps(self) -> int:
        """Steps the stage will have taken when its time is over."""
        return (
            max(self.step, round(self.step / self.share)) if self.share else self.steps
        )

    @property
    def seconds_left(self) -> float:
        """Estimate from the pace so far."""
        return (
            self.spent * (1 - self.share) / self.share if self.share else self.seconds
        )


@dataclass
class Best:
    """The best weights on the held-out objects so far."""

    score: float = -math.inf
    weights: list[Tensor] = field(default_factory=list)


class Fit:
    """One stage: optimiser, averaged weights and progress; can be saved and resumed.

    The learning rate warms up and then falls along a cosine to a tenth.
    What is validated and kept is a running average of the weights, interpolated
    towards the base if the options ask for it.

    Parameters
    ----------
    stage
        The student.
    steps, seconds
        Bounds of the stage; the one reached first ends it.
    schedule
        How it is optimised.
    say
        Told when steps go wrong, in one sentence each.
    """

    def __init__(
        self,
        stage: Stage,
        steps: int,
        seconds: float,
        schedule: Schedule = DEFAULT,
        say: Callable[[str], None] = lambda _sentence: None,
    ) -> None:
        self.stage = stage
        self.schedule = schedule
        self.progress = Progress(steps, seconds)
        self.best = Best()
        self._stumbles = Stumbles(say)
        in_encoder = stage.encoder_parameters
        known = set(map(id, in_encoder))
        others = [p for p in stage.parameters if id(p) not in known]
        self._optimizer = torch.optim.Adam(
            [
                {"params": others, "factor": 1.0},
                {"params": in_encoder, "factor": stage.options.encoder_rate},
            ],
            lr=stage.options.learning_rate,
        )
        self._average = [p.detach().clone() for p in stage.trained]

    def run(
        self,
        batches: Callable[[], Iterator[list[Group]]],
        *,
        on_step: Callable[[Progress, StepLoss | None], None],
        validate: Callable[[], float],
    ) -> None:
        """Train until the steps or the seconds are over.

        Parameters
        ----------
        batches
            Starts an epoch.
        on_step
            Called after each step, with None if its loss was not a number and it was
            left out; may raise to stop.
        validate
            Score of the student as it stands, higher is better.

        Raises
        ------
        FloatingPointError
            If the loss stays no number; see `Stumbles`.
        """
        rng = np.random.default_rng((self.stage.options.seed, self.progress.step))
        next_look = 1 / self.schedule.looks
        while next_look <= self.progress.share:
            next_look += 1 / self.schedule.looks
        while self.progress.share < 1:
            for batch in batches():
                started = time.perf_counter()
                loss = self._step(batch, rng)
                self.progress.step += 1
                self.progress.spent += time.perf_counter() - started
                on_step(self.progress, loss)
                if self.progress.share >= min(next_look, 1):
                    started = time.perf_counter()
                    self._look(validate)
                    self.progress.spent += time.perf_counter() - started
                    # slow steps may pass several: one look is enough
                    while next_look <= self.progress.share:
                        next_look += 1 / self.schedule.looks
                if self.progress.share >= 1:
                    break
        if not self.best.weights:  # stopped in its only look, and resumed
            self._look(validate)
        self._set_weights(self.best.weights)

    def state_dict(self) -> dict[str, Any]:
        """Return all that `load_state_dict` needs to go on."""
        distiller = self.stage.distiller
        return {
            "weights": [p.detach() for p in self.stage.trained],
            "distiller": distiller.state_dict() if distiller else {},
            "average": self._average,
            "optimizer": self._optimizer.state_dict(),
            "step": self.progress.step,
            "seconds": self.progress.seconds,
            "spent": self.progress.spent,
            "best_score": self.best.score,
            "best_weights": self.best.weights,
            "rate": self._stumbles.rate,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a saved stage stopped."""
        self._set_weights(state["weights"])
        if self.stage.distiller is not None:
            self.stage.distiller.load_state_dict(state["distiller"])
        # copies, on the device of the student: a checkpoint is loaded to the CPU
        self._average = [
            mean.to(parameter.device, copy=True)
            for mean, parameter in zip(
                state["average"], self.stage.trained, strict=True
            )
        ]
        self._optimizer.load_state_dict(state["optimizer"])
        self.progress.step = state["step"]
        self.progress.seconds = state["seconds"]
        self.progress.spent = state["spent"]
        self.best = Best(state["best_score"], state["best_weights"])
        self._stumbles.rate = state.get("rate", 1.0)

    def forget_momentum(self) -> None:
        """Let the optimiser begin anew, at the weights as they are."""
        self._optimizer.state.clear()

    def _go_back(self) -> None:
        """Return to the last good weights: the best look, or else the average."""
        good = next(
            weights
            for weights in (self.best.weights, self._average, self.stage.start)
            if weights and all(torch.isfinite(w).all() for w in weights)
        )
        self._set_weights(good)
        self._average = [w.detach().clone() for w in good]
        self.forget_momentum()

    def _step(self, batch: list[Group], rng: np.random.Generator) -> StepLoss | None:
        rate = self.stage.options.learning_rate * self._rate() * self._stumbles.rate
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        self._optimizer.zero_grad(set_to_none=True)
        loss = self.stage.step(batch, rng)
        self._pull_to_start()
        # apart: a long gradient of the relation module must not shorten the student's
        lengths = [
            float(torch.nn.utils.clip_grad_norm_(own, self.schedule.gradient_norm))
            for own in (self.stage.trained, self.stage.distiller_parameters)
        ]
        if not all(map(math.isfinite, (loss.total, *lengths))):
            if self.stage.distiller is not None:
                self.stage.distiller.forget()  # rows of this step are no numbers, too
            if self._stumbles.must_go_back(self.progress.step + 1):
                self._go_back()
            return None
        self._stumbles.went_well()
        self._optimizer.step()
        step = self.progress.step
        decay = min(self.schedule.average_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, parameter in zip(self._average, self.stage.trained, strict=True):
                mean.lerp_(parameter, 1 - decay)
        return loss

    def _pull_to_start(self) -> None:
        """Add the gradient of ``anchor * |weights - base|^2``."""
        if not self.stage.options.anchor:
            return
        for parameter, start in zip(self.stage.trained, self.stage.start, strict=True):
            if parameter.grad is not None:
                way = parameter.detach() - start
                parameter.grad.add_(way, alpha=2 * self.stage.options.anchor)

    def _rate(self) -> float:
        steps = max(self.schedule.warm_up_steps, 1)
        warm_up = min(1.0, (self.progress.step + 1) / steps)
        share = self.progress.share / self.schedule.horizon
        cosine = (1 + math.cos(math.pi * share)) / 2
        return warm_up * (FINAL_RATE + (1 - FINAL_RATE) * cosine)

    def _look(self, validate: Callable[[], float]) -> None:
        """Validate the averaged weights; they become the best unless they are worse."""
        running = [p.detach().clone() for p in self.stage.trained]
        share = self.stage.options.interpolate
        candidate = [
            mean.lerp(start, share)
            for mean, start in zip(self._average, self.stage.start, strict=True)
        ]
        self._set_weights(candidate)
        try:
            score = validate()
        finally:
            self._set_weights(running)
        if score >= self.best.score:
            self.best = Best(score, candidate)

    def _set_weights(self, weights: list[Tensor]) -> None:
        with torch.no_grad():
            for parameter, value in zip(self.stage.trained, weights, strict=True):
                parameter.copy_(value)
