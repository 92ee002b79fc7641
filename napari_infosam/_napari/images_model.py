"""The list of images as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QFont, QIcon, QImage, QPixmap

from napari_infosam._napari.small_widgets import icon_of, swatch

if TYPE_CHECKING:
    from napari_infosam._napari.image_list import ImageList
    from napari_infosam._napari.thumbnails import Thumbnails
    from napari_infosam.core.preprocess import RGBImage

Role = Qt.ItemDataRole

COLUMNS = (
    ("Image", "Name of the file; where it is stands in the tooltip of a row"),
    ("State", "new, in work (it has objects or prompts), reviewed (by you), missing"),
    ("Objects", "Number of accepted objects, over all slices"),
)
NAME, STATE, OBJECTS = range(len(COLUMNS))
_COLORS = {
    "new": "#999999",
    "in work": "#e69f00",
    "reviewed": "#009e73",
    "missing": "#d55e00",
}
_PLAIN = "#808080"
SIDE = 28
"""Pixels of a thumbnail on the screen."""


class ImagesModel(QAbstractTableModel):
    """One row for each shown image; nothing is made for rows out of sight.

    Parameters
    ----------
    images
        The list. It filters by itself: a proxy would ask for every row through Qt.
    thumbnails
        Small pictures of those that Qt asks for, which are the rows in sight.
    """

    def __init__(self, images: ImageList, thumbnails: Thumbnails) -> None:
        super().__init__()
        self._images = images
        self._thumbnails = thumbnails
        self._icons: dict[int, tuple[RGBImage, QIcon]] = {}
        self._plain = swatch(_PLAIN, SIDE)
        self._shown: list[int] = []
        self._places: dict[int, int] = {}
        self._swatches = {state: swatch(color) for state, color in _COLORS.items()}
        self._bold = QFont()
        self._bold.setBold(True)
        images.reset.connect(self._on_reset)
        images.rows_changed.connect(self._on_rows_changed)
        images.current_changed.connect(self._on_current)
        thumbnails.changed.connect(self._on_thumbnail)
        self._on_reset()

    def close_down(self) -> None:
        """Stop listening."""
        self._images.reset.disconnect(self._on_reset)
        self._images.rows_changed.disconnect(self._on_rows_changed)
        self._images.current_changed.disconnect(self._on_current)
        self._thumbnails.changed.disconnect(self._on_thumbnail)

    def listed_id(self, row: int) -> int:
        """Return the id of the image in a row."""
        return self._shown[row]

    def place(self, listed_id: int | None) -> int | None:
        """Return the row of an image, or None if it is not shown."""
        return None if listed_id is None else self._places.get(listed_id)

    def state(self, listed_id: int) -> str:
        """Return what the list says about an image."""
        if self._images.is_missing(listed_id):
            return "missing"
        return self._images.rows[listed_id].state

    def _on_reset(self) -> None:
        self.beginResetModel()
        self._shown = self._images.shown
        self._icons.clear()
        self._places = {one: place for place, one in enumerate(self._shown)}
        self.endResetModel()

    def _on_rows_changed(self, ids: set[int]) -> None:
        places = [self._places[one] for one in ids if one in self._places]
        if places:
            self.dataChanged.emit(
                self.index(min(places), NAME), self.index(max(places), OBJECTS)
            )

    def _on_current(self) -> None:
        if self._shown:
            last = self.index(len(self._shown) - 1, NAME)
            self.dataChanged.emit(self.index(0, NAME), last, [Role.FontRole])

    def _on_thumbnail(self, listed_id: int) -> None:
        place = self._places.get(listed_id)
        if place is not None:
            at = self.index(place, NAME)
            self.dataChanged.emit(at, at, [Role.DecorationRole])

    def icon(self, listed_id: int) -> QIcon:
        """Return the thumbnail of an image, or a plain square without one."""
        picture = self._thumbnails.get(listed_id)
        if picture is None:
            return self._plain
        known = self._icons.get(listed_id)
        if known is None or known[0] is not picture:
            known = self._icons[listed_id] = (picture, _icon(picture))
        return known[1]

    # ------------------------------------------------------------- as Qt asks
    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of shown images."""
        return 0 if parent is not None and parent.isValid() else len(self._shown)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of columns."""
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Role.DisplayRole
    ) -> Any:
        """Return the title of a column and what it means."""
        if orientation == Qt.Orientation.Horizontal:
            title, tip = COLUMNS[section]
            return {Role.DisplayRole: title, Role.ToolTipRole: tip}.get(Role(role))
        return None

    def data(self, index: QModelIndex, role: int = Role.DisplayRole) -> Any:
        """Return what a cell shows."""
        listed_id, column = self._shown[index.row()], index.column()
        image = self._images.rows.get(listed_id)
        if image is None:
            return None
        match role:
            case Role.DisplayRole:
                if column == NAME:
                    return image.name
                if column == STATE:
                    return self.state(listed_id)
                return str(image.n_objects or "")
            case Role.DecorationRole if column == NAME:
                return self.icon(listed_id)
            case Role.DecorationRole if column == STATE:
                return self._swatches[self.state(listed_id)]
            case Role.ToolTipRole:
                if column == OBJECTS and image.counts:
                    return ", ".join(f"{n} {name}" for name, n in image.counts.items())
                return image.path or f"{image.name}: kept in the project"
            case Role.FontRole if listed_id == self._images.current:
                return self._bold
            case Role.TextAlignmentRole if column == OBJECTS:
                return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None


def _icon(picture: RGBImage) -> QIcon:
    """Return a picture ``(h, w, 3)`` in the middle of a square, so that names align."""
    height, width = picture.shape[:2]
    side = max(height, width)
    square = np.zeros((side, side, 4), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width, :3] = picture
    square[top : top + height, left : left + width, 3] = 255
    pixels = square.tobytes()
    image = QImage(pixels, side, side, 4 * side, QImage.Format.Format_RGBA8888)
    return icon_of(QPixmap.fromImage(image))
