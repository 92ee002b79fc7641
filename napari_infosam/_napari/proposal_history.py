"""What was decided about proposals, to be taken back and to be done again."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_infosam._napari.offers import Offer
    from napari_infosam.core.prompts import Box


@dataclass(frozen=True, slots=True)
class Decision:
    """What one action of a person did to boxes and proposals.

    Attributes
    ----------
    step
        When the last step of the project was done then, which names that step.
    drawn, taken
        Boxes that came, and boxes that went.
    rejected
        What is offered no longer, by number.
    at
        When it was made.
    """

    step: float | None
    drawn: tuple[Box, ...] = ()
    taken: tuple[Box, ...] = ()
    rejected: Mapping[int, Offer] = field(default_factory=dict)
    at: float = field(default_factory=time.time)


class ProposalHistory:
    """The decisions about the proposals of one picture.

    One can be taken back while the last step of the project is the one that it was
    then, so that changes of accepted objects and of proposals are undone in the order
    in which they were made.
    """

    def __init__(self) -> None:
        self._done: list[Decision] = []
        self._undone: list[Decision] = []

    def note(self, decision: Decision) -> None:
        """Remember a decision; what was undone can not be done again."""
        self._done.append(decision)
        self._undone.clear()

    def forget_undone(self) -> None:
        """Let what was undone not be done again: something else was done."""
        self._undone.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._done.clear()
        self._undone.clear()

    @property
    def last(self) -> Decision | None:
        """The decision that `undo` returns, None without one."""
        return self._done[-1] if self._done else None

    @property
    def undone(self) -> Decision | None:
        """The decision that `redo` returns, None without one."""
        return self._undone[-1] if self._undone else None

    def undo(self) -> Decision:
        """Return the last decision, to be taken back."""
        self._undone.append(self._done.pop())
        return self._undone[-1]

    def redo(self) -> Decision:
        """Return the decision that was undone last, to be done again."""
        self._done.append(self._undone.pop())
        return self._done[-1]
