"""Sentences about accepted objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_infosam.core.words import counted

if TYPE_CHECKING:
    from napari_infosam.project import HistoryEntry, ObjectRecord
    from napari_infosam.project.records import Action

_MOST_NAMED = 5
_STEPS: dict[Action, str] = {
    "commit": "accept",
    "delete": "delete",
    "relabel": "change of class",
    "replace": "new mask",
    "merge": "merge",
    "split": "split",
    "paint": "stroke",
    "propagate": "accept in several slices",
    "import": "import",
    "add_class": "addition of the class {0}",
    "rename_class": "rename of the class {1} to {0}",
    "recolor_class": "change of colour of the class {0}",
}


def named(numbers: Sequence[int], *, start: bool = False) -> str:
    """Return objects in words: ``object 3``, ``objects 3, 4 and 7``, ``12 objects``."""
    if len(numbers) > _MOST_NAMED:
        return f"{len(numbers)} objects"
    first = "Object" if start else "object"
    if len(numbers) == 1:
        return f"{first} {numbers[0]}"
    *most, last = map(str, numbers)
    return f"{first}s {', '.join(most)} and {last}"


def accepted_sentence(record: ObjectRecord, *, again: bool, lost: int) -> str:
    """Say that a proposal was accepted.

    Parameters
    ----------
    again
        Whether it is another mask of an object that was there.
    lost
        Pixels that earlier objects kept.
    """
    number = record.instance_id
    if again:
        said = f"Object {number} ({record.class_name}) has its new mask"
    else:
        said = f"Accepted object {number} ({record.class_name})"
    if lost > 0:
        pixels = "pixel" if lost == 1 else "pixels"
        said += f"; earlier objects kept {lost} {pixels}"
    return f"{said}."


def painted_sentence(
    changed: Sequence[int], new: Sequence[int], class_name: str
) -> str:
    """Say what a stroke did: to which objects, and which of them are new."""
    corrected = [number for number in changed if number not in new]
    said = []
    if new:
        said.append(f"Painted {named(new)} ({class_name})")
    if corrected:
        verb = "corrected" if said else "Corrected"
        said.append(f"{verb} {named(corrected)}")
    if not said:
        said.append("Erased the object")
    return f"{' and '.join(said)}; undo takes the stroke back."


def step_sentence(step: HistoryEntry, elsewhere: str = "", *, undone: bool) -> str:
    """Say which step was taken back or done again.

    Parameters
    ----------
    elsewhere
        Name of the image it was in, if that is not the one in view.
    """
    where = f" in {elsewhere}" if elsewhere else ""
    what = f"last {_STEPS[step.action]}"
    if step.action == "import":
        what += f" of {counted(step.n_objects)}"
    elif step.classes:
        ((before, after),) = step.classes
        what = _STEPS[step.action].format(after.name, before and before.name)
    if undone:
        return f"Took back the {what}{where}; redo does it again."
    return f"Did the {what}{where} again."
