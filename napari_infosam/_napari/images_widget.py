"""The part of the panel about the images of the project: list, filter, next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QModelIndex, QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QFileDialog,
    QMenu,
    QProgressBar,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_infosam._napari.image_filter import ImageFilter
from napari_infosam._napari.image_opening import pictures_of
from napari_infosam._napari.images_model import (
    NAME,
    OBJECTS,
    SIDE,
    STATE,
    ImagesModel,
)
from napari_infosam._napari.keys import shown
from napari_infosam._napari.list_table import ListTable
from napari_infosam._napari.small_widgets import (
    Fold,
    NameField,
    allow,
    button,
    choice,
    row,
    silently,
)
from napari_infosam._napari.what_next_widget import WhatNextWidget
from napari_infosam.project.formats.pictures import SUFFIXES
from napari_infosam.project.listing import STATES

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_infosam._napari.image_list import ImageList
    from napari_infosam._napari.list_changes import ListChanges
    from napari_infosam._napari.session import Session
    from napari_infosam._napari.thumbnails import Thumbnails
    from napari_infosam._napari.viewer_link import ViewerLink
    from napari_infosam._napari.what_next import WhatNext

_TABLE_PIXELS = 178
_SHOW_WORK_MS = 500
_EMPTY = "The list is empty: add a folder, files or the open layers first."


class ImagesWidget(QWidget):
    """Shows the list of images and leads through it.

    Parameters
    ----------
    viewer, session, link
        The window's.
    images, changes, what_next, thumbnails
        The list, what adds to it, what suggests an image of it, and small pictures.
    """

    def __init__(
        self,
        viewer: Viewer,
        session: Session,
        link: ViewerLink,
        images: ImageList,
        changes: ListChanges,
        what_next: WhatNext,
        thumbnails: Thumbnails,
    ) -> None:
        super().__init__()
        self._viewer = viewer
        self._session = session
        self._link = link
        self._images = images
        self.changes = changes
        self.what_next = WhatNextWidget(what_next, images)
        self._thumbnails = thumbnails
        self.model = ImagesModel(images, thumbnails)
        # quick work shows no bar
        self._work_timer = QTimer(self)
        self._work_timer.setSingleShot(True)
        self._work_timer.setInterval(_SHOW_WORK_MS)
        self._work_timer.timeout.connect(self._show_bar)
        self._build()
        images.reset.connect(self._show_all)
        images.entered.connect(self._show_filter)
        images.rows_changed.connect(self._show_all)
        images.current_changed.connect(self._show_current)
        self.changes.working_changed.connect(self._show_work)
        session.desk.changed.connect(self._show_classes)
        link.images_changed.connect(self._show_all)
        link.images_changed.connect(self._renew)
        self._show_classes()
        self._show_all()
        self._show_current()
        self._show_work()

    def close_down(self) -> None:
        """Stop listening."""
        self._work_timer.stop()
        self.model.close_down()
        self.what_next.close_down()
        self._images.reset.disconnect(self._show_all)
        self._images.entered.disconnect(self._show_filter)
        self._images.rows_changed.disconnect(self._show_all)
        self._images.current_changed.disconnect(self._show_current)
        self.changes.working_changed.disconnect(self._show_work)
        self._session.desk.changed.disconnect(self._show_classes)
        self._link.images_changed.disconnect(self._show_all)
        self._link.images_changed.disconnect(self._renew)

    # ----------------------------------------------------------------- build
    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        self._body = body = QWidget()
        inner = QVBoxLayout(body)
        inner.setContentsMargins(0, 2, 0, 2)
        inner.setSpacing(4)
        inner.addWidget(self._filters())
        inner.addWidget(self._list())
        inner.addWidget(self._changes())
        inner.addWidget(self.what_next)
        self.section = Fold(
            "Images",
            "The images of the project: how far each one is, add more, search",
            body,
        )
        self.section.folded.connect(self._show_current)
        layout.addWidget(self.section)
        self.bar = QProgressBar()
        self.bar.setRange(0, 0)  # how many there are is not known before
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(12)
        self.cancel = button(
            "Cancel", "Stop; the list stays as it is", self.changes.cancel
        )
        self.work = row(self.bar, self.cancel, stretch=(1, 0))
        layout.addWidget(self.work)
        layout.addWidget(self._steps())

    def _filters(self) -> QWidget:
        self.search = NameField()
        self.search.setPlaceholderText("Search by name")
        self.search.setToolTip("Shows the images with this in their names; Esc ends it")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._on_filter)
        self.search.escaped.connect(self.search.clear)
        self.state = choice("Shows the images in this state only")
        self.state.addItem("All", "")
        for name in (*STATES, "missing"):
            self.state.addItem(name.capitalize(), name)
        self.state.activated.connect(self._on_filter)
        self.class_name = choice("Shows the images with objects of this class only")
        self.class_name.activated.connect(self._on_filter)
        self.least = QSpinBox()
        self.least.setRange(0, 99_999)
        self.least.setPrefix("\N{GREATER-THAN OR EQUAL TO} ")
        self.least.setSpecialValueText("Any")
        self.least.setToolTip(
            "Shows the images with so many objects or more, of the class at the left"
        )
        self.least.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.least.valueChanged.connect(self._on_filter)
        made = QWidget()
        layout = QVBoxLayout(made)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(row(self.search, self.state, stretch=(3, 2)))
        layout.addWidget(row(self.class_name, self.least, stretch=(3, 2)))
        return made

    def _list(self) -> ListTable:
        self.table = table = ListTable(self.model, NAME, SIDE + 2, _TABLE_PIXELS)
        table.setToolTip("A double click opens an image; Ctrl and Shift choose several")
        table.setIconSize(QSize(SIDE, SIDE))
        table.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        table.setColumnWidth(STATE, 84)
        table.setColumnWidth(OBJECTS, 56)
        table.doubleClicked.connect(self._on_double_clicked)
        chosen = table.selectionModel()
        if chosen is not None:
            chosen.selectionChanged.connect(lambda *_: self._show_buttons())
        return table

    def _changes(self) -> QWidget:
        self.add = button("Add", "Add images to the list; their files are not changed")
        menu = QMenu(self.add)
        self.add_folder = menu.addAction("Folder …", self._ask_folder)
        self.add_files = menu.addAction("Files …", self._ask_files)
        self.add_layers = menu.addAction("Open layers", self.add_open_layers)
        self.add.setMenu(menu)
        self.remove = button(
            "Remove",
            "Take the selected images out of the list; files stay, and so do images "
            "with objects",
            self._on_remove,
        )
        self.relink = button("Relink", "", self._ask_relink)
        return row(self.add, self.remove, self.relink, stretch=(1, 1, 1))

    def _steps(self) -> QWidget:
        actions = self._link.actions
        self.previous = button(
            "Previous",
            f"Open the previous image ({shown('previous_image')})",
            actions["previous_image"],
        )
        self.review = button(
            "Reviewed",
            f"Mark this image as reviewed, or take that back ({shown('review')})",
            actions["review"],
        )
        self.review.setCheckable(True)
        # what is down is what the list says, not what was pressed
        self.review.clicked.connect(self._show_buttons)
        self.next = button(
            "Next",
            f"Open the next image ({shown('next_image')})",
            actions["next_image"],
        )
        self.steps = row(self.previous, self.review, self.next, stretch=(1, 1, 1))
        return self.steps

    # ------------------------------------------------------------------ fold
    def fit(self, n_free: int) -> None:
        """Unfold if there is room, until the person has folded or unfolded it.

        Parameters
        ----------
        n_free
            Height in pixels that the panel does not need.
        """
        self.section.fit(n_free, wanted=len(self._images.rows) > 1)

    # ------------------------------------------------------------------ show
    def _show_all(self, *_: object) -> None:
        rows = self._images.rows
        n_reviewed = sum(row.is_reviewed for row in rows.values())
        n_shown = len(self._images.shown)
        title = f"Images ({n_reviewed} of {len(rows)} reviewed)" if rows else "Images"
        if n_shown != len(rows):
            title = f"Images ({n_shown} of {len(rows)} shown)"
        self.section.set_title(title)
        self.steps.setVisible(bool(rows))
        self._show_buttons()

    def _renew(self) -> None:
        """Look whether other channels of the image are seen now."""
        if self._images.current is not None:
            self._thumbnails.look_again({self._images.current})

    def _show_filter(self) -> None:
        """Show that nothing is filtered any more."""
        with silently(self.search, self.state, self.class_name, self.least):
            self.search.clear()
            self.state.setCurrentIndex(0)
            self.class_name.setCurrentIndex(0)
            self.least.setValue(0)
        self._show_classes()

    def _show_classes(self) -> None:
        names = self._session.desk.classes()
        known = [self.class_name.itemData(i) for i in range(self.class_name.count())]
        if known != ["", *names]:
            with silently(self.class_name):
                self.class_name.clear()
                self.class_name.addItem("Any class", "")
                for name in names:
                    self.class_name.addItem(name, name)
                place = self.class_name.findData(self._images.filter.class_name)
                self.class_name.setCurrentIndex(max(place, 0))

    def _show_current(self) -> None:
        place = self.model.place(self._images.current)
        if place is not None and self.section.is_open:
            self.table.choose([place])
        self._show_buttons()

    def _show_buttons(self, *_: object) -> None:
        images = self._images
        is_empty = not images.rows
        for made, step, word in (
            (self.previous, -1, "previous"),
            (self.next, 1, "next"),
        ):
            there = images.neighbour(step, images.current) is not None
            none = _EMPTY if is_empty else f"No {word} image is shown in the list."
            allow(made, "" if there else none)
        current = None if images.current is None else images.rows.get(images.current)
        absent = "This image is not in the list: open one that is, or add this one."
        allow(self.review, absent if current is None else "")
        self.review.setChecked(current is not None and current.is_reviewed)
        none = "Select images in the list first."
        allow(self.remove, "" if self._selected() else none)
        n_missing = images.n_missing
        self.relink.setToolTip(
            f"{n_missing} files are missing: choose the folder where they are now"
        )
        allow(self.relink, "" if n_missing else "No file of the list is missing.")

    def _show_work(self) -> None:
        none = "Nothing is being done to the list."
        allow(self.cancel, "" if self.changes.working else none)
        if self.changes.working:
            self.bar.setToolTip(self.changes.working)
            if not self.work.isVisible() and not self._work_timer.isActive():
                self._work_timer.start()
        else:
            self._work_timer.stop()
            self.work.hide()
        if self.work.isVisible():
            self._session.voice.say(self.changes.working)

    def _show_bar(self) -> None:
        self.work.show()
        self._show_work()

    # ---------------------------------------------------------------- choose
    def _selected(self) -> list[int]:
        model = self.table.selectionModel()
        ranges = list(model.selection()) if model is not None else []
        places = {at for part in ranges for at in range(part.top(), part.bottom() + 1)}
        return [self.model.listed_id(place) for place in sorted(places)]

    def _on_filter(self, *_: object) -> None:
        self._images.set_filter(
            ImageFilter(
                self.search.text(),
                self.state.currentData() or "",
                self.class_name.currentData() or "",
                self.least.value(),
            )
        )
        self._show_current()

    def _on_double_clicked(self, index: QModelIndex) -> None:
        self._images.go(self.model.listed_id(index.row()))

    def _on_remove(self) -> None:
        self.changes.remove(self._selected())

    def add_open_layers(self) -> None:
        """Add the image layers that a person has opened."""
        self.changes.add_pictures(pictures_of(self._link, self._viewer))

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Add the images of a folder")
        if path:
            self.changes.add([Path(path)], opens=self._opens())

    def _ask_files(self) -> None:
        kinds = " ".join(f"*{suffix}" for suffix in SUFFIXES)
        paths, _ = QFileDialog.getOpenFileNames(
            self, "Add images", "", f"Images ({kinds})"
        )
        if paths:
            self.changes.add([Path(path) for path in paths], opens=self._opens())

    def _opens(self) -> bool:
        """Return whether added images are opened: not in the place of another one."""
        return self._session.source is None

    def _ask_relink(self) -> None:
        path = QFileDialog.getExistingDirectory(
            self, "Find the missing files: choose the folder where they are now"
        )
        if path:
            self.changes.relink(Path(path))
