"""What another version answers to the same prompts: the A/B key and the difference."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_infosam._napari.difference import as_other, difference
from napari_infosam._napari.outlines import outlined
from napari_infosam.core.cores import half_of_the_cores
from napari_infosam.core.metrics import iou
from napari_infosam.core.placed import in_common

if TYPE_CHECKING:
    from napari_infosam._napari.engine import Executor
    from napari_infosam._napari.session import Session
    from napari_infosam.core.masks import BoolArray
    from napari_infosam.models import Predictor, SamModel
    from napari_infosam.models.prediction import Prediction
    from napari_infosam.project import Project

Picture = tuple[NDArray[np.uint8], tuple[int, int]]

BASE, PREVIOUS = "base", "previous"
"""What can be compared with; previous is the version that the answering one began as
an improvement of."""


class Versus:
    """Asks another version for the object in work, and never touches its proposal.

    Knows no Qt. The other version may have to look at the picture first, so it works on
    a thread of its own: clicks do not wait for it.

    Parameters
    ----------
    session
        Whose prompts and models these are.
    executor
        Where the other version answers.

    Attributes
    ----------
    activity
        What is waited for, in words; '' when nothing is.
    """

    changed = Signal()

    def __init__(self, session: Session, executor: Executor) -> None:
        self._session = session
        self._executor = executor
        self._against = BASE
        self._held = self._overlaid = False
        self._answer: tuple[Hashable, Prediction] | None = None
        self._failed: Hashable = None
        self._is_asking = False
        self._loaded: tuple[Hashable, SamModel] | None = None
        self.activity = ""
        session.prompts_changed.connect(self._follow)
        session.engine.changed.connect(self._follow)
        session.desk.changed.connect(self._follow)

    def close(self) -> None:
        """Stop listening and working."""
        self._executor.close()
        self._session.prompts_changed.disconnect(self._follow)
        self._session.engine.changed.disconnect(self._follow)
        self._session.desk.changed.disconnect(self._follow)

    # ------------------------------------------------------------------- which
    @property
    def against(self) -> str:
        """What is compared with: `BASE` or `PREVIOUS`."""
        return self._against

    @against.setter
    def against(self, value: str) -> None:
        self._against = value
        self._follow()

    @property
    def own(self) -> str:
        """The version that answers."""
        request = self._session.engine.answers_to
        return BASE if request is None else request.version

    @property
    def other(self) -> str:
        """The version that is compared with: ``base`` or ``vNNN``."""
        if self._against == BASE:
            return BASE
        records = {record.id: record for record in self._session.desk.versions()}
        own = records.get(self.own)
        return own.parent if own is not None and own.parent in records else BASE

    @property
    def is_possible(self) -> bool:
        """Whether another version than the base answers, so that there are two."""
        return self.own != self.other

    # -------------------------------------------------------------------- show
    @property
    def held(self) -> bool:
        """Whether the other version's mask is shown instead of the proposal."""
        return self._held

    def hold(self, held: bool) -> None:
        """Show the mask of the other version, or the proposal again.

        Telling it again, as keys that are held down do, changes nothing.
        """
        if held == self._held:
            return
        reason = self.why_not() if held else ""
        if reason:
            self._session.voice.say(reason)
            return
        self._held = held
        self._follow()

    @property
    def overlaid(self) -> bool:
        """Whether the difference to the other version is shown."""
        return self._overlaid

    @overlaid.setter
    def overlaid(self, value: bool) -> None:
        self._overlaid = value
        self._follow()

    def toggle_overlay(self) -> None:
        """Show the difference, or the proposal as it is."""
        if not self._overlaid and not self.is_possible:
            self._session.voice.say(self.why_not())
            return
        self.overlaid = not self._overlaid

    def why_not(self) -> str:
        """Return why nothing can be compared now, in one sentence; '' if it can."""
        if not self.is_possible:
            return f"{_title(self.other)} answers itself: there is nothing to compare."
        if not self._session.prompts:
            return "Click on an object first: its masks are compared."
        if self._session.engine.beside() is None:
            return "The model is still being loaded: compare when it answers."
        return ""

    def picture(self) -> Picture | None:
        """Return what is shown in place of the proposal, or None.

        ``(H, W)`` with the values of `napari_infosam._napari.difference.COLORS`, and
        the (row, column) of its first pixel: of a huge picture it is a part.
        """
        other, own = self._mask(), self._own_mask()
        if other is None or (own is None and not self._held):
            return None
        if self._held or own is None:
            (whole,), corner = in_common(other)
            return as_other(outlined(whole)), corner
        (mine, its), corner = in_common(own, other)
        return difference(mine, its), corner

    @property
    def is_shown(self) -> bool:
        """Whether `picture` has something to show."""
        known = self._held or self._own_mask() is not None
        return known and self._mask() is not None

    def iou(self) -> float | None:
        """Return the IoU of both masks, or None while one of them is not known."""
        own, other = self._own_mask(), self._mask()
        return None if own is None or other is None else iou(own, other)

    def _own_mask(self) -> BoolArray | None:
        answer = self._session.work.answer
        return None if answer is None else answer.prediction.mask

    def _mask(self) -> BoolArray | None:
        """Return the other version's mask for the prompts as they are now."""
        wanted = self._held or self._overlaid
        if not wanted or self._answer is None or self._answer[0] != self._question():
            return None
        return self._answer[1].mask

    # --------------------------------------------------------------------- ask
    def _follow(self) -> None:
        """Bring the answer in line with prompts and models as they are now."""
        if self._held and (not self._session.prompts or not self.is_possible):
            self._held = False
        self._ask()
        self.changed.emit()

    def _question(self) -> Hashable:
        session = self._session
        if session.source is None or not session.prompts or not self.is_possible:
            return None
        source = session.source
        return source.key, source.choice, session.prompts, self.other, session.desk.path

    def _ask(self) -> None:
        session, question = self._session, self._question()
        if self._is_asking or not (self._held or self._overlaid) or question is None:
            return
        if question == self._failed or (self._answer and self._answer[0] == question):
            return
        engine, project = session.engine, session.desk.project
        pair, pixels, known = engine.beside(), engine.pixels, engine.embedding
        source = session.source
        if pair is None or pixels is None or source is None:
            return  # the engine speaks up again when it is there
        name, prompts = self.other, session.prompts
        self._is_asking = True
        self.activity = f"{_title(name)} is looking at {source.name} …"

        def work() -> Prediction:
            from napari_infosam.models.threads import set_threads

            set_threads(half_of_the_cores())
            predictor = self._predictor(pair[0], name, project)
            embedding = known
            if known is None or known.encoder_hash != predictor.model.encoder_hash:
                embedding = predictor.embed(pixels, source.preprocessing)
            answer: Prediction | None = None
            # as they were placed, each answer refined by the next
            for placed in prompts.steps():
                answer = predictor.answer(placed, answer, embedding)
            if answer is None:
                raise ValueError("there are no prompts")
            return answer

        def done(answer: Prediction) -> None:
            self._is_asking, self.activity = False, ""
            self._answer = (question, answer)
            self._follow()

        def failed(error: Exception) -> None:
            self._is_asking, self.activity = False, ""
            self._failed = question
            session.voice.report(error, f"asking {name}")
            self._follow()

        self._executor.submit(work, done, failed)

    def _predictor(
        self, base: Predictor, name: str, project: Project | None
    ) -> Predictor:
        """Return who answers; runs on the worker, and loads a version only once."""
        if name == BASE or project is None:
            return base
        from napari_infosam.models import load_version

        token = (project.path, name, base.model.weights_hash)
        if self._loaded is None or self._loaded[0] != token:
            self._loaded = (token, load_version(project, name, base=base.model))
        return base.beside(self._loaded[1])


def _title(name: str) -> str:
    return "The base" if name == BASE else name
