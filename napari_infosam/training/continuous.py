"""When to train by itself: what continuous mode does next, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_infosam.core.options import FinetuneOptions, Method
from napari_infosam.core.words import counted
from napari_infosam.project.versions import may_know
from napari_infosam.training.gate import MARGIN
from napari_infosam.training.predecessor import gain, predecessor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_infosam.project import Project, VersionRecord

DEFAULTS = FinetuneOptions()

ENOUGH_IMAGES = 2
ENOUGH_OBJECTS = 10
"""Either is enough for the first training."""
_FEWEST = 2
_PATIENCE = 2
"""So many students in a row that brought little are a plateau."""

LITTLE = 2 * MARGIN
"""Mean IoU, see `gain`; the gate lets no student pass that gains less than half."""

_LONGEST = 6
"""Powers of two up to which more and more objects are waited for."""
_QUICK_SECONDS = 50.0
"""About a minute with the start of the process and a gate of many objects."""

RETRY_SECONDS = (30.0, 300.0)
"""How long to wait after one failed training, and after two in a row."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What there is to learn, and what came of the trainings so far.

    Attributes
    ----------
    n_images, n_objects
        Reviewed objects, and the images that have some.
    n_new
        Those objects that the newest version has not seen.
    learnt
        Whether the newest version learnt from exactly what is there now.
    newest
        Stage of the newest version, ``quick`` or ``full``; '' if there is none.
    onward
        Method of the version that a training goes on from; '' for the base.
    stale
        Versions in a row, up to the newest, that the gate rejected, or that gained
        less than `LITTLE`.
    """

    n_images: int
    n_objects: int
    n_new: int = 0
    learnt: bool = False
    newest: str = ""
    stale: int = 0
    onward: str = ""

    @classmethod
    def of(cls, project: Project) -> Situation:
        """Return the situation of a project; reads all its objects.

        What deleted versions have tried is not tried again.
        """
        found = project.objects(reviewed=True)
        versions = project.versions(with_deleted=True)
        newest = versions[-1] if versions else None
        before = predecessor(project)
        new = found if newest is None else [o for o in found if not may_know(newest, o)]
        return cls(
            n_images=len({record.image_id for record in found}),
            n_objects=len(found),
            n_new=len(new),
            learnt=newest is not None and newest.data_hash == project.data_hash(),
            newest="" if newest is None else _last_stage(newest),
            stale=_stale_in_a_row(versions),
            onward="" if before is None else before.method,
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do.

    Attributes
    ----------
    stage
        The stage to train now; '' waits.
    reason
        Why, in one sentence for the person.
    """

    stage: str
    reason: str


def decide(now: Situation, method: Method = DEFAULTS.method) -> Decision:
    """Return what continuous mode does next while no training runs.

    The quick stage comes first, and the full one after it on the same objects; where
    there is a student of the full stage to go on from, that does. Then it
    waits for new objects: for one, and on a plateau that goes on for twice as many each
    time.

    Parameters
    ----------
    now
        The situation.
    method
        What is trained; plain decoder tuning has no full stage.
    """
    has_full = method != "decoder"
    stage = "full" if has_full and now.onward == method else "quick"
    if now.n_objects < _FEWEST or not (now.newest or _enough(now)):
        return Decision("", f"Starts by itself {_missing(now)}.")
    if now.learnt and now.newest == "quick" and has_full:
        return Decision("full", "The quick stage is through: now the full one.")
    wanted = _wanted(now.stale)
    if now.stale >= _PATIENCE and now.n_new < wanted:
        return Decision(
            "",
            f"Paused: the last {now.stale} students were rejected, or gained less than "
            f"{LITTLE:.2f} IoU. It goes on {_after(wanted - now.n_new)}.",
        )
    if now.learnt:
        return Decision("", "All is learnt; it goes on with the next accepted object.")
    if now.newest and not now.n_new:
        return Decision(stage, "Objects have changed since the last training.")
    return Decision(stage, f"{counted(now.n_new, 'new object')} to learn from.")


def options_for(stage: str, chosen: FinetuneOptions) -> FinetuneOptions:
    """Return how a stage is trained by itself, after what the person has chosen."""
    seconds = chosen.max_seconds
    if stage == "quick":
        seconds = min(seconds, _QUICK_SECONDS)
    return chosen.model_copy(update={"stage": stage, "max_seconds": seconds})


def retry_after(failures: int) -> float | None:
    """Return the seconds until a training that failed is tried again.

    Parameters
    ----------
    failures
        Trainings in a row that failed, 1 or more.

    Returns
    -------
    float or None
        None where trying again would go on for ever.
    """
    return RETRY_SECONDS[failures - 1] if failures <= len(RETRY_SECONDS) else None


def _enough(now: Situation) -> bool:
    return now.n_images >= ENOUGH_IMAGES or now.n_objects >= ENOUGH_OBJECTS


def _missing(now: Situation) -> str:
    if now.n_images and now.n_objects >= _FEWEST:
        more = _more(ENOUGH_OBJECTS - now.n_objects)
        return f"with an object in another image, or after {more}"
    return f"once {ENOUGH_IMAGES} images have objects, or one has {ENOUGH_OBJECTS}"


def _wanted(stale: int) -> int:
    """Return how many new objects a training is worth."""
    return int(2 ** min(max(stale - _PATIENCE, 0), _LONGEST))


def _last_stage(version: VersionRecord) -> str:
    return FinetuneOptions.model_validate(version.options).stages[-1]


def _stale_in_a_row(versions: Sequence[VersionRecord]) -> int:
    number = 0
    for version in reversed(versions):
        gained = gain(version)
        if version.status != "rejected" and (gained is None or gained >= LITTLE):
            break
        number += 1
    return number


def _after(number: int) -> str:
    return "with the next accepted object" if number == 1 else f"after {_more(number)}"


def _more(number: int) -> str:
    return counted(number, "more object")
