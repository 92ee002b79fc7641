"""A session without a window, and a window that is used by mouse and keyboard."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from napari_infosam._napari.safe_import import prepare_torch
from napari_infosam._napari.session import Session

from .helpers import AtOnce, picture, source

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from numpy.typing import NDArray
    from pytestqt.qtbot import QtBot

    from .window import Window

HERE = Path(__file__).parent
WINDOW_FIXTURES = {"qtbot", "open_window", "make_napari_viewer"}
IGNORED = (
    # of napari and its libraries, not of ours
    "ignore:napari support for the PyQt5 backend",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out the window tests where there is no display to show one."""
    displays = {"DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"} & set(os.environ)
    blind = sys.platform.startswith("linux") and not displays
    for item in items:
        if HERE not in item.path.parents:
            continue
        if not WINDOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            continue
        for rule in IGNORED:
            item.add_marker(pytest.mark.filterwarnings(rule))
        if blind:
            item.add_marker(pytest.mark.skip(reason="no display: use xvfb-run"))


@pytest.fixture(scope="session", autouse=True)
def _one_base_model() -> Iterator[None]:
    """Load the base model once, and embed no picture twice; all of it is real."""
    prepare_torch()
    import napari.window  # noqa: F401 (and all that windows share)

    import napari_infosam.models as models
    from napari_infosam._napari import widget
    from napari_infosam.models import loading

    real = loading.load_model
    memory = models.EmbeddingCache()

    @cache
    def bundled(device: str) -> Any:
        return real("vit_t", device)

    def load_model(name: str = "vit_t", device: str = "auto", **callbacks: Any) -> Any:
        return bundled(device) if name == "vit_t" else real(name, device, **callbacks)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "load_model", load_model)
        patch.setattr(loading, "load_model", load_model)
        patch.setattr(models, "EmbeddingCache", lambda *_: memory)
        # what `LongLived` does in each window is done once for all tests
        patch.setattr(widget, "LongLived", Mock())
        bundled("auto")
        gc.collect()
        gc.freeze()
        yield
        gc.unfreeze()


@pytest.fixture
def own_garbage(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each window set aside what is there, as in use; ask for it first."""
    from napari_infosam._napari import long_lived, widget

    monkeypatch.setattr(widget, "LongLived", long_lived.LongLived)
    # what hundreds of tests before have left is not looked through in the middle of one
    gc.collect()
    gc.freeze()
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where projects are made by themselves."""
    folder = tmp_path / "projects"
    monkeypatch.setenv("INFOSAM_PROJECTS", str(folder))
    return folder


@pytest.fixture
def executor() -> AtOnce:
    return AtOnce()


@pytest.fixture
def session(executor: AtOnce) -> Iterator[Session]:
    """Return a session that looks at `picture` and works at once."""
    made = Session(executor)
    made.start()
    made.set_image(source(picture()))
    yield made
    made.close()


@pytest.fixture
def said(session: Session) -> list[tuple[str, bool]]:
    """Return what the session says, as it goes on."""
    sentences: list[tuple[str, bool]] = []
    session.voice.said.connect(lambda text, failed: sentences.append((text, failed)))
    return sentences


@pytest.fixture
def open_window(
    qtbot: QtBot, make_napari_viewer: Callable[..., Viewer]
) -> Iterator[Callable[..., Window]]:
    """Return a function that opens a window on images, given as (name, pixels)."""
    from napari_infosam._napari.preferences import Preferences

    from .window import Window

    opened: list[Window] = []

    def open_on(*images: tuple[str, NDArray[Any]], **settings: Any) -> Window:
        viewer = make_napari_viewer(show=True)
        for name, pixels in images:
            viewer.add_image(pixels, name=name, **settings)
        opened.append(Window(qtbot, viewer))
        return opened[-1]

    yield open_on
    for window in opened:
        window.panel.close_down()
    opened.clear()
    # the next test has a new installation before it
    preferences = Preferences()
    preferences.restore()
    preferences.close()


@pytest.fixture
def window(open_window: Callable[..., Window]) -> Window:
    """Return a window on `picture`, ready to be clicked in."""
    made = open_window(("discs", picture()))
    made.wait_ready()
    return made
