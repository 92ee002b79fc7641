"""A simulated annotator at work: image after image, with training in between.

Everything is that of the real loop: a project, when to train by itself, the training
process, the gate. Only the person is not; they wait while the model trains.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_infosam.core.clicks import jittered_click, next_click
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.metrics import MAX_CLICKS, clicks_to_reach, iou
from napari_infosam.models.embeddings import EmbeddingCache
from napari_infosam.models.loading import load_version
from napari_infosam.models.predictor import Predictor
from napari_infosam.project import Project
from napari_infosam.training.annotator import ACCEPTABLE, Step, annotate_object
from napari_infosam.training.continuous import Situation, decide, options_for
from napari_infosam.training.dataset import count_objects
from napari_infosam.training.job import finetune

if TYPE_CHECKING:
    from napari_infosam.core.events import TrainingEvent
    from napari_infosam.core.masks import BoolArray
    from napari_infosam.core.options import FinetuneOptions
    from napari_infosam.models.prediction import ImageEmbedding
    from napari_infosam.models.sam_model import SamModel
    from napari_infosam.project import ImageRecord
    from napari_infosam.training.annotator import Click
    from napari_infosam.training.dataset import Sample

Accept = Literal["proposal", "truth"]
Measure = Callable[["SamModel"], dict[str, float]]
OnProgress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is, and how much there is."""


@dataclass(frozen=True, slots=True)
class Person:
    """What the simulated annotator is like.

    Attributes
    ----------
    jitter
        Farthest in pixels from where a click should go.
    accept
        What becomes an object of the project: the proposal that was good enough, as
        in the window, or the true mask. Where no proposal was, it is the true mask.
    every
        New objects after which the person looks whether the model trains again, and
        waits for it.
    seed
        Of the jitter.
    """

    jitter: float = 0.0
    accept: Accept = "proposal"
    every: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.jitter) and self.jitter >= 0):
            raise InfosamError(
                f"The jitter must be a number of pixels, 0 or more, not {self.jitter}."
            )

    def hand(self, number: int) -> Click:
        """Return what chooses the clicks on one object."""
        if not self.jitter:
            return next_click
        rng = np.random.default_rng([self.seed, number])
        return partial(jittered_click, pixels=self.jitter, rng=rng)


