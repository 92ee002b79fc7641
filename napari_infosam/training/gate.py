"""The gate: a student replaces the active version only if it is better.

Better means: on the same held-out objects, paired, by clicks and by IoU, than the
active version and than the base, by more than a margin that chance does not pass.

A mask that was accepted as a model proposed it is that model's own answer: nobody could
come nearer to it. A student is compared with a rival on what others than this rival
answered, where there is enough of it; but with the base on everything, because students
resemble each other. And where a mask is anybody's answer, an IoU of 0.90 counts as all
of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_infosam.core.metrics import clicks_to_reach
from napari_infosam.core.words import counted
from napari_infosam.project.versions import BASE
from napari_infosam.training.annotator import ACCEPTABLE, GOOD_ENOUGH

if TYPE_CHECKING:
    from napari_infosam.training.evaluate import Evaluation, ObjectResult

MARGIN = 0.005
"""The least gain in mean IoU (over 1, 3, 5 clicks and the box) that counts."""

TOLERANCE = 0.02
"""The most that any one kind of prompt may lose; more only within its noise."""

MORE_STUCK = 0.05
"""Share of the objects that may newly fail to reach 0.85 IoU, however many clicks."""

MORE_CLICKS = 0.25
"""Clicks to 0.90 IoU that may be lost in the mean; more only within their noise."""

LEAST_OTHERS = 10
"""Objects on which a rival can be met without those that it answered itself."""

KINDS = (
    "IoU after 1 click",
    "IoU after 3 clicks",
    "IoU after 5 clicks",
    "IoU of boxes",
)
"""What is compared, in the order of the columns of `_table`."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a candidate is accepted, and why, in one sentence.

    Attributes
    ----------
    practice_lost
        Whether it was rejected because later clicks or boxes got worse.
    """

    accepted: bool
    reason: str
    practice_lost: bool = False


def judge(candidate: Evaluation, rivals: Mapping[str, Evaluation]) -> Verdict:
    """Compare a candidate with the active version and the base.

    Parameters
    ----------
    candidate
        Results of the student.
    rivals
        Results by name on the same objects, for example ``{"base": ..., "v002": ...}``.
    """
    for name, rival in rivals.items():
        refusal, practice_lost = _refusal(*_on_neutral_ground(candidate, rival, name))
        if refusal:
            reason = f"Not better than {name}: {refusal}."
            return Verdict(False, reason, practice_lost)
    return Verdict(True, _praise(candidate, rivals))


def _praise(candidate: Evaluation, rivals: Mapping[str, Evaluation]) -> str:
    """Return what a student is accepted for, and where it is a little worse."""
    new = _rounded(candidate)
    old = {name: _rounded(rival) for name, rival in rivals.items()}
    worst = np.min([new - its for its in old.values()], axis=0)
    # the first click, unless it is another kind of prompt that has gained
    lead = 0 if worst[0] >= 0 else int(worst.argmax())

    def compared(kind: int, *, fallen: bool = False) -> str:
        return ", ".join(
            f"{name} {its[kind]:.2f} -> {new[kind]:.2f}"
            for name, its in old.items()
            if not fallen or its[kind] > new[kind]
        )

    clicks = min(rival.noc(0.85) for rival in rivals.values())
    objects = counted(len(candidate.objects), "held-out object")
    praise = (
        f"{KINDS[lead]} {compared(lead)}; {candidate.noc(0.85):.1f} clicks to 0.85 IoU "
        f"instead of {clicks:.1f}, on {objects}."
    )
    lower = [
        f"{words} ({compared(kind, fallen=True)})"
        for kind, words in enumerate(KINDS)
        if worst[kind] < 0
    ]
    return praise + (
        f" Lower, within what is tolerated: {', '.join(lower)}." if lower else ""
    )


def _rounded(evaluation: Evaluation) -> NDArray[np.float64]:
    """Return the mean of each of `KINDS`, as it is shown."""
    return np.round(_kinds(evaluation), 2)


def _kinds(of: Evaluation | ObjectResult) -> list[float]:
    """Return the IoU of each of `KINDS`."""
    return [*map(of.iou_after, (1, 3, 5)), of.iou_box]


def _on_neutral_ground(
    candidate: Evaluation, rival: Evaluation, name: str
) -> tuple[Evaluation, Evaluation]:
    """Return both on the objects that the rival did not answer, if these are enough."""
    others = [i for i, o in enumerate(rival.objects) if o.author != name]
    if name == BASE or len(others) < LEAST_OTHERS:
        return candidate, rival
    return candidate.only(others), rival.only(others)


def _refusal(candidate: Evaluation, rival: Evaluation) -> tuple[str, bool]:
    """Return why a candidate is not better than a rival, or an empty string.

    And whether it is for what comes after the first click.
    """
    before, after = _table(rival), _table(candidate)
    for column, words in enumerate(KINDS):
        old, new = before[:, column], after[:, column]
        if new.mean() < old.mean() - max(TOLERANCE, _noise(new - old)):
            return f"{words} fell from {old.mean():.2f} to {new.mean():.2f}", column > 0
    old_clicks, new_clicks = rival.noc(0.85), candidate.noc(0.85)
    if new_clicks > old_clicks:
        return (
            f"clicks to 0.85 IoU rose from {old_clicks:.1f} to {new_clicks:.1f}",
            True,
        )
    old, new = _clicks(rival), _clicks(candidate)
    if new.mean() > old.mean() + max(MORE_CLICKS, _noise(new - old)):
        return (
            f"clicks to 0.90 IoU rose from {old.mean():.1f} to {new.mean():.1f}",
            True,
        )
    stuck = candidate.nof(0.85) - rival.nof(0.85)
    if stuck > MORE_STUCK * len(candidate.objects):
        return f"{stuck} more objects never reached 0.85 IoU", True
    gains = (after - before).mean(axis=1)
    gain, noise = float(gains.mean()), _noise(gains)
    if gain < MARGIN and (_ceiling(rival) - before).mean() < MARGIN:
        return f"it has {_held_out(rival)} right already; annotate more images", False
    if gain < MARGIN:
        least = (
            f"mean IoU went from {before.mean():.3f} to {after.mean():.3f}, and a gain "
            f"of {MARGIN} is the least that counts"
        )
        return least, False
    if gain < noise:
        small = f"a gain of {gain:.3f} in mean IoU is within the noise of {noise:.3f}"
        return small, False
    return "", False


def _table(evaluation: Evaluation) -> NDArray[np.float64]:
    """Return ``(objects, KINDS)``."""
    table = np.array([_kinds(one) for one in evaluation.objects])
    capped: NDArray[np.float64] = np.minimum(table, _ceiling(evaluation))
    return capped


def _ceiling(evaluation: Evaluation) -> NDArray[np.float64]:
    """Return ``(objects, 1)``: the IoU of each that counts as all of it."""
    most = [GOOD_ENOUGH if o.author else 1.0 for o in evaluation.objects]
    return np.array(most)[:, np.newaxis]


def _held_out(evaluation: Evaluation) -> str:
    n = len(evaluation.objects)
    return "the only held-out object" if n == 1 else f"all {n} held-out objects"


def _clicks(evaluation: Evaluation) -> NDArray[np.float64]:
    """Return the clicks of each object to 0.90 IoU, or 0.85 with a proposed mask."""
    most = evaluation.max_clicks
    return np.array(
        [
            clicks_to_reach(o.ious, ACCEPTABLE if o.author else GOOD_ENOUGH, most)
            for o in evaluation.objects
        ]
    )


def _noise(differences: NDArray[np.float64]) -> float:
    """Return the standard error of the mean of paired differences."""
    if len(differences) < 2:
        return 0.0
    return float(differences.std(ddof=1)) / math.sqrt(len(differences))
