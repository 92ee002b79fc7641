"""The button that suggests an image, and the line that says why it was this one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_infosam._napari.small_widgets import allow, button, sentence

if TYPE_CHECKING:
    from napari_infosam._napari.image_list import ImageList
    from napari_infosam._napari.what_next import WhatNext


class WhatNextWidget(QWidget):
    """Opens the image that is worth the most, as far as that can be known.

    Parameters
    ----------
    what_next, images
        What suggests, and the list.
    """

    def __init__(self, what_next: WhatNext, images: ImageList) -> None:
        super().__init__()
        self._what_next = what_next
        self._images = images
        self.suggest = button(
            "Suggest the next image",
            "Open a new image: drawn at random for the first ten, then the one on "
            "which the version that answers and the base disagree most",
            what_next.go,
        )
        self.reason = sentence("suggested")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.suggest)
        layout.addWidget(self.reason)
        what_next.changed.connect(self._show)
        images.reset.connect(self._show)
        self._show()

    def close_down(self) -> None:
        """Stop listening."""
        self._what_next.changed.disconnect(self._show)
        self._images.reset.disconnect(self._show)

    def _show(self) -> None:
        empty = "The list is empty: add a folder, files or the open layers first."
        allow(self.suggest, "" if self._images.rows else empty)
        self.reason.setText(self._what_next.reason)
        self.reason.setVisible(bool(self._what_next.reason))