class Simulation:
    """One policy, from the first click to the last object.

    Parameters
    ----------
    base
        The base model.
    samples, person
        What is annotated, in this order, and by whom.
    options
        Of every training, as a person would have chosen them; `continuous` decides
        over the stage. None never trains.
    path
        Where the project goes; one that is there is deleted.
    measure
        Measures a model on the held-out images.
    on_progress, on_event
        Told about annotating, and about training.
    """

    def __init__(
        self,
        base: SamModel,
        samples: Sequence[Sample],
        person: Person,
        options: FinetuneOptions | None,
        *,
        path: Path,
        measure: Measure,
        on_progress: OnProgress,
        on_event: Callable[[TrainingEvent], None] | None = None,
    ) -> None:
        self._base = base
        self._samples = samples
        self._person = person
        self._options = options
        self._path = path
        self._measure = measure
        self._on_progress = on_progress
        self._on_event = on_event
        self._objects: list[dict[str, Any]] = []
        self._stops: list[dict[str, Any]] = []
        self._n_learnt = 0
        self._clock = _Clock()

    def run(self) -> dict[str, Any]:
        """Annotate everything.

        Returns
        -------
        dict
            ``objects``, in the order in which they were annotated: image, clicks to
            0.85 IoU (20 where that is never reached), IoU after each, the version
            that answered, and the seconds until then; and ``held_out``, before the
            first object and after each training: what came of it, and the figures of
            the version that answers from then on. Measuring takes no time.

        Raises
        ------
        InfosamError
            If a training fails.
        """
        if self._path.exists():  # a run that was interrupted
            shutil.rmtree(self._path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        total = count_objects(self._samples)
        with Project.create(self._path, model=self._base.name) as project:
            cache = EmbeddingCache(project.cache_dir)
            predictor = Predictor(self._base, cache)
            self._stop(self._base)
            for sample in self._samples:
                image = project.add_image(sample.picture, sample.name)
                for index in range(len(sample.rles)):
                    self._on_progress("Annotating", len(self._objects), total)
                    # embedded once for an image and encoder, and then in the cache
                    embedding = predictor.embed(sample.picture)
                    mask = sample.mask(index)
                    self._annotate(project, image, predictor, embedding, mask)
                    predictor = self._train(project, predictor)
            self._on_progress("Annotating", total, total)
        return {
            "objects": self._objects,
            "held_out": self._stops,
            "seconds": self._clock.seconds,
        }

    def _annotate(
        self,
        project: Project,
        image: ImageRecord,
        predictor: Predictor,
        embedding: ImageEmbedding,
        mask: BoolArray,
    ) -> None:
        number = len(self._objects)
        steps = annotate_object(
            predictor,
            embedding,
            mask,
            patience=MAX_CLICKS,
            click=self._person.hand(number),
        )
        self._commit(project, image, predictor, steps, mask)
        ious = [step.iou for step in steps]
        self._objects.append(
            {
                "image": image.name,
                "clicks": clicks_to_reach(ious, ACCEPTABLE),
                "first_iou": ious[0],
                "ious": ious,
                "version": predictor.model.version,
                "seconds": self._clock.seconds,
            }
        )

    def _commit(
        self,
        project: Project,
        image: ImageRecord,
        predictor: Predictor,
        steps: Sequence[Step],
        mask: BoolArray,
    ) -> None:
        last = steps[-1]
        proposed = self._person.accept == "proposal" and last.iou >= ACCEPTABLE
        accepted = last.answer.mask if proposed else mask
        project.commit(
            image.id,
            accepted,
            prompts=last.prompts,
            model_version=predictor.model.version,
            score=last.answer.score,
            proposal_ious=[iou(step.answer.mask, accepted) for step in steps],
        )

    def _train(self, project: Project, predictor: Predictor) -> Predictor:
        """Train as often as it is done by itself; return who answers from now on."""
        n_objects = len(self._objects)
        if self._options is None or (
            self._n_learnt and n_objects - self._n_learnt < self._person.every
        ):
            return predictor
        while stage := decide(Situation.of(project), self._options.method).stage:
            self._n_learnt = n_objects
            began = self._clock.seconds
            options = options_for(stage, self._options)
            version = finetune(project, options, self._on_event)
            accepted = version.status != "rejected"
            if accepted:
                model = load_version(project, version.id, base=self._base)
                predictor = Predictor(model, EmbeddingCache(project.cache_dir))
            self._stop(
                predictor.model,
                candidate=version.id,
                stage=stage,
                accepted=accepted,
                reason=version.reason,
                train_seconds=round(self._clock.seconds - began, 2),
            )
        return predictor

    def _stop(self, model: SamModel, **training: Any) -> None:
        """Note how the model that answers from now on does on the held-out images."""
        now = {"n_annotated": len(self._objects), "seconds": self._clock.seconds}
        last = self._stops[-1] if self._stops else None
        if last is not None and last["version"] == model.version:
            figures = last["figures"]
        else:
            with self._clock.paused():
                figures = self._measure(model)
        self._stops.append(
            {"version": model.version, **now, **training, "figures": figures}
        )


def describe(person: Person) -> dict[str, Any]:
    """Return all that a simulation depends on beside training and images."""
    return {
        **asdict(person),
        "acceptable": ACCEPTABLE,
        "trains": "by itself",
    }


class _Clock:
    """Wall-clock seconds since it was made, without pauses."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        return round(time.perf_counter() - self._start, 2)

    @contextmanager
    def paused(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._start += time.perf_counter() - began
