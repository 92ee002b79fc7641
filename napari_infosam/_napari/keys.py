"""The keys: one table for what they do, how they are bound and what the help says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.utils.key_bindings import coerce_keybinding
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QLineEdit,
    QPlainTextEdit,
    QTextEdit,
)

if TYPE_CHECKING:
    from napari.utils.key_bindings import KeymapProvider


@dataclass(frozen=True, slots=True)
class Key:
    """One action and the keys that start it.

    Attributes
    ----------
    action
        Name of the action.
    keys
        In napari's notation; the first one is shown on buttons.
    says
        What it does, for the help.
    is_held
        Whether it lasts as long as the key is held down.
    """

    action: str
    keys: tuple[str, ...]
    says: str
    is_held: bool = False


KEYS = (
    Key("points", ("S",), "Segment: click on an object to place points"),
    Key("box", ("B",), "Draw boxes by dragging (again: points)"),
    Key("paint", ("P",), "Paint an object roughly; the model draws its edge"),
    Key("box_each", ("Shift-B",), "Draw many boxes, one for each object (again: one)"),
    Key("propose", ("G",), "Propose everything in view"),
    Key("take", ("Y",), "Accept what is proposed under the pointer"),
    Key("drop", ("I",), "Reject what is proposed under the pointer"),
    Key("polarity", ("T",), "Switch a plain click between object and background"),
    Key("preview", ("H",), "Show under the pointer what a click would give, or not"),
    Key("meaning", ("E",), "The first click means: part, object or whole, in turn"),
    Key("forwards", ("X",), "Follow the object through the next slices of a stack"),
    Key("backwards", ("Z",), "Follow it through the slices before"),
    Key("accept_all", ("Shift-X",), "Accept the object in all slices it was found in"),
    Key("accept", ("C", "Enter"), "Accept the proposal as an object"),
    Key("clear", ("Escape", "Shift-C"), "Reject: clear the proposal and its prompts"),
    Key("undo", ("Control-Z",), "Undo what was done last"),
    Key("redo", ("Control-Shift-Z",), "Redo"),
    Key("delete", ("D",), "Delete the accepted object under the pointer"),
    Key("relabel", ("R",), "Give the object under the pointer the chosen class"),
    Key("continue", ("W",), "Work on the object under the pointer: its prompts return"),
    Key("split", ("K",), "Split the object under the pointer into its parts"),
    Key("choose", ("A",), "Choose the object under the pointer besides others"),
    Key("merge", ("J",), "Join the chosen objects into one"),
    Key("colors", ("Q",), "Colour objects by class, or each on its own"),
    Key("compare", ("O",), "Hold: the mask of the base, or previous version", True),
    Key("difference", ("Shift-O",), "Colour where the two masks differ, or no longer"),
    Key("go_back", ("U",), "Back to the version that answered before (again: forth)"),
    Key("next", ("N",), "Next slice of a stack, or next image"),
    Key("next_image", ("PageDown",), "Open the next image of the list"),
    Key("previous_image", ("PageUp",), "Open the previous image of the list"),
    Key("review", ("Shift-R",), "Mark the image as reviewed, or take that back"),
    Key("help", ("F1",), "Show this list"),
)
MOUSE = (
    ("Click", "This belongs to the object"),
    ("Right-click, Shift-click or Ctrl-click", "This does not belong to it"),
    ("Drag", "Move the picture; in box mode draw a box"),
    ("Space and drag", "Move the picture, also in box mode"),
    ("Wheel", "Zoom"),
)
_PAN = "Space"
_STROKE_KEYS = ("Enter", "Escape")
"""They are napari's in a stroke of the brush, and while a polygon is in hand."""


def shown(action: str) -> str:
    """Return the keys of an action as people write them, for tooltips."""
    keys = next(key.keys for key in KEYS if key.action == action)
    return " or ".join(_readable(key) for key in keys)


