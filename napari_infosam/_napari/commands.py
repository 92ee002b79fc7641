"""What the command palette and the menus call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari import current_viewer

from napari_infosam.core.errors import InfosamError

if TYPE_CHECKING:
    from napari_infosam._napari.widget import InfoSAMWidget


def panel() -> InfoSAMWidget:
    """Return the panel of the current window; it is opened or brought to sight.

    Raises
    ------
    InfosamError
        If there is no window.
    """
    from napari_infosam._napari.widget import InfoSAMWidget

    viewer = current_viewer()
    if viewer is None:
        raise InfosamError("Open a napari window first.")
    for widget in viewer.window.dock_widgets.values():
        if isinstance(widget, InfoSAMWidget):
            dock = widget.parentWidget()
            if dock is not None:
                dock.show()
            return widget
    _, widget = viewer.window.add_plugin_dock_widget("napari-infosam", "InfoSAM")
    made: InfoSAMWidget = widget
    return made


def segment() -> None:
    """Open the panel and let clicks place points."""
    panel().link.use_points()


def box() -> None:
    """Let drags draw a box."""
    panel().link.use_box()


def polarity() -> None:
    """Change what a plain click says."""
    panel().link.toggle_polarity()


def accept() -> None:
    """Accept the proposal."""
    panel().link.accept()


def reject() -> None:
    """Clear the proposal and its prompts."""
    panel().session.clear()


def undo() -> None:
    """Take back the last prompt, accept or delete."""
    panel().session.undo()


def redo() -> None:
    """Do again what was undone last."""
    panel().session.redo()


def next_image() -> None:
    """Go to the next slice or image."""
    panel().link.next_image()


def finetune() -> None:
    """Start to fine-tune in the background."""
    panel().session.desk.finetune()


def cancel_training() -> None:
    """Stop the training that runs."""
    panel().session.learning.cancel()


def show_keys() -> None:
    """Show mouse and keys."""
    panel().show_help()
