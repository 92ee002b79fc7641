"""What the command palette and the menus call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari import current_viewer

from napari_infosam.core.errors import InfosamError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qtpy.QtGui import QAction
    from qtpy.QtWidgets import QAbstractButton

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


def _press(find: Callable[[InfoSAMWidget], QAbstractButton]) -> None:
    """Press a button of the panel, also one out of sight; a disabled one says why."""
    from napari_infosam._napari.small_widgets import why_not

    opened = panel()
    button = find(opened)
    if reason := why_not(button):
        opened.session.voice.say(reason)
    else:
        button.click()


def _choose(find: Callable[[InfoSAMWidget], QAction | None]) -> None:
    """Choose an entry of a menu of the panel."""
    entry = find(panel())
    if entry is not None:
        entry.trigger()


def segment() -> None:
    """Open the panel and let clicks place points."""
    panel().link.use_points()


def box() -> None:
    """Let drags draw a box."""
    panel().link.use_box()


def box_each() -> None:
    """Let every box that is drawn be for an object of its own."""
    panel().link.actions["box_each"]()


def propose() -> None:
    """Propose everything in view."""
    panel().link.actions["propose"]()


def take() -> None:
    """Accept what is proposed under the pointer."""
    panel().link.actions["take"]()


def drop() -> None:
    """Reject what is proposed under the pointer."""
    panel().link.actions["drop"]()


def accept_proposals() -> None:
    """Accept all that are proposed."""
    _press(lambda opened: opened.annotate.many.accept)


def reject_proposals() -> None:
    """Reject all that are proposed."""
    _press(lambda opened: opened.annotate.many.clear)


def paint() -> None:
    """Let a rough mask be painted, for the model to refine."""
    panel().link.use_paint()


def polarity() -> None:
    """Change what a plain click says."""
    panel().link.tool.toggle_polarity()


def preview() -> None:
    """Show what a click would give before there is one, or no longer."""
    panel().link.actions["preview"]()


def meaning() -> None:
    """Let the first click mean a part, the object or the whole, in turn."""
    panel().link.actions["meaning"]()


def forwards() -> None:
    """Follow the object through the next slices."""
    panel().link.actions["forwards"]()


def backwards() -> None:
    """Follow the object through the slices before."""
    panel().link.actions["backwards"]()


def accept_all() -> None:
    """Accept the object in all slices in which it was found."""
    panel().link.actions["accept_all"]()


def accept() -> None:
    """Accept the proposal."""
    panel().link.actions["accept"]()


def reject() -> None:
    """Clear the proposal and its prompts."""
    opened = panel()
    if opened.proposals.is_empty:
        _press(lambda opened: opened.annotate.reject)
    else:
        opened.link.actions["clear"]()


def undo() -> None:
    """Take back what was done last."""
    panel().link.actions["undo"]()


def redo() -> None:
    """Do again what was undone last."""
    panel().link.actions["redo"]()


def delete() -> None:
    """Delete the chosen objects, or the one under the pointer."""
    _with_chosen("delete", panel().session.objects.delete)


def relabel() -> None:
    """Give the chosen objects, or the one under the pointer, the chosen class."""
    _with_chosen("relabel", panel().session.objects.relabel)


def merge() -> None:
    """Make one object of the chosen ones."""
    panel().link.actions["merge"]()


def split() -> None:
    """Split the object under the pointer into its parts."""
    panel().link.actions["split"]()


def continue_object() -> None:
    """Bring the prompts of the object under the pointer back."""
    panel().link.actions["continue"]()


def choose() -> None:
    """Choose the object under the pointer besides others, or no longer."""
    panel().link.actions["choose"]()


def colors() -> None:
    """Colour objects by class, or each on its own."""
    panel().link.actions["colors"]()


def difference() -> None:
    """Colour where the answer differs from another version's, or no longer."""
    panel().link.actions["difference"]()


def go_back() -> None:
    """Let the version that answered before do so again."""
    panel().link.actions["go_back"]()


def _with_chosen(action: str, act: Callable[[Sequence[int]], None]) -> None:
    """Act on the chosen objects; without any, as the key does."""
    opened = panel()
    opened.link.objects.take_strokes()
    chosen = opened.session.objects.chosen
    if chosen:
        act(chosen)
    else:
        opened.link.actions[action]()


def next_image() -> None:
    """Go to the next slice or image."""
    panel().link.stepping.next_picture()


def next_listed() -> None:
    """Open the next image of the list."""
    panel().link.actions["next_image"]()


def previous_listed() -> None:
    """Open the previous image of the list."""
    panel().link.actions["previous_image"]()


