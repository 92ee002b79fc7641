"""The prompts that are not points or boxes: rough masks, and what a click means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_infosam.core.rough_mask import RoughMask

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from typing import Any

    from napari_infosam.core.prompts import PromptSet

TABLE = """
    CREATE TABLE prompt_extras (
        object_id INTEGER PRIMARY KEY REFERENCES objects,
        choice INTEGER CHECK (choice BETWEEN 0 AND 2),
        rle BLOB,
        height INTEGER,
        width INTEGER,
        proposal_iou REAL
    )
    """


def insert_extras(
    connection: sqlite3.Connection,
    object_id: int,
    prompts: PromptSet,
    proposal_ious: Sequence[float],
) -> Sequence[float]:
    """Write what an object has of these, if anything.

    Returns
    -------
    sequence of float
        The proposal IoUs that belong to its box and points.
    """
    rough = prompts.rough
    if rough is None and prompts.choice is None:
        return proposal_ious
    of_rough = proposal_ious[: rough is not None]
    connection.execute(
        "INSERT INTO prompt_extras VALUES (?, ?, ?, ?, ?, ?)",
        (
            object_id,
            prompts.choice,
            None if rough is None else rough.rle,
            *((None, None) if rough is None else rough.shape),
            float(of_rough[0]) if of_rough else None,
        ),
    )
    return proposal_ious[len(of_rough) :]


def select_extras(
    connection: sqlite3.Connection, where: str, parameters: Sequence[Any]
) -> dict[int, sqlite3.Row]:
    """Return the rows of the objects that have some, by their ids."""
    rows = connection.execute(
        "SELECT prompt_extras.* FROM prompt_extras JOIN objects ON objects.id ="
        f" object_id WHERE {where}",
        parameters,
    )
    return {row["object_id"]: row for row in rows}


def rough_mask_of(extras: sqlite3.Row | None) -> RoughMask | None:
    """Return the rough mask in a row, if there is one."""
    if extras is None or extras["rle"] is None:
        return None
    return RoughMask(extras["rle"], (extras["height"], extras["width"]))
