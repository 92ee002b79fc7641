"""The brain behind the window: what a click, an accept and an undo mean.

Knows no Qt and no viewer; widgets and layers show what it says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_infosam._napari.accepted import Accepted
from napari_infosam._napari.desk import Desk
from napari_infosam._napari.engine import Engine
from napari_infosam._napari.learning import Learning
from napari_infosam._napari.object_in_work import ObjectInWork
from napari_infosam._napari.places import find_home
from napari_infosam._napari.propagation import Propagation
from napari_infosam._napari.undoing import Undoing
from napari_infosam._napari.voice import Voice
from napari_infosam._napari.waiting_works import WaitingWorks
from napari_infosam.core.prompts import CHOICES, PromptSet
from napari_infosam.project.files import content_hash

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_infosam._napari.engine import Executor
    from napari_infosam._napari.image_source import ImageSource
    from napari_infosam._napari.object_in_work import Answer
    from napari_infosam.core.prompts import Prompt
    from napari_infosam.project import ObjectRecord


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
    voice, engine, learning, desk, objects
        What speaks, what answers, what is being learned, the project, and the
        accepted objects of the picture.
    source
        The picture that is annotated, or None.
    work, aside
        The object that is being prompted, and those that wait for their pictures.
    undoing
        Who takes back what was done, and does it again.
    """

    image_changed = Signal()
    prompts_changed = Signal()
    """The prompts, the proposal, or what can be undone."""
    objects_changed = Signal()
    stepped = Signal(object, bool)
    """A step of the journal was taken back, or done again (False)."""

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
            is_training=lambda: self.learning.is_running and not self.learning.is_held,
        )
        self.desk = Desk(self.engine, self.learning, self.voice, model, device)
        self.objects = Accepted(executor, self.desk, self.engine, self.voice)
        self.source: ImageSource | None = None
        self.work = ObjectInWork()
        self.aside = WaitingWorks()
        self.undoing = Undoing(self)
        self.propagation = Propagation(executor, self)
        self._started = False
        self._sought: tuple[ImageSource, str] | None = None
        self.engine.answered.connect(self.prompts_changed.emit)
        self.engine.changed.connect(self._find_home)
        self.engine.changed.connect(self.objects.look_up)
        self.objects.changed.connect(self.objects_changed.emit)
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
        self.propagation.cancel()
        self.propagation.waiting.close()
        self.objects.save_painted()
        self._executor.close()
        self.engine.cancel_loading()
        self.desk.close()

    # ------------------------------------------------------------------- image
    def set_image(self, source: ImageSource | None) -> None:
        """Annotate another picture; prompts of the old one wait for its return."""
        old = self.source
        if source is None and old is None:
            return  # what was said last stays in sight
        if source is not None and old is not None and source.key == old.key:
            if source.choice != old.choice:
                self._see_anew(source)
            return
        if old is not None:
            self.aside.put(old, self.work)
        self.source, self.work = source, ObjectInWork()
        self.objects.show(source)
        self._sought = None
        if source is not None:
            self.work = self.aside.take(source) or self.work
            self.desk.expect(source.layer)
        self.engine.show(source)
        self.engine.swap()
        self.engine.ask(self.work)
        self.image_changed.emit()
        self.objects_changed.emit()
        self.prompts_changed.emit()

    def _see_anew(self, source: ImageSource) -> None:
        """Let the model see other channels of the picture; the prompts stay."""
        self.source = source
        self.work.forget_answers()
        self.objects.see_anew(source)
        self._sought = None
        self.engine.show(source)
        self.engine.ask(self.work)
        self.image_changed.emit()
        self.prompts_changed.emit()

    def set_aside(self, source: ImageSource, work: ObjectInWork) -> None:
        """Let an object in work wait for its picture, unless another one does."""
        here = self.source is not None and source.key == self.source.key
        if not here:
            self.aside.put(source, work)
        elif not self.work.prompts:
            self.work = work
            self.prompts_moved()

    def drop_aside(self, source: ImageSource, work: ObjectInWork) -> None:
        """Let an object in work wait no longer."""
        self.aside.drop(source, work)
        if self.work is work:
            self.work = ObjectInWork()
            self.prompts_moved()

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
                self.objects.has_no_project()
                self._load_soon()

        def failed(error: Exception) -> None:
            self.voice.report(error, "looking for the project of the image")
            self.objects.has_no_project()
            self._load_soon()

        self._executor.submit(
            lambda: find_home(default, content_hash(pixels), source.source),
            done,
            failed,
        )

    def _on_project_entered(self) -> None:
        self.undoing.enter_project()
        self.objects.enter_project()

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
        if prompts != self.prompts:
            self.undoing.go_another_way()
            self.work.set(prompts)
        self.prompts_moved()

    def move_prompts(self, prompts: PromptSet) -> None:
        """Take over points and box; a rough mask, and what a click means, stay."""
        rough, choice = self.prompts.rough, self.prompts.choice
        self.set_prompts(replace(prompts, rough=rough, choice=choice))

    def choose_meaning(self, choice: int) -> None:
        """Let the first click mean one of `CHOICES`, by number."""
        if not self.prompts.is_ambiguous:
            self.voice.say(
                "Click on an object first: after its first click, and before another "
                "one, it can be a part, the object or the whole."
            )
        elif self.work.meaning != choice:
            self.set_prompts(replace(self.prompts, choice=choice))

    def next_meaning(self) -> None:
        """Let the first click mean the next larger of three masks, or the smallest."""
        now = self.work.meaning
        self.choose_meaning(0 if now is None else (now + 1) % len(CHOICES))

    def clear(self) -> None:
        """Throw the proposal and its prompts away; undo brings them back."""
        if self.work.prompts:
            self.set_prompts(PromptSet())

    def prompts_moved(self) -> None:
        """Ask for an answer to the prompts as they are now, and say that they moved."""
        if not self.work.prompts:
            self.engine.swap()
        self.engine.ask(self.work)
        self.prompts_changed.emit()

    # ------------------------------------------------------------------ accept
    @property
    def class_name(self) -> str:
        """Class of the next accepted object."""
        return self.objects.class_name

    @class_name.setter
    def class_name(self, name: str) -> None:
        self.objects.class_name = name
        self.objects_changed.emit()

    @property
    def labels(self) -> NDArray[np.int32] | None:
        """``(H, W)`` label image of what was accepted in the picture."""
        return self.objects.labels

    def accept(self) -> ObjectRecord | None:
        """Write the proposal to the project; it is on disk when this returns."""
        answer, work, source = self.work.answer, self.work, self.source
        if answer is None or source is None:
            self.voice.say(self.why_not_acceptable())
            return None
        record = None
        with self.voice.guard("accepting the object"):
            written = self.objects.commit(work, answer)
            if written is None:
                return None
            record, said = written
            self.undoing.note_accept(record.id, source, work)
            self.work = ObjectInWork()
            self.prompts_moved()
            self.voice.say(said)
        return record

    def why_not_acceptable(self) -> str:
        """Return why there is nothing to accept, in one sentence; '' if there is."""
        if self.is_answered:
            return ""
        if not self.work.prompts:
            return "There is nothing to accept yet: click on an object first."
        return "The mask is still being computed: accept it when you see it."

    def delete_at(self, row: float, column: float) -> None:
        """Delete the accepted object at a pixel; undo brings it back."""
        if number := self._number_at(row, column):
            self.objects.delete([number])

    def relabel_at(self, row: float, column: float) -> None:
        """Give the object at a pixel the class of the next object."""
        if number := self._number_at(row, column):
            self.objects.relabel([number])

    def split_at(self, row: float, column: float) -> None:
        """Split the object at a pixel, between the points in it if there are some."""
        if number := self._number_at(row, column):
            self.objects.split(number, self.prompts.points, then=self.clear)

    def choose_at(self, row: float, column: float) -> None:
        """Choose the object at a pixel besides others, or no longer."""
        if number := self._number_at(row, column):
            self.objects.toggle_chosen(number)

    def continue_at(self, row: float, column: float) -> None:
        """Take up the prompts of the object at a pixel; an accept replaces its mask."""
        record = None
        if number := self._number_at(row, column):
            record = self.objects.find(number)
        if record is not None:
            # what was painted or imported has none: its box is a beginning
            prompts = record.prompts or PromptSet(box=record.box)
            self.undoing.go_another_way()
            self.work.take_up(prompts, record.instance_id)
            self.prompts_moved()

    def _number_at(self, row: float, column: float) -> int:
        number = self.objects.number_at(row, column)
        if not number:
            self.voice.say("There is no accepted object under the pointer.")
        return number

    def objects_here(self) -> int:
        """Return how many objects were accepted in this picture."""
        return self.objects.count()

    # -------------------------------------------------------------------- undo
    @property
    def can_undo(self) -> bool:
        """Whether there is something to take back."""
        return self.undoing.undo_at is not None

    @property
    def can_redo(self) -> bool:
        """Whether there is something to do again."""
        return self.undoing.redo_at is not None

    def undo(self) -> None:
        """Take back what was done last, in whatever picture it was."""
        self.undoing.undo()

    def redo(self) -> None:
        """Do again what was undone last."""
        self.undoing.redo()
