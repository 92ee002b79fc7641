"""Which channels of files the model is shown, as ``project.channels``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from napari_infosam.core.channels import ChannelChoice
from napari_infosam.project import settings

if TYPE_CHECKING:
    from napari_infosam.project.database import Database
    from napari_infosam.project.store import Project


class Channels:
    """What a person chose for each file, so that it is opened like that again.

    The choice also is in the preprocessing of every image that came from it, which is
    what training reads.

    Parameters
    ----------
    database
        Of the project.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, path: str) -> ChannelChoice | None:
        """Return what was chosen for a file, or None."""
        with self._database.read() as connection:
            text = settings.get(connection, _key(path), "")
        try:
            return ChannelChoice.model_validate_json(text) if text else None
        except ValidationError:  # of a later version of this program
            return None

    def put(self, path: str, choice: ChannelChoice) -> None:
        """Remember what was chosen for a file."""
        with self._database.write() as connection:
            settings.put(connection, _key(path), choice.model_dump_json())


def show_channels(
    project: Project, image_id: int, channels: tuple[int, ...] | None
) -> None:
    """Let the model see other channels of an image, and of others of its file.

    Parameters
    ----------
    channels
        See `Preprocessing.channels`.
    """
    here = project.image(image_id)
    for image in project.images():
        of_file = here.source is not None and image.source == here.source
        alike = of_file and image.shape[2:] == here.shape[2:]
        how = image.preprocessing.model_copy(update={"channels": channels})
        if (image.id == image_id or alike) and how != image.preprocessing:
            project.set_preprocessing(image.id, how)


def _key(path: str) -> str:
    return f"channels:{path}"
