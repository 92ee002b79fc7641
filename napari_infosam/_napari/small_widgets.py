"""Small pieces the panels are built of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from qtpy.QtCore import QEvent, QObject, QSignalBlocker, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QKeyEvent, QPixmap, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QButtonGroup,
    QComboBox,
    QFrame,
    QGraphicsView,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QSlider,
    QVBoxLayout,
    QWidget,
)

_WHY_NOT = "why_not"
_OTHER_LOOKS = (QEvent.Type.FontChange, QEvent.Type.StyleChange)
_TURNED = (QComboBox, QAbstractSpinBox, QSlider)
"""What the wheel changes, without a click."""


def button(
    text: str, tip: str, on_click: Callable[[], None] | None = None
) -> QPushButton:
    """Return a push button.

    It takes the focus by Tab only, so that keys stay with the viewer after a click.
    """
    made = QPushButton(text)
    made.setToolTip(tip)
    made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    made.setMinimumWidth(40)
    if on_click is not None:
        made.clicked.connect(lambda: on_click())
    return made


def allow(widget: QWidget, why_not: str = "") -> None:
    """Enable a widget, or disable it and say why at the head of its tooltip.

    Parameters
    ----------
    widget
        Its tooltip says what it does.
    why_not
        One sentence with what helps; '' enables it.
    """
    head = widget.property(_WHY_NOT) or ""
    tip = widget.toolTip().removeprefix(f"{head}\n\n") if head else widget.toolTip()
    widget.setProperty(_WHY_NOT, why_not)
    widget.setToolTip(f"{why_not}\n\n{tip}" if why_not else tip)
    widget.setEnabled(not why_not)


def why_not(widget: QWidget) -> str:
    """Return why a widget is disabled, as `allow` was told; '' if it is not."""
    return str(widget.property(_WHY_NOT) or "")


def choice(tip: str, n_letters: int = 8) -> QComboBox:
    """Return a combo box that neither widens the panel nor keeps the keyboard."""
    made = QComboBox()
    made.setToolTip(tip)
    tame(made, n_letters)
    return made


def tame(box: QComboBox, n_letters: int = 8) -> None:
    """Keep a combo box from widening the panel and from keeping the keyboard.

    Parameters
    ----------
    box
        The combo box.
    n_letters
        How many letters of its text are to be seen at the least.
    """
    box.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    box.setSizeAdjustPolicy(
        QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
    )
    box.setMinimumContentsLength(n_letters)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)


def sentence(name: str = "") -> QLabel:
    """Return a label for sentences: it wraps, and can be copied from."""
    made = QLabel()
    _make_sentence(made, name)
    return made


def _make_sentence(label: QLabel, name: str) -> None:
    label.setObjectName(name)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)


class Roomy(QLabel):
    """A `sentence` with room for the longest of several, so that nothing moves below.

    Parameters
    ----------
    name
        Of the object.
    texts
        What it may show.
    """

    def __init__(self, name: str, texts: Iterable[str]) -> None:
        super().__init__()
        self._texts = tuple(texts)
        _make_sentence(self, name)
        self.setAlignment(Qt.AlignmentFlag.AlignTop)

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Take the height of the longest text at this width."""
        super().resizeEvent(event)
        self._take_height()

    def changeEvent(self, event: QEvent | None) -> None:
        """Take the height of the longest text in this font and style."""
        super().changeEvent(event)
        if event is not None and event.type() in _OTHER_LOOKS:
            self._take_height()

    def _take_height(self) -> None:
        shown, heights = self.text(), []
        for text in self._texts:
            self.setText(text)
            heights.append(self.heightForWidth(self.width()))
        self.setText(shown)
        self.setFixedHeight(max(heights))


def keep_room(widget: QWidget) -> None:
    """Keep the room of a widget while it is hidden, so that nothing moves below."""
    policy = widget.sizePolicy()
    policy.setRetainSizeWhenHidden(True)
    widget.setSizePolicy(policy)


def row(*widgets: QWidget, stretch: Sequence[int] = ()) -> QWidget:
    """Return widgets side by side."""
    made = QWidget()
    layout = QHBoxLayout(made)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for number, widget in enumerate(widgets):
        layout.addWidget(widget, stretch[number] if stretch else 0)
    return made


