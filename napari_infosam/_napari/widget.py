"""The dock widget: annotate above, learn below, and one line that speaks."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import (
    QApplication,
    QDialog,
    QFrame,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_infosam._napari.annotate_widget import AnnotateWidget
from napari_infosam._napari.channels_dialog import ChannelsDialog
from napari_infosam._napari.continuous import Continuous
from napari_infosam._napari.giving_way import GivingWay
from napari_infosam._napari.help_dialog import HelpDialog
from napari_infosam._napari.image_list import ImageList
from napari_infosam._napari.image_opening import ImageOpening
from napari_infosam._napari.images_widget import ImagesWidget
from napari_infosam._napari.improvement import Improvement
from napari_infosam._napari.keys import is_typing
from napari_infosam._napari.learn_widget import LearnWidget
from napari_infosam._napari.legible import make_legible
from napari_infosam._napari.list_changes import ListChanges
from napari_infosam._napari.long_lived import LongLived
from napari_infosam._napari.model_dialog import ModelExportDialog
from napari_infosam._napari.objects_dialogs import ExportDialog, ImportDialog
from napari_infosam._napari.overlap_question import OverlapQuestion
from napari_infosam._napari.preferences import Preferences, Preferring
from napari_infosam._napari.preferences_dialog import PreferencesDialog
from napari_infosam._napari.prefetch import Prefetch
from napari_infosam._napari.preview import Preview
from napari_infosam._napari.proposals import Proposals
from napari_infosam._napari.q_training_job import QTrainingJob
from napari_infosam._napari.session import Session
from napari_infosam._napari.small_widgets import Fold, TallArea
from napari_infosam._napari.status import StatusLine
from napari_infosam._napari.thumbnails import Thumbnails
from napari_infosam._napari.tile_prefetch import TilePrefetch
from napari_infosam._napari.transfer import Transfer
from napari_infosam._napari.unfinished_notes import UnfinishedNotes
from napari_infosam._napari.versus import Versus
from napari_infosam._napari.versus_widget import VersusWidget
from napari_infosam._napari.viewer_link import ViewerLink
from napari_infosam._napari.what_next import WhatNext
from napari_infosam._napari.workers import ThreadExecutor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import napari.viewer
    from qtpy.QtGui import QHideEvent, QKeyEvent, QResizeEvent, QShowEvent

_MIN_WIDTH = 300


class Closable(Protocol):
    """What is to be closed with the window."""

    def close(self) -> None:
        """Let go of everything."""


class InfoSAMWidget(QWidget):
    """Click to segment, accept, and let the model learn from it.

    Parameters
    ----------
    viewer
        The napari viewer it works in.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._closed = self._paused = self._docked = False
        self._unfolded: Fold | None = None
        self._may_move = True
        earlier = _close_others(viewer)
        self._executor = ThreadExecutor()
        self.preferences = Preferences()
        self.session = Session(
            self._executor,
            model=self.preferences.get("model"),
            device=self.preferences.get("device"),
        )
        self._line = StatusLine(self.session)
        self.status = self._line.label
        if earlier is not None:
            self.session.desk.open(earlier)
        self.versus = Versus(self.session, ThreadExecutor())
        self.proposals = Proposals(self.session, ThreadExecutor())
        preview = Preview(self.session, self._executor)
        self.link = ViewerLink(
            viewer, self.session, self.proposals, self, self.versus, preview
        )
        self.compare = VersusWidget(self.versus)
        self.link.help_wanted.connect(self.show_help)
        self._preferring = Preferring(self.preferences, self.session, self.link)
        self.annotate = AnnotateWidget(self.session, self.link)
        self.annotate.preferences_wanted.connect(self.show_preferences)
        self.annotate.channels_wanted.connect(self.show_channels)
        self.annotate.import_wanted.connect(self.show_import)
        self.annotate.export_wanted.connect(self.show_export)
        self.improvement = Improvement(self.session, ThreadExecutor())
        self._list_images(viewer)
        self.continuous = Continuous(self.session, ThreadExecutor())
        self.learn = LearnWidget(
            self.session, self.improvement, self.continuous, str(viewer.theme)
        )
        self.learn.tools.export_wanted.connect(self.show_model_export)
        self._closed_with: tuple[Closable, ...] = (
            self._preferring,
            *self._lists,
            self.proposals,
            self.improvement,
            self.continuous,
            self.versus,
            TilePrefetch(self.session, ThreadExecutor()),
            self.link,
            self.session,
            # last: the others take layers out of the viewer
            LongLived(viewer, self.session.engine, self),
        )
        self._polling = QTrainingJob(self.session, self)
        self._giving_way = GivingWay(self.session, self)
        self._build()
        make_legible(self, str(viewer.theme))
        self._line.follow(self.link, self.proposals)
        # when the curves of a training come, after they have taken their place
        self._fit_soon = QTimer(self)
        self._fit_soon.setSingleShot(True)
        self._fit_soon.setInterval(0)
        self._fit_soon.timeout.connect(self._fit_list)
        self.session.learning.changed.connect(self._fit_later)
        for fold in self.findChildren(Fold):
            fold.folded.connect(self._fit_later)
            fold.button.clicked.connect(partial(self._on_fold_pressed, fold))
        self.improvement.changed.connect(self._fit_later)
        viewer.events.theme.connect(self._on_theme)
        # a window that is closed takes its panels along without asking them
        self.destroyed.connect(partial(_let_go, self._closed_with))
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.close_down)
        self.session.objects.ask = lambda laid: OverlapQuestion(laid, self).ask()
        self.session.start()

    def _list_images(self, viewer: napari.viewer.Viewer) -> None:
        """Make the list of images and what opens them."""
        self.images = ImageList(self.session, ThreadExecutor())
        changes = ListChanges(self.session, self.images, ThreadExecutor())
        prefetch = Prefetch(self.session, self.images, ThreadExecutor())
        opening = ImageOpening(
            viewer,
            self.session,
            self.link,
            self.images,
            prefetch,
            ThreadExecutor(),
            self,
        )
        notes = UnfinishedNotes(
            self.session,
            self.proposals,
            self.link,
            self.images,
            ThreadExecutor(),
            self,
        )
        self.what_next = WhatNext(self.session, self.images, ThreadExecutor())
        thumbnails = Thumbnails(self.images, ThreadExecutor())
        self.transfer = Transfer(self.session, self.images, ThreadExecutor())
        self._lists: tuple[Closable, ...] = (
            opening,
            prefetch,
            notes,
            thumbnails,
            changes,
            self.transfer,
            self.what_next,
            self.images,
        )
        self.link.step_wanted.connect(opening.step)
        self.link.review_wanted.connect(self.images.review)
        self.link.follow_on = opening.follow_on
        self.images_view = ImagesWidget(
            viewer,
            self.session,
            self.link,
            self.images,
            changes,
            self.what_next,
            thumbnails,
        )
        self.images.reset.connect(self._fit_later)

    def _build(self) -> None:
        self.setMinimumWidth(_MIN_WIDTH)
        content = QWidget()
        inner = QVBoxLayout(content)
        inner.setContentsMargins(4, 8, 4, 4)
        inner.setSpacing(6)
        inner.addWidget(self.images_view)
        inner.addWidget(self.annotate)
        inner.addWidget(self.compare)
        line = QFrame()
        line.setFrameShape(QFrame.Shape.HLine)
        inner.addWidget(line)
        inner.addWidget(self.learn)
        inner.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._area = TallArea(content)
        layout.addWidget(self._area, 1)
        layout.addWidget(self.status)
        # tells napari's dock that this widget fills it
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    # --------------------------------------------------------------- windows
    def show_help(self) -> None:
        """Show mouse and keys."""
        self._bring(HelpDialog, lambda: HelpDialog(self))

    def show_preferences(self) -> None:
        """Show what is remembered between sessions, to be changed."""
        self._bring(
            PreferencesDialog, lambda: PreferencesDialog(self.preferences, self)
        )

    def show_channels(self) -> None:
        """Show the channels that the model sees, to be changed."""
        self._bring(ChannelsDialog, lambda: ChannelsDialog(self.link, self))

    def show_export(self) -> None:
        """Ask what is to be exported, and where to."""
        self.link.objects.take_strokes()
        self._bring(
            ExportDialog, lambda: ExportDialog(self.transfer, self.session, self)
        )

    def show_import(self) -> None:
        """Ask what is to be imported."""
        self.link.objects.take_strokes()
        self._bring(ImportDialog, lambda: ImportDialog(self.transfer, self))

    def show_model_export(self, version: str = "") -> None:
        """Ask where a version is to be exported to; '' is the one that answers."""
        self._bring(
            ModelExportDialog,
            lambda: ModelExportDialog(self.transfer, self.session, version, self),
        )

    def _bring(self, kind: type[QDialog], make: Callable[[], QDialog]) -> None:
        """Show a dialog, or bring the one that is open to the front."""
        for dialog in self.findChildren(kind):
            dialog.raise_()
            return
        make().show()

    def bring_to_sight(self, part: QWidget) -> None:
        """Scroll to a part of the panel."""
        self._area.ensureWidgetVisible(part)

    def _on_theme(self, _event: Any = None) -> None:
        make_legible(self, str(self._viewer.theme))
        self.learn.curves.use_theme(str(self._viewer.theme))

    # ---------------------------------------------------------------- events
    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Unfold the list of objects where there is room for it."""
        super().resizeEvent(event)
        self._may_move = True
        self._fit_later()  # what is within has not got its new height yet

    def _on_fold_pressed(self, fold: Fold) -> None:
        """Bring what a person unfolds to sight, once it has its place."""
        self._unfolded = fold if fold.is_open else None
        self._may_move = True
        self._fit_later()

    def leaveEvent(self, event: QEvent | None) -> None:
        """Fold and unfold what had to stay while the pointer was here."""
        super().leaveEvent(event)
        self._fit_later()

    def _fit_later(self) -> None:
        self._fit_soon.start()

    def _fit_list(self) -> None:
        """Fold the lists where they would push other things out of sight.

        Not by itself while the pointer is here, which may be about to press what would
        be moved.
        """
        content = self._area.widget()
        layout = None if content is None else content.layout()
        may_move = self._may_move or not self.underMouse()
        self._may_move = False
        if layout is not None and may_move:
            for part in (self.annotate.objects, self.images_view):
                needed = layout.totalHeightForWidth(self._area.width())
                part.fit(self._area.height() - needed)
        if self._unfolded is not None:
            for shown in (self._unfolded, self._unfolded.button):  # at least its head
                self._area.ensureWidgetVisible(shown, 0, 0)
            self._unfolded = None

    def showEvent(self, event: QShowEvent | None) -> None:
        """Let clicks be prompts again once the panel is in sight."""
        super().showEvent(event)
        if self._paused:
            self._paused, self.link.tool.active = False, True

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Leave clicks to others while the panel is out of sight."""
        super().hideEvent(event)
        if self.link.tool.active and not self._closed:
            self._paused, self.link.tool.active = True, False

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Keep what is typed into number fields from reaching the viewer."""
        if event is not None and is_typing():
            event.accept()
        else:
            super().keyPressEvent(event)

    def event(self, event: QEvent | None) -> bool:
        """Let go of everything when napari takes the panel out of its window."""
        handled = super().event(event)
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._docked = True
            elif self._docked:
                self.close_down()
        return bool(handled)

    def close_down(self) -> None:
        """Let go of viewer, project and thread; a training goes on by itself."""
        if self._closed:
            return
        self._closed = True
        self._viewer.events.theme.disconnect(self._on_theme)
        self._line.close()
        self.session.learning.changed.disconnect(self._fit_later)
        self.improvement.changed.disconnect(self._fit_later)
        self._fit_soon.stop()
        self._polling.stop()
        self._giving_way.stop()
        self.images.reset.disconnect(self._fit_later)
        self.images_view.close_down()
        self.annotate.close_down()
        self.compare.close_down()
        self.learn.close_down()
        _let_go(self._closed_with)


def _let_go(helpers: Iterable[Closable], *_: object) -> None:
    """Give viewer, project and threads back; works without the widgets as well."""
    for helper in helpers:
        helper.close()


def _close_others(viewer: napari.viewer.Viewer) -> Path | None:
    """Take an older panel out of the window; return the project it had open."""
    for panel in list(viewer.window.dock_widgets.values()):
        if isinstance(panel, InfoSAMWidget):
            project = panel.session.desk.project
            viewer.window.remove_dock_widget(panel)
            return None if project is None else project.path
    return None
