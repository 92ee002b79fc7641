"""The object that is being prompted: its prompts, their undo steps, their answers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_infosam.core.metrics import iou
from napari_infosam.core.prompts import PromptSet

if TYPE_CHECKING:
    from napari_infosam.core.masks import BoolArray
    from napari_infosam.core.prompts import Prompt
    from napari_infosam.models.prediction import Prediction


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model version proposed for a set of prompts."""

    prediction: Prediction
    version: str


class ObjectInWork:
    """Prompts of one object with an undo history; knows no model and no window.

    Attributes
    ----------
    committed_as
        Id of the object that these prompts made, while its acceptance is undone and
        the prompts have not been changed since.
    accepted_as
        Id of the object that these prompts made; None while nobody has accepted them.
    number
        The number that a new object is to have, as it has in other slices; None for
        the next one, as for what is begun after a clear.
    after
        What was begun in the picture after this was accepted, while that is undone.

    Parameters
    ----------
    begin
        What there is before the first step: none, or what was found without a person.
    """

    def __init__(self, begin: PromptSet | None = None) -> None:
        self._steps: list[PromptSet] = [begin or PromptSet()]
        self._targets: list[int | None] = [None]
        self._times: list[float] = [0.0]
        self._position = 0
        self._answers: dict[PromptSet, Answer] = {}
        self.committed_as: int | None = None
        self.accepted_as: int | None = None
        self.number: int | None = None
        self.after: ObjectInWork | None = None

    @property
    def prompts(self) -> PromptSet:
        """The prompts as they are now."""
        return self._steps[self._position]

    @property
    def target(self) -> int | None:
        """Number of the accepted object that gets the mask; None for another one."""
        return self._targets[self._position]

    @property
    def answer(self) -> Answer | None:
        """The answer to the prompts as they are now, if there is one yet."""
        return self._answers.get(self.prompts)

    @property
    def meaning(self) -> int | None:
        """Which of `CHOICES` the answer is, or the one that is being computed."""
        answer = self.answer
        if answer is None or self.prompts.choice is not None:
            return self.prompts.choice
        return answer.prediction.choice

    @property
    def undo_at(self) -> float | None:
        """When the step was made that `undo` takes back, None without one."""
        return self._times[self._position] if self.can_undo else None

    @property
    def redo_at(self) -> float | None:
        """When the step was made that `redo` makes again, None without one."""
        return self._times[self._position + 1] if self.can_redo else None

    @property
    def can_undo(self) -> bool:
        """Whether there is a step back."""
        return self._position > 0

    @property
    def can_redo(self) -> bool:
        """Whether there is a step forward."""
        return self._position + 1 < len(self._steps)

    def add(self, prompt: Prompt) -> None:
        """Add a point, or set the box."""
        self.set(self.prompts.add(prompt))

    def set(self, prompts: PromptSet) -> None:
        """Make another set of prompts the current one; undo leads back to the old."""
        if prompts != self.prompts:
            # what begins after a clear is another object
            if prompts and not self.prompts and self.can_undo:
                self.number = None
            self._add_step(prompts, self.target if prompts and self.prompts else None)

    def take_up(
        self, prompts: PromptSet, target: int | None, at: float | None = None
    ) -> None:
        """Go on with the prompts of an accepted object, given by its number.

        Or with those of an object that was left at that time, which may be another one.
        """
        if (prompts, target) != (self.prompts, self.target):
            self._add_step(prompts, target, at)

    def _add_step(
        self, prompts: PromptSet, target: int | None, at: float | None = None
    ) -> None:
        del self._steps[self._position + 1 :]
        del self._targets[self._position + 1 :]
        del self._times[self._position + 1 :]
        self._steps.append(prompts)
        self._targets.append(target)
        self._times.append(time.time() if at is None else at)
        self._position += 1
        self.committed_as = None

    def undo(self) -> bool:
        """Go one step back; False when there is none."""
        if not self.can_undo:
            return False
        self._position -= 1
        return True

    def redo(self) -> bool:
        """Go one step forward again; False when there is none."""
        if not self.can_redo:
            return False
        self._position += 1
        return True

    def remember(self, prompts: PromptSet, answer: Answer) -> None:
        """Keep the answer to a set of prompts."""
        self._answers[prompts] = answer

    def forget_answers(self) -> None:
        """Drop all answers, as another model answers from now on."""
        self._answers.clear()

    def shown_answer(self) -> Answer | None:
        """Return the newest answer on the way to the prompts as they are now.

        It stays in sight while the next one is computed.
        """
        for prompts in reversed(self._steps[: self._position + 1]):
            if not prompts:
                return None
            if prompts in self._answers:
                return self._answers[prompts]
        return None

    def previous_answer(self) -> Answer | None:
        """Return the newest answer to a part of the prompts, to be refined."""
        return self._newest_part(self._position, self.prompts)

    def answer_before(self, prompts: PromptSet) -> Answer | None:
        """Return what `previous_answer` would be if these prompts were set now."""
        return self._newest_part(self._position + 1, prompts)

    def _newest_part(self, n_steps: int, whole: PromptSet) -> Answer | None:
        for prompts in reversed(self._steps[:n_steps]):
            if not prompts:
                return None
            if prompts in self._answers and _is_part(prompts, whole):
                return self._answers[prompts]
        return None

    def proposal_ious(self, accepted: BoolArray) -> list[float]:
        """Return the IoU of the proposal with the accepted mask after each prompt.

        The rough mask counts before the box, and that before the points. Prompts that
        were answered together with later ones take over their value.
        """
        now = self.prompts
        known = [
            (step, iou(self._answers[step].prediction.mask, accepted))
            for step in self._steps[: self._position + 1]
            if step and step in self._answers and _is_part(step, now)
        ]
        values: list[float] = []
        if now.rough is not None:
            values += [value for _, value in known][:1]
        if now.box is not None:
            values += [value for step, value in known if step.box is not None][:1]
        for number in range(1, len(now.points) + 1):
            values += [value for step, value in known if len(step.points) >= number][:1]
        return values


def _is_part(part: PromptSet, whole: PromptSet) -> bool:
    """Return whether prompts were only added to ``part`` to make ``whole``."""
    same_box = part.box is None or part.box == whole.box
    # another meaning of the click, or another rough mask, is another beginning
    same_start = (part.choice, part.rough) == (whole.choice, whole.rough)
    return same_start and same_box and part.points == whole.points[: len(part.points)]
