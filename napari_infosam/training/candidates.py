"""How far a student may go from its base: the gate tries a second distance.

A student that has learnt one kind of image may answer later clicks or boxes worse
than its base. Weights between the two often keep most of what was learnt and lose less
(weight-space ensembles of fine-tuned models, arXiv:2109.01903).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from napari_infosam.training.annotator import ACCEPTABLE
from napari_infosam.training.gate import MARGIN, MORE_CLICKS, Verdict, judge

if TYPE_CHECKING:
    from napari_infosam.models.sam_model import SamModel
    from napari_infosam.training.evaluate import Evaluation
    from napari_infosam.training.stages import Stage

SHARE_OF_BASE = 0.4
"""In the weights of the second candidate; ``docs/loop.md`` has the measurement."""

Measure = Callable[["SamModel", float], "Evaluation"]
"""Evaluates a model with a share of the base on the held-out objects."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A student and what the gate says of it.

    Attributes
    ----------
    evaluation, verdict
        On the held-out objects.
    interpolation
        Share of the base in its weights.
    """

    evaluation: Evaluation
    verdict: Verdict
    interpolation: float


def choose_candidate(
    stage: Stage, rivals: Mapping[str, Evaluation], measure: Measure
) -> Candidate:
    """Judge a student and, where that may help, one that is nearer to the base.

    The second one costs another evaluation, and is tried only if the first one was
    rejected because later clicks or boxes got worse, or is accepted although some kind
    of prompt did. In the latter case it is taken if it loses less and costs no clicks.
    The stage is left with the weights of the candidate that is returned.

    Parameters
    ----------
    stage
        The student; its training is over.
    rivals
        Results that it must beat, see `judge`.
    measure
        Evaluates it.
    """
    own = stage.options.interpolate
    evaluation = measure(stage.model(), own)
    first = Candidate(evaluation, judge(evaluation, rivals), own)
    as_published = stage.options.recipe == "paper"
    if as_published or own >= SHARE_OF_BASE or not _has_forgotten(first.verdict):
        return first
    pure = [p.detach().clone() for p in stage.trained]
    _pull_to_base(stage, (SHARE_OF_BASE - own) / (1 - own))
    evaluation = measure(stage.model(), SHARE_OF_BASE)
    verdict = judge(evaluation, rivals)
    costs = evaluation.noc(ACCEPTABLE) - first.evaluation.noc(ACCEPTABLE)
    is_kinder = verdict.lost < first.verdict.lost and costs <= MORE_CLICKS[ACCEPTABLE]
    if verdict.accepted and (is_kinder or not first.verdict.accepted):
        reason = f"{verdict.reason} With {SHARE_OF_BASE:.0%} of the base mixed in"
        if first.verdict.accepted:
            reason += "."
        else:
            reason += f", without which it was {_small(first.verdict.reason)}"
        return Candidate(evaluation, replace(verdict, reason=reason), SHARE_OF_BASE)
    _set(stage, pure)
    if first.verdict.accepted:
        return first
    reason = (
        f"{first.verdict.reason} Nor with {SHARE_OF_BASE:.0%} of the base mixed in: "
        f"{_small(verdict.reason)}"
    )
    return Candidate(first.evaluation, Verdict(False, reason), own)


def _has_forgotten(verdict: Verdict) -> bool:
    """Return whether weights nearer to the base may do better."""
    return verdict.lost >= MARGIN if verdict.accepted else verdict.practice_lost


def _pull_to_base(stage: Stage, share: float) -> None:
    _set(
        stage,
        [p.lerp(s, share) for p, s in zip(stage.trained, stage.start, strict=True)],
    )


@torch.no_grad()
def _set(stage: Stage, weights: list[torch.Tensor]) -> None:
    for parameter, value in zip(stage.trained, weights, strict=True):
        parameter.copy_(value)


def _small(reason: str) -> str:
    return reason[:1].lower() + reason[1:]
