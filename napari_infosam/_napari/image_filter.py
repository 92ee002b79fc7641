"""Which images of the list are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_infosam.project.listing import ListedImage


@dataclass(frozen=True, slots=True)
class ImageFilter:
    """What an image must be like to be shown; by default anything.

    Attributes
    ----------
    text
        A part of its name, whatever the case.
    state
        ``new``, ``in work``, ``reviewed``, ``missing``; '' for any.
    class_name
        A class of which it has objects; '' for any.
    least
        So many objects, of this class if one is given.
    """

    text: str = ""
    state: str = ""
    class_name: str = ""
    least: int = 0

    def choose(
        self, rows: Iterable[ListedImage], is_missing: Callable[[int], bool]
    ) -> list[int]:
        """Return the ids of those that are so, in the same order."""
        text = self.text.casefold().strip()
        least = max(self.least, 1) if self.class_name else self.least

        def fits(row: ListedImage) -> bool:
            if text and text not in row.name.casefold():
                return False
            if self.state == "missing":
                if not is_missing(row.id):
                    return False
            elif self.state and row.state != self.state:
                return False
            if not least:
                return True
            name = self.class_name
            return (row.counts.get(name, 0) if name else row.n_objects) >= least

        return [row.id for row in rows if fits(row)]
