"""Notes of boxes and proposals that are not decided about, and the way back."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from psygnal import Signal

from napari_infosam._napari.image_slices import image_of
from napari_infosam._napari.noted_image import NotedImage
from napari_infosam._napari.offers import Offer
from napari_infosam._napari.undecided_json import Undecision, undecision_from_json
from napari_infosam._napari.unfinished import Damage
from napari_infosam.core.words import counted

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from napari_infosam._napari.engine import Executor
    from napari_infosam._napari.image_slices import ImageSlices
    from napari_infosam._napari.noted_image import Changes
    from napari_infosam._napari.session import Session
    from napari_infosam._napari.undecided import Undecided
    from napari_infosam.project import Project

logger = logging.getLogger(__name__)


class _Read(NamedTuple):
    """The notes of an image by number, and what is wrong with damaged ones."""

    found: dict[int, Undecision]
    damaged: dict[int, str]


class UndecidedNotes:
    """What is noted of boxes and proposals, for the images of the list.

    There may be thousands for an image: they are read in the background, and one that
    is decided about costs a line on disk.

    Parameters
    ----------
    session, proposals
        The window's.
    executor
        Where notes are read.
    """

    read = Signal()
    """The notes of an image are there."""

    def __init__(
        self, session: Session, proposals: Undecided, executor: Executor
    ) -> None:
        self._session = session
        self._proposals = proposals
        self._executor = executor
        self._noted: dict[int, NotedImage] = {}

    def clear(self) -> None:
        """Know of no notes any more: another project is open now."""
        self._noted.clear()

    # ------------------------------------------------------------------ write
    def changed(self, listed: Mapping[Hashable, int]) -> dict[int, Changes]:
        """Return what of the notes is to be changed on disk, by image of the list.

        Those of an image that are still being read stay as they are.
        """
        found: dict[int, list[Undecision]] = {one: [] for one in self._noted}
        for pending in self._proposals.all():
            listed_id = listed.get(image_of(pending.source))
            if listed_id in found:
                place = pending.source.slice_index
                found[listed_id] += [Undecision(place, one) for one in pending.each()]
        changes = {one: self._noted[one].change(some) for one, some in found.items()}
        return {one: changed for one, changed in changes.items() if changed}

    def are_noted(self, listed_id: int) -> bool | None:
        """Return whether there are notes of an image; None until they are read."""
        noted = self._noted.get(listed_id)
        return None if noted is None else bool(noted.numbers)

    def were_written(self, changes: Mapping[int, Changes]) -> None:
        """Take in that changes are on disk."""
        for one, changed in changes.items():
            self._noted[one].was_written(changed)

    def were_not_written(self, changes: Mapping[int, Changes]) -> None:
        """Take in that the disk has failed: the next changes try again."""
        for one, changed in changes.items():
            self._noted[one].was_not_written(changed)

    # ------------------------------------------------------------------- read
    def take_up(self, project: Project, listed_id: int, slices: ImageSlices) -> None:
        """Read what was undecided in an image, and let it wait for its slices."""
        name, shape = slices.source.name, slices.source.shape

        def done(notes: _Read) -> None:
            if project is self._session.desk.project:
                self._put(listed_id, slices, notes)
                self.read.emit()

        def failed(error: Exception) -> None:
            if project is self._session.desk.project:
                self._session.voice.report(error, f"reading the proposals of {name}")

        self._executor.submit(lambda: _read(project, listed_id, shape), done, failed)

    def _put(self, listed_id: int, slices: ImageSlices, notes: _Read) -> None:
        by_slice: dict[tuple[int, ...], dict[int, Undecision]] = {}
        for number, one in notes.found.items():
            by_slice.setdefault(one.slice_index, {})[number] = one
        found, damaged = {}, dict(notes.damaged)
        for place, some in by_slice.items():
            try:
                source = slices.at(place)
            except ValueError as error:
                damaged |= dict.fromkeys(some, str(error))
                continue
            here = self._proposals.put(source, [one.what for one in some.values()])
            for number, what in zip(some, here, strict=True):
                found[number] = Undecision(place, what)
        self._noted[listed_id] = NotedImage.of(found, damaged)
        if damaged:
            name = slices.source.name
            logger.warning("Not all of %s came back: %s", name, damaged)
            self._session.voice.complain(
                f"{counted(len(damaged), 'proposal')} of {name} could not be read "
                "again; the others are here."
            )


def _read(project: Project, listed_id: int, shape: tuple[int, int]) -> _Read:
    """Read the notes of an image whose slices have a shape; for a worker."""
    notes = _Read({}, {})
    for number, value in project.listing.undecided(listed_id).items():
        try:
            if value is None:
                raise ValueError("this is no JSON object")
            one = notes.found[number] = undecision_from_json(value, shape)
            if isinstance(one.what, Offer):
                one.what.draw()
        except Damage as error:
            notes.damaged[number] = repr(error)
    return notes
