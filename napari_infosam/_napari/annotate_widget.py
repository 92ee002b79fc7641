"""The upper half of the panel: image, project, prompts, accept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QMenu,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_infosam._napari.channels_dialog import why_no_channels
from napari_infosam._napari.class_widget import ClassWidget
from napari_infosam._napari.keys import shown
from napari_infosam._napari.meaning_widget import MeaningWidget
from napari_infosam._napari.objects_widget import ObjectsWidget
from napari_infosam._napari.places import SUFFIX, free_project
from napari_infosam._napari.preferences import MODELS
from napari_infosam._napari.propagate_widget import PropagateWidget
from napari_infosam._napari.proposals_widget import ProposalsWidget
from napari_infosam._napari.small_widgets import (
    Toggles,
    allow,
    button,
    choice,
    row,
    sentence,
    silently,
)
from napari_infosam.core.words import counted

if TYPE_CHECKING:
    from napari_infosam._napari.session import Session
    from napari_infosam._napari.viewer_link import ViewerLink

_FROM_FILE = "Weights file …"
_POINTS, _BOX, _PAINT, _OFF = range(4)


class AnnotateWidget(QWidget):
    """Shows and steers the annotation side of a session.

    Parameters
    ----------
    session
        What decides.
    link
        The session's hold on the viewer.
    """

    preferences_wanted = Signal()
    channels_wanted = Signal()
    import_wanted = Signal()
    export_wanted = Signal()

    def __init__(self, session: Session, link: ViewerLink) -> None:
        super().__init__()
        self._session = session
        self._link = link
        self._build()
        session.engine.changed.connect(self._show_model)
        link.together.changed.connect(self._show_prompts)
        session.objects_changed.connect(self._show_counts)
        session.desk.changed.connect(self._show_project)
        link.images_changed.connect(self._show_images)
        link.tool.changed.connect(self._show_tool)
        link.proposals.changed.connect(self._show_undo)
        self._show_model()
        self._show_project()
        self._show_images()
        self._show_tool()

    def close_down(self) -> None:
        """Stop listening."""
        self.classes.close_down()
        self.objects.close_down()
        self.many.close_down()
        self.meaning.close_down()
        self.propagate.close_down()
        self._session.engine.changed.disconnect(self._show_model)
        self._link.together.changed.disconnect(self._show_prompts)
        self._session.objects_changed.disconnect(self._show_counts)
        self._session.desk.changed.disconnect(self._show_project)
        self._link.images_changed.disconnect(self._show_images)
        self._link.tool.changed.disconnect(self._show_tool)
        self._link.proposals.changed.disconnect(self._show_undo)

    # ----------------------------------------------------------------- build
    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(4)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        layout.addLayout(form)
        self._build_model(form)
        self._build_project(form)
        self.classes = ClassWidget(self._session)
        form.addRow("Class", self.classes)
        layout.addWidget(self._prompt_modes())
        self.meaning = MeaningWidget(self._session, self._link.together)
        layout.addWidget(self.meaning)
        self.propagate = PropagateWidget(self._session, self._link)
        layout.addWidget(self.propagate)
        layout.addWidget(self._decisions())
        self.many = ProposalsWidget(self._session, self._link)
        layout.addWidget(self.many)
        self.counts = sentence("counts")
        layout.addWidget(self.counts)
        self.objects = ObjectsWidget(self._session, self._link)
        layout.addWidget(self.objects)

    def _build_model(self, form: QFormLayout) -> None:
        self.model = choice(
            "The model that segments. vit_t ships with the plugin and is quick on "
            "any computer; the others are larger and are downloaded once."
        )
        for name, title in MODELS.items():
            self.model.addItem(title, name)
        self.model.addItem(_FROM_FILE, None)
        self.model.activated.connect(self._on_model_chosen)
        form.addRow("Model", self.model)
        self.model_line = QElidingLabel()
        self.cancel_download = button(
            "Cancel",
            "Stop the download; what is there already is kept",
            self._session.engine.cancel_loading,
        )
        form.addRow("", row(self.model_line, self.cancel_download, stretch=(1, 0)))
        self.image = choice(
            "The image that is annotated: the one selected last in the layer list. "
            "Of a stack it is the slice in view."
        )
        self.image.activated.connect(self._on_image_chosen)
        self.channels = button(
            "Channels", "Which channels the model sees", self.channels_wanted.emit
        )
        form.addRow("Image", row(self.image, self.channels, stretch=(1, 0)))

    def _build_project(self, form: QFormLayout) -> None:
        self.project = QElidingLabel()
        self.project.setElideMode(Qt.TextElideMode.ElideMiddle)
        self.project_menu = button(
            "More", "Open or make a project; import and export objects"
        )
        menu = QMenu(self.project_menu)
        self.new_project = menu.addAction("New project …", self._ask_new_project)
        self.open_project = menu.addAction("Open project …", self._ask_open_project)
        menu.addSeparator()
        menu.addAction("Import objects …", self.import_wanted.emit)
        menu.addAction("Export objects …", self.export_wanted.emit)
        self.project_menu.setMenu(menu)
        form.addRow("Project", row(self.project, self.project_menu, stretch=(1, 0)))
        self.other_project = button(
            "Make another project",
            "Work in a new project beside the one that can not be opened",
            self._make_other_project,
        )
        form.addRow("", self.other_project)

    def _prompt_modes(self) -> QWidget:
        self.mode = Toggles(
            (
                ("Points", f"Click on the object ({shown('points')})"),
                ("Box", f"Drag a box around the object ({shown('box')})"),
                (
                    "Paint",
                    "Paint the object roughly with napari's brush; the model draws "
                    f"its edge ({shown('paint')})",
                ),
                ("Off", "Clicks do nothing; napari as without the plugin"),
            ),
            self._on_mode_chosen,
        )
        self.polarity = Toggles(
            (
                (
                    "+ Object",
                    "A click says: this belongs to the object "
                    f"({shown('polarity')} switches)",
                ),
                (
                    "\N{MINUS SIGN} Background",
                    "A click says: this does not belong to the object "
                    f"({shown('polarity')} switches). Right-click, Shift-click and "
                    "Ctrl-click always do the opposite of a plain click.",
                ),
            ),
            self._on_polarity_chosen,
        )
        made = QWidget()
        layout = QVBoxLayout(made)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.mode)
        layout.addWidget(self.polarity)
        return made

    def _decisions(self) -> QWidget:
        actions = self._link.actions
        self.accept = button(
            "Accept",
            f"Keep the proposal as an object, on disk at once ({shown('accept')})",
            actions["accept"],
        )
        self.reject = button(
            "Reject",
            f"Clear the proposal and its prompts ({shown('clear')})",
            actions["clear"],
        )
        self.undo = button(
            "Undo",
            f"Take back what was done last ({shown('undo')})",
            actions["undo"],
        )
        self.redo = button("Redo", f"Do it again ({shown('redo')})", actions["redo"])
        self.keys = button("Keys", f"All keys ({shown('help')})", actions["help"])
        self.preferences = button(
            "Settings",
            "Device, model, folders, and other things that are remembered",
            self.preferences_wanted.emit,
        )
        made = QWidget()
        layout = QVBoxLayout(made)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(row(self.accept, self.reject, stretch=(1, 1)))
        layout.addWidget(row(self.undo, self.redo, self.keys, self.preferences))
        return made

    # ------------------------------------------------------------------ show
    def _show_model(self) -> None:
        name, engine = self._session.desk.model_name, self._session.engine
        with silently(self.model):
            known = self.model.findData(name)
            if known < 0:
                self.model.insertItem(len(MODELS), Path(name).name, name)
                known = len(MODELS)
            self.model.setCurrentIndex(known)
        state = self._model_sentence()
        self.model_line.setText(state)
        self.model_line.setToolTip(
            f"Which version of the model answers, and where: {state}"
        )
        is_downloading = engine.loading.startswith("Downloading")
        none = "Nothing is being downloaded."
        allow(self.cancel_download, "" if is_downloading else none)
        self.cancel_download.setVisible(is_downloading)
        self._show_prompts()

    def _model_sentence(self) -> str:
        engine = self._session.engine
        if engine.loading:
            return engine.loading
        if engine.model is None:
            return engine.load_error or "No model is loaded."
        where = {"cpu": "CPU", "cuda": "GPU", "mps": "Apple GPU"}
        device = where.get(engine.model.device.type, str(engine.model.device))
        if engine.next_version:
            return f"{engine.model.version} answers; {engine.next_version} next"
        return f"{engine.model.version} answers, on the {device}"

    def _show_images(self) -> None:
        images = self._link.images()
        with silently(self.image):
            self.image.clear()
            for layer in images:
                self.image.addItem(layer.name)
            if self._link.image is not None:
                place = [layer == self._link.image for layer in images].index(True)
                self.image.setCurrentIndex(place)
        none = "There is no image: File > Open Sample > InfoSAM has some."
        allow(self.image, "" if images else none)
        allow(self.channels, why_no_channels(self._link))
        allow(self.mode.buttons[_PAINT], self._link.why_not_paint())
        self._show_project()

    def _show_project(self) -> None:
        desk = self._session.desk
        path = desk.path
        self.project.setText(path.stem)
        made = "" if desk.project else " (made with the first accepted object)"
        self.project.setToolTip(f"{path}{made}")
        is_refused = desk.refused is not None
        can_open = "No project was refused: choose New project to work in another one."
        allow(self.other_project, "" if is_refused else can_open)
        self.other_project.setVisible(is_refused)
        self._show_counts()
        self._show_prompts()

    def _show_counts(self) -> None:
        self.counts.setText(self._counts_sentence())
        self._show_undo()

    def _counts_sentence(self) -> str:
        project = self._session.desk.project
        if project is None or not project.n_objects():
            return "Nothing accepted yet."
        total, n_images = project.n_objects(), project.n_images_with_objects()
        images = counted(n_images, "image")
        here, objects = self._session.objects_here(), self._session.objects
        if not here and not objects.is_known and self._session.source is not None:
            return f"looking here …, {total} in {images}"
        return f"{counted(here)} here, {total} in {images}"

    def _show_prompts(self) -> None:
        session = self._session
        allow(self.accept, session.why_not_acceptable())
        nothing = "There are no prompts to clear: click on an object first."
        allow(self.reject, "" if session.prompts else nothing)
        self._show_undo()

    def _show_undo(self) -> None:
        undone = "Nothing was done yet that could be taken back."
        allow(self.undo, "" if self._link.many.can_undo else undone)
        redone = "Nothing was taken back since the last change."
        allow(self.redo, "" if self._link.many.can_redo else redone)

    def _show_tool(self) -> None:
        tool = self._link.tool
        mode = _BOX if tool.boxing else _POINTS
        if tool.painting:
            mode = _PAINT
        if not tool.active:
            mode = _OFF
        self.mode.show_choice(mode)
        self.polarity.show_choice(int(tool.negative))
        off = "Clicks are napari's at the moment: press Points or Box first."
        for made in self.polarity.buttons:
            allow(made, "" if tool.active else off)

    # ---------------------------------------------------------------- choose
    def _on_mode_chosen(self, number: int) -> None:
        if number == _OFF:
            self._link.tool.active = False
        elif number == _BOX:
            self._link.use_box()
        elif number == _PAINT:
            self._link.use_paint()
        else:
            self._link.use_points()

    def _on_polarity_chosen(self, number: int) -> None:
        self._link.tool.negative = bool(number)

    def _on_image_chosen(self, number: int) -> None:
        self._link.choose(self._link.images()[number])

    def _on_model_chosen(self, number: int) -> None:
        name = self.model.itemData(number)
        if name is None:
            name, _ = QFileDialog.getOpenFileName(
                self, "Weights file", "", "Weights (*.safetensors *.pt *.pth)"
            )
        if name:
            self._session.desk.set_model(name)
        self._show_model()

    def _ask_new_project(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self,
            "New project",
            str(free_project(self._session.desk.path)),
            f"InfoSAM projects (*{SUFFIX})",
        )
        if path:
            self._session.desk.new(Path(path).with_suffix(SUFFIX))

    def _ask_open_project(self) -> None:
        path = QFileDialog.getExistingDirectory(
            self, "Open project: choose its folder", str(self._session.desk.path.parent)
        )
        if path:
            self._session.desk.open(Path(path))

    def _make_other_project(self) -> None:
        refused = self._session.desk.refused
        if refused is not None:
            self._session.desk.choose(free_project(refused))
