"""Objects in work that wait for the return of their pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    from napari_infosam._napari.image_source import ImageSource
    from napari_infosam._napari.object_in_work import ObjectInWork

Waiting = tuple["ImageSource", "ObjectInWork"]

_KEPT = 50
"""So many that were cleared, or whose prompts were taken back, can come back."""


class WaitingWorks:
    """At most one object in work for each picture that is not in view."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, Waiting] = {}

    def put(self, source: ImageSource, work: ObjectInWork) -> None:
        """Let an object wait for its picture, unless prompts of another one do."""
        _, other = self._waiting.get(source.key, (source, None))
        if other is not None and other.prompts:
            return
        self._waiting.pop(source.key, None)  # the last that came is the last to go
        if work.prompts or work.can_undo or work.can_redo:
            self._waiting[source.key] = (source, work)
        empty = [key for key, (_, one) in self._waiting.items() if not one.prompts]
        for key in empty[:-_KEPT]:
            del self._waiting[key]

    def take(self, source: ImageSource) -> ObjectInWork | None:
        """Return what waited for a picture, which waits no longer."""
        _, work = self._waiting.pop(source.key, (source, None))
        return work

    def drop(self, source: ImageSource, work: ObjectInWork) -> None:
        """Let an object wait no longer, if it does."""
        if self._waiting.get(source.key, (source, None))[1] is work:
            del self._waiting[source.key]

    def all(self) -> list[Waiting]:
        """Return what waits, with the pictures."""
        return list(self._waiting.values())
