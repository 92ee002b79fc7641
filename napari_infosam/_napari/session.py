"""The brain behind the window: what a click, an accept and an undo mean.

Knows no Qt and no viewer; widgets and layers show what it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_infosam._napari.desk import DEFAULT_CLASS, Desk
from napari_infosam._napari.engine import Engine
from napari_infosam._napari.learning import Learning
from napari_infosam._napari.object_in_work import ObjectInWork
from napari_infosam._napari.places import find_home
from napari_infosam._napari.voice import Voice
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.preprocess import Preprocessing
from napari_infosam.core.prompts import PromptSet
from napari_infosam.project.files import content_hash

if TYPE_CHECKING:
    from collections.abc import Hashable
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from napari_infosam._napari.engine import Executor
    from napari_infosam._napari.image_source import ImageSource
    from napari_infosam._napari.object_in_work import Answer
    from napari_infosam.core.prompts import Prompt
    from napari_infosam.project import HistoryEntry, ObjectRecord, Project

Found = tuple[int | None, "NDArray[np.int32] | None"]


class Session:
    """One window's work: an image, a project, an object in work, a training run.

    Every method returns at once and none raises: what goes wrong is said through
    `voice`, in one sentence, and nothing is lost.

    Parameters
    ----------
    executor
        Where slow work runs.
    model
        Base model of projects that are made here, a name or a path.
    device
        Where models run.

    Attributes
    ----------
    voice, engine, learning, desk
        What speaks, what answers, what is being learned, and the project.
    source
        The picture that is annotated, or None.
    work
        The object that is being prompted.
    class_name
        Class of the next accepted object.
    labels
        ``(H, W)`` int32 label image of what was accepted in the picture.
    """

    image_changed = Signal()
    prompts_changed = Signal()
    """The prompts, the proposal, or what can be undone."""
    objects_changed = Signal()

    def __init__(
        self, executor: Executor, *, model: str = "vit_t", device: str = "auto"
    ) -> None:
        self._executor = executor
        self.voice = Voice()
        self.learning = Learning()
        self.engine = Engine(
            executor,
            self.voice,
            between_objects=lambda: not self.work.prompts,
            is_training=lambda: self.learning.is_running,
        )
        self.desk = Desk(self.engine, self.learning, self.voice, model, device)
        self.source: ImageSource | None = None
        self.work = ObjectInWork()
        self.class_name = DEFAULT_CLASS
        self.labels: NDArray[np.int32] | None = None
        self._image_id: int | None = None
        self._started = False
        self._revision = 0
        self._sought: tuple[ImageSource, str] | None = None
        self._looked_up: tuple[ImageSource, Project] | None = None
        self._set_aside: dict[Hashable, ObjectInWork] = {}
        self._accepted: dict[int, ObjectInWork] = {}
        self.engine.answered.connect(self.prompts_changed.emit)
        self.engine.changed.connect(self._find_home)
        self.engine.changed.connect(self._look_up_objects)
        self.desk.changed.connect(self._find_home)
        self.desk.entered.connect(self._on_project_entered)

    def start(self) -> None:
        """Begin to load the model, so that the first click is answered soon.

        Which one it is may be known only when the project of the image is found.
        """
        self._started = True
        if self.source is None or not self.desk.seeks_home:
            self._load_soon()

    def _load_soon(self) -> None:
        if self._started and self.engine.model is None and not self.engine.loading:
            self.desk.load_model()

    def close(self) -> None:
        """Let go of everything; a running training goes on by itself."""
        self._executor.close()
        self.engine.cancel_loading()
        self.desk.close()

    # ------------------------------------------------------------------- image
    def set_image(self, source: ImageSource | None) -> None:
        """Annotate another picture; prompts of the old one wait for its return."""
        old = self.source
        if source is not None and old is not None and source.key == old.key:
            return
        if old is not None and self.work.prompts:
            self._set_aside[old.key] = self.work
        self.source, self.work = source, ObjectInWork()
        self.labels = None if source is None else np.zeros(source.shape, np.int32)
        self._image_id = self._looked_up = self._sought = None
        if source is not None:
            self.work = self._set_aside.pop(source.key, self.work)
            self.desk.expect(source.layer)
        self.engine.show(source)
        self.engine.swap()
        self.engine.ask(self.work)
        self.image_changed.emit()
        self.objects_changed.emit()
        self.prompts_changed.emit()

    def _find_home(self) -> None:
        """Find the project that the picture was accepted in before."""
        source = self.source
        # the desk may speak up while the engine still has the picture before
        pixels = self.engine.pixels_of(source)
        if source is None or pixels is None or not self.desk.seeks_home:
            return
        token = (source, self.desk.model_name)
        if self._sought == token:
            return
        self._sought = token
        default = self.desk.default_path

        def done(found: tuple[Path, bool]) -> None:
            if token is self._sought:
                self.desk.settle(found[0], is_there=found[1])
                self._load_soon()

        def failed(error: Exception) -> None:
            self.voice.report(error, "looking for the project of the image")
            self._load_soon()

        self._executor.submit(
            lambda: find_home(default, content_hash(pixels), source.source),
            done,
            failed,
        )

    def _on_project_entered(self) -> None:
        self._image_id = self._looked_up = None
        self._accepted.clear()
        if self.class_name not in self.desk.classes():
            self.class_name = DEFAULT_CLASS
        if self.labels is not None:
            self.labels = np.zeros_like(self.labels)
        self._look_up_objects()
        self.objects_changed.emit()

    def _look_up_objects(self) -> None:
        """Find what was accepted in this picture before, in the background."""
        source, project, pixels = self.source, self.desk.project, self.engine.pixels
        if source is None or project is None or pixels is None:
            return
        if self._looked_up == (source, project):
            return
        token = self._looked_up = (source, project)
        revision = self._revision

        def work() -> Found:
            return _find_objects(project, pixels)

        def done(found: Found) -> None:
            if token is not self._looked_up or found[0] is None:
                return
            self._image_id, self.labels = found
            if revision == self._revision:
                self.objects_changed.emit()
            else:  # something was accepted meanwhile
                self._read_objects()

        def failed(error: Exception) -> None:
            self.voice.report(error, "reading the accepted objects")

        self._executor.submit(work, done, failed)

    # ----------------------------------------------------------------- prompts
    @property
    def prompts(self) -> PromptSet:
        """The prompts of the object in work."""
        return self.work.prompts

    @property
    def proposal(self) -> Answer | None:
        """The mask in sight; it may still be of the prompts before the last one."""
        return self.work.shown_answer()

    @property
    def is_answered(self) -> bool:
        """Whether the mask in sight is of all prompts, and can be accepted."""
        return self.work.answer is not None

    def add_prompt(self, prompt: Prompt) -> None:
        """Place a point or a box."""
        self.set_prompts(self.work.prompts.add(prompt))

    def set_prompts(self, prompts: PromptSet) -> None:
        """Replace all prompts of the object in work; one step for undo."""
        if self.source is None:
            self.voice.say("Open an image first, then click on an object.")
            return
        self.work.set(prompts)
        self._prompts_moved()

    def clear(self) -> None:
        """Throw the proposal and its prompts away; undo brings them back."""
        if self.work.prompts:
            self.work.set(PromptSet())
            self._prompts_moved()

    def _prompts_moved(self) -> None:
        if not self.work.prompts:
            self.engine.swap()
        self.engine.ask(self.work)
        self.prompts_changed.emit()

    # ------------------------------------------------------------------ accept
    def accept(self) -> ObjectRecord | None:
        """Write the proposal to the project; it is on disk when this returns."""
        answer = self.work.answer
        if answer is None:
            self.voice.say(self._why_not_acceptable())
            return None
        record = None
        with self.voice.guard("accepting the object"):
            record = self._commit(answer)
            self.voice.say(
                f"Accepted object {record.instance_id} ({record.class_name})."
            )
        return record

    def _why_not_acceptable(self) -> str:
        if not self.work.prompts:
            return "There is nothing to accept yet: click on an object first."
        return "The mask is still being computed: accept it when you see it."

    def _commit(self, answer: Answer) -> ObjectRecord:
        source, pixels = self.source, self.engine.pixels
        mask = answer.prediction.mask
        if source is None or pixels is None or not mask.any():
            raise InfosamError(
                "The proposal is empty: add a point on the object, or draw a box."
            )
        project = self.desk.require()
        if self._image_id is None:
            image = project.add_image(pixels, source.name, source=source.source)
            self._image_id = image.id
        work = self.work
        record = project.commit(
            self._image_id,
            mask,
            prompts=work.prompts,
            class_name=self.class_name,
            model_version=answer.version,
            score=answer.prediction.score,
            proposal_ious=work.proposal_ious(mask),
        )
        self._accepted[record.id] = work
        self.work = ObjectInWork()
        self._revision += 1
        if self.labels is not None:
            self.labels[mask] = record.instance_id
        self.objects_changed.emit()
        self.desk.changed.emit()
        self._prompts_moved()
        return record

    def delete_at(self, row: float, column: float) -> None:
        """Delete the accepted object at a pixel; undo brings it back."""
        value = self._label_at(row, column)
        project = self.desk.project
        if not value or project is None:
            self.voice.say("There is no accepted object under the pointer.")
            return
        with self.voice.guard("deleting the object"):
            found = project.objects(self._image_id)
            project.delete(next(r.id for r in found if r.instance_id == value))
            self._objects_moved()
            self.voice.say(f"Deleted object {value}; undo brings it back.")

    def _label_at(self, row: float, column: float) -> int:
        if self.labels is None:
            return 0
        r, c = round(row), round(column)
        inside = 0 <= r < self.labels.shape[0] and 0 <= c < self.labels.shape[1]
        return int(self.labels[r, c]) if inside else 0

    def _objects_moved(self) -> None:
        """Show the objects after something else than an accept."""
        self._revision += 1
        self._read_objects()
        self.desk.changed.emit()

    def _read_objects(self) -> None:
        project = self.desk.project
        if project is not None and self._image_id is not None:
            self.labels = project.label_image(self._image_id)
        self.objects_changed.emit()

    def objects_here(self) -> int:
        """Return how many objects were accepted in this picture."""
        project = self.desk.project
        if project is None or self._image_id is None:
            return 0
        return len(project.objects(self._image_id))

    # -------------------------------------------------------------------- undo
    @property
    def can_undo(self) -> bool:
        """Whether there is something to take back."""
        project = self.desk.project
        return self.work.can_undo or (project is not None and project.can_undo)

    @property
    def can_redo(self) -> bool:
        """Whether there is something to do again."""
        work = self.work
        again = bool(work.committed_as) or not work.prompts
        project = self.desk.project
        return work.can_redo or (again and project is not None and project.can_redo)

    def undo(self) -> None:
        """Take the last prompt back; without prompts, the last accept or delete."""
        if self.work.undo():
            self._prompts_moved()
            return
        with self.voice.guard("undoing"):
            project = self.desk.project
            entry = project.undo() if project else None
            if entry is None:
                self.voice.say("There is nothing to undo.")
                return
            if entry.action == "commit":
                self._take_up_again(entry)
            self._objects_moved()
            self._prompts_moved()
            self.voice.say(_undo_sentence(entry, self._image_id))

    def _take_up_again(self, entry: HistoryEntry) -> None:
        """Let the prompts of an accept that was undone be worked on again."""
        work = self._accepted.pop(entry.object_id, None)
        if work is not None and entry.image_id == self._image_id:
            work.committed_as = entry.object_id
            self.work = work

    def redo(self) -> None:
        """Do again what was undone last."""
        if self.work.redo():
            self._prompts_moved()
            return
        work = self.work
        with self.voice.guard("redoing"):
            project = self.desk.project if self.can_redo else None
            entry = project.redo() if project else None
            if entry is None:
                self.voice.say("There is nothing to redo.")
                return
            if work.committed_as == entry.object_id:
                self._accepted[entry.object_id] = work
                self.work = ObjectInWork()
            self._objects_moved()
            self._prompts_moved()


def _find_objects(project: Project, pixels: NDArray[Any]) -> Found:
    """Return the project's id of a picture and its label image, None if it has none."""
    digest, plain = content_hash(pixels), Preprocessing()
    for image in project.images():
        if image.content_hash == digest and image.preprocessing == plain:
            return image.id, project.label_image(image.id)
    return None, None


def _undo_sentence(entry: HistoryEntry, image_id: int | None) -> str:
    what = "accept" if entry.action == "commit" else "delete"
    where = "" if entry.image_id == image_id else " in another image"
    return f"Took back the last {what}{where}; redo does it again."
