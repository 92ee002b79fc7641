"""What was left out of a table, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_infosam.core.events import Notice

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_infosam.core.events import TrainingEvent


class Notes:
    """Lines to stand below a table, each once; call it with one.

    Parameters
    ----------
    on_event
        Told about each new line at once.
    """

    def __init__(self, on_event: Callable[[TrainingEvent], None] | None) -> None:
        self._on_event = on_event
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        """Take a line in."""
        if line not in self.lines:
            self.lines.append(line)
            if self._on_event is not None:
                self._on_event(Notice(message=line))
