"""What a person does with versions in the window: pin, rename, delete, compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_infosam._napari.session import Session
    from napari_infosam.project.comparison import VersionComparison


class VersionActions:
    """Does it, and says what goes wrong instead of raising it; knows no Qt.

    Parameters
    ----------
    session
        Whose versions these are.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def is_pinned(self, version_id: str) -> bool:
        """Return whether a version, or the base, is pinned."""
        project = self._session.desk.project
        return project is not None and project.shelf.is_pinned(version_id)

    def name_of(self, version_id: str) -> str:
        """Return the name of a version; '' if it has none."""
        records = self._session.desk.versions()
        return next((r.name for r in records if r.id == version_id), "")

    def toggle_pin(self, version_id: str) -> None:
        """Pin a version, or let it loose again."""
        project, voice = self._session.desk.project, self._session.voice
        if project is None:
            return
        with voice.guard(f"pinning {version_id}"):
            pinned = not project.shelf.is_pinned(version_id)
            project.shelf.pin(version_id, pinned)
            voice.say(_pin_sentence(version_id, pinned))
        self._session.desk.changed.emit()

    def rename(self, version_id: str, name: str) -> bool:
        """Give a version a name; '' takes it away. False if that failed."""
        project, renamed = self._session.desk.project, False
        if project is None:
            return False
        with self._session.voice.guard(f"renaming {version_id}"):
            project.shelf.rename(version_id, name)
            renamed = True
        self._session.desk.changed.emit()
        return renamed

    def why_not_delete(self, version_id: str) -> str:
        """Return why a version can not be deleted now; '' if it can."""
        if not version_id or version_id == "base":
            return "The base stays: choose a trained version to delete it."
        if version_id == self._session.desk.active_version:
            return f"{version_id} answers at the moment: use another one first."
        if self.is_pinned(version_id):
            return f"{version_id} is pinned: unpin it first."
        if self._session.learning.is_running:
            return "Training compares with earlier versions: wait, or cancel it."
        return ""

    def delete(self, version_id: str) -> None:
        """Delete a version and its files for good."""
        project, voice = self._session.desk.project, self._session.voice
        if project is None:
            return
        with voice.guard(f"deleting {version_id}"):
            from napari_infosam.training.removal import delete_version

            delete_version(project, version_id)
            voice.say(f"{version_id} is deleted; what it proposed stays.")
        self._session.desk.changed.emit()

    def compare(self, a: str, b: str) -> VersionComparison | None:
        """Return two versions side by side; None if that can not be done."""
        project, found = self._session.desk.project, None
        if project is not None and a != b:
            with self._session.voice.guard(f"comparing {a} and {b}"):
                from napari_infosam.project.comparison import compare_versions

                found = compare_versions(project, a, b)
        return found


def _pin_sentence(version_id: str, pinned: bool) -> str:
    if pinned:
        return (
            f"{version_id} is pinned: it is not deleted, and while it answers, no "
            "training replaces it."
        )
    return f"{version_id} is no longer pinned."
