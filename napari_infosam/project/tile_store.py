"""What a project keeps of a huge image: the tiles in which objects were accepted.

They lie in ``images/sampled-HASH/``; the names of the files say where in the image.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_infosam.core.errors import InfosamError
from napari_infosam.core.prompts import Box
from napari_infosam.core.tiles import Tile, around
from napari_infosam.project.failures import one_sentence
from napari_infosam.project.files import make_folder, write_array
from napari_infosam.project.images import select_image
from napari_infosam.project.objects import select_objects
from napari_infosam.project.windows import label_window

if TYPE_CHECKING:
    from napari_infosam.project.database import Database
    from napari_infosam.project.records import ImageRecord, ObjectRecord

_NAME = re.compile(r"y(\d+)_x(\d+)_h(\d+)_w(\d+)_s(\d+)\.npy")


class Tiles:
    """The tiles of a project's huge images, as ``project.tiles``.

    Parameters
    ----------
    folder
        The project.
    database
        Of the project.
    require_lock
        Raises a sentence where nothing may be written.
    """

    def __init__(
        self, folder: Path, database: Database, require_lock: Callable[[], None]
    ) -> None:
        self._folder = folder
        self._database = database
        self._require_lock = require_lock

    def keep(self, image_id: int, tile: Tile, pixels: NDArray[Any]) -> None:
        """Keep a tile, so that what is accepted there can be learnt.

        Parameters
        ----------
        pixels
            ``(h, w)`` or ``(h, w, C)`` uint8, of the tile's shape.
        """
        self.keep_of(self._image(image_id).content_hash, tile, pixels)

    def keep_of(self, digest: str, tile: Tile, pixels: NDArray[Any]) -> Path | None:
        """Keep a tile as `keep` does, also of an image that is added later.

        Parameters
        ----------
        digest
            Content hash of the image.

        Returns
        -------
        Path or None
            The file that was written; None if there was one.
        """
        self._require_lock()
        path = self._path(digest, tile)
        if path.exists():
            return None
        make_folder(path.parent, "choose another place for the project")
        with one_sentence(self._folder):
            write_array(path, pixels)
        return path

    def stored(self, image_id: int) -> list[Tile]:
        """Return the tiles that there are of an image."""
        folder = self._folder_of(self._image(image_id).content_hash)
        names = sorted(path.name for path in folder.glob("*.npy"))
        found = [_NAME.fullmatch(name) for name in names]
        return [Tile(*map(int, match.groups())) for match in found if match]

    def read(self, image_id: int, tile: Tile) -> NDArray[Any]:
        """Return the pixels of a stored tile, ``(h, w)`` or ``(h, w, C)`` uint8.

        Raises
        ------
        InfosamError
            If the file is missing or damaged.
        """
        image = self._image(image_id)
        path = self._path(image.content_hash, tile)
        try:
            pixels: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InfosamError(
                f"A stored tile of {image.name} is missing or damaged ({path}): accept "
                "an object there again."
            ) from error
        return pixels

    def shared_out(
        self, image_id: int, records: Sequence[ObjectRecord]
    ) -> dict[Tile, list[ObjectRecord]]:
        """Return objects by the stored tiles that show them best.

        Objects that no tile shows wholly are left out.
        """
        tiles = self.stored(image_id)
        shown: dict[Tile, list[ObjectRecord]] = {}
        for record in records:
            tile = _best_tile(record, tiles)
            if tile is not None:
                shown.setdefault(tile, []).append(record)
        return shown

    def label_window(
        self,
        image_id: int,
        rows: range,
        columns: range,
        slice_index: tuple[int, ...] = (),
        without: int | None = None,
    ) -> NDArray[np.int32]:
        """Return some rows and columns of the label image, of any image.

        Parameters
        ----------
        rows, columns
            Which ones, ascending; with a step, only every so many.
        without
            Number of an object that is left out, so that others are seen below it.
        """
        if not (rows and columns):
            return np.zeros((len(rows), len(columns)), np.int32)
        box = Box(columns[0], rows[0], columns[-1], rows[-1])
        with self._database.read() as connection:
            found = select_objects(
                connection, image_id=image_id, slice_index=slice_index, box=box
            )
        seen = (record for record in found if record.instance_id != without)
        return label_window(seen, rows, columns)

    def _image(self, image_id: int) -> ImageRecord:
        with self._database.read() as connection:
            return select_image(connection, image_id)

    def _folder_of(self, digest: str) -> Path:
        return self._folder / "images" / digest

    def _path(self, digest: str, tile: Tile) -> Path:
        where = f"y{tile.row}_x{tile.column}_h{tile.height}_w{tile.width}"
        return self._folder_of(digest) / f"{where}_s{tile.stride}.npy"


def _best_tile(record: ObjectRecord, tiles: Iterable[Tile]) -> Tile | None:
    """Return the finest tile that shows all of an object and of its prompts."""
    needed = around(record.prompts, record.box)
    holding = [tile for tile in tiles if tile.holds(needed, 0, record.shape)]
    if not holding:
        return None
    middle = ((needed.x0 + needed.x1) / 2, (needed.y0 + needed.y1) / 2)

    def rank(tile: Tile) -> tuple[int, float]:
        x, y = tile.point_inside(*middle)
        height, width = tile.shape
        return tile.stride, abs(x - width / 2) + abs(y - height / 2)

    return min(holding, key=rank)
