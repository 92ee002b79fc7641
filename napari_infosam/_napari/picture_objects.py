"""The accepted objects of the picture in view, as they are in the project."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_infosam._napari.desk import DEFAULT_CLASS
from napari_infosam._napari.strokes import Strokes
from napari_infosam.core.huge_image import HugeImage
from napari_infosam.project.channels import show_channels
from napari_infosam.project.classes import PALETTE
from napari_infosam.project.files import content_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from napari_infosam._napari.desk import Desk
    from napari_infosam._napari.engine import Engine, Executor
    from napari_infosam._napari.image_source import ImageSource
    from napari_infosam._napari.voice import Voice
    from napari_infosam.core.preprocess import Preprocessing
    from napari_infosam.project import (
        HistoryEntry,
        ImageRecord,
        ObjectRecord,
        ObjectSummary,
        Project,
    )

Found = tuple["ImageRecord | None", "NDArray[np.int32] | None"]


class PictureObjects:
    """A label image of what was accepted in one picture, in step with the project.

    Objects are named by their numbers, the values in the label image.

    Parameters
    ----------
    executor
        Where the objects of a picture are looked up.
    desk, engine, voice
        Who has the project, who has the pixels, and who speaks.

    Attributes
    ----------
    labels
        ``(H, W)`` int32 label image of what was accepted in the picture; None of a
        huge one, see `window`.
    class_name
        Class of the next accepted object.
    chosen
        Numbers of the objects that were chosen, to be merged for example.
    is_known
        Whether it is known what was accepted here before.
    """

    changed = Signal()
    channels_found = Signal(object)
    """Which channels the model saw when objects were accepted here before."""
    chosen_changed = Signal()

    def __init__(
        self, executor: Executor, desk: Desk, engine: Engine, voice: Voice
    ) -> None:
        self._executor = executor
        self._desk = desk
        self._engine = engine
        self._voice = voice
        self._source: ImageSource | None = None
        self._image_id: int | None = None
        self._revision = 0
        self._looked_up: tuple[ImageSource, Project] | None = None
        self._unsaved = Strokes()
        self.labels: NDArray[np.int32] | None = None
        self.class_name = DEFAULT_CLASS
        self.chosen: tuple[int, ...] = ()
        self.is_known = False

    # ------------------------------------------------------------------ which
    def show(self, source: ImageSource | None) -> None:
        """Be about another picture; its objects are looked up when it is read."""
        self._source = source
        self._unsaved.turn_to(None if source is None else source.key)
        self.is_known = False
        self._forget()

    def see_anew(self, source: ImageSource) -> None:
        """Be about the same picture, of which the model sees other channels."""
        self._source, self._looked_up = source, None
        self._keep_channels()

    def _keep_channels(self) -> None:
        """Let training see the channels that the person chose."""
        project, source, here = self._desk.project, self._source, self._image_id
        if project is None or source is None or not source.is_chosen:
            return
        with self._voice.guard("keeping the choice of channels"):
            if source.source is not None:
                project.channels.put(source.source, source.choice)
            if here is not None:
                show_channels(project, here, source.choice.seen)

    def enter_project(self) -> None:
        """Be about the same picture in another project."""
        project = self._desk.project
        self._find_class()
        # a new project changes nothing about what can be done
        self.is_known &= project is not None and not project.n_objects()
        self._forget()
        self.look_up()
        self.changed.emit()

    def look_again(self) -> None:
        """Find what has come into the project; what was known stays in sight."""
        self._find_class()
        self._looked_up = None
        self._revision += 1
        self.look_up()
        self.changed.emit()

    def _find_class(self) -> None:
        project = self._desk.project
        if (known := self._desk.classes()) and self.class_name not in known:
            self.class_name = known[0]
        if self.class_name == DEFAULT_CLASS and project is not None:
            # nobody has chosen one: go on with what was accepted last
            self.class_name = project.last_class() or DEFAULT_CLASS

    def rename_class(self, new: str) -> bool:
        """Give the class of the next object another name; False if that failed."""
        if not self._desk.rename_class(self.class_name, new):
            return False
        self.class_name = new.strip()
        self.follow(None)
        return True

    def _forget(self) -> None:
        self._image_id = self._looked_up = None
        source = self._source
        # of a huge picture parts are read from the project, when they are seen
        whole = None if source is None or source.is_huge else source.shape
        self.labels = None if whole is None else np.zeros(whole, np.int32)
        self._unsaved.lay_on(self.labels)
        self.choose(())

    def kept_as(self, image_id: int) -> None:
        """Note that the project has the picture now, without an object in it."""
        if self._image_id is None:
            self._image_id = image_id
            self.changed.emit()

    def has_no_project(self) -> None:
        """Note that the picture was accepted nowhere before."""
        if self._source is not None and self._desk.project is None:
            self.is_known = True
            self.changed.emit()

    def look_up(self) -> None:
        """Find what was accepted in this picture before, in the background."""
        source, project, pixels = self._source, self._desk.project, self._engine.pixels
        if source is None or project is None or pixels is None:
            return
        if self._looked_up == (source, project):
            return
        token = self._looked_up = (source, project)
        revision = self._revision

        def work() -> Found:
            return _find_objects(project, pixels, source.preprocessing)

        def done(found: Found) -> None:
            if token is not self._looked_up:
                return
            self.is_known = True
            record, labels = found
            if record is not None:
                self._image_id, self.labels = record.id, labels
                # something was accepted meanwhile
                if revision != self._revision and not source.is_huge:
                    self.labels = project.label_image(record.id)
                self._unsaved.lay_on(self.labels)
                self._revision += 1
            self.changed.emit()
            if record is not None and record.preprocessing != source.preprocessing:
                if source.is_chosen:
                    self._keep_channels()
                else:
                    self.channels_found.emit(record.preprocessing.channels)

        def failed(error: Exception) -> None:
            self._voice.report(error, "reading the accepted objects")

        self._executor.submit(work, done, failed)

    # -------------------------------------------------------------------- see
    @property
    def image_id(self) -> int | None:
        """The project's id of the picture, or None while nothing is accepted in it."""
        return self._image_id

    @property
    def kept_in(self) -> tuple[str, int] | None:
        """The folder of the project and its id of the picture, once it is in one."""
        project = self._desk.project
        if project is None or self._image_id is None:
            return None
        return str(project.path), self._image_id

    @property
    def stamp(self) -> tuple[object, ...]:
        """Differs whenever the objects of the picture may be others."""
        key = None if self._source is None else self._source.key
        return key, self._desk.project, self._image_id, self._revision

    @property
    def can_paint(self) -> bool:
        """Whether what was accepted here can be corrected with a brush."""
        return self.is_known and self._source is not None and not self._source.is_huge

    def count(self) -> int:
        """Return how many objects were accepted in this picture."""
        project = self._desk.project
        if project is None or self._image_id is None:
            return 0
        return project.n_objects(self._image_id)

    def summaries(self) -> list[ObjectSummary]:
        """Return what a list shows of the objects of this picture."""
        project = self._desk.project
        if project is None or self._image_id is None:
            return []
        return project.summaries(self._image_id)

    def colors(self) -> dict[int, str]:
        """Return the colour of the class of each object by its number, #rrggbb."""
        classes = {c.name: c.color for c in self._desk.class_records()}
        return {o.instance_id: classes[o.class_name] for o in self.summaries()}

    def next_color(self) -> str:
        """Return the colour of the class of the next object, #rrggbb."""
        classes = {c.name: c.color for c in self._desk.class_records()}
        return classes.get(self.class_name, PALETTE[0])

    def number_at(self, row: float, column: float) -> int:
        """Return the number of the object at a pixel, or 0."""
        r, c = round(row), round(column)
        if self.labels is None:
            return int(self.window(range(r, r + 1), range(c, c + 1)).max(initial=0))
        inside = 0 <= r < self.labels.shape[0] and 0 <= c < self.labels.shape[1]
        return int(self.labels[r, c]) if inside else 0

    def window(
        self, rows: range, columns: range, without: int | None = None
    ) -> NDArray[np.int32]:
        """Return some rows and columns of the label image, also of a huge picture.

        And what it would be without one of the objects.
        """
        project = self._desk.project
        if project is None or self._image_id is None:
            return np.zeros((len(rows), len(columns)), np.int32)
        return project.tiles.label_window(
            self._image_id, rows, columns, without=without
        )

    def highest_number(self) -> int:
        """Return the highest number of an object of this picture, or 0."""
        return max((summary.instance_id for summary in self.summaries()), default=0)

    def find(self, number: int) -> ObjectRecord | None:
        """Return the object of a number, or None."""
        return self.find_all([number]).get(number)

    def find_all(self, numbers: Sequence[int]) -> dict[int, ObjectRecord]:
        """Return the objects that there are of these numbers, in their order."""
        project = self._desk.project
        if project is None or self._image_id is None:
            return {}
        found = {
            record.instance_id: record
            for record in project.objects(self._image_id, instance_ids=numbers)
        }
        return {number: found[number] for number in numbers if number in found}

    def ids(self, numbers: Sequence[int]) -> dict[int, int]:
        """Return the ids of the objects that there are of these numbers."""
        project = self._desk.project
        if project is None or self._image_id is None:
            return {}
        there = project.ids(self._image_id)
        return {number: there[number] for number in numbers if number in there}

    # ----------------------------------------------------------------- choose
    def choose(self, numbers: Iterable[int]) -> None:
        """Choose these objects and no others."""
        chosen = tuple(dict.fromkeys(numbers))
        if chosen != self.chosen:
            self.chosen = chosen
            self.chosen_changed.emit()

    # ------------------------------------------------------------------- keep
    def follow(self, step: HistoryEntry | None, *, undone: bool = False) -> None:
        """Show the objects after a step of the journal was done or taken back.

        Without a step the labels are right already.
        """
        self._revision += 1
        project, labels = self._desk.project, self.labels
        if step is not None and step.classes:
            self._follow_classes(step, undone=undone)
        if step is not None and step.box is None and step.n_objects:
            # in several pictures; this one may be new to the project
            self._looked_up = None
            self.look_up()
            step = None
        if step is not None and step.box is not None and project and labels is not None:
            box = step.box
            if step.image_id == self._image_id:
                rows = slice(int(box.y0), int(box.y1) + 1)
                columns = slice(int(box.x0), int(box.x1) + 1)
                labels[rows, columns] = project.label_part(self._image_id, box)
                self._unsaved.lay_on(labels)
        if self.chosen:
            there = self.ids(self.chosen)
            self.choose(number for number in self.chosen if number in there)
        self.changed.emit()
        self._desk.changed.emit()

    def _follow_classes(self, step: HistoryEntry, *, undone: bool) -> None:
        """Let the class of the next object be one that there is, by its name of now."""
        for before, after in step.classes:
            was, now = (after, before) if undone else (before, after)
            # who adds a class has chosen it
            is_chosen = (
                step.action == "add_class"
                if was is None
                else was.name == self.class_name
            )
            if is_chosen and now is not None:
                self.class_name = now.name
        if self.class_name not in self._desk.classes():
            self._find_class()


def _find_objects(
    project: Project, pixels: NDArray[Any] | HugeImage, how: Preprocessing
) -> Found:
    """Return the project's record of a picture and its label image, None without.

    The same pixels with other channels are the same picture.
    """
    path = None
    if isinstance(pixels, HugeImage):
        digest, path = pixels.digest, pixels.path
    else:
        digest = content_hash(pixels)
    found = project.find_image(digest, path, how)
    if found is None:
        alike = (
            image
            for image in project.images()
            if image.content_hash == digest
            and image.preprocessing.model_copy(update={"channels": how.channels}) == how
        )
        found = next(alike, None)
    if found is None or found.is_huge:
        return found, None
    return found, project.label_image(found.id)
