"""Which notes of what is undecided in an image are on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_infosam._napari.undecided_json import Undecision


class Changes(NamedTuple):
    """What is to be written for an image, by number, and what is to be deleted."""

    new: Mapping[int, Undecision]
    gone: frozenset[int]

    def __bool__(self) -> bool:
        return bool(self.new or self.gone)

    def to_json(self) -> dict[int, dict[str, Any] | None]:
        """Return the notes as JSON values, None for those that go."""
        new = {number: one.to_json() for number, one in self.new.items()}
        return {**dict.fromkeys(self.gone), **new}


@dataclass
class NotedImage:
    """The notes of an image that are on disk, or on their way there.

    Each has a number that no other one gets, so that one that is decided about costs
    its own line, and thousands of others stay as they are.

    Attributes
    ----------
    numbers
        The numbers of the notes.
    gone
        Numbers of those that are to be deleted.
    last
        The last number that was given.
    """

    numbers: dict[Undecision, int] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    last: int = 0

    @classmethod
    def of(cls, found: Mapping[int, Undecision], damaged: Iterable[int]) -> NotedImage:
        """Return the notes that were found; what is there twice is noted once."""
        numbers = {one: number for number, one in found.items()}
        gone = {*found, *damaged}.difference(numbers.values())
        return cls(numbers, gone, max((*found, *damaged), default=0))

    def change(self, undecided: Iterable[Undecision]) -> Changes:
        """Note what is undecided now; return what that changes on disk."""
        now = dict.fromkeys(undecided)
        for one in [one for one in self.numbers if one not in now]:
            self.gone.add(self.numbers.pop(one))
        new = [one for one in now if one not in self.numbers]
        numbered = dict(enumerate(new, self.last + 1))
        self.last += len(numbered)
        self.numbers.update({one: number for number, one in numbered.items()})
        return Changes(numbered, frozenset(self.gone))

    def was_written(self, changes: Changes) -> None:
        """Take in that changes are on disk."""
        self.gone -= changes.gone

    def was_not_written(self, changes: Changes) -> None:
        """Take in that the disk has failed: the next changes try again."""
        for number, one in changes.new.items():
            if self.numbers.get(one) == number:
                del self.numbers[one]
