"""Ties a session to a viewer: which image, which layers, mouse, keys and actions."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_infosam._napari.channels import CHOICE, choice_of, choose, recall
from napari_infosam._napari.chosen_view import ChosenView
from napari_infosam._napari.gl_state import forget_vertex_arrays
from napari_infosam._napari.held_key import HeldKey
from napari_infosam._napari.hover import Hover
from napari_infosam._napari.image_source import path_of, source_of
from napari_infosam._napari.keys import KeyBindings
from napari_infosam._napari.layers import PromptLayers
from napari_infosam._napari.many_actions import ManyActions
from napari_infosam._napari.objects_view import ObjectsView
from napari_infosam._napari.placing import bring_to_sight, fit, lie_alike, seen_at
from napari_infosam._napari.pointer import Pointer
from napari_infosam._napari.rough_painting import RoughPainting
from napari_infosam._napari.stepping import Stepping
from napari_infosam._napari.together import Together
from napari_infosam._napari.tool import Tool
from napari_infosam.core.channels import PLAIN, ChannelChoice
from napari_infosam.core.errors import InfosamError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from napari.layers import Labels
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QWidget

    from napari_infosam._napari.image_source import ImageSource
    from napari_infosam._napari.preview import Preview
    from napari_infosam._napari.proposals import Proposals
    from napari_infosam._napari.session import Session
    from napari_infosam._napari.versus import Versus


class ViewerLink:
    """Keeps viewer and session in step; what it decides, the session does.

    The picture that is annotated is the image layer that was selected last; for a
    stack it is the slice in view.

    Parameters
    ----------
    viewer
        The viewer, as napari gives it to plugins.
    session, proposals
        What is decided with, and what is proposed besides.
    parent
        The panel, in the window of the viewer.
    versus
        What may be shown in place of the proposal.
    preview
        What is shown before there is a proposal.

    Attributes
    ----------
    follow_on
        Opens the next image of the list, if this one is of it; returns whether it is.
    """

    images_changed = Signal()
    """The image layers, or the one that is annotated."""
    help_wanted = Signal()
    step_wanted = Signal(int)
    """To the next (1) or the previous (-1) image of the list."""
    review_wanted = Signal()

    def __init__(
        self,
        viewer: Viewer,
        session: Session,
        proposals: Proposals,
        parent: QWidget,
        versus: Versus,
        preview: Preview,
    ) -> None:
        self._viewer = viewer
        self.preview = preview
        self._versus = versus
        self._parent = parent
        self._session = session
        self.proposals = proposals
        self.together = Together(session, parent)
        self.tool = Tool()
        self.follow_on: Callable[[], bool] = lambda: False
        self._image: Image | None = None
        self._layers = PromptLayers(
            viewer,
            session.move_prompts,
            lambda: self.objects.on_paint(),
            lambda: self._rough.on_paint(),
        )
        self._rough = RoughPainting(self._layers, session, parent)
        self.objects = ObjectsView(self._layers, session.objects, parent)
        self._chosen = ChosenView(
            viewer, self._layers, session.objects, lambda: self._image, parent
        )
        self._pointer = Pointer(
            viewer, session, self._layers, self.tool, proposals, lambda: self._image
        )
        self._hover = Hover(
            viewer,
            session,
            self._layers,
            self.tool,
            self._pointer,
            preview,
            lambda: self._image,
            parent,
        )
        self.many = many = ManyActions(session, proposals, self, viewer)
        self.stepping = stepping = Stepping(viewer, session, self, self._pointer)
        actions: dict[str, Callable[[], object]] = {
            "points": self.use_points,
            "box": self.toggle_box,
            "paint": self.use_paint,
            "polarity": self.tool.toggle_polarity,
            "preview": preview.toggle,
            "meaning": session.next_meaning,
            "forwards": partial(stepping.propagate, 1),
            "backwards": partial(stepping.propagate, -1),
            "accept_all": session.propagation.waiting.accept_all,
            "accept": self.accept,
            "box_each": many.toggle_box_each,
            "propose": many.propose,
            "take": partial(self._under_pointer, proposals.accept_at),
            "drop": partial(self._under_pointer, proposals.reject_at),
            "clear": many.clear,
            "undo": many.undo,
            "redo": many.redo,
            "delete": partial(self._under_pointer, session.delete_at),
            "relabel": partial(self._under_pointer, session.relabel_at),
            "continue": partial(self._under_pointer, session.continue_at),
            "split": partial(self._under_pointer, session.split_at),
            "choose": partial(self._under_pointer, session.choose_at),
            "merge": lambda: session.objects.merge(session.objects.chosen),
            "colors": self.objects.toggle_colors,
            "next": stepping.next_picture,
            "difference": versus.toggle_overlay,
            "go_back": session.desk.go_back,
            "next_image": lambda: self.step_wanted.emit(1),
            "previous_image": lambda: self.step_wanted.emit(-1),
            "review": self.review_wanted.emit,
            "help": self.help_wanted.emit,
        }
        self.actions = {name: self._after_strokes(act) for name, act in actions.items()}
        holds: dict[str, Callable[[bool], None]] = {
            "pan": self._hold_to_pan,
            "compare": HeldKey(versus.hold, parent),
        }
        self._keys = KeyBindings(self.actions, self._keys_are_ours, holds)
        # layers often come and go together: they are looked at once, afterwards
        self._soon = QTimer(parent)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self._settle)
        self._is_tool_due = True
        self._key: Hashable = None
        self._closed = False
        self._connect()
        self._image = self._first_image()
        self._settle()

    def _connect(self) -> None:
        layers = self._viewer.layers
        layers.events.inserted.connect(self._on_inserted)
        layers.events.removed.connect(self._on_removed)
        layers.selection.events.active.connect(self._on_active)
        dims = self._viewer.dims
        for emitter in (dims.events.current_step, dims.events.ndisplay):
            emitter.connect(self._later)
        dims.events.order.connect(self._later)
        self.together.changed.connect(self._show_prompts)
        self._session.objects_changed.connect(self._show_objects)
        self._session.objects.channels_found.connect(self._on_channels_found)
        self._session.desk.entered.connect(self._later)
        self._versus.changed.connect(self.together.follow)
        self.proposals.changed.connect(self._show_proposals)
        self.tool.changed.connect(self._take_boxes)

    def close(self) -> None:
        """Let go of the viewer; the accepted objects stay in it as a layer."""
        if self._closed:
            return
        self._closed = True
        with suppress(RuntimeError):  # its window, and the timers with it, may be gone
            self._soon.stop()
            self.together.close()
            self._rough.close()
            self.objects.close()
        layers = self._viewer.layers
        layers.events.inserted.disconnect(self._on_inserted)
        layers.events.removed.disconnect(self._on_removed)
        layers.selection.events.active.disconnect(self._on_active)
        dims = self._viewer.dims
        for emitter in (dims.events.current_step, dims.events.ndisplay):
            emitter.disconnect(self._later)
        dims.events.order.disconnect(self._later)
        self._session.objects_changed.disconnect(self._show_objects)
        self._session.objects.channels_found.disconnect(self._on_channels_found)
        self._session.desk.entered.disconnect(self._later)
        self._versus.changed.disconnect(self.together.follow)
        self.proposals.changed.disconnect(self._show_proposals)
        self.tool.changed.disconnect(self._take_boxes)
        self.stepping.close()
        self._chosen.close()
        self._hover.close()
        self._pointer.detach()
        self._keys.release()
        with suppress(RuntimeError):  # went with its window: no canvas is left to draw
            self._parent.window()
            self._layers.remove(keep_objects=True)

    # ----------------------------------------------------------------- which
    @property
    def image(self) -> Image | None:
        """The image layer that is annotated."""
        return self._image

    @property
    def objects_layer(self) -> Labels | None:
        """The layer of the accepted objects."""
        return self._layers.objects

    def images(self) -> list[Image]:
        """Return all image layers, from the bottom to the top."""
        return [layer for layer in self._viewer.layers if isinstance(layer, Image)]

    def choose(self, image: Image, before: Image | None = None) -> None:
        """Annotate another image layer, and bring it to sight.

        The view is fitted unless it lies exactly where the one before was: the one that
        is annotated now, or ``before``, as a layer that is added is annotated at once.
        """
        old = self._image if before is None else before
        self._image = image
        if not lie_alike(old, image):
            fit(self._viewer, image)
        self._is_tool_due = True
        bring_to_sight(image, self.images())
        self._settle()

    @property
    def channels(self) -> ChannelChoice:
        """What of the image is a channel, and which of them the model sees."""
        image = self._image
        return PLAIN if image is None else choice_of(image, self.images())

    def choose_channels(self, choice: ChannelChoice) -> None:
        """Let the model see other channels of the image."""
        if self._image is not None:
            choose(self._image, self.images(), choice)
            self._settle()

    def _on_channels_found(self, seen: tuple[int, ...] | None) -> None:
        """Go on with the channels with which objects were accepted before."""
        if self._image is not None and CHOICE not in self._image.metadata:
            self.choose_channels(self.channels.model_copy(update={"seen": seen}))

    def _first_image(self) -> Image | None:
        active = self._viewer.layers.selection.active
        images = self.images()
        chosen = [layer for layer in images if layer == active] or images
        return chosen[-1] if chosen else None

    def _on_inserted(self, event: Any) -> None:
        if isinstance(event.value, Image):
            self._image = event.value
            self._is_tool_due = True
            self._soon.start()

    def _on_removed(self, event: Any) -> None:
        window = self._parent.window()
        if window is not None:
            forget_vertex_arrays(window)
        if self._layers.forget(event.value) or event.value == self._image:
            self._soon.start()

    def _on_active(self, event: Any) -> None:
        rough = self._layers.rough
        if not self._is_tool_due:  # napari makes the layer of a new image active
            self.tool.painting = rough is not None and event.value == rough
        if isinstance(event.value, Image) and event.value != self._image:
            self._image = event.value
            bring_to_sight(event.value, self.images())
            self._soon.start()

    def _later(self, _event: Any = None) -> None:
        self._soon.start()

    def _settle(self) -> None:
        """Bring picture, layers and keys in line with the viewer as it is now."""
        self.objects.take_strokes()
        if self._image is not None and self._image not in self._viewer.layers:
            self._image = self._first_image()
        source = None
        if self._image is not None:
            try:
                seen = partial(seen_at, self._viewer, self._image)
                layers, project = self.images(), self._session.desk.project
                recall(self._image, layers, path_of(self._image), project)
                source = source_of(self._image, self._viewer.dims, seen, layers)
            except InfosamError as error:
                self._session.voice.complain(str(error))
        if source is None:
            if self._image is None:
                self._layers.remove()
        elif self._image is not None:
            self._layers.put_on(self._image, source.shape)
        if source is None or source.key != self._key:
            self.objects.begin_picture()
        self._key = None if source is None else source.key
        self._session.set_image(source)
        self._show_prompts()
        self._show_objects()
        self._show_proposals()
        providers = [] if self._image is None else [self._image, *self._layers.all()]
        self._keys.keep_only([self._viewer, *providers])
        if self._is_tool_due and source is not None:
            self._is_tool_due = False
            if self.tool.active:
                self._give_tool(source)
        self.images_changed.emit()

    # ------------------------------------------------------------------ show
    def _show_prompts(self) -> None:
        session = self._session
        if session.source is None:
            return
        self._layers.show_prompts(session.prompts)
        self._rough.show()
        answer = session.proposal
        compared = self._versus.picture()
        if compared is not None:
            self._layers.show_picture(*compared)
            return
        self._layers.show_proposal(None if answer is None else answer.prediction.mask)

    def _show_objects(self) -> None:
        self.objects.show()

    def _show_proposals(self) -> None:
        if self._session.source is not None:
            own, proposals = self._session.prompts.box, self.proposals
            self._layers.show_many(proposals.boxes, proposals.picture(), own)

    def _take_boxes(self) -> None:
        each = self.tool.boxing and self.tool.box_each
        self._layers.on_boxes = self.proposals.set_boxes if each else None

    def _give_tool(self, source: ImageSource) -> None:
        """Put the tool of the picture before into the hand."""
        if self.tool.painting and not source.is_huge:
            self._layers.select_rough()
            self._rough.begin()
        else:
            self._layers.select()

    # --------------------------------------------------------------- actions
    def _keys_are_ours(self) -> bool:
        active = self._viewer.layers.selection.active
        if not self.tool.active:
            return False
        return active is None or active == self._image or self._layers.owns(active)

    def _hold_to_pan(self, held: bool) -> None:
        self.tool.panning = held

    def use_points(self) -> None:
        """Let clicks place points, and take the keyboard to our layers."""
        self.tool.active = True
        self.tool.boxing = False
        self._layers.select()
        self._session.engine.ask(self._session.work)

    def use_box(self) -> None:
        """Let drags draw a box."""
        self.tool.active = True
        self.tool.boxing = True
        self._layers.select()

    def why_not_paint(self) -> str:
        """Return why no rough mask can be painted, in one sentence; '' if it can."""
        source = self._session.source
        if source is None:
            return "Open an image first, then paint on an object."
        if source.is_huge:
            return (
                "Huge images take no painted masks: click on the object, or draw a box."
            )
        return ""

    def use_paint(self) -> None:
        """Let a rough mask be painted, for the model to refine."""
        if reason := self.why_not_paint():
            self._session.voice.say(reason)
            return
        self.tool.active = True
        self._layers.select_rough()
        self._soon.start()  # the keys are to work on a layer that is new
        self._rough.begin()

    def toggle_box(self) -> None:
        """Change between drawing boxes and placing points."""
        if self.tool.boxing:
            self.use_points()
        else:
            self.use_box()

    def accept(self) -> None:
        """Accept the proposal, or all that are proposed; next is a positive click."""
        if not self._session.prompts and self.proposals.offered:
            self.proposals.accept()
        elif self._session.accept() is not None:
            self.tool.negative = False

    def _after_strokes(self, action: Callable[[], object]) -> Callable[[], None]:
        """Return an action that does not get ahead of what was painted before it."""

        def act() -> None:
            self.objects.take_strokes()
            action()

        return act

    def _under_pointer(self, action: Callable[[float, float], None]) -> None:
        """Do something with the place that is under the mouse pointer."""
        where = self._pointer.position()
        if where is None:
            self._session.voice.say("Open an image first.")
        else:
            action(*where)
