"""The last answer of a model, for the one who asks for it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_infosam.core.prompts import PromptSet
    from napari_infosam.models import ImageEmbedding, Predictor, TiledEmbedding
    from napari_infosam.models.prediction import Prediction

    Question = tuple[
        Predictor, Prediction | None, ImageEmbedding | TiledEmbedding, PromptSet
    ]


class LastAnswer:
    """Answers prompts, and does not compute the same twice in a row.

    A click where its answer was previewed is answered at once.
    """

    def __init__(self) -> None:
        self._known: tuple[Question, Prediction] | None = None

    def answer(
        self,
        predictor: Predictor,
        prompts: PromptSet,
        previous: Prediction | None,
        embedding: ImageEmbedding | TiledEmbedding,
    ) -> Prediction:
        """Return what `Predictor.answer` does; runs on the worker."""
        question = predictor, previous, embedding, prompts
        known = self._known
        if known is not None and _is_same(known[0], question):
            return known[1]
        found = predictor.answer(prompts, previous, embedding)
        self._known = question, found
        return found

    def forget(self) -> None:
        """Let go of the answer, and of the image it is about."""
        self._known = None


def _is_same(one: Question, other: Question) -> bool:
    same = all(a is b for a, b in zip(one[:3], other[:3], strict=True))
    return same and one[3] == other[3]
