"""When to train by itself: what continuous mode does next, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_infosam.core.options import FinetuneOptions
from napari_infosam.project.versions import may_know

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_infosam.project import Project, VersionRecord

ENOUGH_IMAGES = 2
ENOUGH_OBJECTS = 10
"""Either is enough for the first training."""
_FEWEST = 2
_PATIENCE = 2
"""So many rejected students in a row are a plateau."""
_QUICK_SECONDS = 60.0


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
    rejected
        Versions in a row, up to the newest, that the gate rejected.
    """

    n_images: int
    n_objects: int
    n_new: int = 0
    learnt: bool = False
    newest: str = ""
    rejected: int = 0

    @classmethod
    def of(cls, project: Project) -> Situation:
        """Return the situation of a project; reads all its objects."""
        found = project.objects(reviewed=True)
        versions = project.versions()
        newest = versions[-1] if versions else None
        new = found if newest is None else [o for o in found if not may_know(newest, o)]
        return cls(
            n_images=len({record.image_id for record in found}),
            n_objects=len(found),
            n_new=len(new),
            learnt=newest is not None and newest.data_hash == project.data_hash(),
            newest="" if newest is None else _last_stage(newest),
            rejected=_rejected_in_a_row(versions),
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


def decide(now: Situation, *, has_full: bool = True) -> Decision:
    """Return what continuous mode does next while no training runs.

    The quick stage comes first, and the full one after it on the same objects. Then it
    waits for new ones: for one, but where students were rejected again and again for
    twice as many each time.

    Parameters
    ----------
    now
        The situation.
    has_full
        Whether the method has a full stage; plain decoder tuning has none.
    """
    if now.n_objects < _FEWEST or not (now.newest or _enough(now)):
        return Decision("", f"Starts by itself {_missing(now)}.")
    if now.learnt and now.newest == "quick" and has_full:
        return Decision("full", "The quick stage is through: now the full one.")
    wanted = _wanted(now.rejected)
    if wanted > 1 and now.n_new < wanted:
        return Decision(
            "",
            f"Paused: the last {now.rejected} students were no better. It goes on "
            f"after {_more(wanted - now.n_new)}.",
        )
    if now.learnt:
        return Decision("", "All is learnt; it goes on with the next accepted object.")
    if now.newest and not now.n_new:
        return Decision("quick", "Objects have changed since the last training.")
    return Decision("quick", f"{_count(now.n_new, 'new object')} to learn from.")


def options_for(stage: str, chosen: FinetuneOptions) -> FinetuneOptions:
    """Return how a stage is trained by itself, after what the person has chosen."""
    seconds = chosen.max_seconds
    if stage == "quick":
        seconds = min(seconds, _QUICK_SECONDS)
    return chosen.model_copy(update={"stage": stage, "max_seconds": seconds})


def _enough(now: Situation) -> bool:
    return now.n_images >= ENOUGH_IMAGES or now.n_objects >= ENOUGH_OBJECTS


def _missing(now: Situation) -> str:
    if now.n_images and now.n_objects >= _FEWEST:
        more = _more(ENOUGH_OBJECTS - now.n_objects)
        return f"with an object in another image, or after {more}"
    return f"once {ENOUGH_IMAGES} images have objects, or one has {ENOUGH_OBJECTS}"


def _wanted(rejected: int) -> int:
    """Return how many new objects a training is worth."""
    return 1 if rejected < _PATIENCE else 2 ** min(rejected - 1, 6)


def _last_stage(version: VersionRecord) -> str:
    return FinetuneOptions.model_validate(version.options).stages[-1]


def _rejected_in_a_row(versions: Sequence[VersionRecord]) -> int:
    number = 0
    for version in reversed(versions):
        if version.status != "rejected":
            break
        number += 1
    return number


def _more(number: int) -> str:
    return _count(number, "more object")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
