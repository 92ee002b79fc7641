"""Held-out objects; where they are few, they are looked at from several sides.

A model that answers about a turned picture sees another picture, but the same object.
The mean over the sides says more surely than one of them whether it has become better;
``docs/benchmarks.md`` has the measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_infosam.core.masks import encode_rle
from napari_infosam.models.predictor import Predictor
from napari_infosam.training.dataset import count_objects
from napari_infosam.training.evaluate import Evaluation, evaluate
from napari_infosam.training.known_results import keep_results, keys_of

if TYPE_CHECKING:
    from napari_infosam.models.sam_model import SamModel
    from napari_infosam.training.dataset import Sample
    from napari_infosam.training.evaluate import ObjectResult, Progress
    from napari_infosam.training.features import FrozenFeatures
    from napari_infosam.training.known_results import KnownResults

Turn = Callable[[NDArray[Any]], NDArray[Any]]

TURNS: tuple[Turn, ...] = (
    lambda picture: picture,
    np.fliplr,
    np.rot90,
    lambda picture: np.fliplr(np.rot90(picture)),
)
"""The sides: each turns ``(H, W, ...)``, the first one leaves it as it is."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Objects that judge, seen from one side or more.

    Attributes
    ----------
    samples
        All images from the first side, then all from the second.
    n_views
        The number of sides.
    """

    samples: tuple[Sample, ...]
    n_views: int

    @classmethod
    def of(cls, samples: Sequence[Sample], most: int) -> HeldOut:
        """Return the objects of some images; the fewer they are, the more views.

        Parameters
        ----------
        samples
            Images with their objects.
        most
            Objects times views are no more, unless the objects alone are.
        """
        n_views = max(1, min(len(TURNS), most // max(count_objects(samples), 1)))
        seen = tuple(_turned(s, turn) for turn in TURNS[:n_views] for s in samples)
        return cls(seen, n_views)

    def evaluate(
        self,
        model: SamModel,
        features: FrozenFeatures,
        *,
        max_clicks: int,
        on_progress: Progress,
        known: KnownResults | None = None,
    ) -> Evaluation:
        """Let the simulated annotator label every object in all views.

        Parameters
        ----------
        model
            Who answers.
        features
            Of its frozen base; what is missing of these images is computed.
        max_clicks, on_progress
            See `napari_infosam.training.evaluate.evaluate`. Progress is also told
            before each image, which the encoder of the model looks at first.
        known
            Results that need not be measured again.
        """
        results = self._known(model, max_clicks, known)
        missing = [
            replace(
                sample,
                rles=tuple(
                    rle
                    for rle, result in zip(sample.rles, here, strict=True)
                    if result is None
                ),
            )
            for sample, here in zip(self.samples, results, strict=True)
        ]
        missing = [sample for sample in missing if sample.rles]
        total = count_objects(missing)
        embeddings = []
        for sample in missing:
            on_progress(0, total)
            embeddings.append(features.image_embedding(sample, model))
        measured = iter(
            evaluate(
                Predictor(model),
                missing,
                max_clicks=max_clicks,
                on_progress=on_progress,
                embeddings=embeddings,
            ).objects
        )
        objects = [
            next(measured) if result is None else result
            for here in results
            for result in here
        ]
        found = Evaluation.of(objects, len(self.samples), max_clicks)
        return found.of_views(self.n_views)

    def keep(self, known: KnownResults, model: SamModel, results: Evaluation) -> None:
        """Let the results of a model be known."""
        keys = (
            key
            for sample in self.samples
            for key in keys_of(model, sample, results.max_clicks)
        )
        keep_results(known, zip(keys, results.objects, strict=True))

    def _known(
        self, model: SamModel, max_clicks: int, known: KnownResults | None
    ) -> list[list[ObjectResult | None]]:
        """Return what is known of each object of each image."""
        if known is None:
            return [[None for _ in sample.rles] for sample in self.samples]
        results: list[list[ObjectResult | None]] = []
        for sample in self.samples:
            found = [known.get(key) for key in keys_of(model, sample, max_clicks)]
            results.append([r and r.on(sample, i) for i, r in enumerate(found)])
        return results


def _turned(sample: Sample, turn: Turn) -> Sample:
    if turn is TURNS[0]:
        return sample
    masks = [turn(sample.mask(index)) for index in range(len(sample.rles))]
    rles = tuple(map(encode_rle, masks))
    authors = {
        new: sample.authors[old]
        for old, new in zip(sample.rles, rles, strict=True)
        if old in sample.authors
    }
    picture = np.ascontiguousarray(turn(sample.picture))
    return replace(sample, picture=picture, rles=rles, authors=authors)
