"""How good a model is in a person's hand: simulated clicks on known masks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_infosam.core.events import Metrics
from napari_infosam.core.masks import BoolArray, mask_box
from napari_infosam.core.metrics import (
    MAX_CLICKS,
    boundary_iou,
    clicks_to_reach,
    dice,
    iou,
)
from napari_infosam.core.prompts import PromptSet
from napari_infosam.models.threads import Workers
from napari_infosam.training.annotator import GOOD_ENOUGH, clicking
from napari_infosam.training.dataset import Sample, count_objects

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_infosam.models.prediction import ImageEmbedding
    from napari_infosam.models.predictor import Predictor

REPORTED_CLICKS = 5

Progress = Callable[[int, int], None]
"""Called with the number of objects done and of all objects."""


@dataclass(frozen=True, slots=True)
class ObjectResult:
    """One object under the click protocol.

    Attributes
    ----------
    ious
        IoU after click 1, 2, ...; ends early where the object was good enough.
    iou_box, dice_box, boundary_iou_box
        For the tight box alone.
    scores
        Predicted IoU after each click, and of the box; empty where nobody asked.
    seconds, seconds_in_all
        Of all clicks; and of what else was measured, too.
    author
        The version whose own answer the mask is that counts as true; None where it is
        nobody's.
    image
        The image it is in, or the group of images that are alike.
    """

    ious: tuple[float, ...]
    iou_box: float
    dice_box: float
    boundary_iou_box: float = 0.0
    scores: tuple[float, ...] = ()
    seconds: float = 0.0
    seconds_in_all: float = 0.0
    author: str | None = None
    image: str = ""

    def on(self, sample: Sample, index: int) -> ObjectResult:
        """Return the same result, told which object of which image it is of."""
        author = sample.authors.get(sample.rles[index])
        return replace(self, author=author, image=sample.group or sample.name)

    def iou_after(self, clicks: int) -> float:
        """Return the IoU after this many clicks (1 is the first)."""
        return self.ious[min(clicks, len(self.ious)) - 1]

    @property
    def score_errors(self) -> NDArray[np.float64]:
        """Predicted less true IoU, of each answer; zero where nobody asked."""
        if not self.scores:
            return np.zeros(1)
        return np.subtract(self.scores, (*self.ious, self.iou_box))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Results of all objects, in the order of the samples.

    Attributes
    ----------
    objects
        With more than one view, all of the first one, then all of the second.
    n_images, max_clicks, seconds_per_click
        What was evaluated, and how long a click took.
    n_views
        From how many sides each object was looked at; see `HeldOut`.
    """

    objects: tuple[ObjectResult, ...]
    n_images: int
    max_clicks: int
    seconds_per_click: float
    n_views: int = 1

    @classmethod
    def of(
        cls, results: Sequence[ObjectResult], n_images: int, max_clicks: int
    ) -> Evaluation:
        """Return the results of some objects together."""
        seconds = sum(result.seconds for result in results)
        clicks = sum(len(result.ious) for result in results)
        return cls(tuple(results), n_images, max_clicks, seconds / max(clicks, 1))

    @property
    def n_objects(self) -> int:
        """Number of objects, each counted once."""
        return len(self.objects) // self.n_views

    def of_views(self, n_views: int) -> Evaluation:
        """Return the same results, told that they are of so many views."""
        return replace(self, n_views=n_views, n_images=self.n_images // n_views)

    def promising(self, more: float) -> Evaluation:
        """Return the same results with other predictions of IoU."""
        objects = (
            replace(o, scores=tuple(score + more for score in o.scores))
            for o in self.objects
        )
        return replace(self, objects=tuple(objects))

    def only(self, indices: Sequence[int]) -> Evaluation:
        """Return the results of some of the objects, in all views."""
        n = self.n_objects
        kept = (
            self.objects[view * n + i] for view in range(self.n_views) for i in indices
        )
        return replace(self, objects=tuple(kept))

    def iou_after(self, clicks: int) -> float:
        """Return the mean IoU after this many clicks."""
        return float(np.mean([o.iou_after(clicks) for o in self.objects]))

    def noc(self, threshold: float) -> float:
        """Return the mean number of clicks to reach an IoU."""
        return float(
            np.mean(
                [
                    clicks_to_reach(o.ious, threshold, self.max_clicks)
                    for o in self.objects
                ]
            )
        )

    def nof(self, threshold: float) -> float:
        """Return how many objects never reached an IoU, as a mean over the views."""
        return sum(max(o.ious) < threshold for o in self.objects) / self.n_views

    @property
    def iou_box(self) -> float:
        """Mean IoU of the answers to tight boxes."""
        return float(np.mean([o.iou_box for o in self.objects]))

    @property
    def dice_box(self) -> float:
        """Mean Dice coefficient of the answers to tight boxes."""
        return float(np.mean([o.dice_box for o in self.objects]))

    @property
    def boundary_iou_box(self) -> float:
        """Mean boundary IoU of the answers to tight boxes."""
        return float(np.mean([o.boundary_iou_box for o in self.objects]))

    @property
    def score_error(self) -> float:
        """Mean absolute difference of predicted and true IoU: the calibration error."""
        return float(np.mean([np.abs(o.score_errors).mean() for o in self.objects]))

    @property
    def score_bias(self) -> float:
        """Mean of predicted less true IoU: above zero where too much is promised."""
        return float(np.mean([o.score_errors.mean() for o in self.objects]))

    def figures(self) -> dict[str, float]:
        """Return everything that is measured, under the names that people read."""
        return {
            "n_images": self.n_images,
            "n_objects": self.n_objects,
            "iou_1": self.iou_after(1),
            "iou_3": self.iou_after(3),
            "iou_5": self.iou_after(5),
            "iou_box": self.iou_box,
            "noc80": self.noc(0.80),
            "noc85": self.noc(0.85),
            "noc90": self.noc(0.90),
            "nof90": round(self.nof(0.90)),
            "dice_box": self.dice_box,
            "boundary_iou_box": self.boundary_iou_box,
            "score_error": self.score_error,
            "score_bias": self.score_bias,
            "seconds_per_click": self.seconds_per_click,
        }

    def metrics(self) -> Metrics:
        """Return the means that events and model cards carry."""
        return Metrics(
            n_images=self.n_images,
            n_objects=self.n_objects,
            iou_1=self.iou_after(1),
            iou_3=self.iou_after(3),
            iou_5=self.iou_after(5),
            iou_box=self.iou_box,
            noc85=self.noc(0.85),
            noc90=self.noc(0.90),
            max_clicks=self.max_clicks,
        )


def evaluate(
    predictor: Predictor,
    samples: Sequence[Sample],
    *,
    max_clicks: int = MAX_CLICKS,
    on_progress: Progress | None = None,
    embeddings: Sequence[ImageEmbedding] | None = None,
    threads: int = 1,
) -> Evaluation:
    """Let the simulated annotator label every object.

    Each object is clicked at least five times (three figures need it) and then until
    its IoU reaches 0.9 or `max_clicks` is spent. How click 1 and later clicks are
    decoded is told at `Predictor.answer`.

    Parameters
    ----------
    predictor
        Who answers.
    samples
        Images with known masks.
    max_clicks
        Counted for objects that never get there.
    on_progress
        Called after each object.
    embeddings
        One a sample, if they are there already.
    threads
        Objects that are labelled side by side.
    """
    total = count_objects(samples)

    def measure(number: int, index: int) -> ObjectResult:
        sample = samples[number]
        if embeddings is not None:
            embedding = embeddings[number]
        else:
            embedding = predictor.embed(sample.picture)
        result = _measure(predictor, embedding, sample.mask(index), max_clicks)
        return result.on(sample, index)

    numbers = [number for number, s in enumerate(samples) for _ in s.rles]
    indices = [index for s in samples for index in range(len(s.rles))]
    side_by_side: Callable[..., Iterable[ObjectResult]] = map
    if threads > 1:
        side_by_side = Workers(threads, predictor.model.device).map
    results: list[ObjectResult] = []
    for result in side_by_side(measure, numbers, indices):
        results.append(result)
        if on_progress is not None:
            on_progress(len(results), total)
    return Evaluation.of(results, len(samples), max_clicks)


def _measure(
    predictor: Predictor, embedding: ImageEmbedding, mask: BoolArray, max_clicks: int
) -> ObjectResult:
    start = time.perf_counter()
    ious, scores = annotate(predictor, embedding, mask, max_clicks)
    seconds = time.perf_counter() - start
    boxed = predictor.answer(PromptSet(box=mask_box(mask)), None, embedding)
    iou_box = iou(boxed.mask, mask)
    return ObjectResult(
        ious,
        iou_box,
        dice(boxed.mask, mask),
        boundary_iou(boxed.mask, mask),
        (*scores, boxed.score),
        seconds,
        time.perf_counter() - start,
    )


def annotate(
    predictor: Predictor,
    embedding: ImageEmbedding,
    mask: BoolArray,
    max_clicks: int = MAX_CLICKS,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return true and predicted IoU after each simulated click on one object."""
    ious: list[float] = []
    scores: list[float] = []
    for step in clicking(predictor, embedding, mask):
        ious.append(step.iou)
        scores.append(step.answer.score)
        good_enough = len(ious) >= REPORTED_CLICKS and step.iou >= GOOD_ENOUGH
        if good_enough or len(ious) == max_clicks:
            break
    return tuple(ious), tuple(scores)