class Toggles(QWidget):
    """Buttons of which exactly one is down.

    Parameters
    ----------
    options
        (text, tooltip) of each button.
    on_choose
        Called with the number of the button that a person presses.

    Attributes
    ----------
    buttons
        The buttons in their order.
    """

    def __init__(
        self, options: Sequence[tuple[str, str]], on_choose: Callable[[int], None]
    ) -> None:
        super().__init__()
        self.buttons: list[QPushButton] = []
        group = QButtonGroup(self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for number, (text, tip) in enumerate(options):
            made = button(text, tip)
            made.setCheckable(True)
            self.buttons.append(made)
            group.addButton(made, number)
            layout.addWidget(made, 1)
        group.idClicked.connect(on_choose)

    def show_choice(self, number: int) -> None:
        """Show which one is down."""
        self.buttons[number].setChecked(True)


_SLACK = 4
"""Pixels that are left free, since heights are rounded."""


class Fold(QWidget):
    """A part of a panel below a button that folds it away.

    Parameters
    ----------
    title, tip
        Of the button.
    content
        What is folded away at first.

    Attributes
    ----------
    button
        What a person presses.
    is_settled
        Whether it was folded or unfolded otherwise than by `fit`.
    """

    folded = Signal()
    """It was folded or unfolded."""

    def __init__(self, title: str, tip: str, content: QWidget) -> None:
        super().__init__()
        self._title = title
        self._content = content
        self._is_fitting = self.is_settled = False
        self.button = button("", tip)
        self.button.setCheckable(True)
        self.button.toggled.connect(self._on_toggled)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.button)
        layout.addWidget(content)
        self._show_content(False)

    @property
    def is_open(self) -> bool:
        """Whether the content is in sight."""
        return self.button.isChecked()

    @is_open.setter
    def is_open(self, value: bool) -> None:
        self.button.setChecked(value)

    def fit(self, n_free: int, *, wanted: bool = True) -> None:
        """Unfold if there is room, until a person has folded or unfolded it.

        Parameters
        ----------
        n_free
            Height in pixels that the panel does not need.
        wanted
            Whether the content is worth the room.
        """
        if self.is_settled:
            return
        n_own = self._content.sizeHint().height()
        free = n_free + (n_own if self.is_open else 0)
        self._is_fitting = True
        self.is_open = wanted and free >= n_own + _SLACK
        self._is_fitting = False

    def set_title(self, title: str) -> None:
        """Change what the button says."""
        self._title = title
        arrow = (
            "\N{BLACK DOWN-POINTING SMALL TRIANGLE}"
            if self.is_open
            else "\N{BLACK RIGHT-POINTING SMALL TRIANGLE}"
        )
        self.button.setText(f"{arrow} {title}")

    def _show_content(self, is_open: bool) -> None:
        self._content.setVisible(is_open)
        self.set_title(self._title)

    def _on_toggled(self, is_open: bool) -> None:
        self.is_settled = self.is_settled or not self._is_fitting
        self._show_content(is_open)
        self.folded.emit()


class NameField(QLineEdit):
    """A line to type a name in; Enter and Esc end here and reach nobody else."""

    escaped = Signal()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Keep the keys that a plain line edit passes on to its parents."""
        super().keyPressEvent(event)
        if event is None:
            return
        if event.key() == Qt.Key.Key_Escape:
            self.escaped.emit()
        event.accept()


class TallArea(QScrollArea):
    """Scrolls its content up and down; as wide as the area, as high as it needs.

    A plain scroll area asks wrapped text for its height at the least width, which
    leaves an empty stretch below. The wheel always scrolls it: in passing it would
    choose another model in a combo box, and stop at a plot. Keys are left to the
    viewer, where Page Down opens the next image.

    Parameters
    ----------
    content
        What is scrolled, with all that is in it.
    """

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(content)
        content.installEventFilter(self)
        self._passed: list[QWidget | None] = [
            *(widget for kind in _TURNED for widget in content.findChildren(kind)),
            *(view.viewport() for view in content.findChildren(QGraphicsView)),
        ]
        for widget in self._passed:
            if widget is not None:
                widget.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Adapt the height to another layout, and take the wheel for scrolling."""
        if event is None or watched is None:
            return False
        if event.type() == QEvent.Type.LayoutRequest and watched is self.widget():
            self._adapt()
        elif event.type() == QEvent.Type.Wheel and watched in self._passed:
            return QApplication.sendEvent(self.verticalScrollBar(), event)
        return super().eventFilter(watched, event)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Scroll by no key, so that all are the viewer's after a click in the panel."""
        if event is not None:
            event.ignore()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Adapt the height to the new width."""
        super().resizeEvent(event)
        self._adapt()

    def _adapt(self) -> None:
        content, port = self.widget(), self.viewport()
        layout = None if content is None else content.layout()
        bar = self.verticalScrollBar()
        if content is None or layout is None or port is None or bar is None:
            return
        content.setMinimumHeight(layout.totalHeightForWidth(port.width()))
        needed = content.minimumSizeHint().width() + bar.sizeHint().width()
        self.setMinimumWidth(needed)


@contextmanager
def silently(*objects: QObject) -> Iterator[None]:
    """Change widgets without taking it for a choice of the person."""
    blockers = [QSignalBlocker(thing) for thing in objects]
    try:
        yield
    finally:
        for blocker in blockers:
            blocker.unblock()


def swatch(color: str, side: int = 12) -> QIcon:
    """Return a square of one colour, so many pixels wide."""
    picture = QPixmap(side, side)
    picture.fill(QColor(color))
    return icon_of(picture)


def icon_of(picture: QPixmap) -> QIcon:
    """Return an icon that a selected row does not tint."""
    icon = QIcon(picture)
    icon.addPixmap(picture, QIcon.Mode.Selected)
    return icon
