"""Continuous mode: training that starts, waits and goes on by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal

from napari_infosam._napari.learning import duration
from napari_infosam.training.continuous import (
    Situation,
    decide,
    options_for,
    retry_after,
)
from napari_infosam.training.history import failed_in_vain

if TYPE_CHECKING:
    from napari_infosam._napari.engine import Executor
    from napari_infosam._napari.session import Session

_TRAINING = "A training is running; what comes next is decided afterwards."
_AFTER_CANCEL = "Off, since the training was cancelled. Switch it on again any time."
_AFTER_FAILURES = (
    "Off, since {} trainings in a row failed. Switch it on again to try once more."
)
_RETRY = "The training failed: it is tried again in {}."
_ELSEWHERE = "Waits until the training in the project {} is over."


class Continuous:
    """Starts one training after the other, while there is something to learn.

    Knows no Qt. Whether it is on is remembered in the project, so that it goes on after
    a crash. A training that fails is tried again after a while; a cancel, and several
    failures in a row, switch it off.

    Parameters
    ----------
    session
        Whose project learns.
    executor
        Where the project is looked at.

    Attributes
    ----------
    reason
        What it does or waits for, or why it went off by itself; else ''.
    """

    changed = Signal()
    waiting = Signal(float)
    """`retry` is to be called after so many seconds."""

    def __init__(self, session: Session, executor: Executor) -> None:
        self._session = session
        self._executor = executor
        self._is_on = False
        self._is_looking = self._is_stale = False
        self._failures = 0
        self._is_holding_off = False
        self.reason = ""
        session.desk.entered.connect(self._on_entered)
        session.desk.changed.connect(self._on_changed)
        session.learning.ended.connect(self._on_ended)

    def close(self) -> None:
        """Stop listening; a running training goes on."""
        self._executor.close()
        self._session.desk.entered.disconnect(self._on_entered)
        self._session.desk.changed.disconnect(self._on_changed)
        self._session.learning.ended.disconnect(self._on_ended)

    @property
    def is_on(self) -> bool:
        """Whether trainings start by themselves."""
        return self._is_on

    def switch(self, on: bool) -> None:
        """Switch it on or off; a running training is left alone."""
        self._set(on, "")
        self._consider()

    def retry(self) -> None:
        """Try again what has failed, now that some time has passed."""
        if self._is_holding_off:
            self._is_holding_off = False
            self._consider()

    def _set(self, on: bool, reason: str) -> None:
        self._is_on = on
        self._forget_failures()
        project = self._session.desk.project
        if project is not None:
            with self._session.voice.guard("remembering the switch"):
                project.set_continuous(on)
        self._say(reason)

    def _forget_failures(self) -> None:
        self._failures, self._is_holding_off = 0, False

    def _say(self, reason: str) -> None:
        self.reason = reason
        self.changed.emit()

    def _on_entered(self) -> None:
        project = self._session.desk.project
        if project is None:
            return
        if self._is_on and not project.versions() and not project.n_objects():
            project.set_continuous(True)  # it was switched on before the project was
        self._is_on = project.is_continuous
        self._forget_failures()
        self._say("")
        self._consider()

    def _on_changed(self) -> None:
        self._is_stale = True
        self._consider()

    def _on_ended(self) -> None:
        self._is_stale = True
        learning = self._session.learning
        if learning.has_failed:
            self._hold_off()
        elif self._is_on and learning.was_cancelled:
            self._set(False, _AFTER_CANCEL)
        else:
            self._forget_failures()

    def _hold_off(self) -> None:
        """Wait before the next training: what fails at once must not do so for ever."""
        if not self._is_on:
            return
        self._failures += 1
        seconds = retry_after(self._failures)
        if seconds is None:
            self._set(False, _AFTER_FAILURES.format(self._failures))
            return
        self._is_holding_off = True
        self.waiting.emit(seconds)
        self._say(_RETRY.format(duration(seconds)))

    def _consider(self) -> None:
        """Look what there is to learn, in the background, and train if it pays."""
        desk, learning = self._session.desk, self._session.learning
        project = desk.project
        if not self._is_on or self._is_looking:
            return
        if learning.is_running:
            if self.reason != _TRAINING:
                self._say(_TRAINING)
            return
        if self._is_holding_off:
            return
        if desk.trainer.elsewhere:
            waits = _ELSEWHERE.format(desk.trainer.elsewhere)
            if self.reason != waits:
                self._say(waits)
            return
        if project is None:
            self._say(decide(Situation(0, 0)).reason)
            return
        self._is_looking, self._is_stale = True, False

        interrupted = desk.trainer.resumable

        def look() -> tuple[Situation, bool]:
            in_vain = interrupted is not None and failed_in_vain(interrupted)
            return Situation.of(project), in_vain

        def done(found: tuple[Situation, bool]) -> None:
            self._is_looking = False
            if project is desk.project and not self._is_stale:
                self._act(*found)
            else:
                self._consider()

        def failed(error: Exception) -> None:
            self._is_looking = False
            if project is desk.project:  # and was not closed meanwhile
                self._session.voice.report(error, "looking for something to learn")

        self._executor.submit(look, done, failed)

    def _act(self, now: Situation, in_vain: bool) -> None:
        """Train if it pays; an interrupted training goes on unless that is in vain."""
        desk = self._session.desk
        desk.trainer.look_around()  # another window may have started one just now
        busy = self._is_holding_off or self._session.learning.is_running
        if busy or desk.trainer.elsewhere or not self._is_on:
            return
        if desk.trainer.resumable is not None and not in_vain:
            self._say("The training that was interrupted goes on.")
            desk.trainer.resume()
            self._expect_training()
            return
        decision = decide(now, desk.trainer.options.method)
        self._say(decision.reason)
        if decision.stage:
            desk.trainer.finetune(options_for(decision.stage, desk.trainer.options))
            self._expect_training()

    def _expect_training(self) -> None:
        """Take a training that could not even start for one that failed."""
        waits = (
            self._session.learning.is_running or self._session.desk.trainer.elsewhere
        )
        if not waits:
            self._hold_off()
