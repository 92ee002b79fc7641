"""A project folder that is open: its database, its lock, its base model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Self

from napari_infosam.core.errors import InfosamError
from napari_infosam.project import settings
from napari_infosam.project.channels import Channels
from napari_infosam.project.database import Database
from napari_infosam.project.folder import AnyPath, create_folder, find_folder
from napari_infosam.project.lock import WindowLock
from napari_infosam.project.shelf import Shelf


class OpenFolder:
    """An open project folder; make one with `create` or `open`.

    Attributes
    ----------
    path
        The folder ``NAME.infosam``, absolute.
    model
        Name or path of the base model.
    cache_dir
        For embeddings; may be deleted at any time.
    shelf
        What pins, renames and deletes versions.
    channels
        What remembers which channels of a file the model is shown.
    """

    def __init__(self, path: Path, *, lock: bool = True) -> None:
        self.path = path
        self.cache_dir = path / "cache"
        self._writes = lock
        with ExitStack() as resources:
            if lock:
                resources.enter_context(WindowLock(path))
            self._database = Database(path, thorough=lock)
            resources.callback(self._database.close)
            if self._database.is_outdated:
                # never under the feet of an older program that has it open
                with nullcontext() if lock else WindowLock(path):
                    self._database.migrate()
            with self._database.read() as connection:
                self.model = settings.get(connection, "model")
            self.shelf = Shelf(self._database, path)
            self.channels = Channels(self._database)
            self._resources = resources.pop_all()

    @classmethod
    def create(
        cls, path: AnyPath, *, model: str = "vit_t", classes: Sequence[str] = ()
    ) -> Self:
        """Make a new project and open it with its lock.

        Parameters
        ----------
        path
            Where to make the folder; ``.infosam`` is added to the name if missing.
            An empty folder is taken over.
        model
            Name (``vit_t``, ``vit_b``, ...) or path of the base model.
        classes
            Names of classes to begin with, after ``object``; they are no steps of
            undo.

        Raises
        ------
        InfosamError
            If something is there already, or the place can not be written to.
        """
        return cls(create_folder(path, model, classes))

    @classmethod
    def open(cls, path: AnyPath, *, lock: bool = True) -> Self:
        """Open an existing project.

        Parameters
        ----------
        path
            The folder, with or without ``.infosam``.
        lock
            Whether to change annotations: one window or command at a time may. The
            training process and readers open without.

        Raises
        ------
        InfosamError
            If there is no project, another window has it open, it comes from a newer
            napari-infosam, or its database is damaged.
        """
        return cls(find_folder(path), lock=lock)

    def close(self) -> None:
        """Close the project and let another window have it."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _require_lock(self) -> None:
        if not self._writes:
            raise InfosamError(
                f"The project {self.path} was opened for reading: open it with its "
                "lock to change annotations."
            )
