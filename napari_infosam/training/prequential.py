"""Test, then train: how versions answer what a person really clicked.

Every accepted object is replayed with its author's own prompts, on the base and on a
version that has not been trained on it. What that says is a running figure of what
the training saves this person, on their own images and clicks.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.metrics import MAX_CLICKS, clicks_to_reach, iou
from napari_infosam.core.preprocess import Preprocessing
from napari_infosam.project.versions import BASE, may_know
from napari_infosam.project.windows import in_tile
from napari_infosam.training.replays import keep_replay, read_replays
from napari_infosam.training.stopping import Plateau, find_plateau

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_infosam.core.masks import BoolArray
    from napari_infosam.core.prompts import PromptSet
    from napari_infosam.models.prediction import ImageEmbedding, Prediction
    from napari_infosam.models.predictor import Predictor
    from napari_infosam.project import (
        ImageRecord,
        ObjectRecord,
        Project,
        VersionRecord,
    )

logger = logging.getLogger(__name__)

REACHED = 0.85
"""IoU with the accepted mask at which an answer would have been accepted."""

FEWEST_FOR_INTERVAL = 5
_RESAMPLES, _AT_ONCE = 4000, 100
_PROTOCOL = 1
"""Part of the key of a replay: another number when they are done in another way."""


@dataclass(frozen=True, slots=True)
class Replay:
    """How a version answered the prompts of an object's author.

    Attributes
    ----------
    ious
        IoU with the accepted mask after each of them.
    """

    ious: tuple[float, ...]

    @property
    def first_iou(self) -> float:
        """IoU of the first proposal."""
        return self.ious[0]

    @property
    def clicks(self) -> int:
        """Prompts until the IoU reached 0.85.

        An object that never gets there counts one more than its author placed, which
        is the least it would need, and 20 at most.
        """
        return clicks_to_reach(self.ious, REACHED, min(len(self.ious) + 1, MAX_CLICKS))


@dataclass(frozen=True, slots=True)
class Score:
    """One object, replayed on the base and on a version that had not learnt it.

    Attributes
    ----------
    object_id
        The object.
    version
        Which version.
    base, now
        The replay on the base, and on that version.
    """

    object_id: int
    version: str
    base: Replay
    now: Replay


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of the base and of a version, over the same objects.

    Attributes
    ----------
    base, now
        Means.
    interval
        95 % bootstrap confidence interval of the mean of now less base, over objects;
        None for fewer than five.
    """

    base: float
    now: float
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a version, or several one after the other, brought.

    Attributes
    ----------
    n
        Number of objects.
    first_iou
        IoU of the first proposal.
    clicks
        The author's prompts until 0.85 IoU, see `Replay.clicks`.
    """

    n: int
    first_iou: Difference
    clicks: Difference


@dataclass(frozen=True, slots=True)
class RunningFigures:
    """What stands at the moment.

    Attributes
    ----------
    version
        The active version.
    now
        It against the base, on the objects that it has not learnt; None while there
        is none, or where the base is active.
    so_far
        All versions against the base, each object with the newest version that had
        not learnt it; None while there is none.
    plateau
        Set when the clicks saved per object no longer grow.
    """

    version: str
    now: Comparison | None = None
    so_far: Comparison | None = None
    plateau: Plateau | None = None


def replay(
    predictor: Predictor,
    embedding: ImageEmbedding,
    prompts: PromptSet,
    mask: BoolArray,
) -> Replay:
    """Ask a model what an author asked, prompt by prompt.

    Parameters
    ----------
    predictor, embedding
        Who answers, and about which image; see `Predictor.answer`.
    prompts
        At least one; the box counts before the points.
    mask
        ``(H, W)``, what the author accepted.
    """
    answer: Prediction | None = None
    ious = []
    for placed in prompts.steps():
        answer = predictor.answer(placed, answer, embedding)
        ious.append(iou(answer.mask, mask))
    return Replay(tuple(ious))


def compare(scores: Sequence[Score]) -> Comparison | None:
    """Return the means and intervals over some objects; None for no object."""
    if not scores:
        return None
    return Comparison(
        len(scores),
        _difference(
            [score.base.first_iou for score in scores],
            [score.now.first_iou for score in scores],
        ),
        _difference(
            [float(score.base.clicks) for score in scores],
            [float(score.now.clicks) for score in scores],
        ),
    )


def _difference(base: Sequence[float], now: Sequence[float]) -> Difference:
    interval = None
    if len(base) >= FEWEST_FOR_INTERVAL:
        interval = bootstrap_interval(np.subtract(now, base))
    return Difference(float(np.mean(base)), float(np.mean(now)), interval)


def bootstrap_interval(differences: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of a mean.

    The same differences give the same interval.
    """
    rng = np.random.default_rng(0)
    n = len(differences)
    means = [
        differences[rng.integers(n, size=(_AT_ONCE, n))].mean(axis=1)
        for _ in range(_RESAMPLES // _AT_ONCE)
    ]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


class Prequential:
    """Replays the objects of a project, each only once, and sums up.

    May be used from any thread, by one at a time.

    Parameters
    ----------
    project
        The project; it is only read, but for a file in its cache.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._replays = read_replays(project.cache_dir)
        self._hopeless: set[str] = set()

    def advance(
        self,
        base: Predictor,
        now: Predictor,
        *,
        seconds: float = float("inf"),
        paused: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Replay what has not been replayed yet; return whether all is done.

        Parameters
        ----------
        base, now
            The base, and the active version.
        seconds
            After this long the rest is left for another call.
        paused
            Asked before each object; if it says so, the rest is left as well.
        """
        end = time.monotonic() + seconds
        for found, key, version in list(self._missing()):
            if paused() or time.monotonic() >= end:
                return False
            predictor = base if version == BASE else now
            if predictor.model.version != version:
                continue
            try:
                ious = self._replay(predictor, found).ious
                keep_replay(self._replays, key, version, ious)
            except InfosamError as error:
                logger.warning("Object %d can not be replayed: %s", found.id, error)
                self._hopeless.add(key)
        return True

    def scores(self, version: str | None = None) -> list[Score]:
        """Return what has been replayed, in the order of the objects.

        Parameters
        ----------
        version
            One version, on all objects that it has not learnt; None takes for each
            object the newest version that had not learnt it and has answered its
            prompts, then or in a replay.
        """
        return self._scores(list(self._testable()), version)

    def figures(self) -> RunningFigures:
        """Return the running figures of what has been replayed."""
        active, testable = self._project.active_version, list(self._testable())
        so_far = self._scores(testable, None)
        return RunningFigures(
            active,
            compare(self._scores(testable, active)),
            compare(so_far),
            find_plateau(
                [float(score.base.clicks) for score in so_far],
                [float(score.now.clicks) for score in so_far],
            ),
        )

    def _scores(
        self, testable: Sequence[tuple[ObjectRecord, str]], version: str | None
    ) -> list[Score]:
        known = self._project.versions(with_deleted=True)
        versions = [v for v in known if version in (None, v.id)]
        scored = []
        for found, key in testable:
            newest = self._newest_student(found, key, versions)
            base = self._known(key, BASE)
            if newest is not None and base is not None:
                scored.append(Score(found.id, newest[0], base, newest[1]))
        return scored

    def _active(self) -> VersionRecord | None:
        active = self._project.active_version
        return None if active == BASE else self._project.version(active)

    def _testable(self) -> Iterator[tuple[ObjectRecord, str]]:
        """Yield the reviewed objects that have prompts, with their keys."""
        images = {image.id: image for image in self._project.images()}
        for found in self._project.objects(reviewed=True):
            if found.prompts:
                yield found, self._key(found, images[found.image_id])

    def _key(self, found: ObjectRecord, image: ImageRecord) -> str:
        """Return a hash of all that a replay depends on beside the version."""
        parts: tuple[Any, ...] = (
            _PROTOCOL,
            self._project.model,
            image.content_hash,
            image.preprocessing.model_dump_json(),
            found.slice_index,
            found.prompts,
        )
        digest = hashlib.sha256(repr(parts).encode())
        digest.update(found.rle)
        return digest.hexdigest()[:24]

    def _missing(self) -> Iterator[tuple[ObjectRecord, str, str]]:
        """Yield object, key and version of the replays that are still to be done."""
        active = self._active()
        versions = self._project.versions(with_deleted=True)
        for found, key in self._testable():
            if key in self._hopeless:
                continue
            new = active is not None and not may_know(active, found)
            if active is not None and new and self._known(key, active.id) is None:
                yield found, key, active.id
            tested = new or self._newest_student(found, key, versions) is not None
            if tested and self._known(key, BASE) is None:
                yield found, key, BASE

    def _known(self, key: str, version: str) -> Replay | None:
        ious = self._replays.get((key, version))
        return None if ious is None else Replay(ious)

    def _newest_student(
        self, found: ObjectRecord, key: str, versions: Sequence[VersionRecord]
    ) -> tuple[str, Replay] | None:
        """Return the newest version that had not learnt an object, and its answers."""
        for version in reversed(versions):
            if may_know(version, found):
                continue
            known = self._known(key, version.id)
            if known is None and found.model_version == version.id:
                known = _as_it_was(found)
            if known is not None:
                return version.id, known
        return None

    def _replay(self, predictor: Predictor, found: ObjectRecord) -> Replay:
        image = self._project.image(found.image_id)
        if image.is_huge:
            return self._replay_in_tile(predictor, image, found)
        pixels = self._project.read_image(image.id)[found.slice_index]
        embedding = predictor.embed(pixels, image.preprocessing)
        return replay(predictor, embedding, found.prompts, found.mask())

    def _replay_in_tile(
        self, predictor: Predictor, image: ImageRecord, found: ObjectRecord
    ) -> Replay:
        tiles = self._project.tiles
        tile = next(iter(tiles.shared_out(image.id, [found])), None)
        if tile is None:
            raise InfosamError(f"No tile of {image.name} shows all of the object.")
        how = Preprocessing(channels=image.preprocessing.channels)
        embedding = predictor.embed(tiles.read(image.id, tile), how)
        prompts = tile.prompts_inside(found.prompts)
        return replay(predictor, embedding, prompts, in_tile(found, tile))


def _as_it_was(found: ObjectRecord) -> Replay | None:
    """Return what the version that answered the author did, if all of it was noted."""
    if len(found.proposal_ious) < len(found.prompts):
        return None
    return Replay(found.proposal_ious)
