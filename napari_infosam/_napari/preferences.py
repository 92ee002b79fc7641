"""What a person prefers, remembered between sessions.

The values are napari's settings of this plugin: declared in the manifest, shown on a
page of napari's own preferences, and kept in a file beside its settings.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from napari.settings import get_plugin_settings
from psygnal import Signal

if TYPE_CHECKING:
    from napari_infosam._napari.overlap import OverlapPolicy
    from napari_infosam._napari.session import Session
    from napari_infosam._napari.viewer_link import ViewerLink

PLUGIN = "napari-infosam"
SECTIONS = {
    "device": "models",
    "model": "models",
    "downloads": "models",
    "projects": "work",
    "overlap": "work",
    "colors": "work",
    "preview": "work",
}
"""Where in the manifest each preference is declared."""

MODELS = {
    "vit_t": "vit_t · in the box",
    "vit_b": "vit_b · 375 MB",
    "vit_l": "vit_l · 1.2 GB",
    "vit_h": "vit_h · 2.6 GB",
}
"""Base models, and what people have to know of each."""

_DOWNLOADS = "INFOSAM_MODELS"
"""`napari_infosam.models.weights` reads it; the training process inherits it."""


class Preferences:
    """The preferences, by their names in `SECTIONS`; each change is saved at once."""

    changed = Signal(str)
    """The name of what is another now, whoever changed it."""

    def __init__(self) -> None:
        self._settings = get_plugin_settings(PLUGIN)
        self._listeners = {name: partial(self._on_changed, name) for name in SECTIONS}
        for name, listener in self._listeners.items():
            self._emitter(name).connect(listener)

    def close(self) -> None:
        """Stop listening."""
        for name, listener in self._listeners.items():
            self._emitter(name).disconnect(listener)

    def get(self, name: str) -> str:
        """Return a preference."""
        return str(getattr(self._section(name), name))

    def set(self, name: str, value: str) -> None:
        """Change a preference, and remember it."""
        setattr(self._section(name), name, value)

    def choices(self, name: str) -> list[str]:
        """Return what a preference may be; empty if it is free text."""
        return list(self._schema(name).get("enum", ()))

    def title(self, name: str) -> str:
        """Return what it is called."""
        return str(self._schema(name)["title"])

    def says(self, name: str) -> str:
        """Return what it does."""
        return str(self._schema(name)["description"])

    def restore(self) -> None:
        """Go back to how everything is in a new installation."""
        for name in SECTIONS:
            self.set(name, self._schema(name)["default"])

    def folder(self, name: str) -> Path | None:
        """Return a folder, or None where it was left open."""
        text = self.get(name).strip()
        return Path(text).expanduser() if text else None

    def _section(self, name: str) -> Any:
        return getattr(self._settings, SECTIONS[name])

    def _schema(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = type(self._section(name)).model_json_schema()
        schema: dict[str, Any] = found["properties"][name]
        return schema

    def _emitter(self, name: str) -> Any:
        return self._section(name).events[name]

    def _on_changed(self, name: str, _event: Any = None) -> None:
        self.changed.emit(name)


class Preferring:
    """Lets a session do what is preferred, now and whenever it changes.

    Parameters
    ----------
    preferences
        Closed with this.
    session
        Made with the preferred model and device.
    link
        The session's hold on the viewer.
    """

    def __init__(
        self, preferences: Preferences, session: Session, link: ViewerLink
    ) -> None:
        self._preferences = preferences
        self._session = session
        self._link = link
        self._own_downloads = os.environ.get(_DOWNLOADS)
        for name in ("downloads", "projects", "overlap", "colors", "preview"):
            self._apply(name)
        preferences.changed.connect(self._apply)
        session.objects.overlap_changed.connect(self._keep_overlap)
        link.objects.changed.connect(self._keep_colors)
        link.preview.switched.connect(self._keep_preview)

    def close(self) -> None:
        """Stop listening."""
        self._session.objects.overlap_changed.disconnect(self._keep_overlap)
        self._link.objects.changed.disconnect(self._keep_colors)
        self._link.preview.switched.disconnect(self._keep_preview)
        self._preferences.changed.disconnect(self._apply)
        self._preferences.close()
        self._set_downloads(None)

    def _apply(self, name: str) -> None:
        preferences, session = self._preferences, self._session
        if name == "device":
            session.desk.set_device(preferences.get("device"))
        elif name == "model" and session.desk.project is None:
            # a project keeps the model it was made with
            session.desk.set_model(preferences.get("model"))
        elif name == "downloads":
            self._set_downloads(preferences.folder("downloads"))
        elif name == "projects":
            session.desk.set_folder(preferences.folder("projects"))
        elif name == "overlap":
            session.objects.overlap = cast("OverlapPolicy", preferences.get("overlap"))
        elif name == "colors":
            self._link.objects.by_class = preferences.get("colors") == "class"
        elif name == "preview":
            self._link.preview.is_on = preferences.get("preview") == "show"

    def _keep_overlap(self) -> None:
        self._preferences.set("overlap", self._session.objects.overlap)

    def _keep_colors(self) -> None:
        by_class = self._link.objects.by_class
        self._preferences.set("colors", "class" if by_class else "each")

    def _keep_preview(self) -> None:
        self._preferences.set("preview", "show" if self._link.preview.is_on else "hide")

    def _set_downloads(self, folder: Path | None) -> None:
        if self._own_downloads is not None:
            return  # who sets the variable means it
        if folder is None:
            os.environ.pop(_DOWNLOADS, None)
        else:
            os.environ[_DOWNLOADS] = str(folder)
