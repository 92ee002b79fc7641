"""The list of images: what is in it, where one is, what comes next.

Knows no Qt and no viewer; `image_opening` shows what is chosen here.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_infosam._napari.image_filter import ImageFilter
from napari_infosam.project.listing import with_counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari_infosam._napari.engine import Executor
    from napari_infosam._napari.image_source import ImageSource
    from napari_infosam._napari.session import Session
    from napari_infosam.project import Project
    from napari_infosam.project.listing import ListedImage


class ImageList:
    """The images of the open project and which of them is annotated.

    Every method returns at once and none raises: what goes wrong is said through the
    session's voice.

    Parameters
    ----------
    session
        Whose project and voice these are.
    executor
        Where folders and files are looked at; not the one that answers clicks.

    Attributes
    ----------
    rows
        The images by id, in their order.
    shown
        Ids of those that `filter` lets through, in their order.
    current
        Id of the image that is annotated, or None.
    """

    reset = Signal()
    """The rows, or which of them are shown."""
    rows_changed = Signal(set)
    """Ids of rows that say something else now."""
    current_changed = Signal()
    open_wanted = Signal(int)
    """Id of the image to be opened."""
    entered = Signal()
    """The list of another project is there."""

    def __init__(self, session: Session, executor: Executor) -> None:
        self._session = session
        self._executor = executor
        self._missing: set[int] = set()
        self._by_path: dict[str, int] = {}
        self._known: Project | None = None
        self.rows: dict[int, ListedImage] = {}
        self.shown: list[int] = []
        self.filter = ImageFilter()
        self.current: int | None = None
        session.desk.entered.connect(self._on_entered)
        session.objects.changed.connect(self.count)

    def close(self) -> None:
        """Stop listening and working."""
        self._session.desk.entered.disconnect(self._on_entered)
        self._session.objects.changed.disconnect(self.count)
        self._executor.close()

    @property
    def project(self) -> Project | None:
        """The project whose images these are."""
        return self._session.desk.project

    # ------------------------------------------------------------------ rows
    def _on_entered(self) -> None:
        self.current = None
        self.filter = ImageFilter()
        self.load()
        self.entered.emit()

    def load(self) -> None:
        """Read the whole list anew."""
        rows: list[ListedImage] = []
        project = self.project
        if project is not None:
            with self._session.voice.guard("reading the list of images"):
                rows = project.listing.rows()
        if project is not self._known:
            self._known, self._missing = project, set()
        self.rows = {row.id: row for row in rows}
        self._by_path = {row.path: row.id for row in rows if row.path is not None}
        if self.current not in self.rows:
            self.current = None
        self._choose()
        self._look_for_files()

    def count(self) -> None:
        """Take in how many objects the images have now."""
        project = self.project
        if project is None:
            return
        with self._session.voice.guard("counting objects"):
            counts = project.listing.counts()
            if counts.keys() - self.rows.keys():
                self.load()  # the first object of an image that was not listed
                return
            self._take(
                new
                for row in self.rows.values()
                if (new := with_counts(row, counts.get(row.id, {}))) is not row
            )

    def _take(self, rows: Iterable[ListedImage]) -> None:
        """Take in rows that say something else now."""
        changed = {row.id: row for row in list(rows)}
        if changed:
            self.rows.update(changed)
            self.rows_changed.emit(set(changed))

    def is_missing(self, listed_id: int) -> bool:
        """Return whether the file of an image was not there when it was looked for."""
        return listed_id in self._missing

    def missing(self) -> dict[int, str]:
        """Return the paths of the images whose files were not there, by id."""
        paths = {one: self.rows[one].path for one in self._missing if one in self.rows}
        return {one: path for one, path in paths.items() if path is not None}

    @property
    def n_missing(self) -> int:
        """Number of images whose files were not there."""
        return len(self._missing)

    def _look_for_files(self) -> None:
        """Find out which files are missing; a slow disk keeps nobody waiting."""
        rows = self.rows
        paths = {row.id: row.path for row in rows.values() if row.path is not None}

        def work() -> set[int]:
            return {one for one, path in paths.items() if not Path(path).exists()}

        def done(missing: set[int]) -> None:
            if rows is self.rows and missing != self._missing:
                changed, self._missing = missing ^ self._missing, missing
                self.rows_changed.emit(changed)

        self._executor.submit(work, done, self._report("looking for files"))

    def set_filter(self, chosen: ImageFilter) -> None:
        """Show other rows."""
        if chosen != self.filter:
            self.filter = chosen
            self._choose()

    def _choose(self) -> None:
        self.shown = self.filter.choose(self.rows.values(), self.is_missing)
        self.reset.emit()

    # --------------------------------------------------------------- current
    def find(self, source: ImageSource | None, listed_id: int | None) -> None:
        """Find out which image of the list is annotated.

        Parameters
        ----------
        source
            The picture in view.
        listed_id
            Where it was opened from the list, which one it is.
        """
        project, found = self.project, None
        if project is not None and source is not None:
            found = listed_id if listed_id in self.rows else None
            if found is None and source.source is not None:
                found = self._by_path.get(source.source)
            image_id = self._session.objects.image_id
            if found is None and image_id is not None:
                with self._session.voice.guard("looking in the list of images"):
                    found = project.listing.of_image(image_id)
        if found != self.current:
            self.current = found
            self.current_changed.emit()

    def go(self, listed_id: int) -> None:
        """Open an image."""
        if listed_id in self.rows:
            self.open_wanted.emit(listed_id)

    def neighbour(self, step: int, start: int | None) -> int | None:
        """Return the shown image before (-1) or after (1) one, or None at the end.

        That one need not be shown itself: its place in the whole list counts.
        """
        if start is None:
            return self.shown[0] if self.shown else None
        ids = self.shown if step > 0 else reversed(self.shown)
        return next((one for one in ids if (one - start) * step > 0), None)

    def review(self) -> None:
        """Mark the image that is annotated as reviewed, or take the mark back."""
        project, current = self.project, self.current
        if project is None or current is None:
            self._session.voice.say(
                "Only an image of the list can be marked: open one, or add this one."
            )
            return
        row = self.rows[current]
        with self._session.voice.guard("marking the image"):
            project.listing.review(current, is_reviewed=not row.is_reviewed)
            row = replace(row, is_reviewed=not row.is_reviewed)
            self._take([row])
            what = "is reviewed" if row.is_reviewed else f"is {row.state} again"
            self._session.voice.say(f"{row.name} {what}.")

    def begun(self, listed_id: int, is_begun: bool) -> None:
        """Note whether an image has prompts of an object that is not finished."""
        row = self.rows.get(listed_id)
        if row is not None and row.is_begun != is_begun:
            self._take([replace(row, is_begun=is_begun)])

    def _report(self, doing: str) -> Callable[[Exception], None]:
        project = self.project

        def failed(error: Exception) -> None:
            if project is self.project:  # and was not closed meanwhile
                self._session.voice.report(error, doing)

        return failed
