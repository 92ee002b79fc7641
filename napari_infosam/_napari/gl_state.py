"""Keeps a deleted layer from taking the window with it."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget
from vispy.gloo import gl

_ATTRIBUTES = 16
"""What every OpenGL has at least."""


def forget_vertex_arrays(window: QWidget) -> None:
    """Switch off all vertex arrays of a window's canvases; call it between draws.

    vispy leaves the arrays of its point markers switched on. Once the last layer
    that draws markers (points or shapes) is deleted, they lead into freed memory,
    and the next draw of any other layer dies there of a segmentation fault. Every
    program switches on what it needs before it draws.
    """
    for canvas in window.findChildren(QWidget):
        # a QOpenGLWidget, which lives in another module in Qt 5 than in Qt 6
        make_current = getattr(canvas, "makeCurrent", None)
        if make_current is None or not canvas.isValid():
            continue
        make_current()
        for number in range(_ATTRIBUTES):
            gl.glDisableVertexAttribArray(number)
        canvas.doneCurrent()
