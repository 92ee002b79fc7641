"""Which image to annotate next, and why."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from napari_infosam.core.words import counted

RANDOM_IMAGES = 10
"""With fewer reviewed images the next one is drawn: a model that has seen little is
not a judge of what it has not seen."""

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Suggestion(Generic[Key]):
    """An image to annotate.

    Attributes
    ----------
    image
        Its key among the candidates.
    reason
        Why this one, in one sentence.
    """

    image: Key
    reason: str


def suggest(
    candidates: Mapping[Key, str],
    n_reviewed: int,
    disagreements: Mapping[Key, float | None],
    version: str = "base",
) -> Suggestion[Key] | None:
    """Return the candidate to annotate next, or None if there is none.

    For the first ten images the choice is random, but the same for the same names, so
    that it stays while a person looks at it. Afterwards it is the image on which the
    version that answers differs most from the base.

    Parameters
    ----------
    candidates
        Name of each image that has no reviewed object.
    n_reviewed
        Number of images that have some.
    disagreements
        Of the candidates that have been looked at, see
        `napari_infosam.training.disagreement`; None where it can not be known. Others
        are left for later.
    version
        The version that answers, and was compared with the base.
    """
    if not candidates:
        return None
    seen = {key: disagreements[key] for key in candidates if key in disagreements}
    known = {key: value for key, value in seen.items() if value is not None}
    if n_reviewed < RANDOM_IMAGES:
        reason = (
            f"drawn at random, as the first {RANDOM_IMAGES} images are "
            f"({n_reviewed} {'has' if n_reviewed == 1 else 'have'} objects so far)"
        )
    elif not known:
        reason = (
            f"drawn at random: {_why_unknown(version, len(seen) < len(candidates))}"
        )
    else:
        chosen = max(known, key=lambda key: (known[key], draw(candidates[key])))
        return Suggestion(
            chosen,
            f"{version} and the base disagree most here: their proposals differ by "
            f"{known[chosen]:.0%} of their area (mean of "
            f"{counted(len(known), 'image')}: {sum(known.values()) / len(known):.0%})",
        )
    return Suggestion(min(candidates, key=lambda key: draw(candidates[key])), reason)


def _why_unknown(version: str, more_to_come: bool) -> str:
    if version == "base":
        return "no version answers that could be compared with the base"
    if more_to_come:
        return f"{version} has not been compared with the base on a new image yet"
    return (
        f"{version} can not be compared with the base on the images that are left, "
        "which are huge, have their channels in several layers, or could not be read"
    )


def draw(name: str) -> str:
    """Return a text that orders names at random, and always in the same way."""
    return hashlib.sha256(name.encode(errors="backslashreplace")).hexdigest()
