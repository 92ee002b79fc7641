"""Keeps on disk what is unfinished in images and slices, and brings it back."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_infosam._napari.channels import finest
from napari_infosam._napari.image_source import slice_axes, source_at
from napari_infosam._napari.unfinished import Unfinished, unfinished_from_json
from napari_infosam.core.errors import InfosamError

if TYPE_CHECKING:
    from collections.abc import Hashable

    from qtpy.QtWidgets import QWidget

    from napari_infosam._napari.engine import Executor
    from napari_infosam._napari.image_list import ImageList
    from napari_infosam._napari.image_source import ImageSource
    from napari_infosam._napari.session import Session
    from napari_infosam._napari.viewer_link import ViewerLink
    from napari_infosam.project import Project

logger = logging.getLogger(__name__)

_SAVE_MS = 1000


class UnfinishedNotes:
    """Notes the prompts of all unfinished objects in the images of the list.

    They are written a second after they have changed, in one transaction, so that also
    a killed window goes on there. When the image is seen again, each waits for its
    slice.

    Parameters
    ----------
    session, link, images
        The window's.
    executor
        Where notes are written.
    parent
        The panel.
    """

    def __init__(
        self,
        session: Session,
        link: ViewerLink,
        images: ImageList,
        executor: Executor,
        parent: QWidget,
    ) -> None:
        self._session = session
        self._link = link
        self._images = images
        self._executor = executor
        self._listed: dict[Hashable, int] = {}
        self._saved: dict[int, tuple[Unfinished, ...]] = {}
        self._save_soon = QTimer(parent)
        self._save_soon.setSingleShot(True)
        self._save_soon.setInterval(_SAVE_MS)
        self._save_soon.timeout.connect(self._save)
        images.entered.connect(self._on_entered)
        images.current_changed.connect(self._take_up)
        session.prompts_changed.connect(self._later)
        session.propagation.changed.connect(self._later)
        self._take_up()

    def close(self) -> None:
        """Note what is unfinished."""
        with suppress(RuntimeError):  # its window, and the timer with it, may be gone
            self._save_soon.stop()
        self._images.entered.disconnect(self._on_entered)
        self._images.current_changed.disconnect(self._take_up)
        self._session.prompts_changed.disconnect(self._later)
        self._session.propagation.changed.disconnect(self._later)
        changed = self._changed()
        if changed and self._project is not None:
            with self._session.voice.guard("noting what is unfinished"):
                self._project.listing.begin(_to_json(changed))
        self._executor.close()

    @property
    def _project(self) -> Project | None:
        return self._session.desk.project

    # ------------------------------------------------------------------ write
    def _later(self) -> None:
        if not self._save_soon.isActive():
            self._save_soon.start()

    def _changed(self) -> dict[int, tuple[Unfinished, ...]]:
        """Return what is unfinished in images in which that is not on disk."""
        session = self._session
        here = [] if session.source is None else [(session.source, session.work)]
        found: dict[int, list[Unfinished]] = {one: [] for one in self._listed.values()}
        for source, work in (*here, *session.aside.all()):
            listed_id = self._listed.get(_image_of(source))
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
        project, changed = self._project, self._changed()
        if project is None or not changed:
            return
        self._saved.update(changed)
        for listed_id, note in changed.items():
            self._images.begun(listed_id, bool(note))

        def failed(error: Exception) -> None:
            if project is self._project:  # and was not closed meanwhile
                for listed_id in changed:
                    self._saved.pop(listed_id, None)
                self._session.voice.report(error, "noting what is unfinished")

        self._executor.submit(
            lambda: project.listing.begin(_to_json(changed)), lambda _: None, failed
        )

    # ------------------------------------------------------------------- read
    def _on_entered(self) -> None:
        self._listed.clear()
        self._saved.clear()
        self._take_up()

    def _take_up(self) -> None:
        """Let what was unfinished in the image in view wait for its slices."""
        source, current = self._session.source, self._images.current
        if source is None or current is None or self._project is None:
            return
        if self._listed.get(_image_of(source)) == current:
            return
        is_known = current in self._listed.values()
        self._listed[_image_of(source)] = current
        if is_known:
            return
        value = None
        with self._session.voice.guard("reading what is unfinished"):
            value = self._project.listing.left(current).unfinished
        if value is None:
            self._saved.setdefault(current, ())
            return
        # notes of earlier versions are of one slice
        notes = value.get("slices", [value])
        for note in notes if isinstance(notes, list) else []:
            try:
                self._put(source, unfinished_from_json(note))
            except (
                AttributeError,
                KeyError,
                TypeError,
                ValueError,
                InfosamError,
            ) as error:
                logger.warning("Not all of %s came back: %s", source.name, error)

    def _put(self, here: ImageSource, one: Unfinished) -> None:
        """Let an object wait for its slice, or go on with it in the one in view."""
        source = self._slice(here, one.slice_index)
        rough = one.prompts.rough
        if rough is not None and rough.shape != source.shape:
            raise ValueError(f"the rough mask is of a picture of {rough.shape}")
        if one.number is None:
            self._session.set_aside(source, one.work())
        else:
            self._session.propagation.waiting.add(source, one.work())

    def _slice(self, here: ImageSource, place: tuple[int, ...]) -> ImageSource:
        """Return another slice of the image in view."""
        layer = self._link.image
        if place == here.slice_index or layer is None:
            return here
        sizes = [finest(layer).shape[axis] for axis in slice_axes(layer, here.choice)]
        if len(place) != len(sizes) or not all(
            0 <= at < size for at, size in zip(place, sizes, strict=True)
        ):
            raise ValueError(f"there is no slice {place}")
        return source_at(layer, place, choice=here.choice, layers=self._link.images())


def _image_of(source: ImageSource) -> Hashable:
    """Return what all slices of an image have in common."""
    image: Hashable = source.key[0] if isinstance(source.key, tuple) else source.key
    return image


def _place(one: Unfinished) -> tuple[int, ...]:
    return one.slice_index


def _to_json(
    notes: dict[int, tuple[Unfinished, ...]],
) -> dict[int, dict[str, Any] | None]:
    return {
        listed_id: {"slices": [one.to_json() for one in note]} if note else None
        for listed_id, note in notes.items()
    }
