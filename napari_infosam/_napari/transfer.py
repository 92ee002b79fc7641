"""Objects and models go out to other programs, and objects come in."""

from __future__ import annotations

from collections import Counter
from os.path import dirname, isdir
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, TypeVar

from psygnal import Signal

from napari_infosam._napari.command_process import run_command
from napari_infosam.core.words import counted
from napari_infosam.project.image_files import CancelledError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_infosam._napari.engine import Executor
    from napari_infosam._napari.image_list import ImageList
    from napari_infosam._napari.session import Session
    from napari_infosam.core.options import ExportFormat
    from napari_infosam.project import Project
    from napari_infosam.project.formats.export import ExportReport, Format
    from napari_infosam.project.formats.importing import ImportReport

T = TypeVar("T")

NOTHING_TO_EXPORT = "Nothing is accepted yet that could be exported."
_SHOWN_NOTES = 3


class Transfer:
    """Exports and imports, one at a time.

    Every method returns at once and none raises: what came of it is in `outcome`, and
    said through the session's voice.

    Parameters
    ----------
    session, images
        Whose project and list it is.
    executor
        Where it is done; not the one that answers clicks.

    Attributes
    ----------
    working
        Whether something is being done.
    share
        How much of it is done, from 0 to 1; None where nobody knows.
    outcome
        What came of the last one, in words; '' before and meanwhile.
    """

    changed = Signal()

    def __init__(self, session: Session, images: ImageList, executor: Executor) -> None:
        self._session = session
        self._images = images
        self._executor = executor
        self._cancelled = Event()
        self.working = False
        self.share: float | None = 0.0
        self.outcome = ""

    def close(self) -> None:
        """Stop working."""
        self._cancelled.set()
        self._executor.close()

    def cancel(self) -> None:
        """End what is being done; nothing of it stays."""
        self._cancelled.set()

    def export(
        self,
        kind: Format,
        out: Path,
        *,
        overwrite: bool = False,
        polygons: bool = False,
        png: bool = False,
    ) -> None:
        """Write the accepted objects; parameters as in `export_project`.

        One can go on annotating meanwhile: what is accepted then is not in it.
        """
        self._session.objects.save_painted()
        project = self._session.desk.project
        if project is None:
            self._end(NOTHING_TO_EXPORT)
            return
        path = project.path

        def work(tell: Callable[[float, int], None]) -> ExportReport:
            from napari_infosam.project import Project
            from napari_infosam.project.formats.export import export_project

            with Project.open(path, lock=False) as reader:
                return export_project(
                    reader,
                    kind,
                    out,
                    overwrite=overwrite,
                    polygons=polygons,
                    png=png,
                    on_progress=tell,
                )

        def done(report: ExportReport) -> None:
            counts = _counted(report.n_objects, report.n_images)
            self._end(f"{counts} exported to {report.path}." + _listed(report.notes))

        self._run("exporting the objects", work, done)

    def folder_of_images(self) -> Path | None:
        """Return the folder that most images of the list are in, if it is there."""
        paths = (row.path for row in self._images.rows.values())
        folders = Counter(dirname(path) for path in paths if path is not None)
        there = (Path(one) for one, _ in folders.most_common(1) if isdir(one))
        return next(there, None)

    def import_files(
        self, kind: Format, source: Path, images: Path | None, *, binary: bool = False
    ) -> None:
        """Add objects of other programs; parameters as in `import_files`.

        Without a project one is made.
        """
        self._session.objects.save_painted()
        into = self._require()
        if into is None:
            return

        def work(tell: Callable[[float, int], None]) -> ImportReport:
            from napari_infosam.project.formats.import_files import import_files

            return import_files(
                into, kind, source, images, binary=binary, on_progress=tell
            )

        def done(report: ImportReport) -> None:
            if into is self._session.desk.project:
                self._images.load()
                self._session.objects.look_again()
                self._session.desk.changed.emit()
            what = f"{_counted(report.n_objects, report.n_images)} imported."
            if not report.n_objects:
                what = "Nothing new: what is in the project already is left as it is."
            elif report.n_known:
                what += f" {counted(report.n_known)} left out: in the project already."
            skipped = tuple(f"Skipped {line}" for line in report.skipped)
            self._end(what + _listed(skipped))

        self._run("importing objects", work, done)

    def export_model(
        self, version: str, kind: ExportFormat, out: Path, *, overwrite: bool = False
    ) -> None:
        """Write a version for other programs, in a process of its own.

        Parameters
        ----------
        version
            ``base`` or ``vNNN``.
        kind, out, overwrite
            As for ``infosam export-model``, which does it.
        """
        project = self._session.desk.project
        if project is None:
            self._end("There is no project yet whose model could be exported.")
            return
        command = ["export-model", str(project.path), version, str(out), "--json"]
        command += ["--format", kind, *(["--overwrite"] if overwrite else [])]

        def work(tell: Callable[[float, int], None]) -> list[str]:
            files: dict[str, int] = run_command(command, lambda: tell(0, 1))["files"]
            return list(files)

        def done(files: list[str]) -> None:
            self._end(f"{version} is in {' and '.join(files)}.")

        self._run("exporting the model", work, done)
        if self.working:
            self.share = None
            self.changed.emit()

    def _require(self) -> Project | None:
        """Return the open project, or one that is made now; None if that failed."""
        try:
            return self._session.desk.require()
        except Exception as error:
            self._end(self._session.voice.report(error, "making the project"), True)
            return None

    # ------------------------------------------------------------ background
    def _run(
        self,
        doing: str,
        work: Callable[[Callable[[float, int], None]], T],
        done: Callable[[T], None],
    ) -> None:
        if self.working:
            return
        cancelled = self._cancelled = Event()
        self.working, self.share, self.outcome = True, 0.0, ""
        self.changed.emit()

        def tell(n_done: float, total: int) -> None:
            if cancelled.is_set():
                raise CancelledError
            share = n_done / max(total, 1)
            self._executor.post(lambda: self._show(cancelled, share))

        def failed(error: Exception) -> None:
            if isinstance(error, CancelledError):
                self._end("Cancelled; nothing was changed.")
            else:
                self._end(self._session.voice.report(error, doing), True)

        self._executor.submit(lambda: work(tell), done, failed)

    def _show(self, of: Event, share: float) -> None:
        if self.working and of is self._cancelled and self.share is not None:
            self.share = share
            self.changed.emit()

    def _end(self, outcome: str, is_said: bool = False) -> None:
        self.working, self.outcome = False, outcome
        if not is_said:
            self._session.voice.say(outcome)
        self.changed.emit()


def _counted(n_objects: int, n_images: int) -> str:
    return f"{counted(n_objects)} in {counted(n_images, 'image')}"


def _listed(notes: tuple[str, ...]) -> str:
    """Return the first notes as sentences, and how many more there are."""
    shown = "".join(f" {note.removesuffix('.')}." for note in notes[:_SHOWN_NOTES])
    more = len(notes) - _SHOWN_NOTES
    return shown + (f" And {more} more of these." if more > 0 else "")
