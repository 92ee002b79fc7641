"""The lower half of the panel: fine-tuning, its course, and the versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_infosam._napari.continuous_switch import ContinuousSwitch
from napari_infosam._napari.curves import Curves
from napari_infosam._napari.keys import shown
from napari_infosam._napari.learning import STAGES, duration
from napari_infosam._napari.options_form import in_two_columns, options_form
from napari_infosam._napari.small_widgets import (
    Fold,
    allow,
    button,
    row,
    sentence,
    silently,
    tame,
)
from napari_infosam._napari.version_text import (
    base_entry,
    comparison,
    details,
    entry,
    saving,
    saving_details,
    stopping,
)
from napari_infosam._napari.version_tools import NONE_TRAINED, VersionTools

if TYPE_CHECKING:
    from napari_infosam._napari.continuous import Continuous
    from napari_infosam._napari.improvement import Improvement
    from napari_infosam._napari.session import Session

_SAVING_TIP = (
    "Before a version learns an object that you accepted, your own prompts are put to "
    "it and to the base: how many it takes until the answer has 0.85 IoU with the mask "
    "you accepted. A version is never tested on what it has learnt."
)
_SAVING = "<b><font size='+3'>{}</font> clicks per object</b>"
"""napari's style sheet decides over fonts, but not within a text."""

_CANCELLING = "The training is ending: it takes two seconds at the most."
_VERSION_ROWS = 4
_ID = Qt.ItemDataRole.UserRole


