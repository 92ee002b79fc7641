"""What a stage does about steps whose loss, or its gradient, is not a number."""

from __future__ import annotations

from collections.abc import Callable

SKIPPED = 3
"""So many such steps in a row, and the weights go back to the last good ones."""

SLOWER = 0.3
"""What the learning rate is multiplied with each time."""

MOST_RETURNS = 3
"""After going back this often without a good step, training ends."""


class Stumbles:
    """Counts steps that were no numbers: they are left out, then the weights go back.

    Parameters
    ----------
    say
        Told of it, one sentence at a time.

    Attributes
    ----------
    rate
        What the learning rate is multiplied with, in (0, 1].
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._in_a_row = 0
        self._returns = 0
        self._has_told = False
        self.rate = 1.0

    def went_well(self) -> None:
        """Note a step with a loss and a gradient."""
        self._in_a_row = self._returns = 0

    def must_go_back(self, step: int) -> bool:
        """Note a step without, and return whether the weights have to go back.

        Parameters
        ----------
        step
            Number of the step, for the sentence.

        Raises
        ------
        FloatingPointError
            If going back has not helped.
        """
        self._in_a_row += 1
        if self._in_a_row < SKIPPED:
            if not self._has_told:
                self._has_told = True
                self._say(f"The loss of step {step} is not a number: it was left out.")
            return False
        if self._returns == MOST_RETURNS:
            raise FloatingPointError(
                f"the loss is not a number, even at {self.rate:.0%} of the learning "
                "rate"
            )
        self._in_a_row = 0
        self._returns += 1
        self.rate *= SLOWER
        self._say(
            f"The loss of {SKIPPED} steps was not a number: back to the last good "
            f"weights, at {self.rate:.0%} of the learning rate."
        )
        return True
