"""What a click in the viewer means at the moment."""

from __future__ import annotations

from psygnal import Signal


class Tool:
    """The prompt tool in the person's hand; knows neither Qt nor the viewer."""

    changed = Signal()

    def __init__(self) -> None:
        self._active = True
        self._boxing = False
        self._negative = False
        self._box_each = False
        self._painting = False
        self.panning = False
        """While a key is held, dragging moves the picture in box mode as well."""

    @property
    def active(self) -> bool:
        """Whether clicks place prompts."""
        return self._active

    @active.setter
    def active(self, value: bool) -> None:
        if value != self._active:
            self._active = value
            self.changed.emit()

    @property
    def boxing(self) -> bool:
        """Whether dragging draws a box; otherwise it moves the picture."""
        return self._boxing

    @boxing.setter
    def boxing(self, value: bool) -> None:
        if value != self._boxing:
            self._boxing = value
            self.changed.emit()

    @property
    def box_each(self) -> bool:
        """Whether every box that is drawn is for an object of its own."""
        return self._box_each

    @box_each.setter
    def box_each(self, value: bool) -> None:
        if value != self._box_each:
            self._box_each = value
            self.changed.emit()

    @property
    def painting(self) -> bool:
        """Whether a rough mask is being painted."""
        return self._painting

    @painting.setter
    def painting(self, value: bool) -> None:
        if value != self._painting:
            self._painting = value
            self.changed.emit()

    @property
    def negative(self) -> bool:
        """Whether a plain click says "not this"."""
        return self._negative

    @negative.setter
    def negative(self, value: bool) -> None:
        if value != self._negative:
            self._negative = value
            self.changed.emit()

    def toggle_polarity(self) -> None:
        """Change what a plain click says: object, or background."""
        self.negative = not self.negative

    def is_negative(self, *, reversed_by_hand: bool) -> bool:
        """Return whether a click is negative, given a held key or the right button."""
        return self._negative != reversed_by_hand
