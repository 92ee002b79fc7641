"""Keeps on disk what is unfinished in images and slices, and brings it back."""

from __future__ import annotations

import logging
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from qtpy.QtCore import QTimer

from napari_infosam._napari.image_slices import ImageSlices, image_of
from napari_infosam._napari.undecided_notes import UndecidedNotes
from napari_infosam._napari.unfinished import Damage, Unfinished, unfinished_from_json

if TYPE_CHECKING:
    from collections.abc import Hashable

    from qtpy.QtWidgets import QWidget

    from napari_infosam._napari.engine import Executor
    from napari_infosam._napari.image_list import ImageList
    from napari_infosam._napari.noted_image import Changes
    from napari_infosam._napari.session import Session
    from napari_infosam._napari.undecided import Undecided
    from napari_infosam._napari.viewer_link import ViewerLink
    from napari_infosam.project import Project

logger = logging.getLogger(__name__)

_SAVE_MS = 1000


class _Batch(NamedTuple):
    """What is to be written at once, by image of the list."""

    begun: dict[int, tuple[Unfinished, ...]]
    undecided: dict[int, Changes]

    def __bool__(self) -> bool:
        return bool(self.begun or self.undecided)

    def to_json(self) -> tuple[dict[int, Any], dict[int, Any]]:
        """Return what `Listing.begin` takes."""
        begun = {
            one: {"slices": [work.to_json() for work in works]} if works else None
            for one, works in self.begun.items()
        }
        return begun, {one: some.to_json() for one, some in self.undecided.items()}


