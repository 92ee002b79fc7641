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

MORE_STUCK, LEAST_STUCK = 0.05, 0.5
"""Share of the objects that may newly fail to reach 0.85 IoU, however many clicks.

Half an object may in any case: one, in half of its views.
"""

MORE_CLICKS = {ACCEPTABLE: 0.1, GOOD_ENOUGH: 0.25}
"""Clicks to an IoU that may be lost in the mean; more only within their noise."""

USUAL_BETWEEN, USUAL_WITHIN, USUAL_IMAGES = 0.03, 0.04, 2
"""How far gains lie apart, and how many images this is taken to have been seen on.

Standard deviations of the mean gain from image to image, and from object to object of
one image; ``docs/benchmarks.md`` has the measurement.
"""

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
    lost
        The most mean IoU that any of `KINDS` is below that of a rival; 0 if none is.
    """

    accepted: bool
    reason: str
    practice_lost: bool = False
    lost: float = 0.0


def judge(candidate: Evaluation, rivals: Mapping[str, Evaluation]) -> Verdict:
    """Compare a candidate with the active version and the base.

    Parameters
    ----------
    candidate
        Results of the student.
    rivals
        Results by name on the same objects, for example ``{"base": ..., "v002": ...}``.
    """
    lost = 0.0
    for name, rival in rivals.items():
        both = _on_neutral_ground(candidate, rival, name)
        lost = max(lost, _lost(*both))
        refusal, practice_lost = _refusal(*both)
        if refusal:
            reason = f"Not better than {name}: {refusal}."
            return Verdict(False, reason, practice_lost, lost)
    return Verdict(True, _praise(candidate, rivals), lost=lost)


def _lost(candidate: Evaluation, rival: Evaluation) -> float:
    """Return how far the kind of prompt that has lost most is below the rival's."""
    gains = _table(candidate).mean(axis=0) - _table(rival).mean(axis=0)
    return max(0.0, -float(gains.min()))


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
    objects = counted(candidate.n_objects, "held-out object")
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
    once = rival.objects[: rival.n_objects]
    others = [i for i, o in enumerate(once) if o.author != name]
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
    for wanted, most in MORE_CLICKS.items():
        old, new = _clicks(rival, wanted), _clicks(candidate, wanted)
        if new.mean() > old.mean() + max(most, _noise(new - old)):
            clicks = f"from {old.mean():.1f} to {new.mean():.1f}"
            return f"clicks to {wanted:.2f} IoU rose {clicks}", True
    before_stuck, stuck = rival.nof(ACCEPTABLE), candidate.nof(ACCEPTABLE)
    if stuck > before_stuck + max(MORE_STUCK * candidate.n_objects, LEAST_STUCK):
        numbers = f"from {before_stuck:.1f} to {stuck:.1f}"
        return f"objects that never reach 0.85 IoU rose {numbers}", True
    gains = (after - before).mean(axis=1)
    images = [one.image for one in rival.objects[: rival.n_objects]]
    gain, doubt = float(gains.mean()), _doubt(gains, images)
    noise = max(_noise(gains), doubt)
    if gain < MARGIN and (_by_object(rival, _ceiling(rival)) - before).mean() < MARGIN:
        return f"it has {_held_out(rival)} right already; annotate more images", False
    if gain < MARGIN:
        least = (
            f"mean IoU went from {before.mean():.3f} to {after.mean():.3f}, and a gain "
            f"of {MARGIN} is the least that counts"
        )
        return least, False
    if gain < noise:
        small = f"a gain of {gain:.3f} in mean IoU is within the noise of {noise:.3f}"
        if noise == doubt:
            held_out = counted(len(set(images)), "held-out image")
            small += f" of {held_out}; annotate more images"
        return small, False
    return "", False


def _table(evaluation: Evaluation) -> NDArray[np.float64]:
    """Return ``(objects, KINDS)``, each the mean over its views."""
    table = np.array([_kinds(one) for one in evaluation.objects])
    return _by_object(evaluation, np.minimum(table, _ceiling(evaluation)))


def _ceiling(evaluation: Evaluation) -> NDArray[np.float64]:
    """Return ``(results, 1)``: the IoU of each that counts as all of it."""
    most = [GOOD_ENOUGH if o.author else 1.0 for o in evaluation.objects]
    return np.array(most)[:, np.newaxis]


def _held_out(evaluation: Evaluation) -> str:
    n = evaluation.n_objects
    return "the only held-out object" if n == 1 else f"all {n} held-out objects"


def _clicks(evaluation: Evaluation, wanted: float) -> NDArray[np.float64]:
    """Return the clicks of each object to an IoU, or 0.85 with a proposed mask."""
    most = evaluation.max_clicks
    clicks = [
        clicks_to_reach(o.ious, ACCEPTABLE if o.author else wanted, most)
        for o in evaluation.objects
    ]
    return _by_object(evaluation, np.array(clicks, float))


def _by_object(
    evaluation: Evaluation, values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean over the views of each object."""
    shape = (evaluation.n_views, evaluation.n_objects, *values.shape[1:])
    means: NDArray[np.float64] = values.reshape(shape).mean(axis=0)
    return means


def _noise(differences: NDArray[np.float64]) -> float:
    """Return the standard error of the mean of paired differences."""
    if len(differences) < 2:
        return 0.0
    return float(differences.std(ddof=1)) / math.sqrt(len(differences))


def _doubt(gains: NDArray[np.float64], images: list[str]) -> float:
    """Return the standard error of a mean gain, if images are what was drawn.

    Objects of one image are alike. Of one image or two there is hardly a spread to be
    seen; the usual one is taken to have been seen before, on `USUAL_IMAGES` more.
    """
    names, index, counts = np.unique(images, return_inverse=True, return_counts=True)
    shares = counts / len(gains)
    apart = np.bincount(index, gains - gains.mean()) / counts
    usual = USUAL_BETWEEN**2 + USUAL_WITHIN**2 / counts
    seen = len(names) * (shares @ apart**2)
    variances = (USUAL_IMAGES * usual + seen) / (USUAL_IMAGES + len(names) - 1)
    return math.sqrt(shares**2 @ variances)