def _readable(key: str) -> str:
    for name, written in (("Control", "Ctrl"), ("Escape", "Esc"), ("Page", "Page ")):
        key = key.replace(name, written)
    return key.replace("-", "+")


def is_typing() -> bool:
    """Return whether the keyboard belongs to a text field at the moment."""
    focus = QApplication.focusWidget()
    fields = (QLineEdit, QTextEdit, QPlainTextEdit, QAbstractSpinBox)
    return isinstance(focus, fields)


def _native(provider: Any, key: str) -> Callable[[Any], Any] | None:
    """Return what napari does with a key that ends, or breaks off, a stroke."""
    mode = str(getattr(provider, "mode", ""))
    is_down = QApplication.mouseButtons() != Qt.MouseButton.NoButton
    is_stroke = mode in ("paint", "erase") and is_down
    if key not in _STROKE_KEYS or not (is_stroke or mode == "polygon"):
        return None
    action: Callable[[Any], Any] | None = provider.class_keymap.get(
        coerce_keybinding(key)
    )
    return action


class KeyBindings:
    """Binds the table to the viewer and to layers, and takes it off again.

    Parameters
    ----------
    actions
        What to do, by the names of the table.
    may_act
        Says whether the keys are ours at the moment.
    holds
        Called with True when a key of the table that is held is pressed, and with
        False afterwards; ``pan`` for Space.
    """

    def __init__(
        self,
        actions: dict[str, Callable[[], None]],
        may_act: Callable[[], bool],
        holds: Mapping[str, Callable[[bool], None]],
    ) -> None:
        self._actions = actions
        self._may_act = may_act
        self._holds = holds
        self._bound: list[tuple[KeymapProvider, list[tuple[str, Any]]]] = []

    def bind(self, provider: KeymapProvider) -> None:
        """Let the keys work on a layer or the viewer; binding twice does nothing."""
        if any(provider == known for known, _ in self._bound):
            return
        replaced = []
        for row in KEYS:
            for key in row.keys:
                handler = (self._hold if row.is_held else self._handler)(
                    row.action, key
                )
                old = provider.bind_key(key, handler, overwrite=True)
                replaced.append((key, old))
        replaced.append((_PAN, provider.bind_key(_PAN, self._pan(), overwrite=True)))
        self._bound.append((provider, replaced))

    def keep_only(self, providers: Iterable[KeymapProvider]) -> None:
        """Bind these and release all others."""
        wanted = list(providers)
        for provider, replaced in list(self._bound):
            if not any(provider == keep for keep in wanted):
                self._release(provider, replaced)
        for provider in wanted:
            self.bind(provider)

    def release(self) -> None:
        """Give all keys back."""
        self.keep_only(())

    def _release(
        self, provider: KeymapProvider, replaced: list[tuple[str, Any]]
    ) -> None:
        for key, old in replaced:
            provider.bind_key(key, old, overwrite=True)
        self._bound = [pair for pair in self._bound if pair[0] != provider]

    def _handler(self, action: str, key: str) -> Callable[[Any], None]:
        def act(provider: Any) -> None:
            native = _native(provider, key)
            if native is not None:
                native(provider)
            elif self._may_act() and not is_typing():
                self._actions[action]()

        return act

    def _hold(self, action: str, _key: str) -> Callable[[Any], Any]:
        def hold(_provider: Any) -> Any:
            # napari goes on after the yield when the key is released
            if self._may_act() and not is_typing():
                self._holds[action](True)
                yield
                self._holds[action](False)

        return hold

    def _pan(self) -> Callable[[Any], Any]:
        def pan(provider: Any) -> Any:
            # what napari's own Space does, and box mode stands back as well
            mode = getattr(provider, "mode", None)
            if mode is not None:
                provider.mode = "pan_zoom"
            self._holds["pan"](True)
            yield
            self._holds["pan"](False)
            if mode is not None:
                provider.mode = mode

        return pan
