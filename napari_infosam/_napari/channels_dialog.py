"""Which channels the model sees, in a window beside which one can go on working."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QFormLayout, QVBoxLayout, QWidget

from napari_infosam._napari.channels import COLORS, Kind, finest, kind_of, kinds_of
from napari_infosam._napari.legible import without_icons
from napari_infosam._napari.small_widgets import allow, choice, sentence, silently
from napari_infosam.core.tiles import is_huge

if TYPE_CHECKING:
    from napari_infosam._napari.viewer_link import ViewerLink

_NONE = "\N{EM DASH}"
_EXPLAINED = (
    "One channel is seen as grey, two or three as colours. A change takes effect at "
    "once, also for the next training, and is kept with the project. Objects that were "
    "accepted stay, while the channels lie in the same axis or layers."
)
_FIRST = "Choose what the channels are first."


class ChannelsDialog(QDialog):
    """Shows and changes what of the image is a channel, and which are seen.

    Parameters
    ----------
    link
        Knows the image.
    parent
        The panel.

    Attributes
    ----------
    kind
        What the channels are.
    seen
        The channels that are seen as red (or grey), green and blue.
    """

    def __init__(self, link: ViewerLink, parent: QWidget) -> None:
        super().__init__(parent)
        self._link = link
        self._kinds: list[Kind] = []
        self.setWindowTitle("InfoSAM: channels")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(380)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self.kind = choice(
            "What holds the channels: nothing, an axis of the image, or layers that "
            "lie on each other"
        )
        self.kind.activated.connect(self._on_kind)
        form.addRow("Channels are", self.kind)
        self.seen = []
        for number, color in enumerate(COLORS):
            box = choice(f"The channel that the model sees as {color.lower()}")
            if not number:
                box.setToolTip("The channel that is seen as red; alone it is grey")
            box.activated.connect(partial(self._on_seen, number))
            self.seen.append(box)
            form.addRow(color if number else "Red, or grey", box)
        below = sentence("explained")
        below.setText(_EXPLAINED)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        without_icons(buttons)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(below)
        layout.addWidget(buttons)
        link.images_changed.connect(self._show)
        self.destroyed.connect(lambda *_: link.images_changed.disconnect(self._show))
        self._show()

    def _show(self) -> None:
        image, chosen = self._link.image, self._link.channels
        self._kinds = [] if image is None else kinds_of(image, self._link.images())
        now = kind_of(chosen, self._kinds)
        with silently(self.kind):
            self.kind.clear()
            self.kind.addItems([kind.title for kind in self._kinds])
            if now is not None:
                self.kind.setCurrentIndex(self._kinds.index(now))
        names = () if now is None else now.names
        seen = chosen.seen or tuple(range(min(len(names), len(COLORS))))
        allow(self.kind, why_no_channels(self._link))
        for number, box in enumerate(self.seen):
            with silently(box):
                box.clear()
                if number:
                    box.addItem(_NONE, None)
                for channel, name in enumerate(names):
                    box.addItem(name, channel)
                box.setCurrentIndex(
                    box.findData(seen[number]) if number < len(seen) else 0
                )
            before = (
                "" if number < 2 or len(seen) > 1 else "Choose the green one first."
            )
            allow(box, before if names else _FIRST)

    def _on_kind(self, number: int) -> None:
        self._link.choose_channels(self._kinds[number].choice)

    def _on_seen(self, changed: int, _place: int) -> None:
        values = [box.currentData() for box in self.seen]
        if changed and values[changed] is None:
            values = values[:changed]  # what is seen has no gap
        seen = tuple(value for value in values if value is not None)
        now = self._link.channels
        self._link.choose_channels(now.model_copy(update={"seen": seen}))


def why_no_channels(link: ViewerLink) -> str:
    """Return why no channels can be chosen, in one sentence; '' if they can."""
    image = link.image
    if image is None:
        return "There is no image: File > Open Sample > InfoSAM has some."
    kinds = kinds_of(image, link.images())
    if not any(kind.names for kind in kinds):
        if is_huge(tuple(finest(image).shape[-2:])):
            return "Of a huge image only the colours can be chosen: it has none."
        return "This image has one channel, and no other layer lies exactly on it."
    return ""
