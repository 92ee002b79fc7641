"""The trained versions of a project and the runs that made them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_infosam.project import settings, versions
from napari_infosam.project.opened import OpenFolder

if TYPE_CHECKING:
    from pathlib import Path

    from napari_infosam.core.options import FinetuneOptions
    from napari_infosam.project.records import VersionRecord


class ProjectVersions(OpenFolder):
    """An open project folder with its versions, of which one answers, and runs."""

    @property
    def active_version(self) -> str:
        """The version that answers clicks: ``base`` or ``vNNN``."""
        with self._database.read() as connection:
            return settings.get(connection, "active_version")

    @property
    def version_before(self) -> str:
        """The version that answered before the active one; '' where none has."""
        with self._database.read() as connection:
            return versions.before(connection)

    def versions(self, *, with_deleted: bool = False) -> list[VersionRecord]:
        """Return all trained versions, oldest first."""
        with self._database.read() as connection:
            return versions.select_versions(connection, with_deleted=with_deleted)

    def version(self, version_id: str) -> VersionRecord:
        """Return one trained version."""
        with self._database.read() as connection:
            return versions.select_version(connection, version_id)

    def reserve_version(self) -> str:
        """Make the directory of the next version and return its id, ``vNNN``.

        No id is given out twice, whichever process asks.
        """
        with self._database.write() as connection:
            return versions.reserve(connection, self.path)

    def add_version(self, record: VersionRecord) -> None:
        """Add the row of a reserved version.

        Status ``active`` also activates it, in the same transaction, unless the version
        that answers is pinned.
        """
        with self._database.write() as connection:
            versions.insert(connection, self.path, record)

    def activate(self, version_id: str) -> None:
        """Let a version, or ``base``, answer from now on.

        Raises
        ------
        InfosamError
            If there is no such version or its weights are missing.
        """
        with self._database.write() as connection:
            versions.activate(connection, self.path, version_id)

    @property
    def is_continuous(self) -> bool:
        """Whether trainings start by themselves while this project is open."""
        with self._database.read() as connection:
            return settings.get(connection, "continuous", "off") == "on"

    def set_continuous(self, on: bool) -> None:
        """Remember whether trainings start by themselves."""
        with self._database.write() as connection:
            settings.put(connection, "continuous", "on" if on else "off")

    def version_dir(self, version_id: str) -> Path:
        """Return where ``student.safetensors`` and ``card.json`` of a version lie."""
        return versions.directory(self.path, version_id)

    def new_run(self, options: FinetuneOptions) -> Path:
        """Make ``runs/rNNN`` with its ``config.json``: schema, project, options."""
        with self._database.write() as connection:
            return versions.new_run(connection, self.path, options)

    def runs(self) -> list[Path]:
        """Return the folders of all runs, oldest first."""
        with self._database.read() as connection:
            return versions.select_runs(connection, self.path)