class UnfinishedNotes:
    """Notes the unfinished work in the images of the list.

    It is the prompts of objects, and boxes and proposals that are not decided about.
    They are written a second after they have changed, in one transaction, so that also
    a killed window goes on there. When the image is seen again, each waits for its
    slice.

    Parameters
    ----------
    session, proposals, link, images
        The window's.
    executor
        Where notes are written, and those of proposals are read.
    parent
        The panel.
    """

    def __init__(
        self,
        session: Session,
        proposals: Undecided,
        link: ViewerLink,
        images: ImageList,
        executor: Executor,
        parent: QWidget,
    ) -> None:
        self._session = session
        self._proposals = proposals
        self._link = link
        self._images = images
        self._executor = executor
        self._undecided = UndecidedNotes(session, proposals, executor)
        self._listed: dict[Hashable, int] = {}
        self._saved: dict[int, tuple[Unfinished, ...]] = {}
        self._on_the_way: list[_Batch] = []
        self._writing = Lock()
        self._is_closed = False
        self._save_soon = QTimer(parent)
        self._save_soon.setSingleShot(True)
        self._save_soon.setInterval(_SAVE_MS)
        self._save_soon.timeout.connect(self._save)
        images.entered.connect(self._on_entered)
        images.current_changed.connect(self._take_up)
        session.prompts_changed.connect(self._later)
        session.propagation.changed.connect(self._later)
        proposals.changed.connect(self._later)
        self._undecided.read.connect(self._later)
        self._take_up()

    def close(self) -> None:
        """Note what is unfinished."""
        with suppress(RuntimeError):  # its window, and the timer with it, may be gone
            self._save_soon.stop()
        self._images.entered.disconnect(self._on_entered)
        self._images.current_changed.disconnect(self._take_up)
        self._session.prompts_changed.disconnect(self._later)
        self._session.propagation.changed.disconnect(self._later)
        self._proposals.changed.disconnect(self._later)
        self._executor.close()
        with self._writing:  # what has not begun to be written is written here
            self._is_closed = True
        project = self._project
        if project is not None:
            with self._session.voice.guard("noting what is unfinished"):
                for batch in (*self._on_the_way, self._changed()):
                    if batch:
                        project.listing.begin(*batch.to_json())

    @property
    def _project(self) -> Project | None:
        return self._session.desk.project

    # ------------------------------------------------------------------ write
    def _later(self) -> None:
        if not self._save_soon.isActive():
            self._save_soon.start()

    def _changed(self) -> _Batch:
        """Return what is unfinished in images in which that is not on disk."""
        return _Batch(self._changed_works(), self._undecided.changed(self._listed))

    def _changed_works(self) -> dict[int, tuple[Unfinished, ...]]:
        session = self._session
        here = [] if session.source is None else [(session.source, session.work)]
        found: dict[int, list[Unfinished]] = {one: [] for one in self._listed.values()}
        for source, work in (*here, *session.aside.all()):
            listed_id = self._listed.get(image_of(source))
            if listed_id is not None and work.prompts:
                found[listed_id].append(Unfinished.of(source.slice_index, work))
        notes = {
            one: tuple(sorted(objects, key=_place)) for one, objects in found.items()
        }
        return {
            one: note for one, note in notes.items() if self._saved.get(one) != note
        }

    def _save(self) -> None:
        """Note in the background what is unfinished."""
        self._take_up()
        project = self._project
        if project is None:
            return
        batch = self._changed()
        if not batch:
            return
        self._saved.update(batch.begun)
        self._on_the_way.append(batch)
        for one in {*batch.begun, *batch.undecided}:
            is_begun = bool(self._saved.get(one)) or self._undecided.are_noted(one)
            if is_begun is not None:  # or else the notes are being read
                self._images.begun(one, is_begun)

        def write() -> None:
            values = batch.to_json()
            with self._writing:
                if not self._is_closed:
                    project.listing.begin(*values)

        def done(_: None) -> None:
            if self._arrived(batch):
                self._undecided.were_written(batch.undecided)

        def failed(error: Exception) -> None:
            if self._arrived(batch):  # its project was not closed meanwhile
                for one in batch.begun:
                    self._saved.pop(one, None)
                self._undecided.were_not_written(batch.undecided)
                self._session.voice.report(error, "noting what is unfinished")

        self._executor.submit(write, done, failed)

    def _arrived(self, batch: _Batch) -> bool:
        """Wait for a batch no longer; return whether somebody did."""
        waiting = [one for one in self._on_the_way if one is not batch]
        was_awaited = len(waiting) < len(self._on_the_way)
        self._on_the_way = waiting
        return was_awaited

    # ------------------------------------------------------------------- read
    def _on_entered(self) -> None:
        self._listed.clear()
        self._saved.clear()
        self._undecided.clear()
        self._on_the_way.clear()
        self._take_up()

    def _take_up(self) -> None:
        """Let what was unfinished in the image in view wait for its slices."""
        source, current, project = (
            self._session.source,
            self._images.current,
            self._project,
        )
        if source is None or current is None or project is None:
            return
        if self._listed.get(image_of(source)) == current:
            return
        is_known = current in self._listed.values()
        self._listed[image_of(source)] = current
        if is_known:
            return
        slices = ImageSlices(source, self._link.image, self._link.images())
        self._undecided.take_up(project, current, slices)
        value = None
        with self._session.voice.guard("reading what is unfinished"):
            value = project.listing.left(current).unfinished
        if value is None:
            self._saved.setdefault(current, ())
            return
        # notes of earlier versions are of one slice
        notes = value.get("slices", [value])
        for note in notes if isinstance(notes, list) else []:
            try:
                self._put(slices, unfinished_from_json(note))
            except Damage as error:
                logger.warning("Not all of %s came back: %s", source.name, error)

    def _put(self, slices: ImageSlices, one: Unfinished) -> None:
        """Let an object wait for its slice, or go on with it in the one in view."""
        source = slices.at(one.slice_index)
        rough = one.prompts.rough
        if rough is not None and rough.shape != source.shape:
            raise ValueError(f"the rough mask is of a picture of {rough.shape}")
        if one.number is None:
            self._session.set_aside(source, one.work())
        else:
            self._session.propagation.waiting.add(source, one.work())


def _place(one: Unfinished) -> tuple[int, ...]:
    return one.slice_index
