from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.shortcuts import default_shortcuts

from napari_infosam._napari.image_source import source_of
from napari_infosam._napari.keys import KEYS, shown
from napari_infosam._napari.learning import duration
from napari_infosam._napari.options_form import in_two_columns, options_form
from napari_infosam._napari.outlines import dash_outlined, outlined
from napari_infosam._napari.places import default_project, free_project
from napari_infosam._napari.safe_import import prepare_torch
from napari_infosam._napari.voice import Voice
from napari_infosam.core.errors import InfosamError
from napari_infosam.core.options import Distill, FinetuneOptions, Method

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot


def test_a_plain_image_is_one_picture() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.arange(12).reshape(3, 4), name="plain")
    source = source_of(layer, viewer.dims)
    assert (source.name, source.shape, source.slice_index) == ("plain", (3, 4), ())
    np.testing.assert_array_equal(source.read(), layer.data)


def test_what_was_read_does_not_change_with_the_layer() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((3, 4)))
    pixels = source_of(layer, viewer.dims).read()
    layer.data[:] = 1
    assert pixels.max() == 0


@pytest.mark.parametrize("rgb", [False, True])
def test_of_a_stack_the_slice_in_view_is_taken(rgb: bool) -> None:
    data = np.random.default_rng(0).integers(0, 255, (5, 2, 6, 7) + (3,) * rgb)
    viewer = ViewerModel()
    layer = viewer.add_image(data, rgb=rgb, scale=(2, 1, 0.5, 0.5), name="stack")
    viewer.dims.set_current_step((0, 1), (3, 1))
    source = source_of(layer, viewer.dims)
    assert source.slice_index == (3, 1)
    assert source.name == "stack [3, 1]"
    assert source.shape == (6, 7)
    np.testing.assert_array_equal(source.read(), data[3, 1])


def test_a_lazy_multiscale_image_is_read_at_full_size() -> None:
    da = pytest.importorskip("dask.array")
    full = da.random.default_rng(0).integers(0, 255, (4, 64, 64))
    viewer = ViewerModel()
    layer = viewer.add_image([full, full[:, ::2, ::2]], multiscale=True)
    viewer.dims.set_current_step(0, 2)
    source = source_of(layer, viewer.dims)
    np.testing.assert_array_equal(source.read(), np.asarray(full[2]))


def test_a_view_that_shows_no_plane_is_refused() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((5, 6, 7)))
    viewer.dims.order = (1, 0, 2)
    with pytest.raises(InfosamError, match="last two axes"):
        source_of(layer, viewer.dims)
    viewer.dims.order = (0, 1, 2)
    viewer.dims.ndisplay = 3
    with pytest.raises(InfosamError, match="2D"):
        source_of(layer, viewer.dims)


def test_what_is_offered_is_dashed_along_its_edge() -> None:
    part = np.ones((40, 20), bool)
    picture = dash_outlined(part, 2)
    assert (picture[2:-2, 2:-2] == 1).all()
    along = picture[0]
    assert set(along.tolist()) == {2, 3}
    lengths = np.diff(np.flatnonzero(np.diff(along)))
    assert lengths.max() <= 12
    tiny = dash_outlined(np.ones((1, 1), bool), 1)
    assert tiny.item() in (2, 3)


def test_a_proposal_is_filled_and_outlined() -> None:
    mask = np.zeros((9, 9), bool)
    mask[2:7, 2:7] = True
    picture = outlined(mask)
    np.testing.assert_array_equal(picture > 0, mask)
    np.testing.assert_array_equal(picture == 1, np.pad(np.ones((3, 3), bool), 3))
    # the border of the picture is an edge of what touches it on the inside only
    assert (outlined(np.ones((5, 5), bool)) == 1).all()


def test_no_key_is_one_of_napari_s_digits_or_used_twice() -> None:
    keys = [key for row in KEYS for key in row.keys]
    assert len(set(keys)) == len(keys)
    assert not any(key.isdigit() for key in keys)
    # what works in every napari window goes on to work
    of_viewer = {
        str(binding).replace("Ctrl", "Control").replace("+", "-")
        for name in (
            "console_visibility",
            "ndisplay",
            "theme",
            "grid",
            "selected_visibility",
            "unselected_visibility",
        )
        for binding in default_shortcuts[f"napari:toggle_{name}"]
    }
    assert not of_viewer & set(keys)
    assert shown("redo") == "Ctrl+Shift+Z"


