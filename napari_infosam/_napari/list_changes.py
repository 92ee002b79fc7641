"""What is done to the list of images as a whole: add, remove, find moved files."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, TypeVar

from psygnal import Signal

from napari_infosam._napari.places import default_project, free_project
from napari_infosam.project.image_files import CancelledError, find_images, find_moved

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from napari_infosam._napari.engine import Executor
    from napari_infosam._napari.image_list import ImageList
    from napari_infosam._napari.image_source import ImageSource
    from napari_infosam._napari.session import Session
    from napari_infosam.project import Project

T = TypeVar("T")

_REPORT_EVERY = 100


class ListChanges:
    """Adds images to the list and takes them out, in the background where it may last.

    Every method returns at once and none raises: what goes wrong is said through the
    session's voice.

    Parameters
    ----------
    session, images
        Whose list it is.
    executor
        Where folders and files are looked at; not the one that answers clicks.

    Attributes
    ----------
    working
        What is being done in the background, in words; '' for nothing.
    """

    working_changed = Signal()

    def __init__(self, session: Session, images: ImageList, executor: Executor) -> None:
        self._session = session
        self._images = images
        self._executor = executor
        self._cancel = Event()
        self.working = ""
        images.entered.connect(self._on_entered)

    def close(self) -> None:
        """Stop listening and working."""
        self._cancel.set()
        self._images.entered.disconnect(self._on_entered)
        self._executor.close()

    def _on_entered(self) -> None:
        """Leave the work for the project before."""
        self._cancel.set()
        self._set_working("")

    def add(self, paths: Sequence[Path], *, opens: bool = True) -> None:
        """Add files and the images in folders; open the first of them.

        Where all of them were there already, the image that was open last is opened.
        Without a project one is made: that of the image that is open, or one of the
        folder's name.
        """
        project = self._require(paths[0]) if paths else None
        if project is None:
            return

        def work(report: Callable[[int], None], cancelled: Event) -> list[int]:
            files = find_images(paths, report, cancelled.is_set)
            if cancelled.is_set():
                raise CancelledError
            return project.listing.add((path.name, str(path)) for path in files)

        def done(ids: list[int]) -> None:
            self._added(ids, opens=opens)

        self._run(project, "Looking for images", work, done)

    def add_pictures(self, pictures: Sequence[ImageSource]) -> None:
        """Add pictures that are open; those without a file are kept in the project."""
        if not pictures:
            self._session.voice.say("No image is open that could be added.")
            return
        project = self._require(None)
        if project is None:
            return
        kept: dict[Hashable, int] = {}

        def work(report: Callable[[int], None], cancelled: Event) -> list[int]:
            ids: list[int] = []
            for picture in pictures:
                if cancelled.is_set():
                    raise CancelledError
                if picture.source is not None and Path(picture.source).is_file():
                    name = Path(picture.source).name
                    ids += project.listing.add([(name, picture.source)])
                else:
                    how = picture.preprocessing
                    record = project.add_image(
                        picture.read(), picture.name, preprocessing=how
                    )
                    kept[picture.key] = record.id
                    listed_id = project.listing.of_image(record.id)
                    ids += [] if listed_id is None else [listed_id]
                report(1)
            return ids

        def done(ids: list[int]) -> None:
            self._added(ids, opens=False)
            source = self._session.source
            if source is not None and source.key in kept:
                self._session.objects.kept_as(kept[source.key])

        self._run(project, "Keeping images", work, done)

    def _require(self, path: Path | None) -> Project | None:
        """Return the open project, or one that is made now; None if that failed."""
        desk, project = self._session.desk, None
        with self._session.voice.guard("making the project"):
            if desk.seeks_home and self._session.source is None and path:
                name = path.stem if path.is_dir() else path.parent.name
                desk.choose(free_project(default_project(name)))
            project = desk.require()
        return project

    def _added(self, ids: list[int], *, opens: bool) -> None:
        n_before = len(self._images.rows)
        self._images.load()
        n_new = len(self._images.rows) - n_before
        known = "" if n_new == len(ids) else "; the others were there already"
        self._session.voice.say(
            f"{n_new} {'image was' if n_new == 1 else 'images were'} added to the "
            f"list{known}."
        )
        if opens and ids:
            self._images.go(ids[0] if n_new else self._last_of(ids))

    def _last_of(self, ids: list[int]) -> int:
        """Return the image that was open last, or the first if that is none of them."""
        project = self._images.project
        last = None if project is None else project.listing.last()
        return last if last is not None and last in ids else ids[0]

    def remove(self, ids: Sequence[int]) -> None:
        """Take images out of the list; those with objects stay, and so do all files."""
        project = self._images.project
        if project is None:
            return
        with self._session.voice.guard("taking images out of the list"):
            wanted = [one for one in ids if one != self._images.current]
            n_removed = project.listing.remove(wanted)
            self._images.load()
            stayed = len(ids) - n_removed
            rest = (
                f"; {stayed} that {'is' if stayed == 1 else 'are'} open or annotated "
                f"{'stays' if stayed == 1 else 'stay'}"
                if stayed
                else ""
            )
            self._session.voice.say(
                f"{n_removed} of {len(ids)} taken out of the list{rest}. "
                "No file was touched."
            )

    def relink(self, folder: Path) -> None:
        """Look for the missing files in a folder and its sub-folders."""
        project = self._images.project
        missing = self._images.missing()
        if project is None or not missing:
            self._session.voice.say("No file of the list is missing.")
            return

        def work(_: Callable[[int], None], cancelled: Event) -> int:
            moves = find_moved(missing, folder, cancelled.is_set)
            project.listing.relink(moves)
            return len(moves)

        def done(n_found: int) -> None:
            self._images.load()
            self._session.voice.say(
                f"{n_found} of {len(missing)} missing files were found in {folder}."
            )

        self._run(project, "Looking for files", work, done)

    # ------------------------------------------------------------ background
    def cancel(self) -> None:
        """Stop what is being done in the background; the list stays as it is."""
        self._cancel.set()

    def _run(
        self,
        project: Project,
        title: str,
        work: Callable[[Callable[[int], None], Event], T],
        done: Callable[[T], None],
    ) -> None:
        if self.working:
            self._session.voice.say(f"{self.working}: wait for it, or cancel it.")
            return
        cancel = self._cancel = Event()
        self._set_working(f"{title} …")

        number = 0

        def report(n_more: int) -> None:
            nonlocal number
            number += n_more
            if number % _REPORT_EVERY == 0:
                so_far = number
                self._executor.post(lambda: show(so_far))

        def show(so_far: int) -> None:
            if cancel is self._cancel and self.working:
                self._set_working(f"{title}: {so_far} …")

        def finished(result: T) -> None:
            if project is self._images.project:
                self._set_working("")
                done(result)

        def failed(error: Exception) -> None:
            if project is not self._images.project:
                return
            self._set_working("")
            if isinstance(error, CancelledError):
                self._images.load()
                self._session.voice.say(f"{title}: cancelled.")
            else:
                self._session.voice.report(error, title.lower())

        self._executor.submit(lambda: work(report, cancel), finished, failed)

    def _set_working(self, text: str) -> None:
        if text != self.working:
            self.working = text
            self.working_changed.emit()
