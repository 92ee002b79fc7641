"""The project on the desk: its model, classes and versions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_infosam._napari.engine import ModelRequest
from napari_infosam._napari.places import SUFFIX, default_project
from napari_infosam._napari.trainer import Trainer
from napari_infosam.core.errors import InfosamError
from napari_infosam.project import Project
from napari_infosam.project.files import make_folder
from napari_infosam.project.shelf import kept_sentence

if TYPE_CHECKING:
    from napari_infosam._napari.engine import Engine
    from napari_infosam._napari.learning import Learning
    from napari_infosam._napari.voice import Voice
    from napari_infosam.project import ClassRecord, VersionRecord

DEFAULT_CLASS = "object"


class Desk:
    """Opens and makes projects, with their classes and versions.

    Every public method says what goes wrong instead of raising it.

    Parameters
    ----------
    engine, learning, voice
        What loads models, follows training, and speaks to the person.
    model
        Base model of the projects that are made, a name or a path.
    device
        Where models run.

    Attributes
    ----------
    project
        The open project, or None until the first object is accepted.
    refused
        The project that could not be opened, so that another can be offered.
    trainer
        Starts training in it.
    """

    changed = Signal()
    """The project, its classes, versions, counts, or what can be done with it."""
    entered = Signal()
    """Another project is open."""

    def __init__(
        self, engine: Engine, learning: Learning, voice: Voice, model: str, device: str
    ) -> None:
        self._engine = engine
        self._voice = voice
        self._model = model
        self._device = device
        self._chosen: Path | None = None
        self._home: Path | None = None
        self._folder: Path | None = None
        self._image_name = ""
        self._new_classes = [DEFAULT_CLASS]
        self.project: Project | None = None
        self.refused: Path | None = None
        self.trainer = Trainer(self, learning, voice)
        engine.load_failed.connect(self._on_load_failed)
        learning.learned.connect(self._on_learned)

    # ----------------------------------------------------------------- project
    @property
    def path(self) -> Path:
        """Where the project is, or will be made with the first accepted object."""
        if self.project is not None:
            return self.project.path
        return self._chosen or self._home or self.default_path

    @property
    def default_path(self) -> Path:
        """Where the name of the image leads to."""
        default = default_project(self._image_name, self._folder)
        return default.with_name(_own_name(default.stem, "vit_t", self._model))

    def set_folder(self, folder: Path | None) -> None:
        """Let projects be made here from now on; None is the usual place."""
        if folder != self._folder:
            self._folder, self._home = folder, None
            self.changed.emit()

    def expect(self, image_name: str) -> None:
        """Without an open project, let this image name the one that is to be made."""
        self._image_name, self._home = image_name, None
        self.changed.emit()

    @property
    def seeks_home(self) -> bool:
        """Whether a project is still to be found, or made, for the image."""
        return self.project is None and self._chosen is None

    def settle(self, path: Path, *, is_there: bool) -> None:
        """Take in where the image belongs; its project is opened if there is one."""
        if not self.seeks_home:
            return
        self._home = path
        if is_there and path != self.refused:
            self.open(path)
        self.changed.emit()

    def choose(self, path: Path) -> None:
        """Let the project be made here with the first accepted object."""
        self._chosen, self.refused = path, None
        self.changed.emit()

    def new(self, path: Path) -> None:
        """Make a project and work in it from now on."""
        self._voice.say("")
        with self._voice.guard("making the project"):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._enter(self._create(path, self.model_name))

    def open(self, path: Path) -> None:
        """Work in another project from now on."""
        if self.project is not None and path == self.project.path:
            return
        self._voice.say("")
        with self._voice.guard("opening the project"):
            self._enter(self._try_open(path))

    def require(self) -> Project:
        """Return the open project; make it if there is none yet.

        Raises
        ------
        InfosamError
            If it can not be made, or another window has it.
        """
        if self.project is None:
            if self.path.is_dir():
                project = self._try_open(self.path)
            else:
                make_folder(self.path.parent, "choose another place for the project")
                project = self._create(self.path, self._model)
            self._enter(project)
            return project
        return self.project

    def close(self) -> None:
        """Let go of the project; a running training goes on by itself."""
        self.trainer.leave()
        if self.project is not None:
            self.project.close()
            self.project = None

    def _create(self, path: Path, model: str) -> Project:
        return Project.create(path, model=model, classes=self._new_classes)

    def _try_open(self, path: Path) -> Project:
        try:
            return Project.open(path)
        except InfosamError:
            self.refused = path
            self.changed.emit()
            raise

    def _enter(self, project: Project) -> None:
        old, self.project = self.project, project
        if old is not None:
            old.close()
        self.refused = self._chosen = None
        new_classes, self._new_classes = self._new_classes, []
        for name in new_classes:
            if name != DEFAULT_CLASS:  # which is there, or was renamed
                project.add_class(name)
        self.trainer.leave()
        self._engine.keep_embeddings_in(project.cache_dir)
        self._load(project.active_version)
        self.trainer.enter()
        self.entered.emit()
        self.changed.emit()

    # ------------------------------------------------------------------- model
    @property
    def model_name(self) -> str:
        """Base model of the project, or of the one that will be made."""
        return self.project.model if self.project else self._model

    def set_model(self, name: str) -> None:
        """Let another base model answer.

        A project keeps the model it was made with, so that its versions go on to
        fit: another model works in a project of its own, beside it.
        """
        old, old_name = self.project, self.model_name
        if name != old_name:
            own = self.path.with_name(_own_name(self.path.stem, old_name, name))
            if old is not None:
                self.close()
                self._engine.keep_embeddings_in(None)
            if old is not None or self._chosen is not None:
                self._chosen = own
            self._model, self._home = name, None
            if self._chosen is not None and own.is_dir():
                self.open(own)
            elif old is not None:
                self.entered.emit()
            if old is not None:
                self._voice.say(
                    f"{name} works in a project of its own, {own.stem}; what was "
                    f"accepted so far stays in {old.path.stem}."
                )
        self._load(self.active_version)
        self.changed.emit()

    @property
    def device(self) -> str:
        """Where models run, as it was chosen."""
        return self._device

    def set_device(self, device: str) -> None:
        """Let models run elsewhere from now on; what answers answers until then."""
        if device != self._device:
            self._device = device
            self._load(self.active_version)

    def load_model(self) -> None:
        """Load the model of the project, or the one chosen for the next."""
        self._load(self.active_version)

    def _load(self, version: str) -> None:
        if version == "base":
            request = ModelRequest(self.model_name, self._device)
        else:
            request = ModelRequest(self.model_name, self._device, version, self.project)
        self._engine.load(request)

    def _on_load_failed(self, request: ModelRequest) -> None:
        """Let what answers at the moment, or the base, be the active version."""
        project, current = self.project, self._engine.answers_to
        if project is None or request.project is not project:
            return
        own = current is not None and current.project is project
        fallback = current.version if own and current is not None else "base"
        with self._voice.guard(f"going back to {fallback}"):
            project.activate(fallback)
            self._load(fallback)
        self.changed.emit()

    # ----------------------------------------------------------------- classes
    def classes(self) -> list[str]:
        """Return the names of all classes."""
        return [record.name for record in self.class_records()] or self._new_classes

    def class_records(self) -> list[ClassRecord]:
        """Return the classes of the open project with their colours."""
        return self.project.classes() if self.project else []

    def add_class(self, name: str) -> bool:
        """Add a class, also before there is a project; False if that failed."""
        name = name.strip()
        if not name:
            self._voice.complain("A class needs a name: type one first.")
            return False
        if self.project is None:
            if name not in self._new_classes:
                self._new_classes.append(name)
            self.changed.emit()
            return True
        added = False
        with self._voice.guard("adding the class"):
            self.project.add_class(name)
            added = True
        self.changed.emit()
        return added

    def rename_class(self, name: str, new: str) -> bool:
        """Give a class of the open project another name; False if that failed."""
        if self.project is None:
            return False
        renamed = False
        with self._voice.guard("renaming the class"):
            self.project.rename_class(name, new)
            renamed = True
        self.changed.emit()
        return renamed

    def set_class_color(self, name: str, color: str) -> None:
        """Change the colour of a class of the open project, #rrggbb."""
        if self.project is not None:
            with self._voice.guard("changing the colour"):
                self.project.set_class_color(name, color)
            self.changed.emit()

    # ---------------------------------------------------------------- versions
    @property
    def active_version(self) -> str:
        """The version that answers: ``base`` or ``vNNN``."""
        return self.project.active_version if self.project else "base"

    def versions(self) -> list[VersionRecord]:
        """Return all trained versions, oldest first."""
        return self.project.versions() if self.project else []

    @property
    def is_base_pinned(self) -> bool:
        """Whether no training may replace the base by itself."""
        return self.project is not None and self.project.shelf.is_pinned("base")

    def activate(self, version_id: str) -> None:
        """Let another version answer from the next object on."""
        if self.project is None or version_id == self.active_version:
            return
        with self._voice.guard(f"changing to {version_id}"):
            self.project.activate(version_id)
            self._load(version_id)
        self.changed.emit()

    def go_back(self) -> None:
        """Let the version that answered before do so again; twice changes nothing."""
        now, before = self.active_version, ""
        if self.project is not None:
            before = self.project.version_before
        if not before:
            self._voice.say(
                "No other version has answered yet: fine-tune, or choose one below "
                "Fine-tune."
            )
            return
        self.activate(before)
        if self.active_version == before:
            self._voice.say(
                f"{before} answers again, from the next object on; the same key goes "
                f"back to {now}."
            )

    def _on_learned(self, version_id: str) -> None:
        if self.project is not None:
            active = self.active_version  # a pinned one goes on to answer
            self._load(active)
            self._voice.say(
                f"{version_id} was accepted and answers from the next object on."
                if active == version_id
                else kept_sentence(self.project, version_id)
            )
            self.changed.emit()


def _own_name(stem: str, old_model: str, new_model: str) -> str:
    """Return the name of a project for another model, beside one of this name."""
    stem = stem.removesuffix(f" {Path(old_model).stem}")
    own = "" if new_model == "vit_t" else f" {Path(new_model).stem}"
    return f"{stem}{own}{SUFFIX}"