def test_times_are_said_as_people_do() -> None:
    assert duration(45.4) == "45 s"
    assert duration(125) == "2 min 5 s"
    assert duration(300) == "5 min"


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("coins", "coins.infosam"),
        ("a/b:c*", "a_b_c.infosam"),
        ("../..", "untitled.infosam"),
        ("Zelle Ä1 (2)", "Zelle Ä1 (2).infosam"),
    ],
)
def test_projects_are_named_after_images(name: str, file: str, projects: Path) -> None:
    assert default_project(name) == projects / file


def test_a_free_place_is_found(projects: Path) -> None:
    (projects / "a.infosam").mkdir(parents=True)
    assert free_project(projects / "a.infosam") == projects / "a 2.infosam"


def test_a_bug_is_one_sentence_with_its_traceback_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    voice = Voice()
    said: list[tuple[str, bool]] = []
    voice.said.connect(lambda text, failed: said.append((text, failed)))
    with voice.guard("counting"):
        raise ZeroDivisionError("by zero")
    assert said[0][1]
    assert "while counting" in said[0][0]
    assert "Traceback" in caplog.text


def test_a_lack_of_memory_names_the_ways_out(caplog: pytest.LogCaptureFixture) -> None:
    voice = Voice()
    said: list[str] = []
    voice.said.connect(lambda text, _failed: said.append(text))
    with voice.guard("looking at cells.tif"):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    assert said == [
        "There was not enough memory while looking at cells.tif: cancel a training "
        "that runs, close other programs, or choose the CPU in the preferences."
    ]
    assert "Traceback" in caplog.text


def test_triton_is_loaded_apart_once() -> None:
    import sys

    flags = sys.getdlopenflags() if hasattr(sys, "getdlopenflags") else None
    prepare_torch()
    prepare_torch()
    if flags is not None:
        assert sys.getdlopenflags() == flags


def test_work_comes_back_in_the_window_s_thread(qtbot) -> None:  # type: ignore[no-untyped-def]
    from napari_infosam._napari.workers import ThreadExecutor

    executor = ThreadExecutor()
    threads, errors = [], []
    executor.submit(
        threading.get_ident, lambda there: threads.append(there), errors.append
    )
    executor.submit(
        lambda: 1 // 0,
        threads.append,
        lambda e: errors.append((e, threading.get_ident())),
    )
    qtbot.waitUntil(lambda: len(errors) == 1)
    assert threads[0] != threading.get_ident()
    assert isinstance(errors[0][0], ZeroDivisionError)
    assert errors[0][1] == threading.get_ident()
    executor.close()


def test_what_comes_after_closing_is_dropped(qtbot) -> None:  # type: ignore[no-untyped-def]
    from napari_infosam._napari.workers import ThreadExecutor

    executor = ThreadExecutor()
    may, began, results = threading.Event(), threading.Event(), []

    def work() -> None:
        began.set()
        may.wait(10)

    executor.submit(work, results.append, results.append)
    executor.submit(lambda: None, results.append, results.append)
    assert began.wait(10)
    executor.close()
    may.set()
    names = {"InfoSAM"}
    qtbot.waitUntil(
        lambda: not names & {thread.name for thread in threading.enumerate()}
    )
    assert results == []


@pytest.mark.parametrize("method", get_args(Method))
def test_every_method_can_be_chosen_and_is_what_is_trained(
    qtbot: QtBot, method: str
) -> None:
    taken: list[dict[str, Any]] = []
    form = options_form(FinetuneOptions(), taken.append)
    qtbot.addWidget(form.native)
    form["method"].value = "lora" if method == "adapter" else "adapter"
    form["method"].value = method
    options = FinetuneOptions().model_copy(update=taken[-1])
    assert options.method == method
    assert ("full" in options.stages) == (method != "decoder")


def test_fields_are_below_one_another_however_labels_are_styled(qtbot: QtBot) -> None:
    form = options_form(FinetuneOptions(), lambda _values: None)
    rows = in_two_columns(form)
    qtbot.addWidget(rows)
    rows.setStyleSheet("QLabel { padding: 7px }")
    rows.resize(320, 300)
    rows.show()
    assert len({row.native.x() for row in form}) == 1
    assert all(row.native.geometry().right() == rows.width() - 1 for row in form)


@pytest.mark.parametrize("distill", get_args(Distill))
def test_every_distillation_can_be_chosen(qtbot: QtBot, distill: str) -> None:
    taken: list[dict[str, Any]] = []
    form = options_form(FinetuneOptions(distill="vid"), taken.append)
    qtbot.addWidget(form.native)
    form["distill"].value = distill
    form["lambda_d"].value = 0.25
    options = FinetuneOptions.model_validate(taken[-1])
    assert (options.distill, options.lambda_d) == (distill, 0.25)
