"""Chapter: a fluorescence image, its channels, and proposals on it."""

from __future__ import annotations

from pathlib import Path

from napari_infosam._napari.channels_dialog import ChannelsDialog
from scripts.screenshots.cells import CELLS, stained_cells
from scripts.screenshots.person import Key, window

_CANVAS = (470, 400)


def take(folder: Path, _home: Path) -> None:
    """Take the pictures."""
    nuclei, bodies = stained_cells()
    layers = ("bodies", bodies), ("nuclei", nuclei)
    with window(folder, *layers, size=_CANVAS, blending="additive") as one:
        one.viewer.layers["bodies"].colormap = "green"
        one.viewer.layers["nuclei"].colormap = "magenta"
        one.wait_ready()
        one.press(one.panel.annotate.channels)
        dialog = one.panel.findChild(ChannelsDialog)
        one.choose(dialog.kind, "2 layers")
        one.wait_ready()
        one.shoot_dialog("channels", dialog)
        one.key(Key.Key_Escape, at=dialog)

        proposals = one.panel.proposals
        one.key(Key.Key_G)
        one.wait(lambda: proposals.progress is None and proposals.offered)
        one.session.desk.add_class("cell")
        for place in CELLS[:2]:
            one.point_at(*place)
            one.key(Key.Key_Y)
        one.shoot("fluorescence", one.panel.annotate.many)