class LearnWidget(QWidget):
    """Shows and steers the learning side of a session.

    Parameters
    ----------
    session
        What decides.
    improvement
        What has become of the clicks.
    continuous
        What trains by itself.
    theme
        Name of napari's theme, for the curves.
    """

    def __init__(
        self,
        session: Session,
        improvement: Improvement,
        continuous: Continuous,
        theme: str,
    ) -> None:
        super().__init__()
        self._session = session
        self._improvement = improvement
        self._shown_active, self._shown_waits = "", False
        self.by_itself = ContinuousSwitch(continuous)
        self._build(theme)
        session.learning.changed.connect(self._show_run)
        session.desk.changed.connect(self._show_all)
        session.engine.changed.connect(self._on_engine)
        improvement.changed.connect(self._show_saving)
        self._show_all()
        self._show_saving()

    def close_down(self) -> None:
        """Stop listening."""
        self._session.learning.changed.disconnect(self._show_run)
        self._session.desk.changed.disconnect(self._show_all)
        self._session.engine.changed.disconnect(self._on_engine)
        self._improvement.changed.disconnect(self._show_saving)
        self.by_itself.close_down()

    # ----------------------------------------------------------------- build
    def _build(self, theme: str) -> None:
        desk, learning = self._session.desk, self._session.learning
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        self._build_saving(layout)
        self.finetune = button(
            "Fine-tune",
            "Let the model learn from everything you accepted, in the background",
            lambda: desk.trainer.finetune(),
        )
        self.finetune.setObjectName("finetune")
        self.cancel = button(
            "Cancel",
            "Stop the training within two seconds; what it reached is kept",
            learning.cancel,
        )
        self.resume = button(
            "Resume",
            "Go on with the training that was interrupted",
            desk.trainer.resume,
        )
        layout.addWidget(
            row(self.finetune, self.resume, self.cancel, stretch=(2, 1, 1))
        )
        layout.addWidget(self.by_itself)
        self.reason = sentence("reason")
        layout.addWidget(self.reason)
        self.bar = QProgressBar()
        self.bar.setTextVisible(True)
        self.bar.setToolTip("Where the present stage of the training is")
        layout.addWidget(self.bar)
        self.message = sentence("training_message")
        layout.addWidget(self.message)
        self.curves = Curves(theme)
        layout.addWidget(self.curves)
        self.outcome = sentence("outcome")
        layout.addWidget(self.outcome)
        self.notices = sentence("notices")
        self.notices.setToolTip("What the last training has said on its way")
        layout.addWidget(self.notices)
        self.comparison = sentence("comparison")
        layout.addWidget(self.comparison)
        self._build_versions(layout)
        layout.addWidget(self._advanced())

    def _build_saving(self, layout: QVBoxLayout) -> None:
        self.saving = sentence("saving")
        self.saving.setTextFormat(Qt.TextFormat.RichText)
        self.saving_details = sentence("saving_details")
        self.stopping = sentence("stopping")
        for label in (self.saving, self.saving_details, self.stopping):
            label.setToolTip(_SAVING_TIP)
            layout.addWidget(label)

    def _build_versions(self, layout: QVBoxLayout) -> None:
        self.versions = QListWidget()
        self.versions.setToolTip("All versions; double-click one to let it answer")
        self.versions.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.versions.setSizePolicy(
            QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed
        )
        self.versions.setHorizontalScrollBarPolicy(
            Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        )
        self.versions.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.versions.itemDoubleClicked.connect(self._activate_item)
        self.versions.currentItemChanged.connect(self._show_activate)
        layout.addWidget(self.versions)
        self.activate = button(
            "Use this version",
            "Let the chosen version answer from the next object on; "
            f"{shown('go_back')} goes back to the one before, and forth again",
            self._activate_chosen,
        )
        layout.addWidget(self.activate)
        self.tools = VersionTools(self._session)
        layout.addWidget(self.tools)

    def _advanced(self) -> QWidget:
        self.options = options_form(
            self._session.desk.trainer.options, self._take_options
        )
        rows = in_two_columns(self.options)
        for box in rows.findChildren(QComboBox):
            tame(box)
        self.advanced = Fold("Advanced", "How the model is trained", rows)
        return self.advanced

    # ------------------------------------------------------------------ show
    def _show_all(self) -> None:
        self._show_versions()
        self._show_run()

    def _show_run(self) -> None:
        learning, desk = self._session.learning, self._session.desk
        running, reason = learning.is_running, desk.trainer.why_not_finetune()
        allow(self.finetune, reason)
        self.reason.setText("" if running else reason)
        self.reason.setVisible(bool(reason) and not running)
        self.cancel.setVisible(running)
        ending = _CANCELLING if learning.is_cancelling else ""
        allow(self.cancel, ending if running else "No training is running.")
        self.tools.show_chosen(self._chosen_id())
        self.resume.setVisible(not running and desk.trainer.resumable is not None)
        allow(self.resume, desk.trainer.why_not_resume())
        self.bar.setVisible(running)
        self.message.setVisible(running)
        self.message.setText("\n".join([learning.message, *learning.notices]))
        self.outcome.setText(learning.outcome)
        self.outcome.setVisible(bool(learning.outcome))
        self.notices.setText("\n".join(learning.notices))
        self.notices.setVisible(bool(learning.notices) and not running)
        self.curves.setVisible(bool(learning.losses or learning.ious))
        self.curves.show_run(learning)
        self._show_progress()

    def _show_saving(self) -> None:
        figures = self._improvement.figures
        self.saving.setText(_SAVING.format(saving(figures)))
        self.saving.setVisible(bool(saving(figures)))
        self.saving_details.setText(saving_details(figures))
        self.saving_details.setVisible(bool(saving_details(figures)))
        self.stopping.setText(stopping(figures))
        self.stopping.setVisible(bool(stopping(figures)))

    def _show_progress(self) -> None:
        learning = self._session.learning
        self.bar.setMaximum(learning.steps)
        self.bar.setValue(learning.step)
        stage = STAGES.get(learning.stage, "Starting")
        left = learning.seconds_left
        eta = "" if left is None else f" · {duration(left)} left"
        self.bar.setFormat(f"{stage}{eta}")

    def _on_engine(self) -> None:
        """Show when the active version has begun to answer."""
        if bool(self._session.engine.next_version) != self._shown_waits:
            self._show_versions()

    def _show_versions(self) -> None:
        desk = self._session.desk
        active, records = desk.active_version, desk.versions()
        chosen = self._chosen_id() if active == self._shown_active else active
        self._shown_active = active
        waits = self._shown_waits = bool(self._session.engine.next_version)
        with silently(self.versions):
            self.versions.clear()
            for record in reversed(records):
                item = QListWidgetItem(entry(record, is_next=waits))
                item.setToolTip(details(record))
                item.setData(_ID, record.id)
                self.versions.addItem(item)
            base = QListWidgetItem(
                base_entry(active, pinned=desk.is_base_pinned, is_next=waits)
            )
            base.setToolTip(f"{desk.model_name} as it was before any training")
            base.setData(_ID, "base")
            self.versions.addItem(base)
            ids = [*(record.id for record in reversed(records)), "base"]
            wanted = chosen if chosen in ids else active
            self.versions.setCurrentRow(ids.index(wanted))
        rows = min(self.versions.count(), _VERSION_ROWS)
        height = max(self.versions.sizeHintForRow(0), 16)
        self.versions.setFixedHeight(rows * height + 6)
        self.versions.setVisible(bool(records))
        self.activate.setVisible(bool(records))
        self.tools.setVisible(bool(records))
        self.comparison.setText(comparison(active, records, is_next=waits))
        self.comparison.setVisible(bool(records))
        self._show_activate()

    def _show_activate(self, *_: object) -> None:
        chosen = self._chosen_id()
        active = self._session.desk.active_version
        reason = "" if chosen else NONE_TRAINED
        allow(
            self.activate, f"{active} answers already." if chosen == active else reason
        )
        self.activate.setText(f"Use {chosen}" if chosen else "Use this version")
        self.tools.show_chosen(chosen)

    def _chosen_id(self) -> str:
        """Return the version that is chosen; '' while there is the base alone."""
        item = self.versions.currentItem()
        if item is None or self.versions.count() == 1:
            return ""
        return str(item.data(_ID))

    # ---------------------------------------------------------------- choose
    def _activate_chosen(self) -> None:
        self._session.desk.activate(self._chosen_id())

    def _activate_item(self, item: QListWidgetItem) -> None:
        self._session.desk.activate(str(item.data(_ID)))

    def _take_options(self, values: dict[str, Any]) -> None:
        desk = self._session.desk
        desk.trainer.options = desk.trainer.options.model_copy(update=values)
