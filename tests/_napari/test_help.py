"""Keys are shown, buttons explain themselves, disabled ones say what is missing."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractScrollArea,
    QAbstractSpinBox,
    QComboBox,
    QDialogButtonBox,
    QLineEdit,
    QWidget,
)

from napari_infosam._napari.help_dialog import HelpDialog, groups
from napari_infosam._napari.keys import KEYS, MOUSE, shown
from napari_infosam._napari.small_widgets import allow, why_not

from .helpers import DISCS, picture
from .window import Window

OpenWindow = Callable[..., Window]
Key = Qt.Key
CONTROLS = (QAbstractButton, QComboBox, QAbstractSpinBox)


def controls(window: Window) -> list[QWidget]:
    """Return everything in the panel that can be pressed or chosen."""
    found = [w for kind in CONTROLS for w in window.panel.findChildren(kind)]
    return [w for w in found if not inner(w)]


def inner(widget: QWidget) -> bool:
    """Return whether Qt made a widget as a part of another one."""
    outer = (QLineEdit, QAbstractSpinBox, QComboBox, QAbstractScrollArea)
    return isinstance(widget.parentWidget(), outer)


def check_controls(window: Window) -> None:
    for widget in controls(window):
        name = getattr(widget, "text", widget.objectName)()
        assert widget.toolTip(), f"{type(widget).__name__} {name!r} has no tooltip"
        if not widget.isEnabled():
            reason = why_not(widget)
            assert reason.endswith("."), f"{name!r} does not say why it is disabled"
            assert widget.toolTip().startswith(reason)


def test_every_control_has_a_tooltip_and_says_why_it_is_disabled(
    open_window: OpenWindow,
) -> None:
    window = open_window()
    window.panel.learn.advanced.is_open = True
    window.panel.annotate.objects.section.is_open = True
    check_controls(window)  # without an image
    window.viewer.add_image(picture(), name="discs")
    window.wait_ready()
    disabled = [w for w in controls(window) if not w.isEnabled()]
    assert window.panel.annotate.accept in disabled
    assert "click on an object" in window.panel.annotate.accept.toolTip()
    check_controls(window)
    window.accept_at(*DISCS[:2])
    check_controls(window)
    window.press(window.panel.annotate.mode.buttons[-1])
    assert not window.panel.annotate.polarity.buttons[0].isEnabled()
    check_controls(window)


def test_a_reason_goes_when_the_widget_is_enabled(window: Window) -> None:
    accept = window.panel.annotate.accept
    before = accept.toolTip()
    reason = why_not(accept)
    allow(accept, "It rains.")
    assert accept.toolTip() == before.replace(reason, "It rains.")
    assert not accept.isEnabled()
    allow(accept)
    assert accept.toolTip() == before.removeprefix(f"{reason}\n\n")
    assert accept.isEnabled()


def test_the_list_of_keys_is_complete_and_low_enough(window: Window) -> None:
    rows = [row for _, part in groups() for row in part]
    assert len(rows) == len(KEYS) + len(MOUSE)
    window.key(Key.Key_F1)
    (dialog,) = window.panel.findChildren(HelpDialog)
    for key in KEYS:
        assert f"<b>{shown(key.action)}</b>" in dialog.text()
        assert key.says in dialog.text()
    bars = dialog.area.horizontalScrollBar(), dialog.area.verticalScrollBar()
    window.wait(lambda: not bars[0].isVisible(), 10)
    assert dialog.height() < 700
    # all of it is seen at a glance
    window.wait(lambda: not bars[1].isVisible(), 10)

    # one can work beside it, and it is not opened twice
    window.click(*DISCS[0])
    assert window.n_points == 1
    window.press(window.panel.annotate.keys)
    assert window.panel.findChildren(HelpDialog) == [dialog]
    close = dialog.findChild(QDialogButtonBox).buttons()[0]
    window.press(close)
    window.wait(lambda: not window.panel.findChildren(HelpDialog))
