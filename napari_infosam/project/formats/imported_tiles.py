"""The tiles of a huge image in which imported objects lie, to learn them from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_infosam.core.geometry import MODEL_SIDE
from napari_infosam.core.prompts import Box, PromptSet
from napari_infosam.core.tiles import Tile, choose_tile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_infosam.core.huge_image import HugeImage
    from napari_infosam.project.formats.items import Item
    from napari_infosam.project.formats.progress import Tell
    from napari_infosam.project.tile_store import Tiles

_CELL = MODEL_SIDE // 2
"""Tiles are looked up by where they lie, in cells of so many of their own pixels."""


def keep_tiles(
    tiles: Tiles, digest: str, image: HugeImage, items: Sequence[Item], tell: Tell
) -> Iterator[Path]:
    """Keep a tile for every object that a person has reviewed.

    Parameters
    ----------
    tiles
        Of the project.
    digest
        Content hash that the image has in the project.

    Yields
    ------
    Path
        Each file that was written.
    """
    needed = choose_tiles(image.plane, [i.xywh for i in items if i.reviewed])
    for number, tile in enumerate(needed, start=1):
        made = tiles.keep_of(digest, tile, image.read_tile(tile))
        if made is not None:
            yield made
        tell(number / len(needed))


def choose_tiles(
    shape: tuple[int, int], boxes: Sequence[tuple[int, int, int, int]]
) -> list[Tile]:
    """Return tiles that show all of some objects, few of them.

    Parameters
    ----------
    shape
        (height, width) of the image.
    boxes
        Left, top, width and height of each object.
    """
    found: dict[Tile, None] = {}
    near: dict[tuple[int, int], list[Tile]] = {}
    for x, y, width, height in sorted(boxes, key=lambda box: (box[1] // _CELL, box[0])):
        box = Box(x, y, x + width - 1, y + height - 1)
        here = (y // _CELL, x // _CELL)
        tile = choose_tile(shape, PromptSet((), box), recent=near.get(here, ()))
        if tile not in found:
            found[tile] = None
            for row in range(tile.row // _CELL, (tile.row + tile.height) // _CELL + 1):
                last = (tile.column + tile.width) // _CELL
                for column in range(tile.column // _CELL, last + 1):
                    near.setdefault((row, column), []).append(tile)
    return list(found)