def review() -> None:
    """Mark the image as reviewed, or take that back."""
    panel().link.actions["review"]()


def add_layers() -> None:
    """Add the open layers to the list of images."""
    panel().images_view.add_open_layers()


def finetune() -> None:
    """Start to fine-tune in the background."""
    panel().session.desk.trainer.finetune()


def suggest_image() -> None:
    """Open the image that is suggested next."""
    panel().what_next.go()


def continuous() -> None:
    """Let trainings start by themselves, or no longer."""
    by_itself = panel().continuous
    by_itself.switch(not by_itself.is_on)


def cancel_training() -> None:
    """Stop the training that runs."""
    _press(lambda opened: opened.learn.cancel)


def resume_training() -> None:
    """Go on with the training that was interrupted last."""
    _press(lambda opened: opened.learn.resume)


def channels() -> None:
    """Show the channels that the model sees, to be changed."""
    _press(lambda opened: opened.annotate.channels)


def import_objects() -> None:
    """Ask which objects of other programs are to be imported."""
    panel().show_import()


def export_objects() -> None:
    """Ask where the accepted objects are to be exported to, and how."""
    panel().show_export()


def export_model() -> None:
    """Ask where the version that answers is to be exported to, and how."""
    panel().show_model_export()


def show_preferences() -> None:
    """Show what is remembered between sessions, to be changed."""
    panel().show_preferences()


def show_keys() -> None:
    """Show mouse and keys."""
    panel().show_help()


def leave_clicks() -> None:
    """Let clicks be napari's, as without the plugin."""
    panel().link.tool.active = False


def cancel_proposing() -> None:
    """Stop to look for proposals, or to answer boxes."""
    _press(lambda opened: opened.annotate.many.cancel)


def cancel_following() -> None:
    """Stop to follow the object; what was found so far stays."""
    _press(lambda opened: opened.annotate.propagate.cancel)


def discard() -> None:
    """Throw away the proposals of a followed object that wait."""
    _press(lambda opened: opened.annotate.propagate.discard)


def add_class() -> None:
    """Let the name of a new class be typed."""
    opened = panel()
    opened.annotate.classes.add.click()
    opened.bring_to_sight(opened.annotate.classes)


def rename_class() -> None:
    """Let another name of the chosen class be typed."""
    opened = panel()
    _press(lambda opened: opened.annotate.classes.rename)
    opened.bring_to_sight(opened.annotate.classes)


def class_color() -> None:
    """Ask for another colour of the chosen class."""
    _press(lambda opened: opened.annotate.classes.color)


def new_project() -> None:
    """Ask where a new project is to be made."""
    _choose(lambda opened: opened.annotate.new_project)


def open_project() -> None:
    """Ask which project is to be opened."""
    _choose(lambda opened: opened.annotate.open_project)


def other_project() -> None:
    """Work beside the project that can not be opened."""
    _press(lambda opened: opened.annotate.other_project)


def cancel_download() -> None:
    """Stop the download of a model."""
    _press(lambda opened: opened.annotate.cancel_download)


def add_folder() -> None:
    """Ask for a folder whose images are added to the list."""
    _choose(lambda opened: opened.images_view.add_folder)


def add_files() -> None:
    """Ask for files that are added to the list of images."""
    _choose(lambda opened: opened.images_view.add_files)


def remove_images() -> None:
    """Take the selected images out of the list."""
    _press(lambda opened: opened.images_view.remove)


def relink() -> None:
    """Ask where the missing files of the list are now."""
    _press(lambda opened: opened.images_view.relink)


def cancel_list_change() -> None:
    """Stop what is being done to the list of images."""
    _press(lambda opened: opened.images_view.cancel)


def use_version() -> None:
    """Let the version that is chosen in the list answer."""
    _press(lambda opened: opened.learn.activate)


def pin_version() -> None:
    """Pin the version that is chosen in the list, or let it loose."""
    _press(lambda opened: opened.learn.tools.pin)


def rename_version() -> None:
    """Let a name of the version that is chosen in the list be typed."""
    _press(lambda opened: opened.learn.tools.rename)
    opened = panel()
    opened.bring_to_sight(opened.learn.tools)


def delete_version() -> None:
    """Ask whether the version that is chosen in the list is to go."""
    _press(lambda opened: opened.learn.tools.delete)


def compare_versions() -> None:
    """Show two versions side by side."""
    _press(lambda opened: opened.learn.tools.compare)


def export_version() -> None:
    """Ask where the version chosen in the list is to be exported to."""
    _press(lambda opened: opened.learn.tools.export)
